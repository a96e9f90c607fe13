"""What the store holds at one moment: names, versions, aliases; looked up without touching the disk."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_store.errors import StoreError
from model_store.store import CHAMPION, Store
from service.problems import Problem

_log = logging.getLogger("condflow.service")


@dataclass(frozen=True)
class Model:
    """One model: its versions in ascending order, and where its aliases point."""

    name: str
    versions: tuple[int, ...]
    aliases: Mapping[str, int]

    @property
    def default(self) -> int:
        """The alias `champion`, else the highest version."""
        return self.aliases.get(CHAMPION, self.versions[-1])

    @property
    def named(self) -> dict[str | None, int]:
        """Every reference that can move: the default under None, and the aliases."""
        named: dict[str | None, int] = {None: self.default}
        named.update(self.aliases)
        return named


class StoreUnreadable(RuntimeError):
    """The store cannot be looked at; what is known of it stays in force."""


def look(store: Store, root: Path, before: Mapping[str, Model]) -> dict[str, Model]:
    """Read the store. A model that cannot be read stays as it was `before`.

    Raises StoreUnreadable where the store vanished, which is not the same as being empty.
    """
    if before and not root.is_dir():
        raise StoreUnreadable(f"{root} is gone")
    try:
        names = store.models()
    except (StoreError, OSError) as error:
        raise StoreUnreadable(f"{type(error).__name__}: {error}") from error
    models = {}
    for name in names:
        try:
            model = _model(store, name)
        except (StoreError, OSError) as error:
            _log.warning("model %s cannot be read: %s", name, error)
            model = before.get(name)
        if model is not None:
            models[name] = model
    return models


def _model(store: Store, name: str) -> Model | None:
    versions = tuple(store.versions(name))
    if not versions:
        return None
    return Model(name, versions, {alias: v for alias, v in store.aliases(name).items() if v in versions})


def unknown_model(name: str) -> Problem:
    """404, without a list of what there is: `GET /models` has it."""
    return Problem(404, "unknown-model", f"no model {name[:64]!r}; GET /models lists them", pointer="/model")


def unknown_version(name: str, reference: int | str) -> Problem:
    """404: the model is there, this version is not."""
    detail = f"model {name!r} has no version {str(reference)[:64]!r}; GET /models/{name} lists them"
    return Problem(404, "unknown-version", detail, pointer="/version")
