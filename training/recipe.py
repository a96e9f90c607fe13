"""A recipe: a data set, a model, a fit and an evaluation, in one short YAML file, checked before anything runs."""

from __future__ import annotations

import csv
import re
import types
from collections.abc import Iterator, Mapping
from copy import deepcopy
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, ValidationError

from model_store.manifest import Name
from model_store.signature import Frozen
from training.datasets.digits import DigitsData
from training.datasets.mixture import MixtureData
from training.datasets.mnist import ImageData
from training.datasets.table import TableData
from training.errors import RecipeError, nearest
from training.settings import Fit, Step

DataConfig = Annotated[MixtureData | DigitsData | ImageData | TableData, Field(discriminator="set")]


class EvaluationSettings(Frozen):
    """`draws` of noise per row for likelihoods; `rows` of the test split at most; `c2st` points per condition and side.

    `samples` per condition are shown in the pictures.
    """

    draws: Annotated[int, Field(ge=1, le=4096)] = 64
    rows: Annotated[int, Field(ge=10)] = 10_000
    c2st: Annotated[int, Field(ge=0)] = 0
    samples: Annotated[int, Field(ge=1, le=100)] = 10


class Recipe(Frozen):
    """`model` is an architecture of flows whose data and condition are filled in from the data set."""

    name: Name
    about: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**53)] = 0
    data: DataConfig
    model: dict[str, Any]
    fit: Fit = Fit()
    evaluation: EvaluationSettings = EvaluationSettings()


