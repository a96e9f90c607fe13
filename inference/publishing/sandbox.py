"""A trial in a process of its own: whatever a graph does there, the publisher goes on and says what happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import inference
from inference.publishing import isolated
from inference.publishing.given import Given
from inference.publishing.job import REFUSED, Job, Limits, Report
from model_store.signature import Operation

PATIENCE = 10  # seconds of the wall clock for one of CPU time, on a machine that others use
LARGEST_REPORT = 16 << 20
_LONGEST_MESSAGE = 2000


class TrialFailed(RuntimeError):
    """What was given is refused; nothing of it was published. The message says why."""


def run_trial(given: Given, limits: Limits, folder: Path) -> Report:
    """Try `given` out in a process under `limits`; the files of the version are then in `folder / "files"`.

    Raises:
        TrialFailed: a refusal, a crash, or a limit that was reached.
    """
    if os.name != "posix":
        raise TrialFailed("trials need a POSIX system: foreign graphs are run under its resource limits")
    (folder / "job.json").write_text(Job(given=_absolute(given), limits=limits).model_dump_json())
    with (folder / "stderr.txt").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-P", isolated.__file__, str(folder)],
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            status = process.wait(limits.seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise TrialFailed(f"the trial took more than {limits.seconds * PATIENCE:g} s and was stopped") from None
        finally:
            _end(process)
    if status == REFUSED:
        raise TrialFailed(_text(folder / "refusal.txt"))
    if status != 0:
        raise TrialFailed(_fate(status, limits, _text(folder / "stderr.txt")))
    report = folder / "report.json"
    if report.stat().st_size > LARGEST_REPORT:
        raise TrialFailed("the trial's report is too long")
    return Report.model_validate_json(report.read_bytes())


def _absolute(given: Given) -> Given:
    graphs: dict[Operation, Path] = {operation: path.absolute() for operation, path in given.graphs.items()}
    prior = None if given.prior_sample is None else given.prior_sample.absolute()
    reference = None if given.reference is None else given.reference.absolute()
    paths = {"signature": given.signature.absolute(), "graphs": graphs, "prior_sample": prior, "reference": reference}
    return given.model_copy(update=paths)


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the publisher's environment but where its code lies: keys and tokens stay outside."""
    paths = [str(Path(inference.__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "HOME": str(folder),
        "TMPDIR": str(folder),
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and whatever it started."""
    with suppress(ProcessLookupError, PermissionError):  # it has ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _fate(status: int, limits: Limits, stderr: str) -> str:
    if -status in (signal.SIGXCPU, signal.SIGKILL):
        return f"the trial used more than {limits.seconds} s of CPU time and was stopped (--seconds)"
    if "MemoryError" in stderr or "bad_alloc" in stderr:
        return f"the trial needs more than {limits.memory} MiB of memory (--memory)"
    if status < 0:
        return f"the graphs crashed ONNX Runtime ({signal.Signals(-status).name})"
    lines = stderr.strip().splitlines() or ["no word"]
    return f"the trial ended with status {status}: {lines[-1]}"


def _text(path: Path) -> str:
    """The end of a file that the trial wrote, printable."""
    if not path.is_file() or path.is_symlink():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LONGEST_MESSAGE))
        content = file.read(_LONGEST_MESSAGE).decode("utf-8", "replace")
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in content)
