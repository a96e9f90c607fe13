"""Inference requests made to break a reader: JSON and framing that lie about tensors, each with its refusal."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any

HEAD = "Inference-Header-Content-Length"
RAW = struct.pack("<4f", 0.0, 1.0, 2.0, -1.5)
X = {"name": "x", "datatype": "FP32", "shape": [2, 2]}
DATA = {**X, "data": [0, 1, 2, -1.5]}
LABELS = {"name": "condition", "datatype": "BYTES", "shape": [2]}
CLASSIFIED = {"name": "log_likelihood", "parameters": {"classification": 2}}
SIZED = {**X, "parameters": {"binary_data_size": 16}}


@dataclass(frozen=True)
class Attack:
    """Sent to `labels.loglik`; the refusal has one of `statuses` and mentions `word`."""

    name: str
    body: bytes
    statuses: tuple[int, ...]
    word: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def sized(size: Any) -> list[dict[str, Any]]:
    return [{**X, "parameters": {"binary_data_size": size}}]


def in_json(name: str, word: str = "", *statuses: int, **fields: Any) -> Attack:
    """A request that is JSON alone."""
    return Attack(name, json.dumps({"inputs": [DATA], **fields}).encode(), statuses or (422,), word)


def in_input(name: str, word: str = "", *statuses: int, **fields: Any) -> Attack:
    """The same whose only input has other fields."""
    return in_json(name, word, *statuses, inputs=[{**DATA, **fields}])


def in_binary(name: str, word: str, *statuses: int, raw: bytes = RAW, head: str | None = None, **fields: Any) -> Attack:
    """A request with raw tensors; `head` is what its header says where that is a lie."""
    text = json.dumps({"inputs": [SIZED], **fields}).encode()
    return Attack(name, text + raw, statuses or (400,), word, {HEAD: str(len(text)) if head is None else head})


def strings(*texts: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def named(size: int, shape: tuple[int, ...] = (2,)) -> list[dict[str, Any]]:
    return [SIZED, {**LABELS, "shape": shape, "parameters": {"binary_data_size": size}}]


def _json_attacks() -> list[Attack]:
    deep = b'{"inputs": ' + b"[" * 500_000 + b"]" * 500_000 + b"}"
    twice = b'{"inputs": [{"name": "x", "name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0, 0]}]}'
    return [
        Attack("no JSON", b"hello", (400,)),
        Attack("empty", b"", (400,)),
        Attack("a list", b"[]", (400,)),
        Attack("nested deeply", deep, (400,)),
        Attack("a name twice", twice, (400,), "twice"),
        Attack("NaN literal", json.dumps({"inputs": [{**DATA, "data": [float("nan"), 0, 0, 0]}]}).encode(), (400,)),
        Attack("lone surrogate", b'{"id": "\\ud800", "inputs": []}', (400, 422)),
        in_json("no inputs", "x", inputs=[]),
        in_json("inputs of another type", "inputs", inputs={"x": 1}),
        in_json("an input that is no object", "inputs", inputs=[1]),
        in_json("an input twice", "twice", 400, inputs=[DATA, DATA]),
        in_json("too many inputs", "inputs", inputs=[{**DATA, "name": f"x{place}"} for place in range(40)]),
        in_json("unknown input", "y", inputs=[DATA, {**DATA, "name": "y"}]),
        in_json("unknown output", "nope", outputs=[{"name": "nope"}]),
        in_json("an output twice", "twice", 400, outputs=[{"name": "log_likelihood"}] * 2),
        in_json("output without a name", "name", outputs=[{}]),
        in_json(
            "classification asked for", "classification", outputs=[{"name": "x", "parameters": {"classification": 2}}]
        ),
        in_json("unknown field", "extra", extra=1),
        in_json("id of another type", "id", id=7),
        in_json("id too long", "id", id="x" * 10_000),
        in_json("parameters of another type", "parameters", parameters=[1]),
        in_json("unknown parameter", "nope", parameters={"nope": 1}),
        in_json("parameter that is a list", "seed", parameters={"seed": [1]}),
        in_json("a field as parameter", "x", parameters={"x": 1}),
        in_json("the model as parameter", "model", parameters={"model": "plain"}),
        in_json("a seed that is a number with a point", "seed", parameters={"seed": 1.5}),
        in_json("a seed that is too large", "seed", parameters={"seed": 2**60}),
        in_json("too many draws", "draws", 413, parameters={"draws": 10**6}),
        in_json("binary_data_output that is no flag", "binary_data_output", parameters={"binary_data_output": 1}),
        in_input("unknown datatype", "datatype", datatype="FP8"),
        in_input("another datatype", "FP32", datatype="INT64", data=[0, 1, 2, 3]),
        in_input("half precision", "FP32", datatype="FP64"),
        in_input("wrong width", "shape", shape=[1, 4]),
        in_input("wrong rank", "shape", shape=[4]),
        in_input("one row without its axis", "shape", shape=[2], data=[0, 1]),
        in_input("shape that data does not have", "elements", shape=[3, 2]),
        in_input("shape of terabytes", "elements", shape=[2**31, 2**31]),
        in_input("negative size", "shape", shape=[-1, 2]),
        in_input("size of nothing", "shape", shape=[0, 2], data=[]),
        in_input("size beyond 64 bits", "shape", shape=[2**70, 2]),
        in_input("shape with a point", "shape", shape=[2.0, 2]),
        in_input("shape of a hundred axes", "shape", shape=[1] * 100),
        in_input("shape of flags", "shape", shape=[True, 2], data=[1, 2]),
        in_input("data of another type", "list", data="0 1 2 3"),
        in_input("no data", "data", data=None),
        in_input("data and binary data", "either", parameters={"binary_data_size": 16}),
        in_input("ragged", "nested", data=[[0, 1], [2]]),
        in_input("nested otherwise", "nested", data=[[0], [1], [2], [3]]),
        in_input("nested too deeply", "", data=[[[0], [1]], [[2], [3]]]),
        in_input("text among numbers", "data/1", data=[0, "1", 2, 3]),
        in_input("flags among numbers", "data/1", data=[0, True, 2, 3]),
        in_input("null among numbers", "data/3", data=[0, 1, 2, None]),
        in_input("a number past float32", "x/0/0", data=[1e300, 1, 2, 3]),
        in_input("an integer of a thousand digits", "", 400, 422, data=[10**999, 1, 2, 3]),
        in_input("unknown input parameter", "shared_memory_region", parameters={"shared_memory_region": "r"}),
        in_json(
            "unknown class", "purple", inputs=[DATA, {**named(0)[1], "parameters": None, "data": ["left", "purple"]}]
        ),
        in_json(
            "label past 64 bits",
            "condition",
            inputs=[DATA, {"name": "condition", "datatype": "INT64", "shape": [1], "data": [2**63]}],
        ),
        in_json(
            "labels with a point",
            "condition",
            inputs=[DATA, {"name": "condition", "datatype": "INT64", "shape": [1], "data": [1.0]}],
        ),
        in_json(
            "names called INT64",
            "condition",
            inputs=[DATA, {"name": "condition", "datatype": "INT64", "shape": [1], "data": ["left"]}],
        ),
    ]


def _binary_attacks() -> list[Attack]:
    good = strings(b"left", b"right")
    return [
        in_binary("head longer than the body", HEAD, head="100000"),
        in_binary("head of 10^17 bytes", HEAD, head=str(10**17)),
        in_binary("head that ends in the JSON", "JSON", head="20"),
        in_binary("head that reaches into the tensors", "JSON", head="80"),
        in_binary("head of nothing", "JSON", head="0"),
        in_binary("negative head", HEAD, head="-1"),
        in_binary("head in words", HEAD, head="all"),
        in_binary("head of digits that are no ASCII", HEAD, head="\xb2"),
        in_binary("head of 40 digits", HEAD, head="9" * 40),
        in_binary("tensor cut off", "left", raw=RAW[:-1]),
        in_binary("bytes after the last tensor", "follow", raw=RAW + b"\0"),
        in_binary("size that is not the shape's", "takes", inputs=[{**SIZED, "shape": [1, 2]}]),
        in_binary("shape of terabytes", "takes", inputs=[{**SIZED, "shape": [2**31, 2**31]}]),
        in_binary("size of terabytes", "left", inputs=sized(2**50)),
        in_binary("negative size", "binary_data_size", 422, inputs=sized(-16)),
        in_binary("size in words", "binary_data_size", 422, inputs=sized("16")),
        in_binary("size that is a flag", "binary_data_size", 422, inputs=sized(True)),
        in_binary("two inputs for the same bytes", "left", inputs=[SIZED, {**SIZED, "name": "condition"}]),
        in_binary("NaN", "x/0/1", 422, raw=struct.pack("<4f", 0, float("nan"), 0, 0)),
        in_binary("infinity", "x/1/0", 422, raw=struct.pack("<4f", 0, 0, float("inf"), 0)),
        in_binary("string past its tensor", "byte string", raw=RAW + good[:-1], inputs=named(len(good) - 1)),
        in_binary("string of 4 GB", "byte string", raw=RAW + b"\xff\xff\xff\xff" * 2, inputs=named(8)),
        in_binary("more strings than told", "bytes", raw=RAW + good + strings(b"left"), inputs=named(len(good) + 8)),
        in_binary("fewer strings than told", "byte string", raw=RAW + good, inputs=named(len(good), (3,))),
        in_binary("strings in two axes", "BYTES", 422, raw=RAW + good, inputs=named(len(good), (2, 1))),
        in_binary(
            "a million strings", "rows", 413, raw=RAW + strings(b"") * 1_000_000, inputs=named(4_000_000, (1_000_000,))
        ),
        in_binary("strings that are not UTF-8", "UTF-8", 422, raw=RAW + strings(b"\xff", b"\xfe"), inputs=named(10)),
        in_binary("unknown class", "purple", 422, raw=RAW + strings(b"left", b"purple"), inputs=named(18)),
    ]


def all_inference_attacks() -> list[Attack]:
    return [*_json_attacks(), *_binary_attacks()]


def good_binary() -> tuple[int, bytes]:
    """The length of the JSON object, and a body that is answered: two rows with class names, one output in JSON."""
    labels = strings(b"left", b"right")
    outputs = [{"name": "log_likelihood", "parameters": {"binary_data": False}}]
    text = json.dumps({"inputs": named(len(labels)), "outputs": outputs, "parameters": {"draws": 3}}).encode()
    return len(text), text + RAW + labels