def names() -> list[str]:
    """The recipes that come with the package."""
    folder = resources.files("training.recipes")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read(reference: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of that name, or of a YAML file, with dotted `overrides` put in. Raises RecipeError."""
    return check(changed(content_of(reference), overrides or {}))


def content_of(reference: str) -> dict[str, Any]:
    """What the file says, not checked yet. Raises RecipeError if it is not there or not a mapping."""
    path = Path(reference)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise RecipeError(f"{reference}: there is no such file")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{reference}: expected a YAML file in UTF-8 ({error})") from error
    elif reference in names():
        text = (resources.files("training.recipes") / f"{reference}.yaml").read_text()
    else:
        raise RecipeError(f"there is no recipe {reference!r}; {nearest(reference, names())}")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{reference}: not YAML ({error})") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{reference}: expected keys and values, found {type(content).__name__}")
    return content


def changed(content: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with dotted keys put in.

    >>> changed({"fit": {"rate": 1}}, {"fit.epochs": 3})
    {'fit': {'rate': 1, 'epochs': 3}}
    >>> changed({}, {'support."a.b"': "positive"})
    {'support': {'a.b': 'positive'}}
    """
    copied = deepcopy(dict(content))
    for place, value in overrides.items():
        _put(copied, place, value)
    return copied


def check(content: Mapping[str, Any]) -> Recipe:
    """Validate; every mistake is named by its place, with the nearest known key. Raises RecipeError."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(explain(error, Recipe, content)) from error


def recorded(recipe: Recipe) -> dict[str, Any]:
    """The whole recipe as plain values, to be kept with what was made by it; of a file of data the name alone.

    Where somebody's file lay is nobody else's business. Which rows were read is told by the data set's digest.
    """
    content = recipe.model_dump(mode="json")
    if "file" in content["data"]:
        content["data"]["file"] = Path(content["data"]["file"]).name
    return content


def as_run(recipe: Recipe, ways: Mapping[str, Step]) -> Recipe:
    """The recipe with `step: auto` settled by phase as a fit found it, so that it says how the weights came about."""
    found = {phase: way for phase, way in ways.items() if way != "auto"}
    places = {"fit.step" if phase == "flow" else f"fit.{phase}.step": way for phase, way in found.items()}
    return check(changed(recipe.model_dump(mode="json"), places))


def departures(content: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Dotted keys, with their values, in which a whole recipe differs from the packaged one of its name.

    Empty if there is none of that name. What a table must be told (file, x) is no difference.
    """
    name = content.get("name")
    if name not in names():
        return []
    original = content_of(str(name))
    if original["data"]["set"] == "table":
        told = {key: value for key, value in content["data"].items() if key in ("file", "x")}
        original["data"] = told | original["data"]
    return [(place, now) for place, _, now in differing(check(original).model_dump(mode="json"), content)]


def differing(before: Any, now: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two nested records differ: the dotted key, and its value in either.

    >>> list(differing({"fit": {"rate": 0.1, "epochs": 2}}, {"fit": {"rate": 0.2, "epochs": 2}}))
    [('fit.rate', 0.1, 0.2)]
    """
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        if before != now:
            yield place, before, now
        return
    for key in sorted(before.keys() | now.keys()):
        yield from differing(before.get(key), now.get(key), f"{place}.{key}" if place else str(key))


def setting(text: str) -> tuple[str, Any]:
    """`key=value` with a dotted key, parts of which may stand in double quotes, and a YAML value.

    >>> setting("data.classes=[3,8]"), setting('data.support."a.b=c"=positive')
    (('data.classes', [3, 8]), ('data.support."a.b=c"', 'positive'))
    """
    parts = re.fullmatch(r'((?:[^="]|"[^"]*")*)=(.*)', text, flags=re.DOTALL)
    if parts is None or not parts[1].strip():
        raise RecipeError(f"--set {text}: expected key=value, for example fit.epochs=3")
    place, value = parts.groups()
    try:
        content = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {text}: the value is not YAML ({error})") from error
    return place.strip(), _number(content)


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-3 as text: take it as the number it is."""
    if isinstance(value, str):
        try:
            return float(value) if value[:1] in "+-.0123456789" else value
        except ValueError:
            return value
    return value


def _put(content: dict[str, Any], place: str, value: Any) -> None:
    *above, last = next(csv.reader([place], delimiter="."))
    inner = content
    for key in above:
        if inner.get(key) is None:
            inner[key] = {}
        inner = inner[key]
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {place}: {key} has no keys below it")
    inner[last] = value


def explain(error: ValidationError, model: type[BaseModel], content: Any) -> str:
    """One line per mistake: where, what, and for unknown keys the nearest known one."""
    lines = []
    for item in error.errors(include_url=False):
        location = item["loc"]
        owner, place = _owner(model, location, content)
        if item["type"] == "extra_forbidden" and owner is not None:
            hint = nearest(str(location[-1]), list(owner.model_fields))
            lines.append(f"{place}: unknown key; {hint}")
        else:
            lines.append(f"{place}: {item['msg'].removeprefix('Value error, ')} (got {item['input']!r:.80})")
    return "\n".join(lines)


def _owner(model: type[BaseModel], location: tuple[int | str, ...], content: Any) -> tuple[type[BaseModel] | None, str]:
    """The model that holds the last key of a location, and the location without the tags of unions."""
    owner: type[BaseModel] | None = model
    place: list[str] = []
    for index, key in enumerate(location):
        tag = isinstance(key, str) and isinstance(content, dict) and key not in content and key in content.values()
        if tag:
            continue
        place.append(str(key))
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):
            content = None
        if index < len(location) - 1 and owner is not None and isinstance(key, str):
            field = owner.model_fields.get(key)
            following = location[index + 1]
            owner = None if field is None else _model_of(field.annotation, following)
    return owner, ".".join(place)


def _model_of(annotation: Any, tag: int | str) -> type[BaseModel] | None:
    """The model that an annotation holds; of a union the one that carries the tag, else the only one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    arguments = get_args(annotation)
    if get_origin(annotation) not in (Union, types.UnionType, Annotated):
        return None
    models = [found for argument in arguments if (found := _model_of(argument, tag)) is not None]
    for found in models:
        for field in found.model_fields.values():
            if tag in get_args(field.annotation):
                return found
    return models[0] if models else None
