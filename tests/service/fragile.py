"""A device that breaks: every process that is started with this environment loses its device at a row of 666."""

from __future__ import annotations

from pathlib import Path

from tests.support.service_process import ROOT

BREAKS = 666.0
_SCRIPT = f"""
from inference.engine import EngineLost
from inference.onnx_engine import OnnxEngine

broken, compute = [], OnnxEngine.compute

def fragile(engine, operation, feed):
    if broken or ("x" in feed and (feed["x"] == {BREAKS}).any()):
        broken.append(operation)
        raise EngineLost("device-side assert triggered")
    return compute(engine, operation, feed)

OnnxEngine.compute = fragile
"""


def fragile_device(folder: Path) -> dict[str, str]:
    """The environment; Python runs a `sitecustomize` before anything else, in workers too."""
    (folder / "sitecustomize.py").write_text(_SCRIPT)
    return {"PYTHONPATH": f"{folder}:{ROOT}"}
