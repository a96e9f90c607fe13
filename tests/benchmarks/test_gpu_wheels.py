"""What travels to a machine without an index: sets of wheels, none of them built here, unpacked one after another."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from zipfile import ZipFile

import pytest

from benchmarks.gpu.part import PARTS
from benchmarks.gpu.sets import SETS, lacking, needed
from benchmarks.gpu.wheels import LISTS, ROOT, NoWheel, fetch_all, pinned, pins

MAIN = """
from importlib.util import find_spec
print(*(name for name in ("first", "second") if find_spec(name)))
"""


def source_of(name: str, folder: Path) -> None:
    """A source distribution, version 1, of a package that has nothing in it."""
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        "setup.py": f"from setuptools import setup\nsetup(name={name!r}, version='1')\n",
    }
    with tarfile.open(folder / f"{name}-1.tar.gz", "w:gz") as archive:
        for file, text in files.items():
            member = tarfile.TarInfo(f"{name}-1/{file}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def wheel_of(name: str, folder: Path) -> None:
    """A wheel, version 1, of an empty module."""
    folder.mkdir(parents=True)
    about = f"{name}-1.dist-info"
    with ZipFile(folder / f"{name}-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


def test_what_is_published_as_source_alone_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, into = tmp_path / "index", tmp_path / "whl"
    wheel_of("wheeled", index)
    source_of("bare", index)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    with pytest.raises(NoWheel, match=r"none are built from source:\nbare==1: No matching distribution found"):
        fetch_all({"engine": {"bare": "1", "wheeled": "1"}}, into)
    assert [wheel.name for wheel in into.rglob("*.whl")] == ["wheeled-1-py3-none-any.whl"]


def test_sets_share_no_package_and_are_pinned_as_the_requirements_are() -> None:
    chosen = pinned()
    assert Counter(package for packages in chosen.values() for package in packages).most_common(1)[0][1] == 1
    together = {package: version for packages in chosen.values() for package, version in packages.items()}
    for name in LISTS:
        listed = pins(ROOT / "requirements" / name)
        alike = together.keys() & listed.keys()
        assert {package: listed[package] for package in alike} == {package: together[package] for package in alike}, (
            name
        )


def test_every_part_has_what_it_needs_where_the_tests_run() -> None:
    assert lacking(name for part in (*PARTS, "page") for name in needed(part)) == {}
    assert set(SETS) - {name for part in (*PARTS, "page") for name in needed(part)} == {"freia"}


def test_sets_that_come_one_after_another_are_all_there(tmp_path: Path) -> None:
    package = tmp_path / "benchmarks" / "gpu"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "benchmarks" / "gpu.sh", package.parent)
    (package / "__main__.py").write_text(MAIN)

    def found() -> str:
        environment = {**os.environ, "PYTHON": sys.executable}
        command = [package.parent / "gpu.sh"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    assert found() == ""
    wheel_of("first", tmp_path / ".whl" / "engine")
    assert found() == "first"
    shutil.rmtree(tmp_path / ".whl")
    wheel_of("second", tmp_path / ".whl" / "service")
    assert found() == "first second"
