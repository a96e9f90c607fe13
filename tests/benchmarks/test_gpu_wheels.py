"""What travels to a machine without an index: wheels, none of them built here."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from benchmarks.gpu.wheels import NoWheel, fetch_all


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
        fetch_all({"bare": "1", "wheeled": "1"}, into)
    assert [wheel.name for wheel in into.rglob("*.whl")] == ["wheeled-1-py3-none-any.whl"]
