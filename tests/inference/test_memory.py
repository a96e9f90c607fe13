"""Freed memory goes back to the system, or stays: in processes of their own, whose heaps are as the test made them."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do as they please")

_START = """
import ctypes
from inference.memory import give_back, keep_freed_blocks, keep_large_blocks_apart

def resident_mib():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

def block(mib):
    content = ctypes.create_string_buffer(int(mib * 2**20))
    ctypes.memset(content, 1, len(content))
    return content
"""
_MANY_SMALL_ONES_BELOW_A_LAST = """
blocks = [block(1 / 16) for _ in range(1600)]
last = blocks.pop()
full = resident_mib()
del blocks
{between}
print(full - resident_mib())
"""
_LARGE_ONES_BELOW_SMALL_ONES = """
{before}
block(20)  # freed at once: from now on glibc takes blocks as large from its heaps
pairs = [(block(10), block(1 / 16)) for _ in range(10)]
full = resident_mib()
kept = [small for _, small in pairs]
del pairs
print(full - resident_mib())
"""

_STEP_AFTER_STEP = """
import resource
{before}
for step in range(20):
    if step == 10:
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [block(1) for _ in range(20)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
"""


def _number(script: str) -> float:
    done = subprocess.run([sys.executable, "-c", _START + script], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def test_what_is_free_below_a_block_in_use_is_given_back() -> None:
    assert _number(_MANY_SMALL_ONES_BELOW_A_LAST.format(between="")) < 20
    assert _number(_MANY_SMALL_ONES_BELOW_A_LAST.format(between="give_back()")) > 80


def test_large_blocks_are_given_back_when_they_are_freed() -> None:
    assert _number(_LARGE_ONES_BELOW_SMALL_ONES.format(before="")) < 20
    assert _number(_LARGE_ONES_BELOW_SMALL_ONES.format(before="keep_large_blocks_apart()")) > 80


def test_blocks_of_a_step_are_those_of_the_step_before() -> None:
    assert _number(_STEP_AFTER_STEP.format(before="")) > 10_000
    assert _number(_STEP_AFTER_STEP.format(before="keep_freed_blocks()")) < 1000


_AN_ENGINE_THAT_RESTS = """
import numpy as np
from inference.onnx_engine import OnnxEngine
from model_store.signature import ArraySpec, Part, Signature
from tests.inference.graphs import GraphBuilder

keep_large_blocks_apart()
operations = ("decode", "encode", "score")
data, latent = ArraySpec(shape=(WIDTH,)), (Part(name="z", shape=(WIDTH,)),)
signature = Signature(data=data, latent=latent, operations=operations)

def engine():
    # drawn here, so that nobody else holds them
    weights = {f"w{layer}": np.random.default_rng(layer).random((WIDTH, WIDTH), np.float32) for layer in range(LAYERS)}
    graphs = {}
    for operation in operations:
        built, name = GraphBuilder(weights), "z" if operation == "decode" else "x"
        for layer in range(LAYERS):
            name = built.op("MatMul", name, f"w{layer}", output=signature.outputs(operation)[0]
                            if layer == LAYERS - 1 and operation != "score" else None)
        if operation == "score":
            built.op("ReduceSum", name, built.constant([1], np.int64), output="log_weight", keepdims=0)
        graphs[operation] = built.build(signature, operation).SerializeToString()
    return OnnxEngine(signature, graphs, dict.fromkeys(operations, weights), rests=True)

engine = engine()
give_back()
engine.rest({"decode"})
give_back()
"""
_OPERATIONS_THAT_RESTED = """
resting = resident_mib()
engine.prepare("score")
engine.prepare("encode")
print(resident_mib() - resting)
"""
_AN_OPERATION_THAT_HAS_NO_ROOM = """
import resource
from inference.engine import EngineOutOfMemory

used = 4096 * int(open("/proc/self/statm").read().split()[0])
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + 8 * 2**20, limits[1]))
try:
    engine.prepare("encode")
except EngineOutOfMemory:
    resource.setrlimit(resource.RLIMIT_AS, limits)
    engine.prepare("encode")
    print(len(engine._sessions))
"""


def test_operations_that_rested_cost_no_more_than_their_weights() -> None:
    """16 MiB each, and the last of them frees the 16 MiB of the weights as they were read."""
    assert 8 < _number("WIDTH, LAYERS = 512, 16" + _AN_ENGINE_THAT_RESTS + _OPERATIONS_THAT_RESTED) < 24


def test_an_operation_that_memory_has_no_room_for_says_so_and_comes_later() -> None:
    """What asks for it is answered that there was no memory, not that the graph is wrong."""
    script = "WIDTH, LAYERS = 4096, 1" + _AN_ENGINE_THAT_RESTS + _AN_OPERATION_THAT_HAS_NO_ROOM
    assert _number(script) == 2
