"""What eager torch can do at best: the affine couplings of condflow written out, without modules, autograd, new memory.

Large arrays go into ready buffers, each layer is one product with its bias and one rectifier in place, and the
gradients are derived by hand. What is slower than this by a few hundredths cannot be made faster by arranging modules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.flows.configuration import Configuration
from benchmarks.flows.contestants import Condflow
from flows.bijections.affine import AffineCoupling

NORMAL = -0.5 * math.log(2 * math.pi)


class Layer:
    """The weights of one coupling's conditioner, and room for what its layers and their gradients give."""

    def __init__(self, coupling: AffineCoupling, rows: int) -> None:
        values = [value.detach() for value in coupling.conditioner.parameters()]
        self.weights, self.biases = values[::2], values[1::2]
        self.values = [torch.empty(rows, len(weight)) for weight in self.weights]
        self.given = torch.empty(rows, 2 * coupling.moved)
        self.slopes = [torch.empty_like(value) for value in self.values]
        self.gradients = [torch.empty_like(value) for value in values]
        self.passed, self.moved = (1, 0) if coupling.transforms_first else (0, 1)

    def conditioner(self, passed: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """s = 2 tanh(a) and t."""
        h = torch.cat((passed, c), 1, out=self.values[0])
        for weight, bias, units in zip(self.weights, self.biases, self.values[1:], strict=False):
            h = torch.addmm(bias, h, weight, out=units).relu_()
        raw, shift = torch.addmm(self.biases[-1], h, self.weights[-1], out=self.given).chunk(2, 1)
        return raw.contiguous().tanh_().mul_(2.0), shift

    def backward(self, slope: Tensor) -> Tensor:
        """From the gradient by [a, t] to those by the weights, kept, and by what was passed, returned."""
        for depth in range(len(self.weights) - 1, 0, -1):
            self._keep(depth, slope)
            before = torch.mm(slope, self.weights[depth].t(), out=self.slopes[depth])
            slope = torch.ops.aten.threshold_backward(before, self.values[depth], 0)
        self._keep(0, slope)
        return slope @ self.weights[0][: self.given.shape[1] // 2].t()

    def _keep(self, depth: int, slope: Tensor) -> None:
        torch.mm(self.values[depth].t(), slope, out=self.gradients[2 * depth])
        torch.sum(slope, 0, out=self.gradients[2 * depth + 1])


@dataclass
class Kept:
    """What a coupling leaves for its gradient: s, exp(s), and the half as it was."""

    log_scale: Tensor
    scale: Tensor
    moved: Tensor


class ByHand:
    """The same flow with the same weights as `contestant`, for one number of rows.

    Without `gradients` to come all layers use the same room, which then stays in the cache.
    """

    def __init__(self, contestant: Condflow, config: Configuration, rows: int, *, gradients: bool) -> None:
        self.half = config.features // 2
        couplings = [module for module in contestant.module.modules() if isinstance(module, AffineCoupling)]
        self.layers = [Layer(coupling, rows) for coupling in couplings]
        if not gradients:
            for layer in self.layers:
                layer.values, layer.given = self.layers[0].values, self.layers[0].given
        self.kept: list[Kept] = []

    def log_prob(self, x: Tensor, c: Tensor) -> Tensor:
        """log p(x | c), (rows,)."""
        halves = list(x.split(self.half, 1))
        self.kept = []
        for layer in self.layers:
            log_scale, shift = layer.conditioner(halves[layer.passed], c)
            kept = Kept(log_scale, log_scale.exp(), halves[layer.moved])
            halves[layer.moved] = torch.addcmul(shift, kept.moved, kept.scale)
            self.kept.append(kept)
        self.latent = torch.cat(halves, 1)
        log_det = torch.cat([kept.log_scale for kept in self.kept], 1).sum(1)
        return torch.add(log_det, self.latent.square().sum(1), alpha=-0.5).add_(NORMAL * self.latent.shape[1])

    def sample(self, z: Tensor, c: Tensor) -> Tensor:
        """x from latents z (rows, D)."""
        halves = list(z.split(self.half, 1))
        for layer in reversed(self.layers):
            log_scale, shift = layer.conditioner(halves[layer.passed], c)
            halves[layer.moved] = (halves[layer.moved] - shift).div_(log_scale.exp_())
        return torch.cat(halves, 1)

    def gradients(self, x: Tensor, c: Tensor) -> list[list[Tensor]]:
        """Of -mean log p(x | c) by the weights of each coupling's conditioner, in their order. Needs `gradients`."""
        self.log_prob(x, c)
        each = 1 / len(x)
        slopes = list((self.latent * each).split(self.half, 1))
        for layer, kept in zip(reversed(self.layers), reversed(self.kept), strict=True):
            by_shift = slopes[layer.moved]
            slopes[layer.moved] = by_shift * kept.scale
            by_log_scale = slopes[layer.moved] * kept.moved - each
            by_raw = by_log_scale * (2 - kept.log_scale.square() / 2)
            slopes[layer.passed] = slopes[layer.passed] + layer.backward(torch.cat((by_raw, by_shift), 1))
        return [layer.gradients for layer in self.layers]
