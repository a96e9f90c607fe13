"""What a failure holds: its traceback keeps the frames that it went through, and they what they worked on."""

from __future__ import annotations

from traceback import clear_frames


def forget_frames(error: BaseException | None) -> None:
    """Let go of what the frames of a failure, and of those that led to it, hold: the device may need that memory.

    An error that a frame names in a variable of its own would keep it until the collector finds the two.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
