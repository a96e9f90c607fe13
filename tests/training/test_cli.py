"""The command line: help, lists, plain errors, and the whole way from a table to a published version."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from inference import load, log_likelihood
from inference.publishing import publish as publish_onnx
from inference.work import answer
from model_store import Store
from tests.inference import handmade
from tests.inference.brought import write as write_graphs
from tests.training.conftest import TINY
from training import recipe as recipes
from training.cli import app
from training.datasets.table import TableData


def run(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200", **environment})


@pytest.mark.parametrize("command", [(), ("fit",), ("evaluate",), ("precision",), ("list",), ("show",)])
def test_help(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0 and "Usage" in result.output
    if command == ("fit",):
        plain = re.sub(r"\x1b\[[0-9;]*m", "", result.output)
        for option in ("--set", "--store", "--publish", "--init", "--resume", "--device", "--run-dir", "--data"):
            assert option in plain


def test_list_names_every_recipe() -> None:
    output = run("list").output
    assert all(name in output for name in recipes.names())


def test_show_fills_in_the_defaults_and_takes_settings() -> None:
    output = run("show", "mnist", "--set", "data.classes=[3,8]", "--set", "fit.rate=1e-4").output
    assert "classes:\n  - 3\n  - 8\n" in output and "rate: 0.0001" in output and "checkpoint_steps: 500" in output


def test_show_explains_every_key_of_a_table_and_can_be_fitted() -> None:
    import yaml

    output = run("show", "table", "--set", "data.jitter=false", COLUMNS="80").output
    for name, field in TableData.model_fields.items():
        line = f"  # {field.description}\n  {name}: " if name not in ("file", "x") else f"  # {name} (required): "
        assert field.description and line in output
    assert "jitter: false" in output and max(map(len, output.splitlines())) <= 80
    content = recipes.changed(yaml.safe_load(output), {"data.file": "a.csv", "data.x": ["a"]})
    given = {"data.file": "a.csv", "data.x": ["a"], "data.jitter": False}
    assert recipes.check(content) == recipes.read("table", given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "mnits"), "did you mean 'mnist'"),
        (("fit", "digits", "--set", "fit.epoch=1"), "fit.epoch: unknown key; did you mean 'epochs'?"),
        (("fit", "digits", "--set", "fit.epochs"), "expected key=value"),
        (("fit", "digits", "--data", "a.csv"), "go with the recipe table"),
        (("fit", "table"), "needs --data FILE"),
        (("fit", "table", "--data", "absent.csv", "--x", "a"), "absent.csv does not exist"),
        (("fit", "table", "--data", "absent.csv"), "needs --x NAMES"),
        (("fit", "digits", "--publish", "No/Such"), "--publish:"),
        (("fit", "digits", "--init", "nobody@3"), "--init nobody@3"),
        (("evaluate", "nobody"), "nobody"),
        (("show", "nobody.yaml"), "no such file"),
    ],
)
def test_errors_are_one_plain_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    store = () if arguments[0] == "show" else ("--store", tmp_path / "store")
    result = run(*arguments, *store)
    assert result.exit_code == 2, result.output
    assert message in result.stderr and "Traceback" not in result.output
    assert not (tmp_path / "store").exists()


def write_recipe(folder: Path, **overrides: Any) -> Path:
    import yaml

    content = recipes.changed(TINY, {key.replace("__", "."): value for key, value in overrides.items()})
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_version_of_brought_graphs_has_no_recipe_to_evaluate(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    publish_onnx(write_graphs(tmp_path, handmade.unconditional()), store, "mine")
    result = run("evaluate", "mine@1", "--store", tmp_path / "store")
    assert result.exit_code == 2
    assert result.stderr == "mine@1 was published from ONNX graphs (publish-onnx): it has no recipe to evaluate\n"


def test_resume_without_a_fit(tmp_path: Path) -> None:
    result = run("fit", write_recipe(tmp_path), "--resume", "--run-dir", tmp_path / "run")
    assert result.exit_code == 2 and "there is no fit to go on with" in result.stderr


def test_from_a_table_to_a_version_and_on_from_there(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    dose: Any = random.normal(size=600)
    frame = {"pulse": 60 + 5 * dose + random.normal(size=600), "pressure": random.poisson(3, 600), "dose": dose}
    frame["dose"] = [None if row < 7 else value for row, value in enumerate(dose)]
    pl.DataFrame(frame).write_csv(tmp_path / "patients.csv")
    settings = (
        "fit.epochs=2",
        "fit.steps_per_epoch=5",
        "model.blocks=2",
        "model.conditioner.width=16",
        "data.missing=drop",
    )
    small = [part for setting in settings for part in ("--set", setting)]
    table = ("--data", tmp_path / "patients.csv", "--x", "pulse, pressure", "--condition", "dose")
    common = (*table, *small, "--store", tmp_path / "store", "--run-dir", tmp_path / "run")

    result = run("fit", "table", *common, "--publish", "patients", COLUMNS="80")
    assert result.exit_code == 0, result.output
    assert "standardised" in result.output and "published patients@1" in result.output
    dropped = "7 of 600 rows dropped"
    assert dropped in result.output and "\n    --set data.support.pulse=positive\n" in result.output
    assert max(map(len, result.output.splitlines())) <= 80

    store = Store.open(tmp_path / "store")
    manifest = store.resolve("patients")
    assert manifest.lineage.recipe == "table" and len(manifest.lineage.data_digest) == 64
    assert manifest.signature.data.names == ("pulse", "pressure")
    paths = {entry.path for entry in manifest.files}
    assert {"card.md", "metrics.json", "training.csv", "prior_sample.safetensors", "weights.safetensors"} <= paths
    card = store.read(manifest, "card.md").decode()
    assert "| file | patients.csv |" in card and dropped in card and "fit.epochs=2; " in card
    assert "U(-0.5, 0.5)" in card and "test data are jittered" in card and str(tmp_path) not in card
    loaded = load(store, "patients")
    found = answer(loaded.engine, log_likelihood(loaded, np.float32([[60.0, 0.0]]), np.float32([[0.0]])))
    assert np.isfinite(found.log_likelihood).all()
    assert found.extrapolated is not None and found.extrapolated.tolist() == [False]
    far = answer(loaded.engine, log_likelihood(loaded, np.float32([[60.0, 0.0]]), np.float32([[40.0]])))
    assert far.extrapolated is not None and far.extrapolated.tolist() == [True]

    warm = run("fit", "table", *common, "--publish", "patients", "--init", "patients@1")
    assert warm.exit_code == 0, warm.output
    assert store.resolve("patients").lineage.parents == ("patients@1",)

    assert manifest.lineage.config["data"]["file"] == "patients.csv"
    assert str(tmp_path) not in manifest.canonical().decode()
    evaluated = ("evaluate", "patients@1", "--store", tmp_path / "store", "--output", tmp_path / "card")
    lost = run(*evaluated)
    assert lost.exit_code == 2
    assert lost.stderr == "patients@1 was fitted to patients.csv, which is not here; --data FILE says where it lies\n"
    checked = run(*evaluated, "--data", tmp_path / "patients.csv")
    assert checked.exit_code == 0, checked.output
    assert "not those that the version was fitted to" not in checked.output
    assert (tmp_path / "card" / "card.md").exists()


SMALL = ("fit.epochs=1", "fit.steps_per_epoch=2", "model.blocks=1", "model.conditioner.width=8")


def test_fits_of_different_tables_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = [part for setting in SMALL for part in ("--set", setting)]
    folders: list[Path] = []

    def fit(file: Path, *options: object) -> Result:
        return run("fit", "table", "--data", file, "--x", "pulse", *small, *options)

    def write(file: Path, seed: int) -> None:
        file.parent.mkdir(exist_ok=True)
        pl.DataFrame({"pulse": np.random.default_rng(seed).normal(size=200)}).write_csv(file)

    for seed, folder in enumerate(("north", "south")):
        file = tmp_path / folder / "my patients.csv"
        write(file, seed)
        assert fit(file).exit_code == 0
        (new,) = set((tmp_path / "runs").iterdir()) - set(folders)
        assert re.fullmatch("table-my-patients-[0-9a-f]{8}", new.name)
        folders.append(new)

    moved = (tmp_path / "north").rename(tmp_path / "elsewhere") / "my patients.csv"
    resumed = fit(moved, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert "weights and history are in runs/" + folders[0].name in resumed.output.replace("\n", " ")

    write(moved, 2)
    lost = fit(moved, "--resume")
    assert lost.exit_code == 2
    assert "there is no fit of these data in runs/table-my-patients-" in lost.stderr
    assert all(f"runs/{folder.name}" in lost.stderr for folder in folders)
