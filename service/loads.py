"""Loading versions, one at a time: who wants the same one shares the attempt, and what failed is left alone a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, perf_counter

from inference.engine import EngineLost, EngineOutOfMemory
from inference.loaded import Loaded
from model_store.manifest import Manifest
from model_store.store import Store
from service.entries import Entry, Key, Load
from service.metrics import Metrics
from service.problems import Problem, unavailable
from service.residents import NeverFits, NoRoom, Residents
from service.tracebacks import forget_frames

_log = logging.getLogger("condflow.service")
_RETRY_FIRST, _RETRY_MOST = 5.0, 300.0
_WEIGHTS = "weights.safetensors"
ROOM_S = 5.0


@dataclass(frozen=True)
class Failure:
    """Why a version does not load, when it is tried again, and whether clients may be told why."""

    detail: str
    again: float
    pause: float
    public: bool = False


class Loads:
    """Brings versions onto the device, into `entries`.

    Args:
        store: where versions come from.
        load: verifies and builds one version; runs in a thread.
        metrics: told of loads.
        entries: the versions that were loaded, by name and number.
        residents: makes room for them.
        lose: told that the device is gone for good.
        on_device: whether a version is computed on the device, whose memory it then takes.
    """

    def __init__(
        self,
        store: Store,
        load: Load,
        metrics: Metrics,
        entries: dict[Key, Entry],
        residents: Residents,
        lose: Callable[[], None],
        on_device: Callable[[Manifest], bool],
    ) -> None:
        self.load = load
        self.failures: dict[Key, Failure] = {}
        self._store, self._metrics, self._entries, self._residents = store, metrics, entries, residents
        self._lose, self._on_device = lose, on_device
        self._tasks: dict[Key, asyncio.Task[Entry | None]] = {}
        self._one_load = asyncio.Semaphore(1)
        self._mean_s = 1.0

    @property
    def pending(self) -> bool:
        """Whether a version is being loaded now."""
        return bool(self._tasks)

    def failure(self, key: Key) -> Failure | None:
        """Why it is not to be tried now."""
        failure = self.failures.get(key)
        return failure if failure is not None and monotonic() < failure.again else None

    async def entry(self, key: Key) -> Entry | None:
        """The entry of a version, loaded if need be; None where it failed, or there was no room for it by now."""
        entry = self._entries.get(key)
        if entry is not None and entry.open:
            return entry
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._attempt(key), name=f"condflow-load-{key[0]}-{key[1]}")
        return await asyncio.shield(self._tasks[key])

    async def _attempt(self, key: Key) -> Entry | None:
        name, version = key
        try:
            async with self._one_load:
                entry = self._entries.get(key)
                if entry is not None:
                    await self._residents.gone(entry)
                    if entry.open:  # it was asked to leave, and has been let stay
                        return entry
                started = perf_counter()
                try:
                    manifest = entry.manifest if entry else await asyncio.to_thread(self._store.resolve, name, version)
                    loaded, needed, seconds = await self._bring(manifest, entry)
                except NoRoom:
                    return None
                except Exception as error:
                    self._failed(key, error, perf_counter() - started)
                    return None
                self._mean_s = 0.5 * (self._mean_s + seconds)
                self._metrics.load(name, str(version), seconds, succeeded=True)
                self.failures.pop(key, None)
                _log.info("loaded %s version %d (%s) in %.0f ms", name, version, loaded.digest[:12], 1000 * seconds)
                return self._keep(key, loaded, needed, seconds)
        finally:
            del self._tasks[key]

    async def _bring(self, manifest: Manifest, entry: Entry | None) -> tuple[Loaded, int, float]:
        """The version, the bytes and the seconds it took. Raises NoRoom, NeverFits and what loading raises."""
        expected = self._expected(manifest) if entry is None else entry.load_bytes
        await self._residents.make_room(expected, ROOM_S)
        while True:
            started = perf_counter()
            try:
                loaded = await asyncio.to_thread(self.load, manifest)
                break
            except EngineOutOfMemory as error:
                forget_frames(error)  # of what was built until then
                if not await self._residents.relieve():
                    raise
        seconds = perf_counter() - started
        needed = loaded.engine.bytes if self._on_device(manifest) else 0
        try:
            if needed > expected:
                await self._residents.make_room(needed, ROOM_S)
        except BaseException:
            await asyncio.to_thread(loaded.close)
            raise
        return loaded, needed, seconds

    def _expected(self, manifest: Manifest) -> int:
        """Bytes that a first load takes of the device's memory, at the least."""
        weights = manifest.file(_WEIGHTS)
        return weights.size if weights is not None and self._on_device(manifest) else 0

    def _keep(self, key: Key, loaded: Loaded, needed: int, seconds: float) -> Entry:
        entry = self._entries.get(key)
        if entry is None or entry.loaded is not None:
            entry = self._entries[key] = Entry(loaded.manifest, loaded.digest, loaded, self._on_device(loaded.manifest))
        entry.loaded, entry.load_bytes, entry.load_s = loaded, needed, seconds
        entry.since = entry.last_used = monotonic()
        self._residents.add(entry)
        return entry

    def _failed(self, key: Key, error: Exception, seconds: float) -> None:
        forget_frames(error)
        before = self.failures.get(key)
        pause = _RETRY_FIRST if before is None else min(2 * before.pause, _RETRY_MOST)
        public = isinstance(error, NeverFits)
        detail = str(error) if public else f"{type(error).__name__}: {error}"
        self.failures[key] = Failure(detail, monotonic() + pause, pause, public)
        self._metrics.load(key[0], str(key[1]), seconds, succeeded=False)
        _log.error("%s version %d does not load, what is served stays: %s", *key, detail)
        if isinstance(error, EngineLost):
            self._lose()

    def still_loading(self, name: str) -> Problem:
        """503: come back when it, and what is in front of it, may have been loaded."""
        waiting = len(self._tasks) or 1
        return unavailable("loading", f"model {name[:64]!r} is still loading", waiting * self._mean_s)

    def unloadable(self, key: Key, failure: Failure) -> Problem:
        """503: come back when it is tried again."""
        why = failure.detail if failure.public else "the service's log says why"
        detail = f"model {key[0]!r} version {key[1]} does not load; {why}"
        return unavailable("unloadable", detail, failure.again - monotonic())

    async def close(self) -> None:
        """Give up what is being loaded."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
