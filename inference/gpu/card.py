"""A CUDA device: pinned slots, three streams, and programs captured into CUDA graphs.

Two batches are on their way at once. While one computes, the next one's bytes come in on a stream of their own, and the
last one's go out on another. A batch that is small comes and goes on the stream that computes: it would wait longer for
the other streams than its bytes take.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from weakref import WeakSet

import torch
from torch import Tensor, nn

from inference.gpu.lanes import TIMED_CALLS, Lane, Slot, Step, rounded
from inference.gpu.precision import float32_products

DIRECT_BYTES = 64 * 1024  # in and out together: what a PCIe bus moves in the time that two streams take to meet
WARM_RUNS = 3  # before a capture: libraries choose kernels and take workspaces in the first ones
STREAMS_PER_DEVICE = 10  # times three: torch has 32

_ALONE = threading.Lock()
"""Held by who captures, compiles, loads, waits for a whole device, or frees its cached memory: torch allows one capture
in a process, and CUDA nothing of the kind beside it. Taken before a lane's `lock`, never after it."""


@dataclass(eq=False)
class Streams:
    """One after the other on each; `lock` is held while work is put on `compute`."""

    compute: torch.cuda.Stream
    copy_in: torch.cuda.Stream
    copy_out: torch.cuda.Stream
    lock: threading.Lock = field(default_factory=threading.Lock)


