"""`python -m benchmarks.gpu.wheels`, run by `make gpu-wheels`: the wheels that benchmarks/gpu.sh needs beside torch.

They are the pins of requirements/*.txt for Python 3.12 on x86-64 Linux, a folder for each set of `benchmarks.gpu.sets`.
What the other machine has already, named in a file of `pip freeze` there, is left out.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.gpu.sets import SETS

ROOT = Path(__file__).parents[2]
LISTS = ("serve.txt", "train.txt", "bench.txt", "dev.txt")
SOURCE_ALONE = {"freia"}  # published without wheels; pure Python, so that a wheel made here is one for there
_TARGET = {
    "python_full_version": "3.12.3",
    "python_version": "3.12",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "os_name": "posix",
}
_PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014", "manylinux1")
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


class NoWheel(Exception):
    """A package cannot be had as a wheel for the target."""


def pins(path: Path) -> dict[str, str]:
    """Versions by name of a pinned list, as they hold on the target."""
    found: dict[str, str] = {}
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(_TARGET):
            found[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return found


def pinned(requirements: Path = ROOT / "requirements") -> dict[str, dict[str, str]]:
    """Versions by name of each set. Raises KeyError for a package that no list pins."""
    listed: dict[str, str] = {}
    for name in LISTS:
        listed |= pins(requirements / name)
    return {name: {package: listed[package] for package in packages} for name, packages in SETS.items()}


def names_in(text: str) -> set[str]:
    """The packages of `pip freeze` or of a plain list.

    >>> sorted(names_in("numpy==2.5.2\\nPyYAML 6.0\\n\\nzope.event"))
    ['numpy', 'pyyaml', 'zope-event']
    """
    words = (re.match(r"[A-Za-z0-9._-]+", line.strip()) for line in text.splitlines())
    return {str(canonicalize_name(word.group())) for word in words if word}


def fetch(name: str, version: str, into: Path) -> None:
    """A wheel for the target from pip's configured index, into a folder.

    Raises NoWheel where there is none: what is built from source here may not run there. `SOURCE_ALONE` is built, and
    refused if the wheel is not for every platform.
    """
    wanted = f"{name}=={version}"
    if name in SOURCE_ALONE:
        print(f"{wanted} is published as source alone: built here", flush=True)
        _pip(wanted, "wheel", "-w", str(into))
        built = [wheel.name for wheel in into.glob("*.whl") if wheel.name.lower().startswith(f"{name}-{version}-")]
        if not all(wheel.endswith("-none-any.whl") for wheel in built):
            raise NoWheel(f"{wanted}: what was built here ({', '.join(built)}) is not for every platform")
        return
    target = ["--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp"]
    target += [option for platform in _PLATFORMS for option in ("--platform", f"{platform}_x86_64")]
    _pip(wanted, "download", *target, "-d", str(into))


def _pip(wanted: str, command: str, *options: str) -> None:
    done = subprocess.run([*_PIP, command, "-q", "--no-deps", *options, wanted], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NoWheel(f"{wanted}: {errors[-1].removeprefix('ERROR: ') if errors else done.stderr.strip()}")


def fetch_all(chosen: dict[str, dict[str, str]], into: Path) -> None:
    """Those of each set, into a folder of its name. Raises NoWheel that names every package that cannot be had."""
    failed: list[str] = []
    for name, packages in chosen.items():
        folder = into / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for package, version in packages.items():
            try:
                fetch(package, version, folder)
            except NoWheel as error:
                failed.append(str(error))
    if failed:
        raise NoWheel(
            "\n".join(["no wheels for Python 3.12 on x86-64 Linux, and none are built from source:", *failed])
        )


def main() -> int:
    """Fetch what is needed and print what it weighs; 1 where something cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--have", type=Path, help="file of `pip freeze` of the other machine: what it names stays here")
    parser.add_argument("--into", type=Path, default=ROOT / ".whl")
    options = parser.parse_args()
    have = names_in(options.have.read_text()) if options.have else set()
    chosen = {
        name: {package: version for package, version in packages.items() if package not in have}
        for name, packages in pinned().items()
    }
    try:
        fetch_all(chosen, options.into)
    except NoWheel as error:
        print(error, file=sys.stderr)
        return 1
    for name in chosen:
        wheels = {wheel.name: wheel.stat().st_size / 2**20 for wheel in (options.into / name).glob("*.whl")}
        largest = sorted(wheels, key=wheels.__getitem__, reverse=True)[:3]
        heaviest = ", ".join(f"{wheel.split('-')[0]} {wheels[wheel]:.1f}" for wheel in largest)
        print(f"{sum(wheels.values()):6.1f} MiB in {len(wheels):2} wheels  {options.into / name}  ({heaviest})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
