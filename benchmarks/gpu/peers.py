"""zuko and FrEIA beside our engine on the same configuration: eager, compiled, and compiled with CUDA graphs.

Every call goes from arrays on the host to an array on the host, as a server's would. Peers are called without
gradients; what one of them cannot do is told in the place of its time.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import cast

import numpy as np
import torch

from benchmarks.flows.configuration import Configuration
from benchmarks.flows.contestants import Condflow, Contestant, Freia, Zuko
from benchmarks.flows.timing import interleaved, quartile
from benchmarks.gpu.floors import cost_of, floor_of
from benchmarks.gpu.kept import MISSING
from benchmarks.gpu.latency import call_of
from benchmarks.gpu.models import perturb
from benchmarks.gpu.plan import PART_S, TIME_UP, Plan, Row
from benchmarks.gpu.rates import measure_rates
from benchmarks.gpu.subject import ENGINES, feed, loaded_on, store_of
from flows.models.base import Model
from inference.engine import Arrays
from model_store.signature import Operation
from training.errors import first_line

CONFIGURATIONS = {
    "affine": Configuration("affine"),
    "spline": Configuration("spline"),
    "wide": Configuration("affine", transforms=8, width=512),
}
PEERS: tuple[type[Contestant], ...] = (Zuko, Freia)  # named as their packages
OPERATIONS: tuple[Operation, ...] = ("score", "decode")
OURS = "condflow"
VARIANTS = 64  # of one function of a peer; torch compiles eight
EAGER, COMPILED, GRAPHED = "eager", "compiled", "compiled, CUDA graphs"


def measure(plan: Plan, configuration: str) -> Iterator[Row]:
    """One row per operation and batch: seconds per call of everyone who could, notes on who could not.

    A cell whose compilations do not end in time is left out: without some of the peers it would flatter us.
    """
    config, sizes = CONFIGURATIONS[configuration], plan.sizes
    if not plan.card:
        config = replace(config, transforms=sizes.blocks, width=sizes.width)
    ours = Condflow(config)
    model = perturb(cast(Model, ours.module))
    name = f"peer-{configuration}"
    loaded = loaded_on(plan, store_of(plan, name, model), name, ENGINES[1])
    rates = measure_rates(torch.device(plan.device), sizes.matrix_side, sizes.copy_bytes)
    weight_bytes = 4 * ours.parameters()
    peers, notes = contestants(config, torch.device(plan.device))
    ends = time.monotonic() + PART_S
    for batch in sizes.peer_rows:
        for operation in OPERATIONS:
            cell: Row = {"configuration": configuration, "operation": operation, "rows": batch}
            arrays = feed(loaded.signature, operation, batch)
            calls, failed = called_once(peer_calls(plan, peers, operation, arrays), ends)
            if time.monotonic() > ends:
                yield cell | {"seconds": {}, "floor": None, "notes": {"all": TIME_UP}}
                continue
            calls[OURS] = call_of(loaded, operation, arrays)
            rounds = interleaved(calls, sizes.rounds, sizes.budget_s)
            seconds = {who: quartile(rounds[who]) for who in (OURS, *rounds)}
            bytes_in = sum(array.nbytes for array in arrays.values())
            bytes_out = batch * 4 * (config.features if operation == "decode" else 1)
            cost = cost_of({"float32": config.conditioner_flops}, weight_bytes, bytes_in, bytes_out, batch)
            yield cell | {"seconds": seconds, "floor": floor_of(cost, rates).seconds, "notes": notes | failed}
    loaded.close()


def called_once(
    calls: Mapping[str, Callable[[], np.ndarray]], ends: float
) -> tuple[dict[str, Callable[[], object]], dict[str, str]]:
    """Those that work, compiled by now, and what the others raise; none are tried past `ends` of the monotonic clock.

    Whatever a peer or its compiler raises is its result in this cell.
    """
    working: dict[str, Callable[[], object]] = {}
    failed: dict[str, str] = {}
    for who, call in calls.items():
        if time.monotonic() > ends:
            break
        try:
            call()
            working[who] = call
        except Exception as error:
            failed[who] = f"{type(error).__name__}: {first_line(error)[:120]}"
    return working, failed


def contestants(config: Configuration, device: torch.device) -> tuple[dict[str, Contestant], dict[str, str]]:
    """The peers on the device, with weights that make them more than the identity, and why others are not there."""
    built: dict[str, Contestant] = {}
    notes: dict[str, str] = {}
    for kind in PEERS:
        if find_spec(kind.name) is None:
            notes[kind.name] = MISSING
            continue
        torch.manual_seed(0)
        try:
            peer = kind(config)
        except NotImplementedError as error:
            notes[kind.name] = str(error)
            continue
        perturb(peer.module).to(device)
        built[kind.name] = peer
    return built, notes


def peer_calls(
    plan: Plan, peers: dict[str, Contestant], operation: Operation, arrays: Arrays
) -> dict[str, Callable[[], np.ndarray]]:
    """Every peer in every way of running it; CUDA graphs only on a card and where launches matter."""
    device = torch.device(plan.device)
    values, condition = arrays["x" if operation == "score" else "z"], arrays["condition"]
    ways: dict[str, str | None] = {EAGER: None, COMPILED: "default"}
    if plan.card and len(condition) <= 64:
        ways[GRAPHED] = "reduce-overhead"
    calls = {}
    for name, peer in peers.items():
        method = peer.log_prob if operation == "score" else peer.sample
        for way, mode in ways.items():
            function = method if mode is None else _compiled(name, operation, peer, mode if plan.card else None)
            calls[f"{name}, {way}"] = host_to_host(function, values, condition, device)
    return calls


_COMPILED: dict[tuple[str, str, int, str | None], Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {}


def _compiled(
    name: str, operation: Operation, peer: Contestant, mode: str | None
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """By Inductor in this mode; None: traced alone, which shows without a C++ compiler that a peer can be."""
    key = (name, operation, id(peer), mode)
    if key not in _COMPILED:
        own = copy.copy(peer)
        method = own.log_prob if operation == "score" else own.sample

        def function(values: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
            return method(values, condition)

        # a variant for every batch, way and operation, also of what is shared: past the limit it would run eagerly
        torch._dynamo.config.recompile_limit = VARIANTS
        backend = "inductor" if mode else "aot_eager"
        _COMPILED[key] = torch.compile(function, mode=mode, dynamic=False, backend=backend)
    return _COMPILED[key]


def host_to_host(
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    values: np.ndarray,
    condition: np.ndarray,
    device: torch.device,
) -> Callable[[], np.ndarray]:
    """From arrays to an array, without gradients."""

    def call() -> np.ndarray:
        with torch.no_grad():
            answer = function(torch.from_numpy(values).to(device), torch.from_numpy(condition).to(device))
            return answer.cpu().numpy()

    return call
