"""Run as a process: for every n, a child that dies by SIGKILL at the n-th step of what it does to a store.

Usage: python -m tests.model_store.killed FOLDER link|nolink publish|tidy
Leaves one store per n in FOLDER and prints how many children were killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

from model_store import Store
from model_store.gc import collect
from model_store.local import LocalBackend
from tests.model_store.drafts import FILES, age, draft
from tests.model_store.faulty_disks import KillingDisk, SteppedDisk


def prepare(root: Path, links: bool) -> None:
    store = Store(LocalBackend(root, SteppedDisk(links)))
    store.publish(draft(), FILES)
    store.publish(draft(), {"orphan": b"o" * 5000}, alias=None)
    store.delete("mix", 2)
    age(root)


def publish(store: Store) -> None:
    store.publish(draft(), {**FILES, "card.md": b"# another", "orphan": b"o" * 5000, "new/empty": b""})


def tidy(store: Store) -> None:
    store.set_alias("mix", "staging", 1)
    collect(store, grace=3600)
    store.publish(draft(), {"other": b"x"})
    store.rollback("mix", "champion")
    store.delete("mix", 3)


def main(folder: Path, links: bool, action: str) -> int:
    prepared = folder / "prepared"
    prepare(prepared, links)
    n = 0
    while True:
        n += 1
        root = folder / str(n)
        shutil.copytree(prepared, root)
        child = os.fork()
        if child == 0:
            {"publish": publish, "tidy": tidy}[action](Store(LocalBackend(root, KillingDisk(n, links))))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            return n - 1 if os.WEXITSTATUS(status) == 0 else -1
        assert os.WTERMSIG(status) == signal.SIGKILL


if __name__ == "__main__":
    killed = main(Path(sys.argv[1]), sys.argv[2] == "link", sys.argv[3])
    print(killed)
    sys.exit(0 if killed > 0 else 1)
