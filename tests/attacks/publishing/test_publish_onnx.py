"""Hostile graphs brought to `publish-onnx`: each is refused with its reason, and the store is as it was."""

from __future__ import annotations

import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from inference.errors import ForeignExternalData, ForeignOperator, LoadError, MalformedGraph, WrongShape
from inference.publishing import Limits, TrialFailed, isolated, publish, sandbox
from inference.publishing.given import Refusal
from inference.publishing.trial import try_out
from model_store.manifest import Draft
from model_store.store import Store
from tests.inference import handmade
from tests.inference.brought import Change, write
from tests.service.harness import until

SMALL = Limits(memory=1024, seconds=20)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with one version; at the end it must be what it was."""
    root = tmp_path / "store"
    store = Store.open(root)
    made = handmade.labels()
    fields = made.manifest().model_dump(include=set(Draft.model_fields))
    store.publish(Draft.model_validate(fields), made.files())
    before = everything(root)
    yield store
    assert everything(root) == before
    assert list(store.models()) == ["handmade"]


def everything(root: Path) -> dict[str, tuple[int, int]]:
    paths = (path for path in root.rglob("*"))
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


def endless(model: onnx.ModelProto) -> None:
    """A Loop without a trip count whose condition stays true."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["kept"], ["more"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("kept", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, None),
        ],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "true"))
    model.graph.node[-1].output[0] = "own"
    model.graph.node.append(helper.make_node("Loop", ["", "true", "own"], ["x"], body=body))


def custom_domain(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("PyOp", ["z"], ["more"], domain="ai.onnx.contrib"))
    model.opset_import.append(helper.make_opsetid("ai.onnx.contrib", 1))


