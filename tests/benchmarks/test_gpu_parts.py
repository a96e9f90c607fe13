"""Parts of a card's benchmark: finished once, kept as they come, ended in time, left out where packages are missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import kept as keeping
from benchmarks.gpu import tests
from benchmarks.gpu.__main__ import run_parts
from benchmarks.gpu.kept import MISSING, UNFINISHED, Kept, finish, read, write
from benchmarks.gpu.page import page
from benchmarks.gpu.part import PARTS, run
from benchmarks.gpu.plan import Plan, Row
from benchmarks.gpu.sets import SETS
from benchmarks.gpu.wheels import ROOT
from tests.benchmarks.test_gpu import FACTS


def _plan(folder: Path, device: str = "cuda", source: str = "abc") -> Plan:
    return Plan(device, folder, source)


def test_a_finished_part_is_not_run_again_and_another_commit_or_device_is(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "cpu")
    marked = Kept("check", [{"model": "kept"}], FACTS)
    write(plan, marked)
    assert finish(plan, "check") == marked
    assert read(_plan(tmp_path, "cpu", "abd"), "check") is None
    assert read(_plan(tmp_path, "cuda"), "check") is None


def test_a_failed_part_tells_why_and_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = _plan(tmp_path, "cpu")
    monkeypatch.setattr(keeping, "_run", lambda command, limit_s: "its process ended with -9")
    assert finish(plan, "check").error == "its process ended with -9"
    again: list[str] = []

    def better(command: list[str], limit_s: float) -> str:
        again.append(command[3])
        write(plan, Kept("check", [{"model": "new"}], FACTS))
        return ""

    monkeypatch.setattr(keeping, "_run", better)
    assert finish(plan, "check").rows == [{"model": "new"}]
    assert again == ["check"]
    assert "**check failed**" in page(plan, [Kept("check", [], FACTS, "gone")], ("check",)).render()


@pytest.mark.parametrize(("lacked", "again"), [("json", True), ("no_such_package", False)])
def test_a_part_that_lacked_a_package_is_run_again_once_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacked: str, again: bool
) -> None:
    plan = _plan(tmp_path, "cpu")
    marked = Kept("peers-wide", [{"seconds": {}, "notes": {lacked: MISSING}}], FACTS)
    whole = Kept("peers-wide", [{"seconds": {}, "notes": {}}], FACTS)
    write(plan, marked)
    monkeypatch.setattr(keeping, "_run", lambda command, limit_s: write(plan, whole))
    assert finish(plan, "peers-wide") == (whole if again else marked)


def test_a_part_that_hangs_is_ended_at_the_limit(tmp_path: Path) -> None:
    kept = finish(_plan(tmp_path, "cpu"), "check", limit_s=0.01)
    assert kept.error == "it ran past 0.01 s"
    assert read(_plan(tmp_path, "cpu"), "check") == kept


def test_the_script_ends_in_time(tmp_path: Path) -> None:
    undone = run_parts(_plan(tmp_path, "cpu"), ("check", "latency"), time.monotonic() + 1.0)
    assert undone["check"].startswith("it ran past") and undone["latency"] == "no time was left"


def test_an_error_in_a_part_is_its_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, "broken", ("floors",))  # a module that measures nothing
    kept = run(_plan(tmp_path, "cpu"), "broken")
    assert (kept.rows, kept.error.split(":")[0]) == ([], "AttributeError")
    assert kept.facts["device"].startswith("CPU")


def test_rows_that_came_before_an_error_are_kept_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def three_steps(device: torch.device) -> Iterator[Row]:
        yield {"recipe": "first of three"}
        raise RuntimeError("lost the card")

    monkeypatch.setattr("benchmarks.gpu.train.step_rates", three_steps)
    plan = _plan(tmp_path, "cpu")
    kept = run(plan, "training-steps")
    assert (kept.rows, kept.error) == ([{"recipe": "first of three"}], "RuntimeError: lost the card")
    assert read(plan, "training-steps") == replace(kept, error=UNFINISHED)  # what a kill would have left
    text = page(plan, [kept], ("training-steps",)).render()
    assert "**training-steps failed**: RuntimeError: lost the card" in text
    assert "## training-steps, unfinished" in text and "first of three" in text


def test_a_part_ends_with_the_script_and_runs_anew_the_next_time(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL for the script alone: its output ends when the last process that has it does."""
    command = [sys.executable, "-m", "benchmarks.gpu", "check", "--device", "cpu", "--source", "test"]
    command += ["--folder", str(tmp_path), "--out", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as script:
        assert script.stdout is not None
        assert "check: running on cpu" in script.stdout.readline()
        script.kill()
        script.stdout.read()
    plan = Plan("cpu", tmp_path, "test")
    left = read(plan, "check")
    assert left is None or left.error == UNFINISHED
    again = finish(plan, "check")
    assert again.rows and not again.error
    assert "Fatal" not in capfd.readouterr().err


def test_the_tests_of_a_card_are_found_and_skipped_where_there_is_none(tmp_path: Path) -> None:
    rows = list(tests.measure(_plan(tmp_path, "cpu")))
    assert {row["outcome"] for row in rows} == {"passed" if torch.cuda.is_available() else "skipped"}
    others = (path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__))
    marked = {str(path.relative_to(ROOT)) for path in others if "mark.cuda" in path.read_text()}
    assert marked == {*tests.FILES}
    assert {row["test"].rpartition(".")[0].replace(".", "/") + ".py" for row in rows} == {*tests.FILES}


def test_sources_that_differ_from_the_commit_are_another_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "commit", lambda: "0123456789ab")
    assert keeping.source() == "0123456789ab"
    monkeypatch.setattr(keeping, "commit", lambda: "0123456789ab-dirty")
    name = keeping.source()
    assert name.startswith("0123456789ab-dirty-")
    assert keeping.source() == name
    monkeypatch.setattr(keeping, "_SOURCES", ("flows",))
    assert keeping.source() != name


def test_a_part_whose_packages_are_missing_is_left_out_and_says_what_to_bring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETS, "service", ("numpy", "no-such-package"))
    plan = _plan(tmp_path, "cpu")
    left_out = finish(plan, "http")
    assert left_out.error.startswith("left out, no no-such-package here: bring .whl/service")
    assert read(plan, "http") is None
    before = Kept("http", [{"kind": "kept"}], FACTS)
    write(plan, before)
    assert finish(plan, "http") == before


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_the_script_runs_every_part_on_a_cpu(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHON": sys.executable, "DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    environment["OUT"] = str(tmp_path / "page")
    command = ["benchmarks/gpu.sh", "--folder", str(tmp_path / "parts"), "--source", "test"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=1200)
    for part in PARTS:
        kept = json.loads((tmp_path / "parts" / f"{part}-cpu-test.json").read_text())
        assert kept["rows"], part
        assert not kept["error"], part
    text = (tmp_path / "page" / "gpu.md").read_text()
    assert all(f"## {part}" in text for part in PARTS)
    assert "failed" not in text.split("## How it was measured")[0].split("## check")[0]
