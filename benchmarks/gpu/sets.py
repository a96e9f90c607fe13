"""What gpu.sh needs beside torch, in sets of packages that travel to another machine one by one; and what is not there.

All parts need `arrays` and `engine`; each other set holds what some need beside them, and none holds what another does.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

SETS: dict[str, tuple[str, ...]] = {
    "arrays": ("numpy",),
    "engine": (
        *("annotated-types", "pydantic", "pydantic-core", "pydantic-settings", "python-dotenv"),
        *("typing-extensions", "typing-inspection"),
        *("ml-dtypes", "onnx", "onnx-ir", "onnxruntime", "onnxscript", "protobuf", "safetensors"),
        *("packaging", "pyyaml"),
    ),
    "service": (
        *("annotated-doc", "anyio", "fastapi", "h11", "httptools", "idna", "orjson", "prometheus-client"),
        *("opentelemetry-api", "python-multipart", "starlette", "uvicorn", "uvloop"),
        *("click", "markdown-it-py", "mdurl", "pygments", "rich", "shellingham", "typer"),
        *("certifi", "httpcore", "httpx"),  # of who asks it
    ),
    "training": ("lightning", "lightning-utilities", "pytorch-lightning", "torchmetrics", "tqdm"),
    "tests": ("hypothesis", "iniconfig", "pluggy", "pytest", "sortedcontainers"),
    "zuko": ("zuko",),
    "freia": ("freia", "scipy"),
    "page": (
        *("contourpy", "cycler", "fonttools", "kiwisolver", "matplotlib", "pillow", "pyparsing", "python-dateutil"),
    ),
}
ALWAYS = ("arrays", "engine")
BESIDE = {
    "http": ("service",),
    "page": ("page",),
    "peers": ("zuko",),
    "tests": ("service", "training", "tests"),
    "training": ("training",),
}


def needed(part: str) -> tuple[str, ...]:
    """The sets without which a part, or the page, is left out.

    >>> needed("training-steps"), needed("check")
    (('arrays', 'engine', 'training'), ('arrays', 'engine'))
    """
    return ALWAYS + BESIDE.get(part.split("-")[0], ())


def lacking(sets: Iterable[str]) -> dict[str, list[str]]:
    """By set, the packages that are not installed here; sets that are whole are not named."""
    absent = {name: [package for package in SETS[name] if not _installed(package)] for name in sets}
    return {name: packages for name, packages in absent.items() if packages}


def told(absent: dict[str, list[str]]) -> str:
    """What to say of them.

    >>> told({"arrays": ["numpy"], "engine": ["onnx", "onnxruntime", "pydantic", "safetensors"]})
    'no numpy, onnx, onnxruntime and 2 more here: bring .whl/arrays and .whl/engine (docs/running-on-a-card.md)'
    """
    packages = [package for names in absent.values() for package in names]
    more = f" and {len(packages) - 3} more" if len(packages) > 3 else ""
    folders = " and ".join(f".whl/{name}" for name in absent)
    return f"no {', '.join(packages[:3])}{more} here: bring {folders} (docs/running-on-a-card.md)"


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
