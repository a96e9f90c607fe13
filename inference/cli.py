"""`python -m inference publish-onnx`: bring your own flow.

Exit status: 0 published, 1 refused, 2 wrong usage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inference.publishing import Given, Limits, TrialFailed, publish
from model_store.errors import StoreError
from model_store.signature import Operation
from model_store.store import CHAMPION, Store

app = typer.Typer(
    help="Flows that were exported elsewhere.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def commands() -> None:
    """Keeps the command's name where there is only one."""


@app.command("publish-onnx")
def publish_onnx(
    name: Annotated[str, typer.Argument(help="Publish under this name, as its next version.")],
    decode: Annotated[Path, typer.Option(help="(latent parts, condition) -> x")],
    score: Annotated[Path, typer.Option(help="(x, noise, condition) -> log_weight; label models: (x, noise)")],
    signature: Annotated[Path, typer.Option(help="JSON: shapes and kinds of x, condition, latent and noise.")],
    infer: Annotated[Path | None, typer.Option(help="(x, noise) -> estimate, log_weight")] = None,
    encode: Annotated[Path | None, typer.Option(help="(x, noise, condition) -> latent parts")] = None,
    prior_sample: Annotated[
        Path | None, typer.Option(help="Vector conditions: .npy (n, M), by which /infer-condition weighs.")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help=".npz of x and condition, rows first: percentiles are read against their scores."),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, max=4096, help="Noise draws per row by which they are scored.")] = 64,
    store: Annotated[Path, typer.Option(envvar="CONDFLOW_STORE", help="Directory of the store.")] = Path("models"),
    alias: Annotated[str, typer.Option(help="Moves to the new version.")] = CHAMPION,
    memory: Annotated[int, typer.Option(min=512, help="MiB that the trial may take.")] = Limits().memory,
    seconds: Annotated[int, typer.Option(min=1, help="Seconds of CPU time that the trial may take.")] = 60,
) -> None:
    """Publish ONNX graphs of a flow, after a trial in a limited process."""
    paths = {"decode": decode, "encode": encode, "score": score, "infer": infer}
    graphs: dict[Operation, Path] = {key: path for key, path in paths.items() if path is not None}  # type: ignore[misc]
    given = Given(signature=signature, graphs=graphs, prior_sample=prior_sample, reference=reference, draws=draws)
    try:
        manifest, report = publish(
            given, Store.open(store), name, alias=alias, limits=Limits(memory=memory, seconds=seconds)
        )
    except (TrialFailed, StoreError, OSError) as error:
        kind = "refused" if isinstance(error, TrialFailed) else type(error).__name__
        typer.echo(f"{kind}: {error}", err=True)
        raise typer.Exit(1) from None
    for check in report.checks:
        typer.echo(f"{check.name}: {check.result}")
    if report.reference is not None:
        typer.echo(f"reference: {report.reference.rows} rows, mean -log p {report.reference.nll:.4f} nats")
    typer.echo(f"published {manifest.name}@{manifest.version} ({manifest.digest[:12]}) into {store}")
