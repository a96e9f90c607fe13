"""What a card's benchmark makes of its measurements: floors, shares of rates, and the page with its goals."""

from __future__ import annotations

from math import inf
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.flows.configuration import Configuration
from benchmarks.gpu.floors import Rates, cost_of, floor_of
from benchmarks.gpu.goals import figures
from benchmarks.gpu.kept import Kept
from benchmarks.gpu.models import joint_mixture
from benchmarks.gpu.page import page
from benchmarks.gpu.peers import COMPILED, called_once, contestants, peer_calls
from benchmarks.gpu.plan import Plan, Row
from benchmarks.gpu.throughput import weights_of
from flows.conditioners.base import Conditioner

RATES = Rates({"float32": 50e12, "bf16": 700e12}, copy=4e12, to_device=50e9, to_host=40e9)
FACTS = {"device": "Card X, 141 GiB", "machine": "m", "packages": "torch 2.11", "when": "2026-01-01T00:00:00+00:00"}


def _call(seconds: float, rows: int = 2**20, precision: str = "float32") -> Row:
    floors = {"products": 0.1, "memory": 0.01, "bus_in": 0.002, "bus_out": 0.001}
    named = {"kind": "call", "model": "mixture", "operation": "decode", "precision": precision}
    return {**named, "rows": rows, "seconds": seconds, "flops": 5e12, **floors}


def _parts(
    latency_us: float = 140.0, call_s: float = 0.125, http_s: float = 9.0, fit_s: float = 50.0
) -> dict[str, list[Row]]:
    rates: Row = {
        "kind": "rates",
        "side": 8192,
        "matrix": RATES.matrix,
        "copy": 4e12,
        "to_device": 5e10,
        "to_host": 4e10,
    }
    latency: Row = {"operation": "decode", "rows": 1, "p50_us": latency_us, "p99_us": 200.0}
    cell: Row = {"configuration": "affine", "operation": "score", "notes": {"FrEIA": "not there"}, "floor": 1e-6}
    seconds = {"condflow": 1e-4, "zuko, eager": 2e-3, "zuko, compiled": 6e-4, "zuko, compiled, CUDA graphs": 3e-4}
    fit_: Row = {"recipe": "mnist", "way": "graphed", "epochs": 9, "forward accuracy": 0.9843, "s": fit_s}
    return {
        "check": [
            {"model": "mixture", "engine": "torch", "precision": "float32", "operation": "decode", "error": 1e-5}
        ],
        "tests": [{"test": "a", "outcome": "passed", "s": 1.0, "said": ""}],
        "latency": [{"engine": "torch", **latency}, {"engine": "ONNX Runtime", **latency}],
        "throughput-mixture": [rates, _call(call_s), _call(call_s / 2, 2**6), _call(0.11, precision="bf16")],
        "peers-affine": [
            {**cell, "rows": 1, "seconds": seconds},
            {**cell, "rows": 65_536, "seconds": {}, "floor": None},
        ],
        "http": [{"kind": "many samples", "samples": 10**7, "seconds": http_s, "bytes": 80_000_000}],
        "training-accuracy": [fit_],
        "memory": [{"version": "mixture@1", "weights_mib": 17.0, "peak_mib": 100.0}],
    }


def test_the_floor_is_its_largest_term() -> None:
    small = floor_of(cost_of({"float32": 8_000_000}, 16_000_000, 40, 8, rows=1), RATES)
    assert small.memory == pytest.approx((16_000_000 + 48) / 4e12)
    assert (small.term, small.seconds) == ("memory", small.memory)
    large = floor_of(cost_of({"float32": 8_000_000}, 16_000_000, 40 * 2**20, 8 * 2**20, rows=2**20), RATES)
    assert large.products == pytest.approx(8e6 * 2**20 / 50e12)
    assert large.term == "products"
    assert floor_of(cost_of({"bf16": 100}, 0, 2**30, 0, rows=1), RATES).term == "bus_in"


def test_products_count_at_the_rate_of_their_own_precision() -> None:
    cost = cost_of({"bf16": 7_000_000, "float32": 1_000_000}, 0, 0, 0, rows=1000)
    assert floor_of(cost, RATES).products == pytest.approx(7e9 / 700e12 + 1e9 / 50e12)


def test_weights_count_as_the_engine_holds_them() -> None:
    """In bf16 the last layers are held, and multiplied, in float32."""
    model = joint_mixture(width=32, depth=2, blocks=2)
    last = [p for part in model.modules() if isinstance(part, Conditioner) for p in part.last.parameters()]
    trunks = sum(p.numel() for part in model.modules() if isinstance(part, Conditioner) for p in part.parameters())
    trunks -= sum(p.numel() for p in last)
    flops, exact = weights_of(model, "float32")
    assert exact == 4 * sum(p.numel() for p in model.parameters())
    assert weights_of(model, "tf32") == ({"tf32": flops["float32"]}, exact)
    exactly = sum(2 * p.numel() for p in last if p.ndim == 2)
    assert exactly > 0 and trunks > 0
    rounded = {"bf16": flops["float32"] - exactly, "float32": exactly}
    assert weights_of(model, "bf16") == (rounded, exact - 2 * trunks)


