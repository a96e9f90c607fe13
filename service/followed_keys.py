"""The keys in force, followed through changes of their file: keys are added and taken back without a restart."""

from __future__ import annotations

import logging
import stat
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from service.keys import KeyRing
from service.settings import Settings

LOOK_EVERY_S = 1.0
_log = logging.getLogger("condflow.service")


class FollowedKeys:
    """The ring of `settings`, read again when the keys file changes.

    The file is looked at when keys are asked for, at most once in LOOK_EVERY_S: a change is one of its time, its size
    or its inode. What cannot be read as keys, an empty file among it, leaves the keys before it in force. Pipes and
    other special files are read once.

    Args:
        settings: name the file.
        on_change: told of every change: whether its keys are in force.
        clock: seconds, monotonic.

    Raises:
        KeyLineError, OSError: there are no sound keys to begin with.
    """

    def __init__(
        self, settings: Settings, on_change: Callable[[bool], None], clock: Callable[[], float] = monotonic
    ) -> None:
        self._settings, self._on_change, self._clock = settings, on_change, clock
        self._seen = _state(settings.keys_file)
        self._ring = KeyRing.from_settings(settings)
        self._looked = clock()

    @property
    def ring(self) -> KeyRing:
        """The keys in force."""
        if self._settings.keys_file is not None and self._clock() - self._looked >= LOOK_EVERY_S:
            self._looked = self._clock()
            self._look()
        return self._ring

    def _look(self) -> None:
        state = _state(self._settings.keys_file)
        if state == self._seen:
            return
        self._seen = state  # taken before the file is read: what changes meanwhile is seen at the next look
        try:
            self._ring = KeyRing.from_settings(self._settings)
        except (OSError, ValueError) as error:
            _log.error("the keys file changed and is of no use, the keys before it stay in force: %s", error)
            self._on_change(False)
        else:
            _log.info("the keys file changed, %d keys are in force", len(self._ring.keys))
            self._on_change(True)


def _state(path: Path | None) -> tuple[int, int, int] | None:
    """What changes with a regular file; None for anything else."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    if found is None or not stat.S_ISREG(found.st_mode):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
