"""How large everything is: as a card deserves it, or tiny, so that a CPU exercises every part in minutes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]
PART_S = 240.0  # after which a part that compiles much begins nothing more
TIME_UP = "left out: the part's time was up"  # what it says of the rest


@dataclass(frozen=True)
class Sizes:
    """What is measured at which size.

    Args:
        blocks, depth, width: of the mixture's flow and of the wide conditional one.
        exponents: throughput is measured at 2^e rows.
        peer_rows: batches of the comparison with peers, in the order in which they are measured while there is time.
        matrix_side: side of the square product that gives the matrix rate.
        copy_bytes: size of the copies that give the copy rates.
        rounds, budget_s: turns of every contestant and the seconds of one.
        clients, http_s: clients of the closed loop and its seconds.
        http_samples: samples of the one large request.
    """

    blocks: int
    depth: int
    width: int
    exponents: tuple[int, ...]
    peer_rows: tuple[int, ...]
    matrix_side: int
    copy_bytes: int
    rounds: int
    budget_s: float
    clients: tuple[int, ...]
    http_s: float
    http_samples: int


CARD = Sizes(
    blocks=8,
    depth=3,
    width=512,
    exponents=(6, 8, 10, 12, 14, 16, 18, 20),
    peer_rows=(1, 65_536, 64, 1024, 16),
    matrix_side=8192,
    copy_bytes=2**30,
    rounds=11,
    budget_s=0.04,
    clients=(1, 16, 64),
    http_s=8.0,
    http_samples=10_000_000,
)
TINY = Sizes(
    blocks=2,
    depth=2,
    width=32,
    exponents=(6, 10),
    peer_rows=(1, 64),
    matrix_side=512,
    copy_bytes=2**22,
    rounds=3,
    budget_s=0.005,
    clients=(1, 4),
    http_s=0.5,
    http_samples=20_000,
)


@dataclass(frozen=True)
class Plan:
    """Where to measure, the folder for what is made on the way, and the name of the source that is measured.

    >>> Plan("cuda:1", Path("build/gpu"), "abc").card, Plan("cpu", Path("build/gpu"), "abc").sizes is TINY
    (True, True)
    """

    device: str
    folder: Path
    source: str

    @property
    def card(self) -> bool:
        """Whether this is a measurement; a CPU only exercises the script."""
        return self.device.startswith("cuda")

    @property
    def sizes(self) -> Sizes:
        """CARD on a card, else TINY."""
        return CARD if self.card else TINY