def test_a_share_is_of_the_rate_in_its_own_precision() -> None:
    made = {figure.quantity: figure for figure in figures(_parts(), card=True)}
    float32 = made["decode, large batch, float32: share of the measured matrix rate"]
    bf16 = made["decode, large batch, bf16: share of the measured matrix rate"]
    assert (float32.value, float32.goal, float32.reached) == (pytest.approx(0.1 / 0.125), 0.6, True)
    assert (bf16.value, bf16.goal) == (pytest.approx(0.1 / 0.11), 0.8)


@pytest.mark.parametrize(
    ("parts", "missed"),
    [
        (_parts(), ""),
        (_parts(latency_us=151.0), "batch 1, decode"),
        (_parts(call_s=0.2), "decode, large batch, float32"),
        (_parts(http_s=10.5), "10,000,000 samples over HTTP"),
        (_parts(fit_s=61.0), "mnist: seconds of fitting"),
    ],
)
def test_the_page_gives_a_verdict_on_every_goal(tmp_path: Path, parts: dict[str, list[Row]], missed: str) -> None:
    found = [Kept(part, rows, FACTS) for part, rows in parts.items()]
    written = page(Plan("cuda", tmp_path, "abc"), found, (*parts, "peers-spline")).write(tmp_path)
    text = written.read_text()
    assert text.startswith("# On Card X, 141 GiB")
    assert ("Missed" in text) == bool(missed)
    assert f"Missed: {missed}" in text or not missed
    assert "- peers-spline was not run" in text
    assert "- commit: abc" in text
    assert "FrEIA: not there" in text
    assert (tmp_path / "gpu.png").read_bytes().startswith(b"\x89PNG")


def test_a_peer_in_any_way_counts_everywhere_and_plain_compilation_alone_up_to_64_rows() -> None:
    small, everywhere = (f for f in figures(_parts(), card=True) if f.quantity.startswith("peers"))
    assert (small.value, small.goal) == (pytest.approx(6.0), 5.0)
    assert (everywhere.value, everywhere.goal) == (pytest.approx(3.0), 1.0)
    assert "CUDA graphs" in everywhere.note and everywhere.note.endswith("1 cells were left out")


def test_a_cpu_has_no_goals() -> None:
    assert all(figure.reached is None for figure in figures(_parts(), card=False))


def test_a_fit_below_the_accuracy_took_no_time_that_counts() -> None:
    row = {"recipe": "mnist", "way": "eager", "epochs": 30, "forward accuracy": 0.98, "s": 20.0}
    (below,) = figures({"training-accuracy": [row]}, card=True)
    assert below.reached is False


def test_a_test_of_a_card_that_was_skipped_there_is_missed() -> None:
    rows = [{"test": name, "outcome": outcome} for name, outcome in (("a", "passed"), ("b", "skipped"))]
    (figure,) = figures({"tests": rows}, card=True)
    assert (figure.value, figure.reached) == (1, False)


def test_what_is_not_finite_reaches_no_goal() -> None:
    named = {"model": "m", "engine": "torch", "precision": "float32", "operation": "decode"}
    rows = [named | {"error": e} for e in (1e-6, float("nan"), 1e-7)]
    (figure,) = figures({"check": rows}, card=True)
    assert figure.reached is False


def test_a_compiled_peer_is_compiled_for_every_batch(tmp_path: Path) -> None:
    """Past torch's limit of variants what is compiled would run eagerly, and nobody would know."""
    peers, _ = contestants(Configuration("affine", transforms=1, width=8), torch.device("cpu"))
    plan = Plan("cpu", tmp_path, "abc")
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True, recompile_limit=2):
        for rows in (1, 2, 3):
            arrays = {"x": np.zeros((rows, 16), np.float32), "condition": np.zeros((rows, 8), np.float32)}
            peer_calls(plan, {"zuko": peers["zuko"]}, "score", arrays)[f"zuko, {COMPILED}"]()


def test_nothing_is_compiled_past_the_time_of_a_part() -> None:
    def call() -> np.ndarray:
        return np.zeros(1)

    def broken() -> np.ndarray:
        raise RuntimeError("no such operator")

    working, failed = called_once({"a": call, "b": broken}, ends=inf)
    assert (list(working), failed) == (["a"], {"b": "RuntimeError: no such operator"})
    assert called_once({"a": call, "b": broken}, ends=0.0) == ({}, {})
