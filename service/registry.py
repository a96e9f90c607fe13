"""Loaded versions: found in the store, loaded beside the running ones, swapped, and drained by reference count.

Once a second the store is looked at. A version that an alias newly points to is loaded (which verifies and probes it)
while the old one answers; then the alias moves; the old version is closed when its last request is over. A version that
fails to load changes nothing but a metric.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, perf_counter

from inference.loaded import Loaded
from model_store.errors import StoreError
from model_store.manifest import Manifest
from model_store.names import parse_reference
from model_store.store import Store
from service.catalogue import Model, StoreUnreadable, look, unknown_model, unknown_version
from service.metrics import Metrics
from service.problems import Problem, unavailable

_log = logging.getLogger("condflow.service")
_RETRY_FIRST, _RETRY_MOST = 5.0, 300.0

Key = tuple[str, int]
Load = Callable[[Manifest], Loaded]


@dataclass
class Entry:
    """A loaded version and how many requests use it."""

    loaded: Loaded
    users: int = 0
    retired: bool = False
    last_used: float = field(default_factory=monotonic)


@dataclass(frozen=True)
class Failure:
    """Why a version does not load, and when it is tried again."""

    detail: str
    again: float
    pause: float


class Lease:
    """A version held for one request; it is not closed before `release`, which may be called twice."""

    def __init__(self, registry: Registry, entry: Entry) -> None:
        self._registry, self._entry = registry, entry
        self.loaded = entry.loaded
        self._open = True
        entry.users += 1
        entry.last_used = monotonic()

    def release(self) -> None:
        """Give it back."""
        if self._open:
            self._open = False
            self._entry.users -= 1
            if self._entry.retired:
                self._registry.settle(self._entry)


class Registry:
    """All versions this process has loaded. Used from one event loop.

    Args:
        store: where versions come from.
        root: the store's directory.
        load: verifies and builds one version; runs in a thread.
        metrics: told of loads and unloads.
        spare: versions kept loaded that no alias names.
        wait_s: how long a request waits for its version.
    """

    def __init__(self, store: Store, root: Path, load: Load, metrics: Metrics, spare: int, wait_s: float) -> None:
        self.store = store
        self._root = root
        self.models: dict[str, Model] = {}
        self.looks = 0
        self.settled = False
        self.store_readable = True
        self._load, self._metrics, self._spare, self._wait_s = load, metrics, spare, wait_s
        self._entries: dict[Key, Entry] = {}
        self._served: dict[str, dict[str | None, int]] = {}
        self._loading: dict[Key, asyncio.Task[Entry | None]] = {}
        self._failures: dict[Key, Failure] = {}
        self._turn = asyncio.Lock()
        self._one_load = asyncio.Semaphore(1)
        self._mean_load_s = 1.0

    @property
    def ready(self) -> bool:
        """Whether every default version was tried, and something answers unless the store is empty."""
        return self.settled and (bool(self._entries) or not self.models)

    @property
    def pending(self) -> bool:
        """Whether a version is being loaded now."""
        return bool(self._loading)

    @property
    def serving(self) -> dict[str, list[int]]:
        """Versions loaded, by model."""
        found: dict[str, list[int]] = {}
        for name, version in sorted(self._entries):
            found.setdefault(name, []).append(version)
        return found

    def manifests(self) -> list[Manifest]:
        """Of every version loaded."""
        return [entry.loaded.manifest for _, entry in sorted(self._entries.items(), key=lambda item: item[0])]

    def served(self, name: str) -> int | None:
        """The default version that answers now; None where none does yet."""
        return self._served.get(name, {}).get(None)

    def champions(self) -> list[Loaded]:
        """The default versions that answer now."""
        keys = [(name, served[None]) for name, served in self._served.items() if None in served]
        return [self._entries[key].loaded for key in keys if key in self._entries]

    async def number(self, name: str, reference: int | str | None) -> int:
        """The version number that `reference` names now. Raises Problem (404, or 503 before the first look)."""
        model = self.models.get(name)
        if model is None:
            raise unknown_model(name) if self.looks else self._still_loading(name)
        return await self._number(model, reference)

    def failures(self) -> dict[Key, str]:
        """Versions that do not load, and why."""
        return {key: failure.detail for key, failure in self._failures.items()}

    async def refresh(self, *, retry: bool = False) -> None:
        """Look at the store once and follow it. `retry`: also try at once what failed before."""
        async with self._turn:
            try:
                self.models = await asyncio.to_thread(look, self.store, self._root, self.models)
            except StoreUnreadable as error:
                self.looks += 1
                self.store_readable = False
                _log.warning("the store cannot be read, serving what is loaded: %s", error)
                return
            self.looks += 1
            self.store_readable = True
            if retry:
                self._failures.clear()
            for defaults in (True, False):  # defaults first: they make the service ready
                await asyncio.gather(
                    *(
                        self._follow(model, reference, version)
                        for model in self.models.values()
                        for reference, version in model.named.items()
                        if (reference is None) == defaults
                    )
                )
                self.settled = True
            self._forget()

    async def _follow(self, model: Model, reference: str | None, version: int) -> None:
        """Move one reference to its version, once that is loaded."""
        served = self._served.setdefault(model.name, {})
        failure = self._failures.get((model.name, version))
        if served.get(reference) == version and (model.name, version) in self._entries:
            return
        if failure is not None and monotonic() < failure.again:
            return
        if await self._entry((model.name, version)) is not None:
            served[reference] = version

    def _forget(self) -> None:
        """Retire what is deleted, what no reference names any more, and failures of versions that are gone."""
        present = {(model.name, version) for model in self.models.values() for version in model.versions}
        for name in list(self._served):
            known = self.models[name].named if name in self.models else {}
            served = self._served[name]
            for reference in list(served):
                if reference not in known or (name, served[reference]) not in present:
                    del served[reference]
            if not served:
                del self._served[name]
        named = {(name, version) for name, served in self._served.items() for version in served.values()}
        others = [key for key in self._entries if key in present and key not in named]
        others.sort(key=lambda key: self._entries[key].last_used, reverse=True)
        keep = named | set(others[: self._spare])
        for key in [key for key in self._entries if key not in keep]:
            entry = self._entries.pop(key)
            entry.retired = True
            self.settle(entry)
        for key in [key for key in self._failures if key not in present]:
            del self._failures[key]
            if key not in self._entries:
                self._metrics.unload(key[0], str(key[1]))

    def settle(self, entry: Entry) -> None:
        """Close a retired version that nobody uses."""
        if entry.retired and entry.users == 0:
            loaded = entry.loaded
            if (loaded.name, loaded.version) not in self._entries:
                self._metrics.unload(loaded.name, str(loaded.version))
            loaded.close()

    async def lease(self, name: str, reference: int | str | None) -> Lease:
        """Hold the version that `reference` names now. Raises Problem: 404, or 503 while it loads."""
        number = self.served(name) if reference is None and name in self.models else None
        key = (name, await self.number(name, reference) if number is None else number)
        entry = self._entries.get(key)
        if entry is None:
            failure = self._failures.get(key)
            if failure is not None and monotonic() < failure.again:
                raise self._unloadable(key, failure)
            try:
                async with asyncio.timeout(self._wait_s):
                    entry = await asyncio.shield(asyncio.ensure_future(self._entry(key)))
            except TimeoutError:
                raise self._still_loading(name) from None
            if entry is None:
                raise self._unloadable(key, self._failures[key])
        return Lease(self, entry)

    async def _number(self, model: Model, reference: int | str | None) -> int:
        """The version number; aliases as served, which may be behind the store while a version loads."""
        served = self._served.get(model.name, {})
        if reference is None:
            return served.get(None, model.default)
        try:
            kind = parse_reference(reference).kind
        except StoreError:
            raise unknown_version(model.name, reference) from None
        if kind == "alias":
            if reference not in model.aliases:
                raise unknown_version(model.name, reference)
            return served.get(str(reference), model.aliases[str(reference)])
        number = int(reference) if kind == "number" else (await self.manifest(model.name, reference)).version
        if number not in model.versions:
            raise unknown_version(model.name, reference)
        return number

    async def manifest(self, name: str, reference: int | str | None) -> Manifest:
        """The manifest of any version of the store, loaded or not. Raises Problem (404)."""
        if name not in self.models:
            raise unknown_model(name) if self.looks else self._still_loading(name)
        loaded = self._loaded(name, reference)
        if loaded is not None:
            return loaded.manifest
        try:
            return await asyncio.to_thread(self.store.resolve, name, reference)
        except StoreError:
            raise unknown_version(name, "" if reference is None else reference) from None

    def _loaded(self, name: str, reference: int | str | None) -> Loaded | None:
        """The version that its number or whole digest names, if it is loaded: no disk is needed to tell."""
        of_model = (entry.loaded for (model, _), entry in self._entries.items() if model == name)
        return next(
            (found for found in of_model if reference in (found.version, str(found.version), found.digest)), None
        )

    async def _entry(self, key: Key) -> Entry | None:
        """The entry of a version, loaded if need be; requests and the poll share one attempt."""
        if key in self._entries:
            return self._entries[key]
        if key not in self._loading:
            self._loading[key] = asyncio.create_task(self._attempt(key), name=f"condflow-load-{key[0]}-{key[1]}")
        return await asyncio.shield(self._loading[key])

    async def _attempt(self, key: Key) -> Entry | None:
        name, version = key
        try:
            async with self._one_load:
                started = perf_counter()
                try:
                    manifest = await asyncio.to_thread(self.store.resolve, name, version)
                    loaded = await asyncio.to_thread(self._load, manifest)
                except Exception as error:
                    self._failed(key, error, perf_counter() - started)
                    return None
            seconds = perf_counter() - started
            self._mean_load_s = 0.5 * (self._mean_load_s + seconds)
            self._metrics.load(name, str(version), seconds, succeeded=True)
            self._failures.pop(key, None)
            entry = self._entries[key] = Entry(loaded)
            _log.info("loaded %s version %d (%s) in %.0f ms", name, version, loaded.digest[:12], 1000 * seconds)
            return entry
        finally:
            del self._loading[key]

    def _failed(self, key: Key, error: Exception, seconds: float) -> None:
        before = self._failures.get(key)
        pause = _RETRY_FIRST if before is None else min(2 * before.pause, _RETRY_MOST)
        self._failures[key] = Failure(f"{type(error).__name__}: {error}", monotonic() + pause, pause)
        self._metrics.load(key[0], str(key[1]), seconds, succeeded=False)
        _log.error("%s version %d does not load, what is served stays: %s", *key, self._failures[key].detail)

    def _still_loading(self, name: str) -> Problem:
        waiting = len(self._loading) or 1
        return unavailable("loading", f"model {name[:64]!r} is still loading", waiting * self._mean_load_s)

    def _unloadable(self, key: Key, failure: Failure) -> Problem:
        detail = f"model {key[0]!r} version {key[1]} does not load; the service's log says why"
        return unavailable("unloadable", detail, failure.again - monotonic())

    async def close(self) -> None:
        """Close every version."""
        for task in list(self._loading.values()):
            task.cancel()
        for entry in self._entries.values():
            entry.retired = True
            entry.loaded.close()
        self._entries.clear()
