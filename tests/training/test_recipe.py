"""Recipes: what comes with the package is right, and mistakes are named by their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.architecture import build
from tests.training.conftest import shaped, tiny
from training import recipe as recipes
from training.errors import RecipeError
from training.modelling import architecture

TABLE = {"data.file": "some.csv", "data.x": ["a"], "data.condition": ["b"]}


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_is_valid_and_builds(name: str) -> None:
    recipe = recipes.read(name, TABLE if name == "table" else {})
    assert recipe.name == name and recipe.about
    model = build(architecture(recipe, shaped(recipe)))
    assert model.config.family == recipe.model["family"]


def test_the_recipes_that_were_promised() -> None:
    promised = {"gaussian-mixture", "digits", "digits-upscale", "mnist", "fashion-mnist", "mnist-cinn", "table"}
    assert promised | {"mnist-two-stage", "fashion-mnist-two-stage"} <= set(recipes.names())


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("fit.epoch", 3, "fit.epoch: unknown key; did you mean 'epochs'?"),
        ("fit.schedule.warm_up", 0.1, "fit.schedule.warm_up: unknown key; did you mean 'warmup'?"),
        ("fit.autoencoder.epoch", 1, "fit.autoencoder.epoch: unknown key; did you mean 'epochs'?"),
        ("data.clases", [1, 2], "data.clases: unknown key; did you mean 'classes'?"),
        ("seeds", 1, "seeds: unknown key; did you mean 'seed'?"),
        ("fit.epochs", 0, "fit.epochs: Input should be greater than or equal to 1 (got 0)"),
        ("data.classes", [3], "data.classes: Tuple should have at least 2 items"),
        ("data.set", "mnits", "data: Input tag 'mnits' found using 'set' does not match any of the expected tags"),
    ],
)
def test_mistakes_are_named_by_their_place(place: str, value: object, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        recipes.read("mnist", {place: value})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("model.conditioner.wdth", 3, "model.conditioner.wdth: unknown key; did you mean 'width'?"),
        ("model.coupling", {"kind": "spline", "bin": 3}, "model.coupling.bin: unknown key; did you mean 'bins'?"),
        ("model.family", "joined", "model.family: expected one of joint, coupling, latent, got 'joined'"),
        ("model.data", {"shape": [2]}, "model.data: follows from the data set, leave it out"),
        ("model.padding", 3, "model.padding: expected at least 7"),
    ],
)
def test_mistakes_in_the_model_are_named(place: str, value: object, message: str) -> None:
    recipe = tiny(**{place: value})
    with pytest.raises(RecipeError) as error:
        architecture(recipe, shaped(recipe))
    assert message in str(error.value)


def test_unknown_recipe_gets_the_nearest_name() -> None:
    with pytest.raises(RecipeError, match="did you mean 'gaussian-mixture'"):
        recipes.read("gausian-mixture")


def test_recipe_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("name: own\ndata: {set: digits}\nmodel: {family: coupling}\n")
    assert recipes.read(str(path), {"fit.epochs": 2}).fit.epochs == 2
    path.write_text("name: [own\n")
    with pytest.raises(RecipeError, match="not YAML"):
        recipes.read(str(path))
    with pytest.raises(RecipeError, match="no such file"):
        recipes.read(str(tmp_path / "absent.yaml"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.classes=[3,8]", ("data.classes", [3, 8])),
        ("fit.rate=1e-3", ("fit.rate", 1e-3)),
        ("fit.average=null", ("fit.average", None)),
        ("model.actnorm=false", ("model.actnorm", False)),
        ("data.file=a=b.csv", ("data.file", "a=b.csv")),
        ("model.coupling={kind: spline}", ("model.coupling", {"kind": "spline"})),
    ],
)
def test_settings_are_yaml(text: str, expected: tuple[str, object]) -> None:
    assert recipes.setting(text) == expected


@pytest.mark.parametrize("text", ["fit.epochs", "=3", "fit.x=[1"])
def test_settings_that_are_none(text: str) -> None:
    with pytest.raises(RecipeError, match="--set"):
        recipes.setting(text)


def test_setting_below_a_value_is_refused() -> None:
    with pytest.raises(RecipeError, match="name has no keys below it"):
        recipes.read("digits", {"name.first": 1})


def test_settings_do_not_change_the_recipe_itself() -> None:
    content = recipes.content_of("digits")
    recipes.changed(content, {"fit.epochs": 99})
    assert content == recipes.content_of("digits")


def test_a_recipe_as_it_was_run_names_the_ways_that_were_found() -> None:
    recipe = recipes.read("mnist-two-stage")
    run = recipes.as_run(recipe, {"autoencoder": "compiled", "flow": "graphed"})
    assert run.fit.step == "graphed" and run.fit.autoencoder is not None and run.fit.autoencoder.step == "compiled"
    assert recipes.departures(recipes.recorded(run)) == [
        ("fit.autoencoder.step", "compiled"),
        ("fit.step", "graphed"),
    ]
    assert recipes.as_run(recipe, {"autoencoder": "auto", "flow": "auto"}) == recipe
