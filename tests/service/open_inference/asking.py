"""Asking by the real `tritonclient`, and reading all of an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import np_to_triton_dtype

from tests.service.harness import Running

PATIENCE_S = 60.0


@contextmanager
def client(service: Running) -> Iterator[triton.InferenceServerClient]:
    """A client of `service`; its connection is closed in the end."""
    found = triton.InferenceServerClient(
        f"127.0.0.1:{service.port}", connection_timeout=PATIENCE_S, network_timeout=PATIENCE_S
    )
    try:
        yield found
    finally:
        found.close()


@dataclass(frozen=True)
class Answer:
    """Output tensors by name, and the whole JSON object."""

    tensors: dict[str, np.ndarray]
    head: dict[str, Any]


def tensor(name: str, array: np.ndarray, *, binary: bool) -> triton.InferInput:
    """An input; text travels as BYTES."""
    if array.dtype.kind == "U":
        array = np.array([text.encode() for text in array], dtype=np.object_)
    made = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def ask(
    service: Running,
    model: str,
    inputs: Mapping[str, np.ndarray],
    parameters: Mapping[str, Any] | None = None,
    *,
    binary: bool,
    outputs: Sequence[str] | None = None,
    **options: Any,
) -> Answer:
    """The answer of one inference; `binary` is how tensors travel both ways."""
    given = [tensor(name, array, binary=binary) for name, array in inputs.items()]
    wanted = None if outputs is None else [triton.InferRequestedOutput(name, binary_data=binary) for name in outputs]
    with client(service) as asking:
        result = asking.infer(model, given, outputs=wanted, parameters=dict(parameters or {}) or None, **options)
    head = result.get_response()
    return Answer({output["name"]: result.as_numpy(output["name"]) for output in head["outputs"]}, head)
