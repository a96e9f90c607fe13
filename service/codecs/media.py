"""Which media type a request carries and which one its answer gets."""

from __future__ import annotations

from functools import lru_cache

from starlette.requests import Request

from service.problems import Problem

JSON = "application/json"
NPZ = "application/x-npz"
NPY = "application/x-npy"
PNG = "image/png"
NDJSON = "application/x-ndjson"
_READ = f"expected Content-Type {JSON} (with no parameter but charset=utf-8), {NPZ} or {NPY}"


def request_media(request: Request) -> str:
    """JSON, NPZ or NPY. Raises Problem (415)."""
    media = _request_media(request.scope["condflow.record"].headers.get(b"content-type", b""))
    check_uncoded(request)
    return media


@lru_cache(maxsize=64)
def _request_media(header: bytes) -> str:
    value = header.decode("latin-1").strip()
    media, _, parameters = value.partition(";")
    media = media.strip().lower()
    charset = parameters.strip().lower().replace('"', "") if media == JSON else ""
    if media not in (JSON, NPZ, NPY) or charset not in ("", "charset=utf-8", "charset=utf8"):
        shown = f"`{value[:64]}`" if value else "nothing"
        raise Problem(415, "media-type", f"{_READ}, got {shown}", header="Content-Type")
    return media


def check_uncoded(request: Request) -> None:
    """Raise Problem (415) for a body under a Content-Encoding."""
    coding = request.scope["condflow.record"].headers.get(b"content-encoding", b"identity").decode("latin-1")
    if coding.lower() != "identity":
        detail = f"expected a body without Content-Encoding, got `{coding[:64]}`; npz compresses by itself"
        raise Problem(415, "content-encoding", detail, header="Content-Encoding")


def answer_media(request: Request, offered: tuple[str, ...]) -> str:
    """The offered type that `Accept` likes best, in the order offered where it likes several the same. Raises 406."""
    accepted = [value for name, value in request.scope["headers"] if name == b"accept"]
    return _answer_media(b",".join(accepted), offered)


@lru_cache(maxsize=64)
def _answer_media(accepted: bytes, offered: tuple[str, ...]) -> str:
    header = accepted.decode("latin-1").strip()
    if not header:
        return offered[0]
    wishes = [wish for part in header.split(",") if (wish := _wish(part)) is not None]
    best, quality = None, 0.0
    for media in offered:
        liked = _quality(media, wishes)
        if liked > quality:
            best, quality = media, liked
    if best is None:
        raise Problem(406, "accept", f"Accept allows none of {', '.join(offered)}", header="Accept")
    return best


def _wish(part: str) -> tuple[str, float] | None:
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = min(1.0, max(0.0, float(value)))
            except ValueError:
                return None
    return (media, quality) if media else None


def _quality(media: str, wishes: list[tuple[str, float]]) -> float:
    """The most specific matching range decides (RFC 9110, 12.5.1)."""
    for pattern in (media, media.split("/")[0] + "/*", "*/*"):
        matching = [quality for wish, quality in wishes if wish == pattern]
        if matching:
            return max(matching)
    return 0.0
