"""The protobuf wire format, read strictly and written plainly: tag = field number * 8 + wire type, then the value.

Stricter than protobuf, because ONNX Runtime reads the same bytes again: a known field of another wire type, a second
copy of a field that is to be there once (protobuf would merge or override), groups, overlong varints and lengths past
the end are all refused, so that both readers see one model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_LARGEST_NUMBER = 2**31 - 1  # protobuf would cut larger ones, or make them negative


class GraphFormatError(ValueError):
    """The bytes are not a well-formed ONNX model of the restricted kind."""


def single(content: memoryview, kinds: dict[int, int]) -> dict[int, Any]:
    """The known fields of a message, each at most once."""
    return dict(fields(content, kinds, once=set(kinds)))


def fields(
    content: memoryview, kinds: dict[int, int], once: set[int] | None = None, either: set[int] | None = None
) -> Iterator[tuple[int, Any]]:
    """The known fields of a message in order: integers, or views of their bytes; unknown ones are skipped.

    `either` fields may be varints or (packed) bytes.
    """
    seen: set[int] = set()
    place, end = 0, len(content)
    while place < end:
        tag, place = varint(content, place)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise GraphFormatError("field number 0")
        value: Any
        if wire == VARINT:
            value, place = varint(content, place)
        elif wire in (FIXED64, FIXED32, BYTES):
            length = 8 if wire == FIXED64 else 4
            if wire == BYTES:
                length, place = varint(content, place)
            if length > end - place:
                raise GraphFormatError(f"field {number} runs past the end")
            value = content[place : place + length]
            place += length
        else:
            raise GraphFormatError(f"wire type {wire}")
        if wire == VARINT and value > _LARGEST_NUMBER and (number in kinds or number in (either or ())):
            raise GraphFormatError(f"field {number} is {value}, more than an int32")
        if number in (either or ()) and wire in (VARINT, BYTES):
            yield number, value
        elif number in kinds:
            if wire != kinds[number]:
                raise GraphFormatError(f"field {number} has wire type {wire}, expected {kinds[number]}")
            if number in (once or ()) and number in seen:
                raise GraphFormatError(f"field {number} appears twice")
            seen.add(number)
            yield number, value
        elif number in (either or ()):
            raise GraphFormatError(f"field {number} has wire type {wire}")


def varint(content: memoryview, place: int) -> tuple[int, int]:
    """The number that begins at `place`, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(content):
            raise GraphFormatError("a number runs past the end")
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, place
    raise GraphFormatError("a number is longer than 64 bits")


def packed(content: memoryview) -> Iterator[int]:
    """The numbers of a packed repeated field."""
    place = 0
    while place < len(content):
        value, place = varint(content, place)
        if value > _LARGEST_NUMBER:
            raise GraphFormatError(f"a size is {value}, more than an int32")
        yield value


def text(content: memoryview | bytes) -> str:
    """UTF-8 text."""
    try:
        return bytes(content).decode("utf-8")
    except UnicodeDecodeError as error:
        raise GraphFormatError(f"a name is not UTF-8: {error}") from None


def encoded(number: int, value: int | bytes | memoryview | str) -> bytes:
    """One field: an integer of 0 or more as a varint, text and bytes with their length.

    >>> encoded(1, 300).hex(), encoded(2, "ab").hex()
    ('08ac02', '12026162')
    """
    if isinstance(value, int):
        return _number(number << 3 | VARINT) + _number(value)
    content = value.encode() if isinstance(value, str) else bytes(value)
    return _number(number << 3 | BYTES) + _number(len(content)) + content


def _number(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
