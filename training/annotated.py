"""A recipe as YAML to read: every key with its default, the keys of its data with what they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from training import recipe as recipes
from training.datasets.table import TableData

_WIDTH = 78
_STAND_INS: dict[str, Any] = {"file": "?", "x": ["?"]}


def annotated(content: Mapping[str, Any]) -> str:
    """The YAML of a recipe with all its defaults, with a comment above each key of `data` that has a description.

    What only a person can say (file and x of a table) need not be there: it then stands in a comment of its own, so
    that the YAML is a recipe which `fit` completes. Raises RecipeError for what is not a recipe.
    """
    data = content.get("data")
    absent: dict[str, Any] = {}
    if isinstance(data, Mapping) and data.get("set") == "table":
        absent = {key: value for key, value in _STAND_INS.items() if key not in data}
        content = {**content, "data": {**data, **absent}}
    chosen = recipes.check(content)
    blocks = []
    for key, value in chosen.model_dump(mode="json").items():
        if key == "data" and isinstance(chosen.data, TableData):
            blocks.append("data:\n" + "".join(_described(name, value[name], name in absent) for name in value))
        else:
            blocks.append(_yaml({key: value}))
    return "".join(blocks)


def _described(name: str, value: Any, absent: bool) -> str:
    about = TableData.model_fields[name].description
    if absent:
        return f"  # {name} (required): {about}\n"
    in_one_line = yaml.safe_dump([value], default_flow_style=True, width=10**6, allow_unicode=True).strip()[1:-1]
    return f"  # {about}\n  {name}: {in_one_line}\n"


def _yaml(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(content), sort_keys=False, width=_WIDTH, allow_unicode=True)
