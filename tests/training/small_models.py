"""Parts of recipes for models that are built and fitted in a moment."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, Any] = {"family": "joint", "blocks": 2, "conditioner": {"width": 16, "depth": 1}}
ENCODER: dict[str, Any] = {
    "latent": 6,
    "channels": [8, 8],
    "kernels": [3, 3],
    "residual": [0, 0],
    "seed_channels": 8,
    "decoder_channels": [8, 8],
}
LATENT: dict[str, Any] = {"family": "latent", "autoencoder": ENCODER, "flow": SMALL}
