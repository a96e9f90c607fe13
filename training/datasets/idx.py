"""IDX files: a big-endian header, then unsigned bytes, memory-mapped.

Layout: two zero bytes, the type (8: unsigned byte), the number of dimensions, each size as uint32, then the values.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import struct
from math import prod
from pathlib import Path

import numpy as np

from training.errors import DataError

UNSIGNED_BYTE = 8
CHUNK = 1 << 20


def read(path: Path) -> np.ndarray:
    """Map an uncompressed IDX file of unsigned bytes. Raises DataError for a header that does not fit the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4)
        if len(head) < 4 or head[:2] != b"\0\0" or head[2] != UNSIGNED_BYTE or not 1 <= head[3] <= 4:
            raise DataError(f"{path}: not an IDX file of unsigned bytes")
        sizes = file.read(4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise DataError(f"{path}: the IDX header is cut short")
    shape = struct.unpack(f">{head[3]}I", sizes)
    offset = 4 + 4 * head[3]
    if size != offset + prod(shape):
        raise DataError(f"{path}: the IDX header claims {shape}, {offset + prod(shape)} bytes, but the file has {size}")
    return np.memmap(path, dtype=np.uint8, mode="c", offset=offset, shape=shape)


def decompressed(path: Path, cache: Path) -> Path:
    """`path` itself, or for `.gz` its content, unpacked once into `cache` under the name of the compressed digest."""
    if path.suffix != ".gz":
        return path
    target = cache / f"{path.stem}-{sha256(path)[:16]}"
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        with gzip.open(path) as source, partial.open("wb") as sink:
            shutil.copyfileobj(source, sink, CHUNK)
        partial.replace(target)
    except (OSError, EOFError) as error:
        partial.unlink(missing_ok=True)
        raise DataError(f"{path}: damaged gzip file ({error})") from error
    return target


def sha256(path: Path) -> str:
    """Digest of a file's bytes."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()
