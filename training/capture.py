"""A function of no arguments, recorded once as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

import torch

WARM_UPS = 3


def captured(compute: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """What replays `compute`, after a few runs in which libraries choose their kernels and take their memory.

    `compute` must neither wait for the device nor read anything that is not at the same place at every replay. Random
    numbers come from the device's default generator, which a graph asks for its seed at every replay. Without CUDA
    nothing is recorded: `compute` itself comes back.
    """
    if device.type != "cuda":
        for _ in range(WARM_UPS):
            compute()
        return compute
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()  # one for both: autograd remembers on which its nodes were made
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                compute()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            compute()
    return graph.replay
