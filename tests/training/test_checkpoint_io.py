"""Checkpoints: any tree of numbers, text and tensors comes back exactly, without pickle, and never half."""

from __future__ import annotations

import math
import pickletools
from pathlib import Path

import pytest
import torch

from training import checkpoint_io
from training.errors import FitError

TREE = {
    "none": None,
    "text": "ä",
    "number": 0.1,
    "infinite": math.inf,
    "flag": True,
    "list": [1, (2.0, "three"), {}],
    "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.randn(4, 5).t()}, 1: {}},
    "bytes": torch.arange(5, dtype=torch.uint8),
}


def same(left: object, right: object) -> bool:
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return (
            isinstance(right, dict) and list(left) == list(right) and all(same(left[key], right[key]) for key in left)
        )
    if isinstance(left, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


def test_round_trip(tmp_path: Path) -> None:
    checkpoint_io.save(TREE, tmp_path / "a")
    assert same(checkpoint_io.load(tmp_path / "a"), TREE)


def test_tensors_that_share_memory(tmp_path: Path) -> None:
    base = torch.arange(6.0)
    checkpoint_io.save({"a": base, "b": base[2:]}, tmp_path / "a")
    assert same(checkpoint_io.load(tmp_path / "a"), {"a": base, "b": base[2:]})


def test_there_is_no_pickle_in_the_file(tmp_path: Path) -> None:
    checkpoint_io.save(TREE, tmp_path / "a")
    content = (tmp_path / "a").read_bytes()
    with pytest.raises(Exception):  # noqa: B017 (pickletools raises what it likes)
        list(pickletools.genops(content))
    assert content[8:9] == b"{"  # safetensors: eight bytes of length, then JSON


def test_other_things_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="/a/1: a checkpoint holds tensors, numbers and text, not set"):
        checkpoint_io.save({"a": [1, {2}]}, tmp_path / "a")


@pytest.mark.parametrize("damage", ["cut", "other", "empty"])
def test_damaged_files_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a"
    checkpoint_io.save(TREE, path)
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "other": b"x" * 100, "empty": b""}[damage])
    with pytest.raises(FitError, match="not a checkpoint of this program, or damaged"):
        checkpoint_io.load(path)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    checkpoint_io.save({"a": 1}, tmp_path / "a")
    with pytest.raises(TypeError):
        checkpoint_io.save({"a": object()}, tmp_path / "a")
    assert checkpoint_io.load(tmp_path / "a") == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_is_written_by_half_goes_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("old")
    with pytest.raises(OSError, match="disk"), checkpoint_io.whole(path) as partial:
        partial.write_text("ne")
        raise OSError("disk")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("history.csv", "old")]
