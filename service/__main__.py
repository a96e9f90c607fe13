"""`python -m service`: serve a store; `keys new`: make a key; `openapi`: print the API."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

app = typer.Typer(add_completion=False, invoke_without_command=True, help="Serve conditional flows over HTTP.")
keys = typer.Typer(no_args_is_help=True, help="Keys: their text is shown once, their SHA-256 is what is stored.")
app.add_typer(keys, name="keys")


@app.callback()
def main(
    context: typer.Context,
    store: Annotated[Path | None, typer.Option(help="Directory of the model store.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")] = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu (ONNX Runtime); cuda, cuda:N (torch); several: a process each."),
    ] = None,
    keys_file: Annotated[Path | None, typer.Option(help="File of key lines, made by `keys new`.")] = None,
) -> None:
    """Serve the models of a store. Every other setting is an environment variable, CONDFLOW_*."""
    if context.invoked_subcommand is not None:
        return
    from inference.engine import EngineError
    from service.devices import count_cards, devices_of
    from service.keys import KeyLineError
    from service.settings import Settings

    given: dict[str, Any] = {"store": store, "host": host, "port": port, "device": device, "keys_file": keys_file}
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        for item in error.errors():
            place = ".".join(str(part) for part in item["loc"])
            typer.echo(f"condflow: {place}: {item['msg']} (got {item['input']!r})", err=True)
        raise typer.Exit(2) from None
    try:
        devices = devices_of(settings.device, count_cards)
        if len(devices) > 1:
            from service.workers.supervisor import supervise

            raise typer.Exit(supervise(settings, devices))
        from inference.loading import check_device
        from service.serve import serve
        from service.workers.address import check_free

        check_device(devices[0])
        check_free(settings.host, settings.port)
        serve(settings.model_copy(update={"device": devices[0]}))
    except (EngineError, KeyLineError, OSError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        hint = f" (another --port, or make serve PORT={settings.port + 1}, is free perhaps)" if taken else ""
        typer.echo(f"condflow: {error}{hint}", err=True)
        raise typer.Exit(1) from None


@keys.command()
def new(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    scope: Annotated[list[str], typer.Option(help="infer, metrics or admin; may be given several times.")] = ["infer"],  # noqa: B006
) -> None:
    """Make a random 256-bit key: prints it once, and the line to add to the keys file."""
    from service.keys import SCOPES, KeyLineError, new_key

    try:
        unknown = set(scope) - set(SCOPES)
        if unknown:
            raise KeyLineError(f"unknown scope {', '.join(sorted(unknown))}; the scopes are {', '.join(SCOPES)}")
        text, key = new_key(name, frozenset(known for known in SCOPES if known in scope))
    except KeyLineError as error:
        typer.echo(f"condflow: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"key (shown once): {text}")
    typer.echo(f"line for the keys file (CONDFLOW_KEYS_FILE): {key.line}")


@app.command()
def openapi() -> None:
    """Print the OpenAPI document as YAML."""
    from service.app import create_app
    from service.openapi import openapi_text
    from service.settings import Settings

    typer.echo(openapi_text(create_app(Settings(), document_admin=True)), nl=False)


if __name__ == "__main__":
    app()
