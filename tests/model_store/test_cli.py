from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from model_store import Store
from model_store.cli import app
from model_store.layout import blob_key, manifest_key
from tests.model_store.drafts import FILES, age, draft

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(memory_path: Path) -> Path:
    store = Store.open(memory_path / "store")
    store.publish(draft(), FILES)
    store.publish(draft(), {**FILES, "extra": b"x"})
    return memory_path / "store"


def run(root: Path, *arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--store", str(root)])
    assert result.exit_code == status, result.output
    return result


def read(root: Path, *arguments: str, status: int = 0) -> Any:
    return json.loads(run(root, *arguments, "--json", status=status).stdout)


def test_as_a_process_with_the_store_from_the_environment(root: Path) -> None:
    command = [sys.executable, "-m", "model_store"]
    environment = {**os.environ, "CONDFLOW_STORE": str(root)}
    done = subprocess.run([*command, "list"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "mix" in done.stdout
    assert "champion=2" in done.stdout
    wrong = subprocess.run([*command, "show", "nobody"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr == "UnknownModel: no model 'nobody' in the store: it has ['mix']\n"


def test_list_and_show(root: Path) -> None:
    expected = {"name": "mix", "versions": [1, 2], "aliases": {"champion": 2}, "deleted": []}
    assert read(root, "list") == read(root, "list", "mix") == [expected]
    shown = read(root, "show", "mix")
    assert (shown["version"], shown["aliases"]) == (2, ["champion"])
    assert shown["digest"] == Store.open(root).resolve("mix").digest
    said = run(root, "show", "mix@1").stdout
    assert "gaussian-mixture, seed 0" in said
    for path, content in FILES.items():
        entry = next(entry for entry in shown["files"] if entry["path"] == path)
        assert (entry["size"], entry["digest"]) == (len(content), hashlib.sha256(content).hexdigest())
        (line,) = (line for line in said.splitlines() if line.startswith(path))
        assert line.split()[1:] == [f"{len(content):,}", entry["digest"][:12]]
    assert "UnknownVersion" in run(root, "show", "mix@9", status=1).stderr
    assert "BadName" in run(root, "show", "../x", status=1).stderr


def test_a_hostile_text_does_not_reach_the_terminal(root: Path) -> None:
    Store.open(root).publish(draft(family="\x1b[2Jjoint[red]"), FILES)
    shown = run(root, "show", "mix").stdout
    assert "\x1b" not in shown
    assert "[2Jjoint[red]" in shown


def test_verify(root: Path) -> None:
    assert [report["findings"] for report in read(root, "verify")] == [[], []]
    store = Store.open(root)
    extra = store.resolve("mix", 2).file("extra")
    assert extra is not None
    (root / blob_key(extra.digest)).write_bytes(b"y")
    assert [bool(report["findings"]) for report in read(root, "verify", "mix", status=1)] == [False, True]
    assert "sound" in run(root, "verify", "mix@1").stdout
    assert "BlobChanged" in run(root, "verify", "mix@champion", status=1).stdout
    (root / manifest_key("mix", 1)).write_bytes(b"{")
    assert "BadManifest" in run(root, "verify", "mix@1", status=1).stdout
    assert "UnknownVersion" in run(root, "verify", "mix@7", status=1).stderr
    assert "UnknownModel" in run(root, "verify", "nobody", status=1).stderr


def test_alias_and_rollback(root: Path) -> None:
    moved = read(root, "alias", "mix@1", "staging")
    assert moved == {"name": "mix", "alias": "staging", "version": 1, "generation": 1}
    assert "AliasConflict" in run(root, "alias", "mix@2", "staging", "--expect", "0", status=1).stderr
    run(root, "alias", "mix@2", "staging", "--expect", "1")
    assert "mix@staging -> version 1" in run(root, "rollback", "mix", "staging").stdout
    assert "mix@champion -> version 1" in run(root, "rollback", "mix").stdout
    assert "NothingToRollBack" in run(root, "rollback", "mix", status=1).stderr
    moves = [(move["alias"], move["version"], move["restores"]) for move in read(root, "alias", "mix")]
    assert moves == [
        ("champion", 1, None),
        ("champion", 2, None),
        ("champion", 1, 1),
        ("staging", 1, None),
        ("staging", 2, None),
        ("staging", 1, 1),
    ]
    assert "restores" in run(root, "alias", "mix").stdout


def test_an_alias_is_removed(root: Path) -> None:
    run(root, "alias", "mix@1", "staging")
    assert "AliasConflict" in run(root, "alias", "mix", "staging", "--remove", "--expect", "7", status=1).stderr
    removed = read(root, "alias", "mix", "staging", "--remove", "--expect", "1")
    assert removed == {"name": "mix", "alias": "staging", "version": None, "generation": 2}
    assert read(root, "list")[0]["aliases"] == {"champion": 2}
    assert (
        "UnknownVersion: model 'mix' has no alias 'staging'"
        in run(root, "alias", "mix", "staging", "--remove", status=1).stderr
    )
    run(root, "alias", "mix@2", "staging")
    moves = [move for move in read(root, "alias", "mix") if move["alias"] == "staging"]
    assert [(move["version"], bool(move["digest"])) for move in moves] == [(1, True), (None, False), (2, True)]
    assert run(root, "alias", "mix").exit_code == 0
    said = run(root, "alias", "mix", "champion", "--remove").stdout
    assert said == "mix@champion removed; without it version 2, the highest, answers\n"
    for wrong in (("mix@1", "staging"), ("mix",)):
        run(root, "alias", *wrong, "--remove", status=2)


def test_export_and_import(root: Path, tmp_path: Path) -> None:
    run(root, "export", "mix@1", "--to", str(tmp_path))
    archive = str(tmp_path / "mix-1.condflow")
    assert "mix@1" in run(tmp_path / "new", "import", archive).stdout
    assert Store.open(tmp_path / "new").resolve("mix").digest == Store.open(root).resolve("mix", 1).digest
    assert "other@1" in run(root, "import", archive, "--as", "other").stdout
    assert "there is no such file" in run(root, "import", str(tmp_path / "none"), status=1).stderr
    os.mkfifo(tmp_path / "pipe")
    assert "this is no regular file" in run(root, "import", str(tmp_path / "pipe"), status=1).stderr
    (tmp_path / "empty").mkdir()
    nothing = run(root, "import", str(tmp_path / "empty"), status=1)
    assert nothing.stderr.startswith(f"BadArchive: {tmp_path / 'empty'}: expected an archive, or a folder with some")


def test_delete_and_gc(root: Path) -> None:
    assert "AliasInUse" in run(root, "delete", "mix@2", status=1).stderr
    run(root, "delete", "mix", status=2)
    run(root, "delete", "mix@champion", "--force")
    assert read(root, "list")[0]["aliases"] == {"champion": 1}
    assert read(root, "list")[0]["deleted"] == [2]
    age(root)
    assert read(root, "gc") == {"removed": 1, "removed_bytes": 1, "young": 0, "leftovers": 0}
    run(root, "gc", "--grace", "-1", status=2)


def test_a_store_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "no store at" in run(tmp_path / "none", "list", status=1).stderr
    assert list(tmp_path.iterdir()) == []
