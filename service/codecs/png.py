"""PNG pictures: the header is checked against the model's shape before decoding; never resized or inverted.

Pillow is imported with the first picture, which the announcement draws where a model has any.
"""

from __future__ import annotations

import base64
import binascii
import io
import struct
import zlib

import numpy as np

from model_store.signature import ArraySpec
from service.problems import Problem, invalid

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOUR, _PALETTE, _GREY_ALPHA, _COLOUR_ALPHA = 0, 2, 3, 4, 6
_CHANNELS = {_GREY: 1, _COLOUR: 3, _PALETTE: 3, _GREY_ALPHA: 1, _COLOUR_ALPHA: 3}
_IN_WORDS = {
    _GREY: "greyscale",
    _COLOUR: "RGB",
    _PALETTE: "palette",
    _GREY_ALPHA: "greyscale with alpha",
    _COLOUR_ALPHA: "RGB with alpha",
}


def decode_png(text: str, spec: ArraySpec, pointer: str) -> np.ndarray:
    """A base64 PNG as integers (C, H, W): grey g becomes round(g (levels - 1) / 255). Raises Problem."""
    channels, height, width = _picture_shape(spec, pointer)
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise invalid(pointer, "expected a picture as the base64 text of a PNG file") from None
    if len(data) < 33 or not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR":
        raise invalid(pointer, "not a PNG file")
    wide, high, depth, colour = struct.unpack(">IIBB", data[16:26])
    if (high, wide) != (height, width):
        raise invalid(pointer, f"expected a PNG of exactly {height} x {width} (height x width), got {high} x {wide}")
    if _CHANNELS.get(colour) != channels:
        wanted = " or ".join(words for kind, words in _IN_WORDS.items() if _CHANNELS[kind] == channels)
        found = _IN_WORDS.get(colour, f"the unknown colour type {colour}")
        raise invalid(pointer, f"expected a PNG of {channels} channel(s) ({wanted}), got {found}")
    if not _is_whole(data):
        raise invalid(pointer, "the PNG is cut off or damaged")
    if depth > 8:
        raise invalid(pointer, f"expected a PNG of at most 8 bits per channel, got {depth}")
    pixels = _pixels(data, (width, height), "L" if channels == 1 else "RGB", pointer)
    grid = pixels.reshape(height, width, channels).transpose(2, 0, 1)
    if spec.levels == 256:
        return np.ascontiguousarray(grid)
    return np.rint(grid * ((spec.levels - 1) / 255.0)).astype(np.uint8)


def _is_whole(data: bytes) -> bool:
    """Whether every chunk is there with its checksum, the header once, and the end."""
    cursor, kind, headers = len(_SIGNATURE), b"", 0
    while kind != b"IEND" and cursor + 12 <= len(data):
        (length,) = struct.unpack_from(">L", data, cursor)
        kind, end = data[cursor + 4 : cursor + 8], cursor + 8 + length
        headers += kind == b"IHDR"
        if end + 4 > len(data) or zlib.crc32(data[cursor + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return False
        cursor = end + 4
    return kind == b"IEND" and headers == 1


def _picture_shape(spec: ArraySpec, pointer: str) -> tuple[int, int, int]:
    if not spec.is_image:
        raise invalid(pointer, f"expected numbers of shape {list(spec.shape)}, got text")
    if not spec.is_integer or spec.shape[0] not in (1, 3):
        raise invalid(
            pointer, "this model's pictures have no PNG form (not 8-bit integers of 1 or 3 channels); send numbers"
        )
    channels, height, width = spec.shape
    return channels, height, width


def _pixels(data: bytes, size: tuple[int, int], mode: str, pointer: str) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.size != size:
                raise invalid(pointer, "the PNG's header contradicts itself")
            image.load()
            if "A" in image.getbands() or "transparency" in image.info:
                alpha = image.convert("RGBA").getchannel("A")
                if alpha.getextrema() != (255, 255):
                    raise invalid(pointer, "the PNG is transparent; only an opaque alpha channel is dropped")
            return np.asarray(image.convert(mode))
    except Problem:
        raise
    except Exception:  # Pillow answers damaged files with many kinds of exception
        raise invalid(pointer, "the PNG is damaged and cannot be decoded") from None


def encode_grid(pictures: np.ndarray, levels: int) -> bytes:
    """A PNG of pictures (rows, columns, C, H, W), one beside the other without a border."""
    from PIL import Image

    rows, columns, channels, height, width = pictures.shape
    grid = pictures.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)
    if levels != 256:
        grid = np.rint(grid * (255.0 / (levels - 1))).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(grid[..., 0] if channels == 1 else grid))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
