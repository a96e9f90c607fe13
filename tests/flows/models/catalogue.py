"""One small model per family and kind of condition, with random weights, and random inputs for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from flows import Model, Part, build
from flows.architecture import Architecture
from flows.config import CouplingConfig, JointConfig, LatentConfig

LABEL = {"kind": "label", "classes": 3}
VECTOR = {"kind": "vector", "size": 2}
IMAGE = {"kind": "image", "shape": (1, 4, 4), "levels": 17}
SMALL: dict[str, Any] = {"blocks": 3, "conditioner": {"width": 24}}
REAL = {"shape": (4,)}
AUTOENCODER = {
    "latent": 6,
    "channels": (4, 8),
    "kernels": (4, 3),
    "residual": (0, 1),
    "seed_channels": 4,
    "decoder_channels": (8, 4),
}
DIGITS = {"shape": (1, 8, 8), "levels": 17}

CATALOGUE: dict[str, Architecture] = {
    "joint-none": JointConfig(data=REAL, **SMALL),
    "joint-label": JointConfig(data=REAL, condition=LABEL, **SMALL),
    "joint-vector": JointConfig(data=REAL, condition=VECTOR, **SMALL),
    "joint-without-padding": JointConfig(data=REAL, condition=LABEL, padding=0, mixing="lu", **SMALL),
    "joint-integers": JointConfig(data={"shape": (3,), "levels": 5}, condition=LABEL, padding=1, **SMALL),
    "joint-partitioned": JointConfig(data=REAL, condition=LABEL, mixing="partitioned", **{**SMALL, "blocks": 2}),
    "coupling-none": CouplingConfig(data=REAL, mixing="lu", **SMALL),
    "coupling-label": CouplingConfig(data=REAL, condition=LABEL, prior="conditional", **SMALL),
    "coupling-vector": CouplingConfig(
        data=REAL,
        condition=VECTOR,
        coupling={"kind": "spline"},
        blocks=2,
        conditioner={"kind": "residual", "width": 16},
    ),
    "coupling-image": CouplingConfig(
        data={"shape": (1, 3, 3)}, condition=IMAGE, coupling={"kind": "additive"}, prior="conditional", **SMALL
    ),
    "coupling-integers": CouplingConfig(data=DIGITS, condition=LABEL, mixing="none", **SMALL),
    "coupling-support": CouplingConfig(
        data={"shape": (2,)},
        preprocessing=({"kind": "support", "lower": (0, None), "upper": (1, 3)}, {"kind": "standardize"}),
        **SMALL,
    ),
    "latent-joint": LatentConfig(
        data=DIGITS,
        condition=LABEL,
        autoencoder=AUTOENCODER | {"detail": 3},
        gradient="through",
        flow={"family": "joint", **SMALL},
    ),
    "latent-gradients": LatentConfig(
        data=DIGITS,
        condition=LABEL,
        autoencoder={
            "latent": 6,
            "detail": 2,
            "stem": "gradients",
            "channels": (4,),
            "kernels": (3,),
            "strides": (1,),
            "residual": (0,),
            "dense": (16,),
            "decoder_dense": (16,),
            "decoder_channels": (),
            "predict_gradients": True,
        },
        flow={"family": "joint", **SMALL},
    ),
    "latent-coupling": LatentConfig(
        data=DIGITS, condition=VECTOR, autoencoder=AUTOENCODER, flow={"family": "coupling", **SMALL}
    ),
}


def random_model(
    config: Architecture, seed: int = 0, spread: float = 0.15, dtype: torch.dtype = torch.float64
) -> Model:
    """A model in eval mode that is not the identity: preprocessing fitted to random data, then all weights moved."""
    torch.manual_seed(seed)
    model = build(config).to(dtype)
    x, _, condition = random_inputs(model, 64, seed)
    model.eval()
    model.fit_preprocessing(x, condition)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += spread * torch.randn_like(parameter)
    return model


def random_inputs(model: Model, rows: int, seed: int = 1) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None]:
    """x within its support, noise and condition."""
    generator = torch.Generator().manual_seed(seed)
    dtype = next(model.parameters()).dtype
    shape = (rows, *model.data.shape)
    if model.data.levels is not None:
        x = torch.randint(model.data.levels, shape, generator=generator).to(dtype)
    else:
        x = 0.1 + 0.8 * torch.rand(shape, generator=generator, dtype=dtype)  # inside every support of the catalogue
    noise = tuple(draw(part, rows, generator).to(dtype) for part in model.noise)
    return x, noise, random_condition(model, rows, generator)


def random_condition(model: Model, rows: int, generator: torch.Generator) -> Tensor | None:
    """Conditions of the model's kind."""
    dtype = next(model.parameters()).dtype
    condition = model.condition
    match condition.kind:
        case "label":
            return torch.randint(condition.classes, (rows,), generator=generator)
        case "vector":
            return 3 + 2 * torch.randn(rows, condition.size, generator=generator, dtype=dtype)
        case "image":
            return torch.randint(17, (rows, *condition.shape), generator=generator).to(dtype)
    return None


def random_latent(model: Model, rows: int, seed: int = 2) -> tuple[Tensor, ...]:
    """Standard normal latent parts."""
    generator = torch.Generator().manual_seed(seed)
    dtype = next(model.parameters()).dtype
    return tuple(draw(part, rows, generator).to(dtype) for part in model.latent)


def draw(part: Part, rows: int, generator: torch.Generator) -> Tensor:
    """One part's noise."""
    function = torch.randn if part.distribution == "normal" else torch.rand
    return function((rows, *part.shape), generator=generator)
