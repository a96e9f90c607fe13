"""The referee: a small convolutional classifier, independent of every flow, that judges samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from training.datasets.base import Dataset, Split

FEATURES = 64
_BATCH = 256


class Referee(nn.Module):
    """Images (rows, C, H, W) of values 0..peak to class scores; `features` is the layer before the last, (rows, 64)."""

    def __init__(self, channels: int, peak: float, classes: int) -> None:
        super().__init__()
        self.peak = peak
        self.body = nn.Sequential(
            _block(channels, 32),
            nn.MaxPool2d(2),
            _block(32, 64),
            nn.MaxPool2d(2),
            _block(64, 128),
            nn.AdaptiveAvgPool2d(3),
        )
        self.dense = nn.Linear(128 * 9, FEATURES)
        self.head = nn.Linear(FEATURES, classes)

    def features(self, x: Tensor) -> Tensor:
        """What precision, recall and distances are measured on."""
        return functional.relu(self.dense(self.body(x / self.peak).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        return self.head(functional.dropout(self.features(x), 0.3, self.training))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def referee(
    dataset: Dataset, folder: Path, *, epochs: int = 8, seed: int = 1, say: Callable[[str], None] = print
) -> Referee:
    """Train on the training split, or take the weights that an equal training left in `folder`.

    Batches, shifts by up to two pixels and initial weights follow from `seed`; the rate is a one-cycle.
    """
    classes = len(dataset.class_prior or ())
    torch.manual_seed(seed)
    network = Referee(dataset.data.shape[0], dataset.data.levels - 1.0, classes)
    kept = folder / f"referee-{dataset.name}-{dataset.digest[:12]}-{epochs}-{seed}.safetensors"
    if kept.exists():
        network.load_state_dict(load_file(kept))
        return network.eval()
    generator = torch.Generator().manual_seed(seed)
    rows = len(dataset.train)
    steps = epochs * (rows // _BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=max(steps, 1))
    network.train()
    for epoch in range(epochs):
        order = torch.randperm(rows, generator=generator).numpy()
        for start in range(0, rows - _BATCH + 1, _BATCH):
            x, labels = _batch(dataset.train, np.sort(order[start : start + _BATCH]))
            loss = functional.cross_entropy(network(_shifted(x, generator)), labels, label_smoothing=0.05)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
        say(f"referee of {dataset.name}: epoch {epoch + 1} of {epochs}, loss {loss.item():.3f}")
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), kept)
    return network.eval()


@torch.no_grad()
def judge(network: Referee, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Most probable class (rows,) and features (rows, 64) of images (rows, C, H, W)."""
    labels, features = [], []
    for start in range(0, len(images), 1000):
        found = network.features(torch.from_numpy(images[start : start + 1000].astype(np.float32)))
        labels.append(network.head(found).argmax(1).numpy())
        features.append(found.numpy())
    return np.concatenate(labels), np.concatenate(features)


def _batch(split: Split, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    assert split.condition is not None
    return torch.from_numpy(split.x[rows].astype(np.float32)), torch.from_numpy(np.asarray(split.condition[rows]))


def _shifted(x: Tensor, generator: torch.Generator, most: int = 2) -> Tensor:
    """The batch moved by one random whole number of pixels each way, black coming in."""
    down, right = (int(v) for v in torch.randint(0, 2 * most + 1, (2,), generator=generator))
    height, width = x.shape[2:]
    return functional.pad(x, (most,) * 4)[:, :, down : down + height, right : right + width]
