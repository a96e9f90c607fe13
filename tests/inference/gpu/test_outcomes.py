"""What torch raises, and what it means for a batch."""

from __future__ import annotations

import pytest
import torch

from inference.engine import EngineError, EngineLost, EngineOutOfMemory
from inference.gpu.outcomes import outcome


def accelerator(message: str, code: int | None = None) -> torch.AcceleratorError:
    error = torch.AcceleratorError(message)
    if code is not None:
        error.error_code = code
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), EngineOutOfMemory),
        (MemoryError(), EngineOutOfMemory),
        (accelerator("CUDA error: out of memory", 2), EngineOutOfMemory),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), EngineOutOfMemory),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), EngineOutOfMemory),
        (accelerator("CUDA error: device-side assert triggered", 710), EngineLost),
        (accelerator("CUDA error: an illegal memory access was encountered"), EngineLost),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm"), EngineLost),
        (accelerator("CUDA error: operation not permitted when stream is capturing", 900), EngineError),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), EngineError),
        (ValueError("anything"), EngineError),
    ],
)
def test_kinds(error: Exception, kind: type[EngineError]) -> None:
    found = outcome(error, "decode of 8 rows")
    assert type(found) is kind
    assert str(found).startswith("decode of 8 rows: ")


def test_memory_that_ran_out_inside_a_capture() -> None:
    """The end of the capture fails too, and would hide why."""
    with pytest.raises(RuntimeError) as raised:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        finally:
            raise accelerator("CUDA error: operation failed due to a previous error during capture", 901)
    assert type(outcome(raised.value, "decode")) is EngineOutOfMemory


def test_an_engine_error_stays_as_it_is() -> None:
    error = EngineLost("gone")
    assert outcome(error, "decode") is error
