"""A fit that was killed goes on to the very same weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.conftest import TINY, tiny
from training import datasets
from training.callbacks import BEST, HISTORY, LAST
from training.checkpoint_io import load
from training.errors import FitError
from training.fit import Fitted, _with_defaults, differences, fit
from training.recipe import Recipe, check

RECIPE = tiny(model__conditioner={"width": 16, "depth": 1, "dropout": 0.1}, fit__patience=50)


def run(recipe: Recipe, folder: Path, resume: bool = False, **options: Any) -> Fitted:
    return fit(recipe, datasets.load(recipe.data), folder, resume=resume, **options)


def killed(recipe: Recipe, folder: Path, *how: str) -> subprocess.CompletedProcess[str]:
    path = folder.with_suffix(".json")
    path.write_text(recipe.model_dump_json())
    command = [sys.executable, "-m", "tests.training.killed_fit", str(path), str(folder), *how]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return run(RECIPE, tmp_path_factory.mktemp("whole") / "run")


def assert_same(resumed: Fitted, whole: Fitted) -> None:
    assert resumed.validation_loss == whole.validation_loss
    for file in (LAST, BEST):
        ours, theirs = load(resumed.folder / "flow" / file), load(whole.folder / "flow" / file)
        if file == LAST:
            assert ours["fit"]["position"] == theirs["fit"]["position"] == 18
            assert_equal_trees(ours["optimizer_states"], theirs["optimizer_states"])
            assert_equal_trees(ours["fit"]["average"], theirs["fit"]["average"])
            ours, theirs = ours["state_dict"], theirs["state_dict"]
        assert_equal_trees(ours, theirs)
    assert_equal_trees(resumed.model.state_dict(), whole.model.state_dict())
    histories = [
        [line.split(",") for line in (f.folder / "flow" / HISTORY).read_text().split()] for f in (resumed, whole)
    ]
    seconds = histories[0][0].index("seconds")
    for rows in histories:
        for row in rows:
            del row[seconds]
    assert histories[0] == histories[1]


def assert_equal_trees(left: Any, right: Any) -> None:
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_equal_trees(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for mine, other in zip(left, right, strict=True):
            assert_equal_trees(mine, other)
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    else:
        assert left == right


@pytest.mark.parametrize(
    ("how", "position"),
    [(("SIGKILL", "step", "9"), 8), (("SIGKILL", "epoch", "1"), 6), (("SIGKILL", "validation", "1"), 8)],
    ids=["inside an epoch", "at an epoch's end", "while validating"],
)
def test_resume_after_a_kill_is_bitwise(tmp_path: Path, whole: Fitted, how: tuple[str, ...], position: int) -> None:
    folder = tmp_path / "run"
    result = killed(RECIPE, folder, *how)
    assert result.returncode == -9, result.stderr
    assert load(folder / "flow" / LAST)["fit"]["position"] == position
    assert_same(run(RECIPE, folder, resume=True), whole)


def test_interrupt_leaves_a_checkpoint_and_says_where_it_stopped(tmp_path: Path, whole: Fitted) -> None:
    folder = tmp_path / "run"
    result = killed(RECIPE, folder, "SIGINT", "step", "10")
    assert result.returncode == 130, result.stderr
    assert "stopped after step 11 of 18" in result.stdout
    assert_same(run(RECIPE, folder, resume=True), whole)


def test_resume_of_a_finished_fit_changes_nothing(whole: Fitted) -> None:
    before = (whole.folder / "flow" / LAST).read_bytes()
    assert_same(run(RECIPE, whole.folder, resume=True), whole)
    assert (whole.folder / "flow" / LAST).read_bytes() == before


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path: Path, whole: Fitted) -> None:
    assert_same(run(RECIPE, tmp_path / "again"), whole)
    other = run(RECIPE.model_copy(update={"seed": 1}), tmp_path / "other")
    assert other.validation_loss != whole.validation_loss


def test_a_fit_older_than_a_setting_goes_on_with_its_default(tmp_path: Path, whole: Fitted) -> None:
    folder = shutil.copytree(whole.folder, tmp_path / "older")
    record = json.loads((folder / "run.json").read_text())
    del record["recipe"]["fit"]["augmentation"]["share"]
    (folder / "run.json").write_text(json.dumps(record))
    assert_same(run(RECIPE, folder, resume=True), whole)


def test_a_fit_whose_record_has_the_path_of_its_file_goes_on_wherever_the_file_lies(tmp_path: Path) -> None:
    def told(file: str) -> dict[str, Any]:
        recipe = check({**TINY, "data": {"set": "table", "file": file, "x": ["a"]}})
        return {"recipe": recipe.model_dump(mode="json")}

    older = _with_defaults(told("/home/somebody/wine.csv"))
    assert older["recipe"]["data"]["file"] == "wine.csv"
    assert differences(older, _with_defaults(told("wine.csv"))) == []
    assert differences(older, _with_defaults(told("beer.csv"))) == ["recipe.data.file was wine.csv, is beer.csv"]


def test_resume_refuses_other_settings_and_empty_folders(tmp_path: Path, whole: Fitted) -> None:
    with pytest.raises(FitError, match=r"other settings: recipe.fit.rate was 0.005, is 0.1"):
        run(tiny(model=RECIPE.model, fit__patience=50, fit__rate=0.1), whole.folder, resume=True)
    with pytest.raises(FitError, match="no fit to go on with"):
        run(RECIPE, tmp_path / "nothing", resume=True)


def test_a_new_fit_in_an_old_folder_starts_anew(tmp_path: Path) -> None:
    short = tiny(fit__epochs=1)
    first = run(short, tmp_path / "run")
    second = run(short, tmp_path / "run")
    assert second.validation_loss == first.validation_loss
    assert len((tmp_path / "run" / "flow" / HISTORY).read_text().splitlines()) == 2


def test_early_stopping_is_remembered(tmp_path: Path) -> None:
    """A fit that stops early is finished: resuming it does not go on."""
    recipe = tiny(fit__epochs=30, fit__patience=1, fit__rate=1e-12, fit__average=None)
    stopped = run(recipe, tmp_path / "run")
    rows = (stopped.folder / "flow" / HISTORY).read_text().splitlines()
    assert 2 < len(rows) < 31
    run(recipe, tmp_path / "run", resume=True)
    assert (stopped.folder / "flow" / HISTORY).read_text().splitlines() == rows


def test_warm_start_begins_with_the_given_weights(tmp_path: Path, whole: Fitted) -> None:
    weights = {name: value.clone() for name, value in whole.model.state_dict().items()}
    still = tiny(model=RECIPE.model, fit__epochs=1, fit__rate=1e-12, fit__average=None)
    warm = run(still, tmp_path / "warm", initial=weights)
    assert warm.validation_loss == pytest.approx(whole.validation_loss, abs=1e-5)
    larger = tiny(model__conditioner={"width": 32, "depth": 1})
    with pytest.raises(FitError, match=r"--init: .* is .* there and .* here; the architectures differ"):
        run(larger, tmp_path / "larger", initial=weights)
