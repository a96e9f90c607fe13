"""Probes whose stored answers the version does not give."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save

from inference import errors, load_version
from tests.attacks.models.hostile import GOOD, refused
from tests.inference import handmade
from tests.inference.graphs import WEIGHTS, Files, manifest


class TestProbe:
    def probe(self, change: Callable[[dict[str, np.ndarray]], object]) -> Files:
        tensors = load_tensors(GOOD["probe.safetensors"])
        change(tensors)
        return {**GOOD, "probe.safetensors": save(tensors)}

    def test_other_answers(self) -> None:
        def change(tensors: dict[str, np.ndarray]) -> None:
            tensors["score.output.log_weight"] = tensors["score.output.log_weight"] + np.float32(0.1)

        refused(errors.ProbeFailed, self.probe(change), "6 of 6 answers are off")

    def test_other_shape(self) -> None:
        def change(tensors: dict[str, np.ndarray]) -> None:
            tensors["decode.output.x"] = np.ascontiguousarray(tensors["decode.output.x"][:1])

        refused(errors.ProbeFailed, self.probe(change), "has shape")

    def test_nan_answers(self) -> None:
        def change(tensors: dict[str, np.ndarray]) -> None:
            tensors["decode.output.x"] = np.full_like(tensors["decode.output.x"], np.nan)

        refused(errors.ProbeFailed, self.probe(change))

    def test_weights_of_another_model(self) -> None:
        tensors = {**load_tensors(GOOD[WEIGHTS]), "means": handmade.MEANS + 1}
        refused(errors.ProbeFailed, {**GOOD, WEIGHTS: save(tensors)})

    def test_input_missing(self) -> None:
        refused(errors.SignatureMismatch, self.probe(lambda tensors: tensors.pop("encode.input.condition")))

    def test_output_missing(self) -> None:
        refused(errors.WrongKey, self.probe(lambda tensors: tensors.pop("encode.output.z")))

    def test_label_out_of_range(self) -> None:
        def change(tensors: dict[str, np.ndarray]) -> None:
            tensors["decode.input.condition"] = np.array([0, 77])

        refused(errors.ProbeFailed, self.probe(change))

    def test_integers_may_round_the_other_way_once(self) -> None:
        version = handmade.images()
        files = version.files()
        tensors = load_tensors(files["probe.safetensors"])
        pixels = tensors["decode.output.x"].astype(int)
        for changes, error in ((1, None), (2, errors.ProbeFailed)):
            moved = pixels.copy()
            moved.reshape(-1)[:changes] += np.where(moved.reshape(-1)[:changes] > 0, -1, 1)
            hostile = {**files, "probe.safetensors": save({**tensors, "decode.output.x": moved.astype(np.uint8)})}
            if error is None:
                load_version(manifest(version.signature, hostile), hostile).close()
            else:
                refused(error, hostile, version=version)
