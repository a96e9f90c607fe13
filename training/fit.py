"""A fit from its first step to the weights that are kept, resumable at any step."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from flows.models.base import Model
from training import checkpoint_io
from training.callbacks import BEST, HISTORY, LAST, Checkpoints, History, Interruption
from training.checkpoint_io import SafeCheckpointIO
from training.convolutions import repeatable
from training.datasets.base import Dataset
from training.errors import FitError, RecipeError
from training.keeping import RUN, begun, clear
from training.modelling import fresh_model
from training.module import FitModule
from training.phase import Phase
from training.phases import phases
from training.recipe import Recipe, check, differing, recorded
from training.settings import Step

ABSURD = 1e6  # nats for each number of x


@dataclass(frozen=True)
class Fitted:
    """The model with the weights of lowest validation loss, and how they were found; the loss is the flow's.

    `ways`: by phase how its steps ran, `auto` where nothing was measured.
    """

    model: Model
    folder: Path
    histories: dict[str, bytes]
    ways: dict[str, Step]
    seconds: float
    validation_loss: float


def fit(
    recipe: Recipe,
    dataset: Dataset,
    folder: Path,
    *,
    device: str = "cpu",
    resume: bool = False,
    initial: dict[str, torch.Tensor] | None = None,
    callbacks: Sequence[Callback] = (),
    say: Callable[[str], None] = print,
) -> Fitted:
    """Fit `recipe` on `dataset` in `folder`; with `resume` go on where the last checkpoint there stands.

    `initial` weights replace the fresh ones (a warm start). Raises FitError if the folder holds another fit, or if
    the loss cannot be made finite, or is absurd, or the disk fails (it is OSError where there was no checkpoint yet);
    nothing is left of a fit that came to no checkpoint, and one that is there goes only when the next begins.
    Interrupted after SIGINT or SIGTERM, when a checkpoint has been left.
    """
    place = _place(device)
    identity = {"recipe": recorded(recipe), "data": dataset.digest, "warm": initial is not None}
    if resume:
        _find(folder, identity)
    model = fresh_model(recipe, dataset)
    if initial is not None:
        _warm_start(model, initial)
    model.to(place)
    seconds, loss, histories = 0.0, float("nan"), {}
    ways: dict[str, Step] = {}
    with begun(folder), repeatable(place):
        if not resume:
            _begin(folder, identity)
        for phase in phases(recipe, dataset, model):
            inner = folder / phase.name
            if initial is not None and phase.name == "autoencoder":
                say("autoencoder: taken over from the initial weights")
                continue
            spent, ways[phase.name] = _run(phase, inner, recipe.seed, place, initial is not None, callbacks, say)
            seconds += spent
            if phase.name in ("flow", "settling"):
                loss = checkpoint_io.load(inner / BEST)["validation_loss"]
            histories[phase.name] = (inner / HISTORY).read_bytes()
    if abs(loss) > ABSURD * dataset.data.size:
        raise FitError(
            f"the validation loss is {loss:.3g} nats, which no density has: look for extreme values in the data, "
            "lower fit.rate, or set fit.clip lower"
        )
    model.eval()
    return Fitted(model.to("cpu"), folder, histories, ways, seconds, loss)


def _run(
    phase: Phase,
    folder: Path,
    seed: int,
    device: torch.device,
    warm: bool,
    callbacks: Sequence[Callback],
    say: Callable[[str], None],
) -> tuple[float, Step]:
    """One phase, to its end; afterwards its module holds the best weights. Returns the seconds spent, and the way."""
    folder.mkdir(parents=True, exist_ok=True)
    prepared = phase.prepare(device)
    prepared.objective.module.to(device)
    module = FitModule(prepared.objective, prepared.train, prepared.validation, phase.loop, seed, say)
    last = folder / LAST
    state: dict[str, Any] | None = checkpoint_io.load(last) if last.exists() else None
    history, interruption = History(folder), Interruption()
    checkpoints = Checkpoints(folder, phase.loop.checkpoint_steps, interruption)
    if state is not None:
        module.position = state["fit"]["position"]
        module.way = state["fit"].get("way", module.way)
        checkpoints.load_state_dict(state["callbacks"][checkpoints.state_key])
        history.load_state_dict(state["callbacks"][history.state_key])
    elif not warm:
        module.start()
    if not checkpoints.finished:
        module.train()
        trainer = _trainer(phase, module, device, [history, checkpoints, *callbacks])
        with interruption.listening():
            trainer.fit(module, ckpt_path=None if state is None else last)
    if not (folder / BEST).exists():
        raise FitError(f"{phase.name}: the validation loss was never finite; look for extreme values in the data")
    module.fitted.load_state_dict(checkpoint_io.load(folder / BEST)["weights"])
    module.fitted.to(device).eval()
    return history.seconds, module.way


def _trainer(phase: Phase, module: FitModule, device: torch.device, callbacks: list[Callback]) -> Trainer:
    """Lightning, with everything off that a fit does not use."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    if phase.loop.patience is not None:
        patience = phase.loop.patience
        callbacks.insert(0, EarlyStopping("validation_loss", patience=patience, check_finite=False))
    return Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=[device.index or 0] if device.type == "cuda" else 1,
        max_epochs=phase.loop.epochs - module.epoch,
        plugins=[SafeCheckpointIO()],
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def _place(device: str) -> torch.device:
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or not (index or "0").isdecimal():
        raise FitError(f"--device {device}: expected cpu, cuda, or cuda:N")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise FitError(f"--device {device}: no such CUDA device is available")
    return torch.device(device if kind == "cuda" else "cpu")


def _find(folder: Path, identity: dict[str, Any]) -> None:
    """Raises FitError if there is no fit in the folder to go on with, or another one."""
    record = folder / RUN
    if not record.exists():
        raise FitError(f"--resume: there is no fit to go on with in {folder}")
    try:
        before = json.loads(record.read_text())
    except ValueError as error:
        raise FitError(f"--resume: {record} is damaged ({error}); without --resume the fit begins anew") from error
    changed = differences(_with_defaults(before), json.loads(json.dumps(identity)))
    if changed:
        raise FitError(f"--resume: the fit in {folder} was started with other settings: {'; '.join(changed)}")


def _begin(folder: Path, identity: dict[str, Any]) -> None:
    """Make the folder this fit's own; an earlier fit there goes."""
    clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN).write_text(json.dumps(identity, indent=1))


def _with_defaults(identity: dict[str, Any]) -> dict[str, Any]:
    """Settings that are younger than the record have their defaults, which change nothing; paths go."""
    try:
        return identity | {"recipe": recorded(check(identity["recipe"]))}
    except RecipeError:
        return identity


def differences(before: Any, now: Any) -> list[str]:
    """Where two nested records differ, in words.

    >>> differences({"fit": {"rate": 0.1, "epochs": 2}}, {"fit": {"rate": 0.2, "epochs": 2}})
    ['fit.rate was 0.1, is 0.2']
    """
    return [f"{place} was {was}, is {value}" for place, was, value in differing(before, now)]


def _warm_start(model: Model, weights: dict[str, torch.Tensor]) -> None:
    own = model.state_dict()
    for name, value in own.items():
        if name not in weights:
            raise FitError(f"--init: those weights have no {name}; the architectures differ")
        if weights[name].shape != value.shape:
            raise FitError(
                f"--init: {name} is {tuple(weights[name].shape)} there and {tuple(value.shape)} here; "
                "the architectures differ"
            )
    model.load_state_dict({name: weights[name] for name in own})