class _StreamPool:
    """Streams of each device, made once: torch has few, and gives out the first again when they are used up.

    More versions than streams share them, with their lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[int, list[Streams]] = {}
        self._users: Counter[Streams] = Counter()

    def take(self, device: torch.device) -> Streams:
        with self._lock, torch.cuda.device(device):
            made = self._made.setdefault(device.index, [])
            if not made:
                made += [
                    Streams(torch.cuda.Stream(), torch.cuda.Stream(), torch.cuda.Stream())
                    for _ in range(STREAMS_PER_DEVICE)
                ]
            chosen = min(made, key=lambda streams: self._users[streams])
            self._users[chosen] += 1
            return chosen

    def give_back(self, streams: Streams) -> None:
        with self._lock:
            self._users[streams] -= 1


_STREAMS = _StreamPool()


@dataclass(eq=False)
class CardSlot(Slot):
    """With room on the device, where a large batch waits before and after it is computed."""

    near_in: Tensor
    near_out: Tensor
    arrived: torch.cuda.Event
    computed: torch.cuda.Event
    done: torch.cuda.Event

    @property
    def nbytes(self) -> int:
        """See Slot."""
        return self.near_in.numel() + self.near_out.numel()


class CardLane(Lane):
    """One CUDA device, for one version.

    Args:
        device: with its index.
        tf32: let products in float32 use TF32.
        graphs: capture; without, programs are called eagerly.
    """

    def __init__(self, device: torch.device, *, tf32: bool = False, graphs: bool = True) -> None:
        index = torch.cuda.current_device() if device.index is None else device.index
        self.device = torch.device("cuda", index)
        self._tf32, self._graphs = tf32, graphs
        self._streams = _STREAMS.take(self.device)
        self.lock = self._streams.lock
        self._pool = torch.cuda.graph_pool_handle()
        self._captured: WeakSet[torch.cuda.CUDAGraph] = WeakSet()

    def place(self, model: nn.Module) -> None:
        """See Lane."""
        with _ALONE, torch.cuda.device(self.device):
            model.to(self.device)
            torch.cuda.current_stream().synchronize()

    def fixed(self, size: int) -> Tensor:
        """See Lane."""
        with self.lock, torch.cuda.stream(self._streams.compute):
            return torch.zeros(size, dtype=torch.uint8, device=self.device)

    def slot(self) -> Slot:
        """See Lane."""
        here, there = torch.empty(0, dtype=torch.uint8), torch.empty(0, dtype=torch.uint8, device=self.device)
        with torch.cuda.device(self.device):
            return CardSlot(here, here, there, there, torch.cuda.Event(), torch.cuda.Event(), torch.cuda.Event())

    def reserve(self, slot: Slot, inward: int, outward: int) -> None:
        """See Lane."""
        assert isinstance(slot, CardSlot)
        beside = inward + outward > DIRECT_BYTES
        near = slot.near_in.numel() >= inward and slot.near_out.numel() >= outward
        if slot.holds(inward, outward) and (near or not beside):
            return
        compute = self._streams.compute
        with self.lock, torch.cuda.stream(compute):  # what is freed is noted on streams: none of them may be captured
            if not slot.holds(inward, outward):
                slot.inward, slot.outward = _pinned(inward), _pinned(outward)
            if beside and not near:
                slot.near_in, slot.near_out = self._near(inward), self._near(outward)
                for stream in (compute, self._streams.copy_in, self._streams.copy_out):
                    stream.synchronize()  # whoever had this memory before is done with it

    def exchange(self, slot: Slot, inward: Tensor, outward: Tensor, call: Step) -> None:
        """See Lane."""
        assert isinstance(slot, CardSlot)
        source, target = slot.inward[: inward.numel()], slot.outward[: outward.numel()]
        if inward.numel() + outward.numel() > DIRECT_BYTES:
            self._exchange_beside(slot, (source, inward), (outward, target), call)
        else:
            with self.lock, torch.cuda.stream(self._streams.compute):
                inward.copy_(source, non_blocking=True)
                call()
                target.copy_(outward, non_blocking=True)
                slot.done.record()
        slot.done.synchronize()

    def _exchange_beside(
        self, slot: CardSlot, into: tuple[Tensor, Tensor], out_of: tuple[Tensor, Tensor], call: Step
    ) -> None:
        """Copies on streams of their own, while another batch computes."""
        (source, inward), (outward, target) = into, out_of
        compute, near_in, near_out = self._streams.compute, slot.near_in, slot.near_out
        with torch.cuda.stream(self._streams.copy_in):
            near_in[: source.numel()].copy_(source, non_blocking=True)
            slot.arrived.record()
        with self.lock, torch.cuda.stream(compute):
            compute.wait_event(slot.arrived)
            inward.copy_(near_in[: source.numel()])
            call()
            near_out[: target.numel()].copy_(outward)
            slot.computed.record()
        with torch.cuda.stream(self._streams.copy_out):
            self._streams.copy_out.wait_event(slot.computed)
            target.copy_(near_out[: target.numel()], non_blocking=True)
            slot.done.record()

    def eager(self, step: Step) -> None:
        """See Lane."""
        with float32_products(tf32=self._tf32), torch.no_grad():
            step()

    @contextmanager
    def alone(self, *, wait: bool) -> Iterator[bool]:
        """See Lane."""
        granted = _ALONE.acquire(blocking=wait)
        try:
            yield granted
        finally:
            if granted:
                _ALONE.release()

    def capture(self, step: Step, inward: Tensor) -> Step | None:
        """A CUDA graph of `step`, whose memory is in one pool with those of the version's other graphs.

        They may share it since they run one at a time, and nothing that one leaves there is read after the next.
        """
        compute = self._streams.compute
        with torch.cuda.stream(compute):
            inward.zero_()  # in line: the batch before may still be computing
            for _ in range(WARM_RUNS):
                self.eager(step)
        compute.synchronize()
        if not self._graphs:
            return None
        if not self._captured:  # a pool that its last graph has left is no pool any more
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with (
            float32_products(tf32=self._tf32),
            torch.no_grad(),
            torch.cuda.device(self.device),
            torch.cuda.graph(graph, pool=self._pool, stream=compute, capture_error_mode="thread_local"),
        ):
            step()
        self._captured.add(graph)
        with torch.cuda.stream(compute):
            graph.replay()
        compute.synchronize()
        return graph.replay

    def settle(self) -> None:
        """See Lane."""
        self._streams.compute.synchronize()

    def seconds(self, call: Step) -> float:
        """The mean of a few calls in a row, by the device's own clock."""
        with torch.cuda.stream(self._streams.compute):
            return device_seconds(call, TIMED_CALLS)

    def release(self) -> None:
        """See Lane."""
        with _ALONE:
            self._empty()

    def close(self) -> None:
        """Let another version have the streams. Who captures is not waited for: that empties the cache too."""
        _STREAMS.give_back(self._streams)
        with self.alone(wait=False) as granted:
            if granted:
                self._empty()

    @property
    def pool_bytes(self) -> int:
        """See Lane."""
        segments = torch.cuda.memory_snapshot()
        own = (part for part in segments if tuple(part.get("segment_pool_id", ())) == tuple(self._pool))
        return sum(int(part["total_size"]) for part in own)

    def _empty(self) -> None:
        with self.lock, torch.cuda.device(self.device):
            self.settle()
            torch.cuda.empty_cache()

    def _near(self, size: int) -> Tensor:
        return torch.empty(rounded(size), dtype=torch.uint8, device=self.device)


def device_seconds(call: Callable[[], object], repeats: int) -> float:
    """The mean of `repeats` calls in a row, whose work goes to the current stream, by the device's own clock."""
    started, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    started.record()
    for _ in range(repeats):
        call()
    ended.record()
    ended.synchronize()
    return started.elapsed_time(ended) / 1000 / repeats


def _pinned(size: int) -> Tensor:
    return torch.empty(rounded(size), dtype=torch.uint8, pin_memory=True)
