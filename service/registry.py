"""The versions that answer: found in the store, loaded beside the running ones, swapped, and drained by use count.

Once a second the store is looked at. A version that an alias newly points to is loaded (which verifies and probes it)
while the old one answers; then the alias moves; the old version is closed when its last request is over. A version that
fails to load changes nothing but a metric. Where the device's memory has a budget, the versions used least recently are
off the device, and come back for their next request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic

from model_store.errors import StoreError
from model_store.manifest import Manifest
from model_store.names import parse_reference
from model_store.store import Store
from service.catalogue import Model, StoreUnreadable, look, unknown_model, unknown_version
from service.entries import Entry, Key, Lease, Load
from service.loads import Loads
from service.metrics import Metrics
from service.residents import Residents

_log = logging.getLogger("condflow.service")
_WAIT_SHARE = 0.9  # of the time that a request has, for its version to come back: what is left suffices to say so


class Registry:
    """All versions this process has loaded. Used from one event loop.

    Args:
        store: where versions come from.
        root: the store's directory.
        load: verifies and builds one version; runs in a thread.
        metrics: told of loads and unloads.
        spare: versions kept loaded that no alias names.
        wait_s: how long a request waits for a version that was never loaded.
        budget: bytes of the device's memory for all versions; None for any number.
        lose: told that the device is gone for good.
        on_device: whether a version is computed on the device, whose memory it then takes.
    """

    def __init__(
        self,
        store: Store,
        root: Path,
        load: Load,
        metrics: Metrics,
        spare: int,
        wait_s: float,
        budget: int | None = None,
        lose: Callable[[], None] = lambda: None,
        on_device: Callable[[Manifest], bool] = lambda manifest: True,
    ) -> None:
        self.store = store
        self._root = root
        self.models: dict[str, Model] = {}
        self.looks = 0
        self.settled = False
        self.store_readable = True
        self._metrics, self._spare, self._wait_s = metrics, spare, wait_s
        self._entries: dict[Key, Entry] = {}
        self._served: dict[str, dict[str | None, int]] = {}
        self._residents = Residents(budget, metrics, self._closed)
        self._loads = Loads(store, load, metrics, self._entries, self._residents, lose, on_device)
        self._turn = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """Whether every default version was tried, and something answers unless the store is empty."""
        return self.settled and (bool(self._entries) or not self.models)

    @property
    def pending(self) -> bool:
        """Whether a version is being loaded now."""
        return self._loads.pending

    @property
    def resident_bytes(self) -> int:
        """What the versions on the device take."""
        return self._residents.bytes

    @property
    def serving(self) -> dict[str, list[int]]:
        """Versions loaded, by model: verified, and on the device or back on it for their next request."""
        return _by_model(self._entries)

    @property
    def resident(self) -> dict[str, list[int]]:
        """Those of them that are on the device, by model."""
        return _by_model(key for key, entry in self._entries.items() if entry.loaded is not None)

    def manifests(self) -> list[Manifest]:
        """Of every version loaded."""
        return [entry.manifest for _, entry in sorted(self._entries.items(), key=lambda item: item[0])]

    def served(self, name: str) -> int | None:
        """The default version that answers now; None where none does yet."""
        return self._served.get(name, {}).get(None)

    def hold_champions(self) -> list[Lease]:
        """The default versions that are on the device now, held."""
        keys = [(name, served[None]) for name, served in self._served.items() if None in served]
        entries = [self._entries[key] for key in keys if key in self._entries]
        return [Lease(entry, self._residents.settle) for entry in entries if entry.open]

    async def number(self, name: str, reference: int | str | None) -> int:
        """The version number that `reference` names now. Raises Problem (404, or 503 before the first look)."""
        model = self.models.get(name)
        if model is None:
            raise unknown_model(name) if self.looks else self._loads.still_loading(name)
        return await self._number(model, reference)

    def failures(self) -> dict[Key, str]:
        """Versions that do not load, and why."""
        return {key: failure.detail for key, failure in self._loads.failures.items()}

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
                self._loads.failures.clear()
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
        key = (model.name, version)
        if served.get(reference) == version and key in self._entries:
            return
        if key in self._entries or (self._loads.failure(key) is None and await self._loads.entry(key) is not None):
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
            self._residents.settle(entry)
        for key in [key for key in self._loads.failures if key not in present]:
            del self._loads.failures[key]
            if key not in self._entries:
                self._metrics.unload(key[0], str(key[1]))

    def _closed(self, entry: Entry) -> None:
        """A retired version is gone."""
        if entry.key not in self._entries:
            self._metrics.unload(entry.key[0], str(entry.key[1]))

    async def lease(self, name: str, reference: int | str | None, deadline: float) -> Lease:
        """Hold the version that `reference` names now. Raises Problem: 404, or 503 while it does not come."""
        number = self.served(name) if reference is None and name in self.models else None
        key = (name, await self.number(name, reference) if number is None else number)
        entry = self._entries.get(key)
        if entry is None or not entry.open:
            wait_s = self._wait_s if entry is None else _WAIT_SHARE * (deadline - monotonic())
            entry = await self._wait(key, wait_s)
        return Lease(entry, self._residents.settle)

    async def _wait(self, key: Key, wait_s: float) -> Entry:
        """The version, on the device. Raises Problem."""
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    failure = self._loads.failure(key)
                    if failure is not None:
                        raise self._loads.unloadable(key, failure)
                    entry = await self._loads.entry(key)
                    if entry is not None and entry.open:
                        return entry
        except TimeoutError:
            raise self._loads.still_loading(key[0]) from None

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
            raise unknown_model(name) if self.looks else self._loads.still_loading(name)
        known = self._known(name, reference)
        if known is not None:
            return known
        try:
            return await asyncio.to_thread(self.store.resolve, name, reference)
        except StoreError:
            raise unknown_version(name, "" if reference is None else reference) from None

    def _known(self, name: str, reference: int | str | None) -> Manifest | None:
        """The version that its number or whole digest names, if it was loaded: no disk is needed to tell."""
        of_model = (entry for (model, _), entry in self._entries.items() if model == name)
        named = (entry for entry in of_model if reference in (entry.key[1], str(entry.key[1]), entry.digest))
        return next((entry.manifest for entry in named), None)

    async def close(self) -> None:
        """Close every version; returns when all are closed."""
        await self._loads.close()
        self._entries.clear()
        await self._residents.close()


def _by_model(keys: Iterable[Key]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for name, version in sorted(keys):
        found.setdefault(name, []).append(version)
    return found
