"""The page of a soak: requests, failures, leaks, drift."""

from __future__ import annotations

from benchmarks.record import Figure, Page, table
from benchmarks.soak.diary import OUTCOMES, Diary, p99_of, thirds
from benchmarks.soak.run import LIFE_S, Soak
from benchmarks.soak.subject import MEASURED

MEMORY_MIB = 32.0
DRIFT = 1.5
RESTART_S = 5.0
_PROTOCOL = f"""The real service in a process of its own, asked over loopback by clients on the same machine: the
ready-made mixture and digits, two versions of each whose champion is moved every second, every answer compared to the
bit with the one in quiet times (`fixed_rows`); hostile bodies; requests and streams that are left at any moment. The
first life is long: memory, descriptors, threads and p99 are of it. Then come lives of {LIFE_S:g} s, ended in turn by
SIGTERM and by `kill -9`, under the same load.

*refused*: hostile bodies, by a 4xx. *shed*: 503 or 504. *left*: by our client. *interrupted*: our signal came before
the answer. *failed*: anything else, such as another 5xx, a wrong answer, half an answer."""


def page(found: Soak, command: str) -> Page:
    """As docs/results has them."""
    diary, end = found.diary, found.first_life_s
    memory = [(at, vitals.memory_mib) for at, vitals in diary.vitals]
    early, late = thirds(memory, end)
    first, last = (p99_of(third) for third in thirds(diary.latencies, end))
    terms = [restart.code for restart in diary.restarts if restart.signal == "SIGTERM"] + [found.exit_code]
    computed = max((restart.cpu_seconds for restart in diary.restarts), default=float("nan"))
    lower = {"better": "lower", "digits": 0}
    figures = [
        Figure("requests", float(diary.total()), digits=0),
        Figure("failed", float(diary.total("failed")), 0, **lower),  # type: ignore[arg-type]
        Figure("gauges not back at zero", 0.0 if found.at_rest else 1.0, 0, **lower),  # type: ignore[arg-type]
        Figure(
            "memory, mean of the last third less the first, MiB",
            sum(late) / len(late) - sum(early) / len(early),
            MEMORY_MIB,
            "lower",
            digits=1,
            note=f"{found.calm.memory_mib:.0f} MiB before, at most {max(value for _, value in memory):.0f} MiB",
        ),
        Figure("descriptors left open", float(found.rest.descriptors - found.calm.descriptors), 0, **lower),  # type: ignore[arg-type]
        Figure(
            "threads after less before",
            float(found.rest.threads - found.calm.threads),
            note="pools grow to their size with use",
            digits=0,
        ),
        Figure(f"p99 of {MEASURED}, last third / first", last / first, DRIFT, "lower", digits=2, note=_ms(first, last)),
        Figure("SIGTERM that did not exit 0", float(sum(code != 0 for code in terms)), 0, **lower),  # type: ignore[arg-type]
        Figure(
            "slowest restart until the first answer, s",
            max((restart.seconds for restart in diary.restarts), default=float("nan")),
            RESTART_S,
            "lower",
            digits=2,
            note=f"{len(diary.restarts)} restarts, at most {computed:.2f} s of computing; {diary.moves} alias moves",
        ),
    ]
    body = requests_table(diary)
    if diary.failures:
        body += "\n\nThe first failures:\n\n" + "\n".join(f"- {failure}" for failure in diary.failures[:20])
    title = f"A soak of {diary.now / 60:.0f} minutes"
    packages = ("numpy", "onnxruntime", "uvicorn", "httptools", "uvloop")
    return Page("soak", title, command, _PROTOCOL, figures, body=body, packages=packages)


def requests_table(diary: Diary) -> str:
    """One line per kind, and their sums."""
    rows = [[kind, *(str(counts[outcome]) for outcome in OUTCOMES)] for kind, counts in sorted(diary.outcomes.items())]
    rows.append(["**all**", *(str(diary.total(outcome)) for outcome in OUTCOMES)])
    return table(["requests", *OUTCOMES], rows)


def _ms(first: float, last: float) -> str:
    return f"{1e3 * first:.0f} ms, then {1e3 * last:.0f} ms"
