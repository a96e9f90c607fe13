"""Conditional normalizing flows: bijections, conditioners, densities, and the models made of them.

>>> import torch
>>> config = JointConfig(data={"shape": (2,)}, condition={"kind": "label", "classes": 3}, blocks=2)
>>> model = build(config)
>>> x, padding, label = torch.zeros(4, 2), torch.zeros(4, 3), torch.tensor([0, 1, 2, 0])
>>> model.log_weight(x, (padding,), label).shape, model.score(x, (padding,), None).shape
(torch.Size([4]), torch.Size([4, 3]))
"""

from flows.architecture import build, load_architecture
from flows.config import Architecture, CouplingConfig, JointConfig, LatentConfig
from flows.functions import functions
from flows.models.base import Model, Part

__all__ = [
    "Architecture",
    "CouplingConfig",
    "JointConfig",
    "LatentConfig",
    "Model",
    "Part",
    "build",
    "functions",
    "load_architecture",
]
