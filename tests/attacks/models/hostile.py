"""A good version, and what it takes to make hostile ones of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import onnx
import pytest

from inference import load_version
from tests.inference import handmade
from tests.inference.graphs import Files, manifest
from tests.inference.handmade import Version

MADE = handmade.labels()
GOOD = MADE.files()


def refused(
    error: type[Exception], files: Files, message: str | None = None, version: Version = MADE, **fields: object
) -> None:
    """The version of these files, with digests that fit them, raises exactly `error`."""
    with pytest.raises(error, match=message) as raised:
        load_version(manifest(version.signature, files, **fields), files)
    assert type(raised.value) is error


def with_graph(change: Callable[[onnx.ModelProto], None], operation: str = "decode") -> Files:
    """The good version with one of its graphs changed."""
    model = onnx.load_from_string(GOOD[f"{operation}.onnx"])
    change(model)
    return {**GOOD, f"{operation}.onnx": model.SerializeToString()}


def with_header(content: bytes, change: Callable[[dict], object]) -> bytes:
    """A safetensors file with its header changed, the data as they were."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    change(header)
    encoded = json.dumps(header).encode()
    encoded = encoded.ljust(size) if len(encoded) <= size else encoded
    return len(encoded).to_bytes(8, "little") + encoded + content[8 + size :]
