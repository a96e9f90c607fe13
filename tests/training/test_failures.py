"""What fails around a fit is one line; nothing half-written is left, and a finished fit is never lost."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer

from inference.engine import EngineError
from inference.errors import LoadError
from model_store import Store
from model_store.errors import BadStore
from tests.training.conftest import TINY, tiny
from tests.training.test_cli import run
from training import datasets
from training.callbacks import LAST
from training.datasets.base import Split
from training.errors import FitError, RecipeError
from training.export import ExportError
from training.fit import fit
from training.keeping import RUN, kept
from training.recipe import Recipe

SMALL_FILES = 8192  # bytes: room for a record and a history, not for a checkpoint


@contextmanager
def small_disk(largest: int = SMALL_FILES) -> Iterator[None]:
    """Files grow to `largest` bytes and no further, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fitted(recipe: Recipe, folder: Path, *callbacks: Callback, resume: bool = False) -> float:
    dataset = datasets.load(recipe.data)
    return fit(recipe, dataset, folder, callbacks=callbacks, resume=resume, say=lambda text: None).validation_loss


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--device", "foo"), "--device foo: expected cpu, cuda, or cuda:N"),
        (("--set", "fit.step=fast"), "fit.step: Input should be 'auto', 'eager', 'compiled', 'graphed'"),
        (("--set", "fit.precision=half"), "fit.precision: Input should be 'float32' or 'bf16'"),
        (("--device", "cuda:99"), "--device cuda:99: no such CUDA device is available"),
        (("--run-dir", "{file}"), "--run-dir {file}: expected a folder, {file} is a file"),
        (("--run-dir", "{file}/a/b"), "--run-dir {file}/a/b: expected a folder, {file} is a file"),
        (("--store", "{file}"), "{file}: "),
        (("--set", "fit.rate=.inf"), "fit.rate: Input should be a finite number"),
        (("--set", "model.blocks=1000000"), "model.blocks: Input should be less than or equal to 256"),
        (
            ("--set", "model.conditioner.width=1000000"),
            "model.conditioner.width: Input should be less than or equal to",
        ),
        (("--set", "model.padding=1000000"), "model.padding: Input should be less than or equal to 16384"),
        (("--set", "model.epsilon=.inf"), "model.epsilon: Input should be a finite number"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, recipe_file: Path, options: tuple[str, ...], message: str) -> None:
    file = tmp_path / "file"
    file.write_text("")
    given: dict[str, object] = {"--store": tmp_path / "store", "--run-dir": tmp_path / "run"}
    given |= dict(zip(options[::2], (option.format(file=file) for option in options[1::2]), strict=True))
    result = run("fit", recipe_file, *(part for option in given.items() for part in option))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(message.format(file=file)) and result.stderr.count("\n") == 1
    assert file.read_text() == "" and not (tmp_path / "run").exists()


def test_a_recipe_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes("name: süß".encode("latin-1"))
    for command in ("fit", "show"):
        result = run(command, path)
        assert result.exit_code == 2 and f"{path}: expected a YAML file in UTF-8" in result.stderr


def test_a_loss_that_no_density_has(tmp_path: Path) -> None:
    dataset = datasets.load(tiny().data)
    far = replace(dataset, validation=Split(dataset.validation.x * 1e6, dataset.validation.condition))
    with pytest.raises(
        FitError, match=r"the validation loss is .* nats, which no density has: look for extreme values"
    ):
        fit(tiny(), far, tmp_path / "run", say=lambda text: None)


def test_a_disk_that_is_full_from_the_start_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(), pytest.raises(OSError, match="the checkpoint could not be written"):
        fitted(tiny(), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with small_disk(), pytest.raises(OSError, match="could not be written"):
        fitted(tiny(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_damaged_record_is_said(tmp_path: Path) -> None:
    (tmp_path / RUN).write_text('{"recipe": ')
    with pytest.raises(FitError, match=r"--resume: .*run.json is damaged"):
        fitted(tiny(), tmp_path, resume=True)


class FullAfter(Callback):
    """The disk fills up after the first epoch."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_FILES, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def test_a_disk_that_fills_up_leaves_a_fit_to_go_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    whole = fitted(tiny(), tmp_path / "whole")
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    said = f"could not be written .* The fit is kept in {folder}: .* --resume"
    with small_disk(unlimited), pytest.raises(FitError, match=said):
        fitted(tiny(), folder, FullAfter())
    assert (folder / "flow" / LAST).exists()
    assert not list(folder.rglob(".*"))
    assert fitted(tiny(), folder, resume=True) == whole


def test_a_fit_goes_only_when_the_next_begins(tmp_path: Path) -> None:
    loss = fitted(tiny(), tmp_path)
    with pytest.raises(RecipeError, match=r"model\.padding"):
        fitted(tiny(model__padding=3), tmp_path)
    assert fitted(tiny(), tmp_path, resume=True) == loss


def test_a_finished_fit_outlives_a_full_store_and_an_output_that_is_none(tmp_path: Path, recipe_file: Path) -> None:
    common = ("fit", recipe_file, "--store", tmp_path / "store", "--run-dir", tmp_path / "run", "--publish", "tiny")
    taken = tmp_path / "taken"
    taken.write_text("mine")
    assert run(*common[:-2]).exit_code == 0
    with small_disk():
        full = run(*common, "--resume")
    assert full.exit_code == 2 and full.stderr.count("\n") == 1, full.output
    assert full.stderr.endswith(
        f"The fit is kept in {tmp_path / 'run'}: the same command with --resume goes on from there\n"
    )
    assert "File too large" in full.stderr and (tmp_path / "run" / RUN).exists()
    again = run(*common, "--resume")
    assert again.exit_code == 0 and "published tiny@1" in again.output, again.output
    assert Store.open(tmp_path / "store").versions("tiny") == [1]

    refused = run("evaluate", "tiny", "--store", tmp_path / "store", "--output", taken / "card")
    assert refused.exit_code == 2
    assert refused.stderr == f"--output {taken / 'card'}: expected a folder, {taken} is a file\n"
    assert "accuracy" not in refused.output and taken.read_text() == "mine"


@pytest.mark.parametrize(
    "raised",
    [
        lambda: ValueError("log_posterior: expected rows whose probabilities sum to one"),
        lambda: ExportError("decode: x is not finite"),
        lambda: BadStore("no store"),
        lambda: OSError(28, "No space left on device", "blob"),
        lambda: LoadError("refused"),
        lambda: EngineError("failed"),
    ],
)
def test_what_fails_after_a_fit_says_how_to_go_on(tmp_path: Path, raised: Callable[[], Exception]) -> None:
    said = r"\. The fit is kept in .*: the same command with --resume goes on"
    with pytest.raises(FitError, match=said) as error, kept(tmp_path):
        raise raised()
    assert "Errno" not in str(error.value)
