"""The metrics of all workers as one text exposition, each series labelled by the worker that it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

UP = "condflow_worker_up"


def merged(texts: Mapping[int, str], devices: Sequence[str]) -> str:
    """One exposition; `texts`: of each worker that answers, by its number. Those that do not are told by `UP`.

    >>> print(merged({0: "# HELP a_total Of a.\\n# TYPE a_total counter\\na_total 1.0\\n"}, ("cpu", "cpu")), end="")
    # HELP a_total Of a.
    # TYPE a_total counter
    a_total{worker="0"} 1.0
    # HELP condflow_worker_up 1 where the worker takes connections.
    # TYPE condflow_worker_up gauge
    condflow_worker_up{worker="0",device="cpu"} 1
    condflow_worker_up{worker="1",device="cpu"} 0
    """
    families: dict[str, list[str]] = {}
    for number, text in sorted(texts.items()):
        series: list[str] = []
        for line in text.splitlines():
            if line.startswith("# HELP "):
                series = families.setdefault(line.split(" ", 3)[2], [line])
            elif not line.startswith("#"):
                series.append(_labelled(line, number))
            elif line not in series:
                series.append(line)
    lines = [line for series in families.values() for line in series]
    lines += [f"# HELP {UP} 1 where the worker takes connections.", f"# TYPE {UP} gauge"]
    for number, device in enumerate(devices):
        lines.append(f'{UP}{{worker="{number}",device="{device}"}} {int(number in texts)}')
    return "\n".join(lines) + "\n"


def _labelled(line: str, number: int) -> str:
    """A sample with one label more: a name has neither braces nor blanks."""
    label = f'worker="{number}"'
    name, brace, rest = line.partition("{")
    if brace and " " not in name:
        return f"{name}{{{label},{rest}"
    name, _, value = line.partition(" ")
    return f"{name}{{{label}}} {value}"