def greedy(model: onnx.ModelProto) -> None:
    """64 GiB, asked for at run time."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([1 << 14, 1 << 20, 1]), "huge"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 1]), "axes"))
    model.graph.node[-1].output[0] = "own"
    model.graph.node.append(helper.make_node("ReduceSum", ["own"], ["total"], keepdims=0))
    model.graph.node.append(helper.make_node("Expand", ["total", "huge"], ["room"]))
    model.graph.node.append(helper.make_node("ReduceMax", ["room"], ["top"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", ["own", "top"], ["x"]))


def busy(model: onnx.ModelProto) -> None:
    """Hours of matrix products."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([2048, 2048]), "square"))
    model.graph.node[-1].output[0] = "own"
    model.graph.node.append(helper.make_node("ReduceSum", ["own"], ["total"], keepdims=0))
    model.graph.node.append(helper.make_node("Expand", ["total", "square"], ["step_0"]))
    for step in range(20_000):
        model.graph.node.append(helper.make_node("MatMul", [f"step_{step}", "step_0"], [f"step_{step + 1}"]))
    model.graph.node.append(helper.make_node("ReduceMax", ["step_20000"], ["top"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", ["own", "top"], ["x"]))


@pytest.mark.parametrize(
    ("change", "limits", "message"),
    [
        (endless, SMALL, "ForeignOperator: .*decode.onnx: subgraphs .control flow. are not allowed"),
        (greedy, SMALL, "more than 1024 MiB of memory"),
        (busy, Limits(memory=1024, seconds=2), "more than 2 s of CPU time"),
    ],
)
def test_refused_by_a_trial(change: Change, limits: Limits, message: str, store: Store, tmp_path: Path) -> None:
    given = write(tmp_path, handmade.labels(), "decode", change)
    with pytest.raises(TrialFailed, match=message):
        publish(given, store, "mine", limits=limits)


def test_the_clock_stops_a_trial_before_its_cpu_time_does(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Busy for hours and never past its CPU time: the limit on the clock is a multiple of it, here a small part."""
    assert sandbox.PATIENCE == 10
    monkeypatch.setattr(sandbox, "PATIENCE", 0.1)
    given = write(tmp_path, handmade.labels(), "decode", busy)
    with pytest.raises(TrialFailed, match="took more than 3 s and was stopped"):
        publish(given, store, "mine", limits=Limits(memory=1024, seconds=30))


def test_nothing_of_a_stopped_trial_goes_on(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It started a process of its own, and both wait for ever."""
    deed = f"Path({str(tmp_path / 'pids')!r}).open('a').write(f'{{os.getpid()}} ')"
    lines = ["import os, signal", "from pathlib import Path", "os.fork()", deed, "signal.pause()"]
    (tmp_path / "sitecustomize.py").write_text("\n".join(lines))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sandbox, "PATIENCE", 0.1)
    with pytest.raises(TrialFailed, match="took more than 3 s and was stopped"):
        publish(write(tmp_path, handmade.labels()), store, "mine", limits=Limits(memory=1024, seconds=30))
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    until(lambda: not any(running(pid) for pid in pids), "the end of both")


def running(pid: int) -> bool:
    """Not ended; what ended and was not waited for by whoever adopted it counts as ended."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


CALL = """
import sys
sys.path.insert(0, {root!r})
from isolated import leave_network
reason = leave_network()
import socket
try:
    socket.create_connection(("127.0.0.1", {port}), 5).close()
    print("reached", reason)
except OSError:
    print("alone", reason)
"""


def test_a_trial_has_no_network() -> None:
    """It cannot reach a socket that listens on this machine, or the report says why it can."""
    folder = Path(isolated.__file__).parent
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = CALL.format(root=str(folder), port=server.getsockname()[1])
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    word, _, reason = done.stdout.strip().partition(" ")
    assert (word == "alone") == (reason == "None")


def test_what_is_said_of_the_network_is_so(tmp_path: Path) -> None:
    """The report of a real trial agrees with what a process like it finds."""
    folder = tmp_path / "trial"
    folder.mkdir()
    report = sandbox.run_trial(write(tmp_path, handmade.labels()), SMALL, folder)
    said = next(check.result for check in report.checks if check.name == "network")
    code = f"import sys; sys.path.insert(0, {str(Path(isolated.__file__).parent)!r}); import isolated; "
    code += "print(isolated.leave_network())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    reason = done.stdout.strip()
    assert said == ("the trial had none" if reason == "None" else f"the trial had it: {reason}")


@pytest.mark.parametrize(
    ("deed", "patience", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", sandbox.PATIENCE, r"crashed ONNX Runtime \(SIGSEGV\)"),
        ("os.abort()", sandbox.PATIENCE, r"crashed ONNX Runtime \(SIGABRT\)"),
        ("signal.pause()", 0.1, "took more than 2 s and was stopped"),
    ],
)
def test_a_trial_that_dies_or_hangs(
    deed: str, patience: float, message: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The publisher outlives what happens to the trial's process, here as soon as it starts."""
    (tmp_path / "sitecustomize.py").write_text(f"import os, signal\n{deed}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sandbox, "PATIENCE", patience)
    given = write(tmp_path, handmade.labels())
    with pytest.raises(TrialFailed, match=message):
        publish(given, store, "mine", limits=SMALL)


class TestCorpus:
    """Graphs that are refused before ONNX Runtime sees them."""

    def refused(self, error: type[Exception], message: str, folder: Path, change: Change) -> None:
        given = write(folder, handmade.labels(), "decode", change)
        with pytest.raises(error, match=message):
            try_out(given)

    def test_custom_operator(self, tmp_path: Path) -> None:
        self.refused(ForeignOperator, "'PyOp' of domain 'ai.onnx.contrib'", tmp_path, custom_domain)

    @pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "..", "", ".", "a/b", "no\0pe", "link"])
    def test_external_data_elsewhere(self, location: str, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_bytes(b"\0" * 64)
        folder = tmp_path / "graphs"
        folder.mkdir()
        (folder / "link").symlink_to(secret)

        def leak(model: onnx.ModelProto) -> None:
            tensor = model.graph.initializer[0]
            set_external_data(tensor, location, offset=0, length=len(tensor.raw_data))
            tensor.ClearField("raw_data")

        self.refused(Refusal, "plain name|may not be a link|regular file", folder, leak)

    @pytest.mark.parametrize(
        ("offset", "length"), [(0, 1 << 40), (1 << 60, 24), (8, 24), (-8, 24), (0, 4), (0, 10**30)]
    )
    def test_external_data_past_the_end(self, offset: int, length: int, tmp_path: Path) -> None:
        (tmp_path / "weights.bin").write_bytes(b"\0" * 24)

        def reach(model: onnx.ModelProto) -> None:
            tensor = model.graph.initializer[0]
            set_external_data(tensor, "weights.bin", offset=offset, length=length)
            for key, value in (("offset", offset), ("length", length)):
                next(entry for entry in tensor.external_data if entry.key == key).value = str(value)
            tensor.ClearField("raw_data")

        self.refused(ForeignExternalData, "tensor 'means'", tmp_path, reach)

    @pytest.mark.parametrize("dims", [(1 << 20, 1 << 20), (0,), (1 << 30, 1 << 30, 1 << 30)])
    def test_initializer_that_claims_more(self, dims: tuple[int, ...], tmp_path: Path) -> None:
        def claim(model: onnx.ModelProto) -> None:
            del model.graph.initializer[0].dims[:]
            model.graph.initializer[0].dims.extend(dims)

        self.refused(WrongShape, "tensor 'means' of shape .* takes .* bytes, it holds 24", tmp_path, claim)

    def test_external_data_in_a_constant(self, tmp_path: Path) -> None:
        def hide(model: onnx.ModelProto) -> None:
            value = TensorProto(name="value", dims=[2], data_type=TensorProto.FLOAT)
            value.data_location = TensorProto.EXTERNAL
            value.external_data.add(key="location", value="/etc/passwd")
            model.graph.node.append(helper.make_node("Constant", [], ["leak"], value=value))

        self.refused(ForeignExternalData, "constant", tmp_path, hide)

    @pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"PK\x03\x04", b"\x3a\xff\xff\xff\xff\x7f"])
    def test_no_graph_at_all(self, content: bytes, tmp_path: Path) -> None:
        given = write(tmp_path, handmade.labels())
        given.graphs["score"].write_bytes(content)
        with pytest.raises(
            MalformedGraph, match=r"score\.onnx: expected an ONNX model; its bytes cannot be read as one"
        ):
            try_out(given)

    @pytest.mark.parametrize("path", ["decode", "score"])
    def test_no_regular_file(self, path: str, tmp_path: Path) -> None:
        given = write(tmp_path, handmade.labels())
        graphs = {**given.graphs, path: tmp_path}
        with pytest.raises(Refusal, match="expected a regular file"):
            try_out(given.model_copy(update={"graphs": graphs}))

    @pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"PK\x03\x04", b"PK\x05\x06" + b"\0" * 18])
    def test_a_reference_that_is_none(self, content: bytes, tmp_path: Path) -> None:
        given = write(tmp_path, handmade.labels())
        (tmp_path / "rows.npz").write_bytes(content)
        with pytest.raises(Refusal, match=r"rows\.npz: expected"):
            try_out(given.model_copy(update={"reference": tmp_path / "rows.npz"}))

    def test_a_reference_of_pickles(self, tmp_path: Path) -> None:
        given = write(tmp_path, handmade.labels())
        np.savez(tmp_path / "rows.npz", x=np.array([print], dtype=object), condition=np.zeros(1, int))
        with pytest.raises(Refusal, match=r"expected an \.npz file of plain arrays"):
            try_out(given.model_copy(update={"reference": tmp_path / "rows.npz"}))

    def test_a_reference_larger_than_memory(self, store: Store, tmp_path: Path) -> None:
        given = write(tmp_path, handmade.labels())
        with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive, archive.open("x.npy", "w") as x:
            header = {"descr": "<f8", "fortran_order": False, "shape": (2**40, 2)}
            np.lib.format.write_array_header_1_0(x, header)
        given = given.model_copy(update={"reference": tmp_path / "rows.npz"})
        with pytest.raises(TrialFailed, match="more than 1024 MiB of memory"):
            publish(given, store, "mine", limits=SMALL)

    def test_a_prior_sample_that_is_a_pickle(self, tmp_path: Path) -> None:
        given = write(tmp_path, handmade.coupled_vector(None))
        np.save(tmp_path / "prior.npy", np.array([print], dtype=object), allow_pickle=True)
        with pytest.raises((Refusal, LoadError), match=r"expected a .npy file"):
            try_out(given.model_copy(update={"prior_sample": tmp_path / "prior.npy"}))
