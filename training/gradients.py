"""A step up to its gradients, a function of memory that stays where it is: run, compiled, or recorded and replayed.

What changes from step to step (the rows, the seed) is put in place before it; what the host must decide or compute in
double precision (the rate, Adam's betas, the average) comes behind it, in the optimizer. So every way to run a step is
the same step, and a recorded one needs to know nothing of optimizers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from flows.conditioners.precision import in_precision
from training.capture import captured
from training.feed import Feed
from training.objectives.base import Objective, Terms
from training.rows import Batch
from training.seeds import reseed
from training.settings import Loop, Step


class Gradients:
    """Gradients of `objective` by `parameters`, clipped to a norm of `loop.clip`, in their `grad`.

    `way` is how: `eager` runs torch's operations one by one, `compiled` the objective as torch.compile makes it,
    `graphed` records the operations once and replays them as one CUDA graph, `compiled-graphed` those of the compiled
    objective. On the CPU, where nothing can be recorded, the last two run what would be.

    After a call `terms` holds the values of the terms and 1, all 0 if the step is bad, and `bad` 1 if so: if loss or
    norm are not finite.
    """

    def __init__(
        self,
        objective: Objective,
        feed: Feed,
        parameters: Sequence[nn.Parameter],
        loop: Loop,
        device: torch.device,
        way: Step,
        backend: str = "inductor",
    ) -> None:
        self.objective, self.feed, self.parameters, self.device, self.way = objective, feed, parameters, device, way
        self.clip, self.precision = loop.clip, loop.precision
        self.names: tuple[str, ...] = ()
        self.terms = self.bad = torch.empty(0)
        self._forward: Callable[[Tensor, Tensor | None, Tensor], Terms] = self._terms
        if way.startswith("compiled"):
            self._forward = torch.compile(self._terms, fullgraph=True, dynamic=False, backend=backend)
        self._run: Callable[[], object] = self._compute
        self._recorded: list[tuple[nn.Parameter, Tensor]] = []

    def __call__(self, step: int, seed: int) -> None:
        """Those of a step, whose random numbers are those of a seed."""
        self.feed.load(step)
        reseed(self.device, seed)
        self._run()
        if any(parameter.grad is not grad for parameter, grad in self._recorded[:1]):
            for parameter, grad in self._recorded:  # somebody else's gradients were there
                parameter.grad = grad

    def prepare(self, step: int) -> None:
        """Compile and record, on the rows of a step, before the first call; nothing that is fitted changes.

        Raises RuntimeError where that is not possible.
        """
        if self.way == "eager":
            return
        self.feed.load(step)
        with kept_buffers(self.objective.module):
            if self.way.endswith("graphed"):
                self._run = captured(self._compute, self.device)
                if self._run != self._compute:
                    self._recorded = [(p, p.grad) for p in self.parameters if p.grad is not None]
            else:
                self._compute()

    def _compute(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None
        batch = self.feed.batch()
        lowered = self.precision != "float32"
        with in_precision(self.objective.module, self.precision) if lowered else nullcontext():
            terms = self._forward(batch.x, batch.condition, batch.rows)
        loss = terms["loss"]
        loss.backward()
        norm = self._clipped()
        good = loss.detach().isfinite() & norm.isfinite()
        values = torch.stack([value.detach().double() for value in terms.values()] + [torch.ones_like(norm).double()])
        self.names = tuple(terms)
        self.terms = torch.where(good, values, torch.zeros_like(values))
        self.bad = (~good).float()

    def _terms(self, x: Tensor, condition: Tensor | None, rows: Tensor) -> Terms:
        return self.objective(Batch(x, condition, rows))

    def _clipped(self) -> Tensor:
        """The norm of all gradients, before they are clipped."""
        if self.clip is None:
            return nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        return nn.utils.clip_grad_norm_(self.parameters, self.clip)


@contextmanager
def kept_buffers(module: nn.Module) -> Iterator[None]:
    """Inside, steps may be tried: running statistics are put back afterwards, in place."""
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
