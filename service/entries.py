"""What is known of a version that has been loaded, and who holds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from inference.loaded import Loaded
from model_store.manifest import Manifest

Key = tuple[str, int]
Load = Callable[[Manifest], Loaded]


@dataclass(eq=False)
class Entry:
    """A version that was verified and has answered its probe.

    Attributes:
        loaded: None while it is off the device.
        digest: of the manifest.
        on_device: whether it is computed on the service's device: what was brought as graphs is not on a card.
        load_bytes: what its last load took of the device's memory, and its next one is expected to.
        load_s: seconds that its last load took.
        users: requests that hold it.
        retired: nobody asks for it any more; it is closed after its last user.
        leaving: it makes room for another one after its last user, or is being closed; new requests wait.
        since: when it came, or was last let stay.
    """

    manifest: Manifest
    digest: str
    loaded: Loaded | None
    on_device: bool
    load_bytes: int = 0
    load_s: float = 0.0
    users: int = 0
    retired: bool = False
    leaving: bool = False
    last_used: float = field(default_factory=monotonic)
    since: float = field(default_factory=monotonic)

    @property
    def key(self) -> Key:
        """Name and number."""
        return self.manifest.name, self.manifest.version

    @property
    def bytes(self) -> int:
        """What it takes of the device's memory now: programs made since its load count, until they are given up."""
        return self.loaded.engine.bytes if self.loaded is not None and self.on_device else 0

    @property
    def open(self) -> bool:
        """Whether a request may use it now."""
        return self.loaded is not None and not self.leaving and not self.retired


class Lease:
    """A version held for one request; it is not closed before `release`, which may be called twice.

    `settle` is told when the last one is over.
    """

    def __init__(self, entry: Entry, settle: Callable[[Entry], None]) -> None:
        assert entry.loaded is not None
        self.loaded = entry.loaded
        self._entry, self._settle = entry, settle
        self._held = True
        entry.users += 1
        entry.last_used = monotonic()

    def release(self) -> None:
        """Give it back."""
        if self._held:
            self._held = False
            self._entry.users -= 1
            self._entry.last_used = monotonic()
            if not self._entry.users:
                self._settle(self._entry)
