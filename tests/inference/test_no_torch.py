"""Serving needs neither torch nor the onnx package: proved in a fresh process that cannot import them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.inference import handmade

SCRIPT = """
import importlib, json, pkgutil, sys
from pathlib import Path

folder = Path(sys.argv[1])
for forbidden in ("torch", "onnx", "flows", "training", "scipy", "lightning"):
    sys.modules[forbidden] = None  # importing it raises ImportError

import inference
for module in pkgutil.walk_packages(inference.__path__, "inference."):
    if not module.name.startswith(("inference.torch_engine", "inference.device_noise", "inference.gpu.")):
        # these are the engine for CUDA, imported only where one is asked for
        importlib.import_module(module.name)

from inference import answer, encode, infer_condition, load_version, log_likelihood, sample
from model_store.manifest import Manifest

manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
loaded = load_version(manifest, lambda path: (folder / path).read_bytes())
drawn = answer(loaded.engine, sample(loaded, "left", 5, return_log_likelihood=True))
answer(loaded.engine, log_likelihood(loaded, drawn.samples))
print(answer(loaded.engine, infer_condition(loaded, drawn.samples)).label)
answer(loaded.engine, encode(loaded, drawn.samples, "left"))
"""


def test_inference_needs_no_torch(tmp_path: Path) -> None:
    made = handmade.labels()
    files = made.files()
    for path, content in files.items():
        (tmp_path / path).write_bytes(content)
    (tmp_path / "manifest.json").write_text(made.manifest(files).model_dump_json())
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "left" in done.stdout
