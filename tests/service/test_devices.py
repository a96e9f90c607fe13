"""What the setting `device` may name, and what is said where it cannot be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inference.engine import EngineError
from service.app import create_app
from service.devices import devices_of
from service.settings import Settings
from tests.support.service_process import ROOT


def test_no_card_is_used_twice_and_none_is_invented() -> None:
    with pytest.raises(EngineError, match="cuda:1 is named twice"):
        devices_of("cuda:1,cuda:0,cuda:1", lambda: 2)
    with pytest.raises(EngineError, match="no CUDA device"):
        devices_of("cuda:all", lambda: 0)
    assert devices_of("cuda:all", lambda: 1) == ("cuda:0",)


@pytest.mark.parametrize("setting", ["gpu", "cpu:2", "cpu,", "cpu,cuda:0", "cuda,cuda:1", "cuda:all,cuda:0", ""])
def test_anything_else_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="device"):
        Settings(device=setting)


def test_one_app_has_one_device(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a process for each"):
        create_app(Settings(store=tmp_path, device="cpu,cpu"))


@pytest.mark.full
@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="says what happens without a card")
def test_all_of_no_cards_is_said_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service", "--store", str(tmp_path), "--port", "0", "--device", "cuda:all"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    assert "condflow: device cuda:all:" in done.stderr and "Traceback" not in done.stderr
