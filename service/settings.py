"""Settings of the service: the environment (CONDFLOW_*) or the command line, and one table of limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from inference.summaries import QUANTILE_VALUES
from model_store.manifest import Precision
from service.cores import own_cores

MEBI = 1024 * 1024
DEVICES = r"^(cpu(,cpu)*|cuda|cuda:all|cuda:\d+(,cuda:\d+)*)$"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Limits(BaseModel):
    """What one request may ask for. Shown by `GET /models`; past one of them the answer is 413 and names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: Annotated[PositiveInt, Field(description="rows of x in one request")] = 65_536
    samples: Annotated[PositiveInt, Field(description="conditions x samples of one /sample request")] = 10_000_000
    draws: Annotated[PositiveInt, Field(description="noise draws K per row")] = 1024
    engine_rows: Annotated[
        PositiveInt, Field(description="rows through the flow that one request may cost: rows x draws x candidates")
    ] = 16_777_216
    json_bytes: Annotated[PositiveInt, Field(description="bytes of a JSON request body")] = 16 * MEBI
    binary_bytes: Annotated[PositiveInt, Field(description="bytes of an npz or npy request body, inflated")] = (
        256 * MEBI
    )
    answer_bytes: Annotated[PositiveInt, Field(description="bytes of a binary answer")] = 256 * MEBI
    json_answer_bytes: Annotated[PositiveInt, Field(description="bytes of a JSON answer, estimated")] = 64 * MEBI
    covariance_size: Annotated[PositiveInt, Field(description="values of one x whose covariance is asked")] = 1024
    quantile_values: Annotated[
        PositiveInt, Field(description="numbers kept at once for the quantiles of one condition")
    ] = QUANTILE_VALUES


class Settings(BaseSettings):
    """Everything that can be set, with its default. `CONDFLOW_LIMITS__ROWS=1000` sets a limit."""

    model_config = SettingsConfigDict(
        env_prefix="CONDFLOW_", env_nested_delimiter="__", frozen=True, extra="ignore", env_ignore_empty=True
    )

    store: Path = Path("models")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    limits: Limits = Limits()

    keys: Annotated[str, Field(description="key lines, separated by newlines or semicolons")] = ""
    keys_file: Annotated[Path | None, Field(description="file of key lines")] = None
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()

    device: Annotated[
        str, Field(pattern=DEVICES, description="cpu, cuda or cuda:N; several with commas, or cuda:all")
    ] = "cpu"
    device_memory: Annotated[
        ByteSize | Literal["none"] | None,
        Field(
            description="memory of the device for all versions on it, e.g. 60GiB, or none for no limit; unset: four "
            "fifths of what is free on a card at the start, and no limit on the CPU"
        ),
    ] = None
    precision: Annotated[
        Precision, Field(description="of products on a card: float32, or tf32 or bf16 where a version's export allows")
    ] = "float32"
    fuse_s: Annotated[
        float, Field(ge=0, description="seconds that a version may spend, on a card, on compiling programs; 0 = none")
    ] = 10.0
    threads: Annotated[int, Field(ge=0, description="threads of the engine; 0 = one per core")] = 0
    batch_rows: Annotated[PositiveInt, Field(description="rows of one engine call at most")] = 65_536
    call_ms: Annotated[PositiveFloat, Field(description="how long an engine call may take")] = 10.0
    short_call_ms: Annotated[PositiveFloat, Field(description="the same while a smaller request waits")] = 2.5
    fixed_rows: Annotated[
        int,
        Field(
            ge=0,
            multiple_of=16,
            description="rows of every engine call, so that load changes no bit of an answer; 0 = as many as there are",
        ),
    ] = 0
    queue_rows: Annotated[PositiveInt, Field(description="rows that may wait; more are shed with 503")] = 33_554_432
    concurrent_requests: Annotated[PositiveInt, Field(description="requests in progress; more are shed")] = 1024
    bytes_in_flight: Annotated[PositiveInt, Field(description="bytes of request bodies held at once")] = 1024 * MEBI
    request_timeout_ms: Annotated[PositiveInt, Field(description="deadline of a request that names none")] = 60_000
    streams: Annotated[PositiveInt, Field(description="answers streamed at once; more are shed")] = 64
    stream_timeout_ms: Annotated[PositiveInt, Field(description="the deadline of an answer that streams")] = 3_600_000
    stall_timeout_s: Annotated[PositiveFloat, Field(description="longest wait for the reader of an answer")] = 60.0
    head_timeout_s: Annotated[PositiveFloat, Field(description="longest wait for the head of a request")] = 20.0
    body_timeout_s: Annotated[PositiveFloat, Field(description="longest wait for the next piece of a body")] = 20.0

    poll_seconds: Annotated[PositiveFloat, Field(description="how often aliases are looked at")] = 1.0
    loaded_versions: Annotated[PositiveInt, Field(description="versions kept loaded beside those aliases name")] = 8
    load_wait_s: Annotated[float, Field(ge=0, description="how long a request waits for its version to load")] = 5.0
    linger_s: Annotated[float, Field(ge=0, description="seconds served after SIGTERM while unready")] = 0.0
    drain_s: Annotated[PositiveInt, Field(description="longest wait for requests in progress at shutdown")] = 30

    @field_validator("precision")
    @classmethod
    def _needs_a_card(cls, value: Precision, info: ValidationInfo) -> Precision:
        if value != "float32" and str(info.data.get("device")).startswith("cpu"):
            raise ValueError("expected float32, in which the CPU computes; the others need device cuda")
        return value

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(host.strip().lower() for host in value.split(",") if host.strip())
        return value

    @property
    def engine_threads(self) -> int:
        """Threads of one engine call."""
        return self.threads or own_cores()

    @property
    def hosts(self) -> tuple[str, ...] | None:
        """Host names a service without keys answers to; None is any (it listens beyond the loopback by choice)."""
        if self.host not in LOOPBACK and not self.allowed_hosts:
            return None
        return (*LOOPBACK, self.host, *self.allowed_hosts)
