"""Graphs that others exported: what they may leave open, what must agree, and what becomes of their weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.external_data_helper import set_external_data

from inference import answer, encode, infer_condition, load, log_likelihood, sample
from inference.errors import LoadError, SignatureMismatch
from inference.graph_checks import WEIGHTS
from inference.publishing import publish
from inference.publishing.given import Given, Refusal, read_signature
from inference.publishing.trial import try_out
from inference.weights import read_tensors
from model_store.signature import ArraySpec, Part, Signature
from model_store.store import Store
from tests.inference import handmade
from tests.inference.brought import Change, write
from tests.inference.graphs import GraphBuilder
from tests.inference.handmade import Version

ROOT = Path(__file__).parents[2]
SIZE = 32


def wide() -> Version:
    """x = z A in 32-D with A = 2 I: a matrix of 4 KB that decode and score both hold, and score turned over."""
    signature = Signature(
        data=ArraySpec(shape=(SIZE,)), latent=(Part(name="z", shape=(SIZE,)),), operations=("decode", "score")
    )
    decode, score = GraphBuilder({}), GraphBuilder({})
    decode.op("MatMul", "z", decode.constant(2 * np.eye(SIZE)), output="x")
    halved = score.op("Div", score.op("MatMul", "x", score.constant(2 * np.eye(SIZE))), score.constant(4.0))
    handmade._normal(score, halved, 1, SIZE, SIZE * float(np.log(2)))
    return handmade._version(signature, {}, decode=decode, score=score)


def tensor_of(model: onnx.ModelProto) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [SIZE, SIZE])


def refused(folder: Path, message: str, version: Version, operation: str, change: Change) -> None:
    given = write(folder, version, operation, change)
    with pytest.raises((LoadError, Refusal), match=message):
        try_out(given)


def test_weights_are_stored_once(tmp_path: Path) -> None:
    report, files = try_out(write(tmp_path, wide()))
    entries = read_tensors(files[WEIGHTS], WEIGHTS).entries
    assert [entry.shape for entry in entries.values()] == [(SIZE, SIZE)]
    assert max(len(files["decode.onnx"]), len(files["score.onnx"])) < 4 * SIZE * SIZE
    assert report.parameters == SIZE * SIZE
    assert {check.name: check.value is not None for check in report.checks} == {
        "rows": True,
        "far out": False,
        "round trip": False,  # there is no encode
        "change of variables": True,
    }


def test_the_range_of_the_prior_sample_is_kept_unless_the_signature_names_one(tmp_path: Path) -> None:
    np.save(tmp_path / "prior.npy", np.array([[0.0, 5.0], [1.0, -5.0]]))
    for version, expected in (
        (handmade.coupled_vector(None), ((0.0, -5.0), (1.0, 5.0))),
        (handmade.coupled_vector(None, (-9.0, -9.0), (9.0, 9.0)), ((-9.0, -9.0), (9.0, 9.0))),
    ):
        given = write(tmp_path, version).model_copy(update={"prior_sample": tmp_path / "prior.npy"})
        condition = try_out(given)[0].signature.condition
        assert (condition.least, condition.greatest) == expected


def test_external_data_beside_the_graph(tmp_path: Path) -> None:
    def outside(model: onnx.ModelProto) -> None:
        tensor = tensor_of(model)
        (tmp_path / "decode.onnx.data").write_bytes(b"\0" * 64 + tensor.raw_data)
        set_external_data(tensor, "decode.onnx.data", offset=64, length=len(tensor.raw_data))
        tensor.ClearField("raw_data")

    _, files = try_out(write(tmp_path, wide(), "decode", outside))
    assert len(read_tensors(files[WEIGHTS], WEIGHTS).entries) == 1


def test_what_an_exporter_lost_is_completed(tmp_path: Path) -> None:
    """Output shapes, the order of inputs, recorded shapes and paths; the answers stay."""

    def blur(model: onnx.ModelProto) -> None:
        model.graph.input.reverse()
        model.graph.output[0].type.tensor_type.shape.dim[1].ClearField("value")
        model.graph.value_info.add(name="value_0")
        model.graph.node[0].doc_string = "/home/somebody/secret.py"
        model.producer_name, model.producer_version = "exporter", "1.0"

    report, files = try_out(write(tmp_path, handmade.labels(), "decode", blur))
    assert report.graphs["decode"].producer == "exporter 1.0"
    assert b"secret" not in files["decode.onnx"]
    graph = onnx.load_from_string(files["decode.onnx"]).graph
    assert [value.name for value in graph.input] == ["z", "condition"]
    assert [dim.dim_value for dim in graph.output[0].type.tensor_type.shape.dim] == [0, 2]


@pytest.mark.parametrize("name", ["labels", "padded_labels", "images", "image_condition", "unconditional"])
def test_every_kind_of_flow_passes(name: str, tmp_path: Path) -> None:
    version = getattr(handmade, name)()
    report, _ = try_out(write(tmp_path, version))
    assert report.signature.model_dump(exclude={"operations"}) == version.signature.model_dump(exclude={"operations"})


def test_the_command_publishes_what_answers(tmp_path: Path) -> None:
    given = write(tmp_path, handmade.coupled_vector(None))
    prior = np.random.default_rng(0).standard_normal((2000, 2))
    np.save(tmp_path / "prior.npy", prior)
    options = [word for name, path in given.graphs.items() for word in (f"--{name}", str(path))]
    options += ["--signature", str(given.signature), "--prior-sample", str(tmp_path / "prior.npy")]
    done = subprocess.run(
        [sys.executable, "-m", "inference", "publish-onnx", "mine", *options],
        cwd=ROOT,
        env={**os.environ, "CONDFLOW_STORE": str(tmp_path / "store")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "published mine@1" in done.stdout
    store = Store.open(tmp_path / "store")
    manifest = store.resolve("mine", "champion")
    assert (manifest.family, manifest.lineage.recipe) == ("onnx", "publish-onnx")
    assert set(manifest.lineage.config["graphs"]) == set(given.graphs)
    assert "change of variables" in store.read(manifest, "card.md").decode()
    loaded = load(store, "mine")
    drawn = answer(loaded.engine, sample(loaded, [0.5, -1.0], 4, seed=2, return_latent=True))
    assert drawn.latent is not None
    x = handmade.VECTOR @ np.array([0.5, -1.0]) + 0.5 * drawn.latent["z"]
    np.testing.assert_allclose(drawn.samples, x, rtol=1e-5)
    assert answer(loaded.engine, log_likelihood(loaded, x, [0.5, -1.0])).estimator == "exact"
    np.testing.assert_allclose(
        answer(loaded.engine, encode(loaded, x, [0.5, -1.0])).latent["z"], drawn.latent["z"], 1e-4
    )
    assert answer(loaded.engine, infer_condition(loaded, x)).condition.shape == (4, 2)
    loaded.close()
    beside_a_gpu = load(store, "mine", device="cuda")  # there is no architecture to build there
    assert beside_a_gpu.engine.device == "cpu"
    beside_a_gpu.close()


class TestReference:
    """`--reference`: scores of rows, as /loglik gives them, against which it then tells percentiles."""

    def rows(self, count: int = 200) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(3)
        condition = rng.integers(0, 3, count)
        x = handmade.MEANS[condition] + handmade.SCALES * rng.standard_normal((count, 2))
        return {"x": x.astype(np.float32), "condition": condition}

    def given(self, folder: Path, version: Version, **arrays: np.ndarray) -> Given:
        np.savez(folder / "rows.npz", **arrays)
        return write(folder, version).model_copy(update={"reference": folder / "rows.npz", "draws": 16})

    def test_percentiles_are_read_against_it(self, tmp_path: Path) -> None:
        rows = self.rows()
        store = Store.open(tmp_path / "store")
        manifest, report = publish(self.given(tmp_path, handmade.labels(), **rows), store, "mine")
        assert report.reference is not None and report.reference.rows == 200
        scores = manifest.validation_scores
        assert (len(scores.conditional), len(scores.marginal), scores.draws) == (200, 200, 1)
        assert manifest.metrics["reference_nll"] == pytest.approx(-np.mean(scores.conditional), abs=1e-3)
        loaded = load(store, "mine")
        for condition, stored in ((rows["condition"], scores.conditional), (None, scores.marginal)):
            found = answer(loaded.engine, log_likelihood(loaded, rows["x"], condition))
            np.testing.assert_allclose(np.sort(found.log_likelihood), stored, atol=1e-4)
            assert found.percentile is not None and found.p_value is not None
            assert np.corrcoef(found.percentile, found.log_likelihood.argsort().argsort())[0, 1] > 0.999
        far = answer(loaded.engine, log_likelihood(loaded, [50.0, 50.0], 0))
        assert far.percentile is not None and far.p_value is not None
        assert far.percentile[0] == 0 and far.p_value[0] < 0.01
        assert "200 reference rows" in store.read(manifest, "card.md").decode()
        loaded.close()

    def test_class_names_will_do(self, tmp_path: Path) -> None:
        rows = self.rows()
        by_name = {**rows, "condition": np.array(handmade.CLASSES)[rows["condition"]]}
        one, _ = try_out(self.given(tmp_path, handmade.labels(), **rows))
        two, _ = try_out(self.given(tmp_path, handmade.labels(), **by_name))
        assert one.reference is not None and two.reference is not None
        assert one.reference.scores == two.reference.scores and one.reference.digest != two.reference.digest

    def test_noise_is_drawn_as_often_as_asked(self, tmp_path: Path) -> None:
        rows = {**self.rows(30), "x": self.rows(30)["x"][:, :1]}
        store = Store.open(tmp_path / "store")
        manifest, _ = publish(self.given(tmp_path, handmade.padded_labels(), **rows), store, "mine")
        assert manifest.validation_scores.draws == 16
        loaded = load(store, "mine")
        found = answer(loaded.engine, log_likelihood(loaded, rows["x"], rows["condition"]))
        assert found.draws == 16 and found.percentile is not None
        np.testing.assert_allclose(np.sort(found.log_likelihood), manifest.validation_scores.conditional, atol=1e-3)
        loaded.close()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"condition": None}, r"expected the arrays \['condition', 'x'\], got \['x'\]"),
            ({"y": np.zeros(3)}, r"got \['condition', 'x', 'y'\]"),
            ({"x": np.zeros((200, 3))}, r"rows.npz: x: expected shape \[200, 2\] \(2 numbers per row\), got"),
            ({"x": np.full((200, 2), np.nan)}, "rows.npz: x/0/0: expected a finite number"),
            ({"condition": np.full(200, 3)}, "rows.npz: condition/0: expected a class index 0..2"),
            ({"condition": np.zeros(3, int)}, "as many conditions as rows"),
            ({"x": np.zeros((19, 2)), "condition": np.zeros(19, int)}, "19 of 19 rows have a finite log-likelihood"),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self, change: dict[str, np.ndarray | None], message: str, tmp_path: Path
    ) -> None:
        arrays = {name: array for name, array in {**self.rows(), **change}.items() if array is not None}
        with pytest.raises(Refusal, match=message):
            try_out(self.given(tmp_path, handmade.labels(), **arrays))


class TestContradictions:
    """Each message names the graph, the tensor and what was expected."""

    def test_fixed_rows(self, tmp_path: Path) -> None:
        def fix(model: onnx.ModelProto) -> None:
            model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1

        refused(
            tmp_path, r"decode.onnx: input 'z' has shape \(1, 2\).*dynamic first axis", handmade.labels(), "decode", fix
        )

    def test_double_precision(self, tmp_path: Path) -> None:
        def double(model: onnx.ModelProto) -> None:
            model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE

        refused(tmp_path, "score.onnx: input 'x' is float64, expected float32", handmade.labels(), "score", double)

    def test_names(self, tmp_path: Path) -> None:
        def rename(model: onnx.ModelProto) -> None:
            model.graph.output[0].name = "sample"

        refused(
            tmp_path, r"decode.onnx: outputs are \['sample'\], expected \['x'\]", handmade.labels(), "decode", rename
        )

    def test_hidden_shape(self, tmp_path: Path) -> None:
        """What is declared agrees, what comes out does not."""

        def widen(model: onnx.ModelProto) -> None:
            model.graph.node[-1].output[0] = "narrow"
            model.graph.node.append(onnx.helper.make_node("Concat", ["narrow", "narrow"], ["x"], axis=1))

        given = write(tmp_path, handmade.labels(), "decode", widen)
        with pytest.raises(
            Exception, match=r"(?s)output x has shape \(7, 4\), expected \(7, 2\)|ONNX Runtime|x.*shape"
        ):
            try_out(given)

    def test_rows_that_touch(self, tmp_path: Path) -> None:
        def normalise(model: onnx.ModelProto) -> None:
            model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "rows"))
            model.graph.node[-1].output[0] = "own"
            model.graph.node.append(onnx.helper.make_node("ReduceMean", ["own", "rows"], ["mean"]))
            model.graph.node.append(onnx.helper.make_node("Sub", ["own", "mean"], ["x"]))

        refused(
            tmp_path, "decode.onnx: 'x' of the first 1 of 7 rows.*eval mode", handmade.labels(), "decode", normalise
        )

    def test_a_mask_that_may_be_empty(self, tmp_path: Path) -> None:
        """The first row within |z| < 5 is looked up, as graphs do that were traced through a spline's inside."""

        def look_up(model: onnx.ModelProto) -> None:
            constants = {"box": np.float32(5), "first": np.array([0]), "nothing": np.float32(0)}
            model.graph.initializer.extend(numpy_helper.from_array(np.array(v), k) for k, v in constants.items())
            model.graph.node[-1].output[0] = "own"
            for operator, taken, given in (
                ("Abs", ["z"], "size"),
                ("Less", ["size", "box"], "inside"),
                ("NonZero", ["inside"], "places"),
                ("Cast", ["places"], "numbers"),
                ("Gather", ["numbers", "first"], "one"),
                ("ReduceMax", ["one"], "top"),
                ("Mul", ["top", "nothing"], "zero"),
                ("Add", ["own", "zero"], "x"),
            ):
                attributes = {"Cast": {"to": 1}, "Gather": {"axis": 1}, "ReduceMax": {"keepdims": 0}}.get(operator, {})
                model.graph.node.append(onnx.helper.make_node(operator, taken, [given], **attributes))

        refused(tmp_path, "decode.onnx: it fails on one row far out", handmade.labels(), "decode", look_up)

    def test_not_finite(self, tmp_path: Path) -> None:
        def overflow(model: onnx.ModelProto) -> None:
            model.graph.node[-1].output[0] = "own"
            model.graph.node.append(onnx.helper.make_node("Log", ["own"], ["x"]))

        refused(tmp_path, "decode.onnx: .* numbers of 'x' are not finite", handmade.labels(), "decode", overflow)

    def test_a_forgotten_log_determinant(self, tmp_path: Path) -> None:
        def forget(model: onnx.ModelProto) -> None:
            constant = model.graph.initializer[-1]
            constant.CopyFrom(numpy_helper.from_array(np.float32(-np.log(2 * np.pi)), constant.name))

        refused(tmp_path, "score.onnx: 'log_weight' is .* nats away", handmade.labels(), "score", forget)

    def test_an_encode_that_is_no_inverse(self, tmp_path: Path) -> None:
        def turn(model: onnx.ModelProto) -> None:
            model.graph.node[-1].op_type = "Mul"

        refused(tmp_path, "encode.onnx: decode.encode.x.. is", handmade.labels(), "encode", turn)

    def test_names_of_other_inputs(self, tmp_path: Path) -> None:
        with pytest.raises(SignatureMismatch, match=r"score.onnx: inputs are \['x', 'z'\], expected \['x'\]"):
            try_out(
                write(
                    tmp_path,
                    handmade.labels(),
                    "score",
                    lambda model: model.graph.input.append(
                        onnx.helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 2])
                    ),
                )
            )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "expected a signature in JSON"),
        (b"[1]", "expected a JSON object"),
        (b'{"latent": []}', "data: Field required"),
        (b'{"data": {"shape": [2]}, "latent": [{"name": "z", "shape": [2]}], "colour": 1}', "colour: Extra inputs"),
        (b'{"data": {"shape": [2]}, "latent": [{"name": "x", "shape": [2]}]}', "latent and noise: expected names"),
        (b'{"data": {"shape": [99999999999]}, "latent": [{"name": "z", "shape": [2]}]}', "data: expected at most"),
        (b'{"data": {"shape": [2]}, "latent": [{"name": "z", "shape": [2]}], "operations": ["score"]}', "operations"),
        (b"[" * 100_000, "expected a signature in JSON"),
        (b'{"embedding": [4]}', "embedding: a brought flow has none, .* leave the key out"),
        (b'{"embedding": null, "operations": ["decode", "embed", "score"]}', "embedding: a brought flow has none"),
        (b'{"data": {"shape": [2]}, "embedding": null, "latent": []}', "latent: Tuple should have at least 1 item"),
    ],
)
def test_signatures_that_are_none(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "signature.json"
    path.write_bytes(content)
    with pytest.raises(Refusal, match=message):
        read_signature(Given(signature=path, graphs={"decode": tmp_path, "score": tmp_path}))
