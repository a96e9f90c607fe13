"""Augmentation: whole pixels move, nothing else changes."""

from __future__ import annotations

import torch

from training.augmentation import Augmentation, erased, shifted


def test_each_image_is_one_of_its_shifts() -> None:
    torch.manual_seed(0)
    images = torch.rand(40, 2, 6, 5)
    moved = shifted(images, 1, flip=True)
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    for image, source in zip(moved, padded, strict=True):
        windows = [source[:, i : i + 6, j : j + 5] for i in range(3) for j in range(3)]
        assert any(torch.equal(image, window) or torch.equal(image, window.flip(2)) for window in windows)
    copies = shifted(images[:1].expand(200, -1, -1, -1), 1, flip=True)
    assert len({tuple(image.flatten().tolist()) for image in copies}) == 18


def test_erasing_removes_one_rectangle() -> None:
    torch.manual_seed(0)
    images = torch.ones(200, 1, 28, 28)
    result = erased(images, 0.5, 4, 12)
    touched = [image for image in result if image.min() == 0]
    assert 70 < len(touched) < 130
    for image in touched:
        rows, columns = torch.where(image[0] == 0)
        height, width = int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
        assert len(rows) == height * width and 4 <= height <= 12 and 4 <= width <= 12


def test_shift_flip_and_erasure_come_together() -> None:
    images = torch.rand(4, 1, 28, 28)
    seen = Augmentation(shift=2, flip=True, erase=1.0)(images)
    assert seen.shape == images.shape and not torch.equal(seen, images)
    assert Augmentation()(images) is images


def test_the_first_rows_can_be_left_as_they_are() -> None:
    torch.manual_seed(0)
    images = torch.rand(5, 1, 28, 28)
    seen = Augmentation(erase=1.0, share=0.5)(images)
    assert torch.equal(seen[:2], images[:2])
    assert all((image == 0).any() for image in seen[2:])
