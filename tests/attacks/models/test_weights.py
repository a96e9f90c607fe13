"""Hostile weights and prior samples: not finite, not the tensors of the graphs, not a sound safetensors file."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save

from inference import errors
from tests.attacks.models.hostile import GOOD, refused, with_header
from tests.inference import handmade
from tests.inference.conftest import PRIOR_SAMPLE
from tests.inference.graphs import WEIGHTS, Files
from tests.inference.handmade import Version


class TestWeights:
    def replaced(self, **tensors: np.ndarray) -> Files:
        return {**GOOD, WEIGHTS: save({**load_tensors(GOOD[WEIGHTS]), **tensors})}

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_non_finite(self, bad: float) -> None:
        means = handmade.MEANS.copy()
        means[1, 1] = bad
        refused(errors.NonFiniteWeight, self.replaced(means=means), "means")

    def test_wrong_key(self) -> None:
        tensors = load_tensors(GOOD[WEIGHTS])
        tensors["meanz"] = tensors.pop("means")
        refused(errors.WrongKey, {**GOOD, WEIGHTS: save(tensors)}, "'means'")

    def test_wrong_shape(self) -> None:
        refused(errors.WrongShape, self.replaced(means=np.ascontiguousarray(handmade.MEANS.reshape(2, 3))), "means")

    def test_wrong_dtype(self) -> None:
        refused(errors.WrongDtype, self.replaced(means=handmade.MEANS.view(np.int32)), "I32")

    def test_swapped_tensors(self) -> None:
        """Names of the file's tensors exchanged in its header: the offsets no longer fit the graphs."""
        swapped = with_header(GOOD[WEIGHTS], lambda h: h.update(means=h["scales"], scales=h["means"]))
        refused(errors.ForeignExternalData, {**GOOD, WEIGHTS: swapped})

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("empty", b""),
            ("short", b"\x02\0\0"),
            ("header longer than the file", struct.pack("<Q", 2**63) + b"{}"),
            ("header of gigabytes", struct.pack("<Q", 12 << 30) + b"{}" * 10),
            ("not JSON", struct.pack("<Q", 4) + b"{{{{"),
            ("not UTF-8", struct.pack("<Q", 2) + b"\xff\xff"),
            ("a list", struct.pack("<Q", 2) + b"[]"),
            ("deep", struct.pack("<Q", 200_000) + b"[" * 200_000),
            ("pickle", b"\x80\x04\x95" + b"." * 30),
        ],
    )
    def test_malformed_file(self, name: str, content: bytes) -> None:
        refused(errors.MalformedWeights, {**GOOD, WEIGHTS: content})

    @pytest.mark.parametrize(
        "change",
        [
            lambda h: h["means"].update(data_offsets=[0, 2**40]),
            lambda h: h["means"].update(data_offsets=[-8, 16]),
            lambda h: h["means"].update(data_offsets=[24, 0]),
            lambda h: h["means"].update(data_offsets=[0.0, 24.0]),
            lambda h: h["means"].update(data_offsets=[True, 24]),
            lambda h: h["means"].update(data_offsets=[0, 24, 24]),
            lambda h: h["means"].update(shape=[2**40, 2**40]),
            lambda h: h["means"].update(shape=[-3, -2]),
            lambda h: h["means"].update(shape=[1] * 30 + [3, 2]),
            lambda h: h["means"].update(shape="32"),
            lambda h: h["means"].update(dtype="O"),
            lambda h: h["means"].update(dtype=["F32"]),
            lambda h: h["means"].update(extra=1),
            lambda h: h["scales"].update(data_offsets=h["means"]["data_offsets"], shape=[6]),  # overlap
            lambda h: h.pop("scales"),  # a gap
            lambda h: h.update(means=[1]),
            lambda h: h.update(empty={"dtype": "F32", "shape": [0], "data_offsets": [2, 2]}),
        ],
    )
    def test_malformed_header(self, change: Callable[[dict], None]) -> None:
        refused(errors.MalformedWeights, {**GOOD, WEIGHTS: with_header(GOOD[WEIGHTS], change)})

    def test_key_twice(self) -> None:
        size = int.from_bytes(GOOD[WEIGHTS][:8], "little")
        header, data = GOOD[WEIGHTS][8 : 8 + size].strip(), GOOD[WEIGHTS][8 + size :]
        header = header[:-1] + b"," + header[1:]
        content = len(header).to_bytes(8, "little") + header + data
        refused(errors.MalformedWeights, {**GOOD, WEIGHTS: content}, "twice")

    def test_trailing_bytes(self) -> None:
        refused(errors.MalformedWeights, {**GOOD, WEIGHTS: GOOD[WEIGHTS] + b"PK\x03\x04"}, "tensors end at")


class TestPriorSample:
    def files(self, **tensors: np.ndarray) -> tuple[Version, Files]:
        version = handmade.coupled_vector(PRIOR_SAMPLE)
        return version, {**version.files(), "prior_sample.safetensors": save(tensors)}

    @pytest.mark.parametrize(
        ("error", "tensors"),
        [
            (errors.WrongKey, {"conditions": PRIOR_SAMPLE}),
            (errors.WrongDtype, {"condition": PRIOR_SAMPLE.astype(np.float64)}),
            (errors.WrongShape, {"condition": np.zeros((5, 3), np.float32)}),
            (errors.WrongShape, {"condition": np.zeros((0, 2), np.float32)}),
            (errors.WrongShape, {"condition": np.zeros(2, np.float32)}),
            (errors.NonFiniteWeight, {"condition": np.full((5, 2), np.inf, np.float32)}),
        ],
    )
    def test_refused(self, error: type[errors.LoadError], tensors: dict[str, np.ndarray]) -> None:
        version, files = self.files(**tensors)
        refused(error, files, version=version)

    def test_for_labels(self) -> None:
        files = {**GOOD, "prior_sample.safetensors": save({"condition": PRIOR_SAMPLE})}
        refused(errors.InconsistentManifest, files, "vector conditions")
