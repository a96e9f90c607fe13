"""What a failure of torch means for a batch: memory ran out, the device is gone, or the call was wrong."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from inference.engine import EngineError, EngineLost, EngineOutOfMemory

_NO_MEMORY_CODE = 2  # cudaErrorMemoryAllocation
_CAPTURE_CODES = range(900, 910)  # cudaErrorStreamCapture...: the capture failed, the device did not
_NO_MEMORY = ("out of memory", "alloc_failed", "can't allocate memory", "not enough memory")
_LOST = ("cuda error", "cublas_status", "cudnn_status", "cuda driver error")


def outcome(error: BaseException, where: str) -> EngineError:
    """The engine's error for one of torch's, which is its cause; what is an EngineError already stays it.

    Memory first, also where it ran out inside a capture, whose end then fails for that reason: all errors that led to
    this one are looked at. What else the device says of itself is sticky, nothing in this process will work again; but
    a program that cannot be captured is only that.
    """
    if isinstance(error, EngineError):
        return error
    chain = list(_chain(error))
    kind: type[EngineError] = EngineError
    if any(_no_memory(link) for link in chain):
        kind = EngineOutOfMemory
    elif any(_lost(link) for link in chain):
        kind = EngineLost
    found = kind(f"{where}: {error}")
    found.__cause__ = error
    return found


def _no_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, torch.AcceleratorError) and getattr(error, "error_code", None) == _NO_MEMORY_CODE:
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)


def _lost(error: BaseException) -> bool:
    if not isinstance(error, RuntimeError) or getattr(error, "error_code", None) in _CAPTURE_CODES:
        return False
    message = str(error).lower()
    if "captur" in message:
        return False
    return isinstance(error, torch.AcceleratorError) or any(words in message for words in _LOST)


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
