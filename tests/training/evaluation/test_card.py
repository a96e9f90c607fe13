from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest

from inference.loaded import Loaded
from model_store.manifest import Manifest
from model_store.markdown import code_block, shell_json, text
from model_store.signature import LabelCondition
from training import recipe as recipes
from training.datasets.base import Column, Dataset
from training.evaluation.card import card
from training.evaluation.training_data import training_data

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "a|b\n\n# heading",
    "it's; rm -rf ~ #",
    "```\n<script>",
    "![x](http://evil)",
    "\u202egnp.exe",
    "x" * 5000,
)


@pytest.fixture
def manifest(mixture_version: tuple[Loaded, Dataset]) -> Manifest:
    made = mixture_version[0].manifest
    signature = made.signature.model_copy(update={"condition": LabelCondition(classes=HOSTILE)})
    lineage = made.lineage.model_copy(
        update={"recipe": HOSTILE[0], "parents": (HOSTILE[1],), "code_version": HOSTILE[2]}
    )
    return made.model_copy(update={"signature": signature, "lineage": lineage})


def outside_code(markdown: str) -> str:
    return re.sub(r"^(`{3,})sh\n.*?^\1$", "", markdown, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("label", range(len(HOSTILE)))
def test_hostile_names_stay_text(manifest: Manifest, label: int) -> None:
    content = card(manifest, (), np.zeros(2, np.float32), np.array(label))
    prose = outside_code(content)
    assert not re.search(r"<\s*(img|script)", prose)
    assert not re.search(r"(?<!\\)\]\(", prose)
    assert "\n# heading" not in prose and "\u202e" not in prose and "x" * 300 not in prose
    assert "javascript:" not in prose


@pytest.mark.parametrize("label", range(len(HOSTILE)))
def test_commands_are_one_curl_with_valid_json_whatever_the_name(manifest: Manifest, label: int) -> None:
    content = card(manifest, (), np.array([0.5, -1.0], np.float32), np.array(label))
    blocks = re.findall(r"^(`{3,})sh\n(.*?)^\1$", content, flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    for _, command in blocks:
        words = shlex.split(command)
        assert words[0] == "curl" and words.count("curl") == 1
        body = json.loads(words[-1])
        assert body["model"] == "tiny"
        if "condition" in body:
            assert body["condition"] == HOSTILE[label]


def test_origin_is_told(manifest: Manifest) -> None:
    content = card(manifest, (), np.zeros(2, np.float32), np.array(0))
    assert manifest.lineage.data_digest in content
    assert f"| seed | {manifest.lineage.seed} |" in content
    assert all(f"graph {operation} against torch" in content for operation in manifest.graph_errors)
    assert set(manifest.precision_errors) == {"tf32", "bf16"}
    for precision, errors in manifest.precision_errors.items():
        assert all(f"| {operation} in {precision} against float64 | largest error " in content for operation in errors)


def test_what_a_version_learned_from(mixture_version: tuple[Loaded, Dataset]) -> None:
    loaded, dataset = mixture_version
    config = recipes.changed(
        recipes.read("gaussian-mixture").model_dump(mode="json"), {"fit.epochs": 5, "data.file": f"/a/{HOSTILE[2]}.csv"}
    )
    manifest = loaded.manifest.model_copy(
        update={"lineage": loaded.manifest.lineage.model_copy(update={"config": config})}
    )
    columns = (
        Column(HOSTILE[0], "x", "number on a grid", step=1.0),
        Column(HOSTILE[1], "x", "number"),
        Column("mode", "condition", "label of 8 classes"),
    )
    told = "\n".join(training_data(manifest, replace(dataset, columns=columns, notes=(HOSTILE[5],))))
    low, high = dataset.train.x.min(axis=0), dataset.train.x.max(axis=0)
    assert "fit.epochs=5" in told and "fit.rate" not in told and "/a/" not in told
    assert f"| number on a grid | {low[0]:g} | {high[0]:g} | U(-0.5, 0.5) |" in told
    assert f"| number | {low[1]:g} | {high[1]:g} |  |" in told and "| mode | condition |" in told
    assert "<img" not in told and not re.search(r"(?<!\\)\]\(", told) and "\n# heading" not in told


def test_escapes() -> None:
    assert text("a*b_c") == "a\\*b\\_c"
    assert text("www.evil.example http://x") == "www\\.evil.example http\\://x"
    assert text("two\nlines") == "two lines"
    assert code_block("````").startswith("`````")
    assert shlex.split(shell_json({"a": "'"})) == ['{"a": "\'"}']
