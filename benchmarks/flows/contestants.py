"""Every contestant behind the same three calls: log_prob(x, c), sample(z, c), parameters().

Peers are built as their own documentation shows: coupling flows with alternating halves and two hidden layers of 128.
The only conditioner of nflows that takes a context is a residual network (one block: three linear layers and a gate);
parameter counts are printed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.flows.configuration import Configuration


class Contestant(ABC):
    """A conditional flow on vectors."""

    name: str

    def __init__(self, module: nn.Module) -> None:
        self.module = module.eval()

    @abstractmethod
    def log_prob(self, x: Tensor, c: Tensor) -> Tensor:
        """log p(x | c), (rows,)."""

    @abstractmethod
    def sample(self, z: Tensor, c: Tensor) -> Tensor:
        """x from latents z (rows, D); peers that draw their own latents ignore the values of z."""

    def parameters(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.module.parameters())


class Condflow(Contestant):
    """This project's coupling flow."""

    name = "condflow"

    def __init__(self, config: Configuration) -> None:
        from flows.architecture import build
        from flows.config import Affine, Conditioner, CouplingConfig, Data, Spline, VectorCondition

        architecture = CouplingConfig(
            data=Data(shape=(config.features,)),
            condition=VectorCondition(size=config.condition),
            preprocessing=(),
            blocks=config.transforms,
            coupling=Affine() if config.kind == "affine" else Spline(bins=config.bins),
            conditioner=Conditioner(width=config.width, depth=2),
            actnorm=False,
            mixing="none",
        )
        super().__init__(build(architecture))

    def log_prob(self, x: Tensor, c: Tensor) -> Tensor:
        return self.module.log_weight(x, (), c)

    def sample(self, z: Tensor, c: Tensor) -> Tensor:
        return self.module.decode((z,), c)


class Zuko(Contestant):
    """zuko: a lazy flow of GeneralCouplingTransform."""

    name = "zuko"

    def __init__(self, config: Configuration) -> None:
        from zuko.distributions import DiagNormal
        from zuko.flows.core import Flow
        from zuko.flows.coupling import GeneralCouplingTransform
        from zuko.lazy import UnconditionalDistribution
        from zuko.transforms import MonotonicRQSTransform

        univariate = {}
        if config.kind == "spline":
            bins = config.bins
            univariate = {
                "univariate": partial(MonotonicRQSTransform, slope=1e-3),
                "shapes": [(bins,), (bins,), (bins - 1,)],
            }
        half = torch.arange(config.features) < config.features // 2
        transforms = [
            GeneralCouplingTransform(
                config.features,
                config.condition,
                mask=half if i % 2 else ~half,
                hidden_features=(config.width, config.width),
                **univariate,
            )
            for i in range(config.transforms)
        ]
        base = UnconditionalDistribution(
            DiagNormal, torch.zeros(config.features), torch.ones(config.features), buffer=True
        )
        super().__init__(Flow(transforms, base))

    def log_prob(self, x: Tensor, c: Tensor) -> Tensor:
        return self.module(c).log_prob(x)

    def sample(self, z: Tensor, c: Tensor) -> Tensor:
        return self.module(c).transform.inv(z)


class Nflows(Contestant):
    """nflows: coupling transforms with its ResidualNet."""

    name = "nflows"

    def __init__(self, config: Configuration) -> None:
        from nflows import distributions, flows, transforms
        from nflows.nn.nets import ResidualNet

        def conditioner(inputs: int, outputs: int) -> nn.Module:
            return ResidualNet(inputs, outputs, config.width, context_features=config.condition, num_blocks=1)

        layers = []
        for i in range(config.transforms):
            mask = [(j < config.features // 2) == bool(i % 2) for j in range(config.features)]
            if config.kind == "affine":
                layer = transforms.AffineCouplingTransform(torch.tensor(mask).float(), conditioner)
            else:
                layer = transforms.PiecewiseRationalQuadraticCouplingTransform(
                    torch.tensor(mask).float(), conditioner, num_bins=config.bins, tails="linear", tail_bound=5.0
                )
            layers.append(layer)
        base = distributions.StandardNormal([config.features])
        super().__init__(flows.Flow(transforms.CompositeTransform(layers), base))

    def log_prob(self, x: Tensor, c: Tensor) -> Tensor:
        return self.module.log_prob(x, c)

    def sample(self, z: Tensor, c: Tensor) -> Tensor:
        return self.module._transform.inverse(z, c)[0]


class Freia(Contestant):
    """FrEIA: one-sided affine couplings with soft clamp (version 0.2 has no spline)."""

    name = "FrEIA"

    def __init__(self, config: Configuration) -> None:
        from FrEIA.framework import SequenceINN
        from FrEIA.modules import AffineCouplingOneSided, PermuteRandom

        if config.kind != "affine":
            raise NotImplementedError("FrEIA 0.2 has no spline coupling")

        def conditioner(inputs: int, outputs: int) -> nn.Module:
            width = config.width
            return nn.Sequential(
                nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs)
            )

        inn = SequenceINN(config.features)
        for i in range(config.transforms):
            if i:
                inn.append(PermuteRandom, seed=i)
            inn.append(AffineCouplingOneSided, cond=0, cond_shape=(config.condition,), subnet_constructor=conditioner)
        super().__init__(inn)

    def log_prob(self, x: Tensor, c: Tensor) -> Tensor:
        z, log_det = self.module(x, [c])
        return log_det - 0.5 * (z.square() + 1.8378770664093453).sum(1)

    def sample(self, z: Tensor, c: Tensor) -> Tensor:
        return self.module(z, [c], rev=True)[0]


CONTESTANTS: tuple[type[Contestant], ...] = (Condflow, Zuko, Nflows, Freia)
