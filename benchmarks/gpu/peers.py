"""zuko and FrEIA beside our engine on the same configuration: eager, compiled, and compiled with CUDA graphs.

Every call goes from arrays on the host to an array on the host, as a server's would. Peers are called without
gradients; what one of them cannot do is told in the place of its time.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
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
from benchmarks.gpu.plan import Plan, Row
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
EAGER, COMPILED, GRAPHED = "eager", "compiled", "compiled, CUDA graphs"
TIME_S = 480.0  # of a part's ten minutes; cells that would begin later are left out, and the page says so


def measure(plan: Plan, configuration: str) -> list[Row]:
    """One row per operation and batch: seconds per call of everyone who could, notes on who could not."""
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
    rows: list[Row] = []
    started = time.monotonic()
    for batch in sizes.peer_rows:
        for operation in OPERATIONS:
            cell: Row = {"configuration": configuration, "operation": operation, "rows": batch, "notes": dict(notes)}
            if time.monotonic() - started > TIME_S:
                rows.append(cell | {"seconds": {}, "floor": None, "notes": {"all": "left out: the part's time was up"}})
                continue
            arrays = feed(loaded.signature, operation, batch)
            calls = {OURS: call_of(loaded, operation, arrays)}
            for who, call in peer_calls(plan, peers, operation, arrays).items():
                try:
                    call()
                    calls[who] = call
                except Exception as error:  # whatever a peer or its compiler raises is its result in this cell
                    cell["notes"][who] = f"{type(error).__name__}: {first_line(error)[:120]}"
            rounds = interleaved(calls, sizes.rounds, sizes.budget_s)
            cell["seconds"] = {who: quartile(seconds) for who, seconds in rounds.items()}
            bytes_in = sum(array.nbytes for array in arrays.values())
            bytes_out = batch * 4 * (config.features if operation == "decode" else 1)
            cost = cost_of({"float32": config.conditioner_flops}, weight_bytes, bytes_in, bytes_out, batch)
            cell["floor"] = floor_of(cost, rates).seconds
            rows.append(cell)
    loaded.close()
    return rows


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

        function.__code__ = function.__code__.replace()  # torch's compiler counts variants by code object, to eight
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
