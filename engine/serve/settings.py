"""Settings of the service: by option, else by environment variable (``COPYTRACE_PORT``, ...), else by a TOML file."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..bundle import DEFAULT_BUNDLE
from ..errors import MilvusError, ServiceError, optional_module
from ..infer import Device, Runtime
from ..manifest import Precision
from ..milvus import FORMS, MilvusAddress
from ..read import DEFAULT_PIXEL_LIMIT

LOOPBACK = ("127.0.0.1", "::1", "localhost")
PREFIX = "COPYTRACE_"


class Settings(BaseModel):
    """All settings, with what they are when nothing is said."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    no_auth: bool = Field(False, description="Serve without keys, to this machine only.")
    bundle: Path = Field(DEFAULT_BUNDLE, description="Folder with networks, projection and bank.")
    precision: Precision | None = Field(None, description="Which of its networks (default: the collection's, or int8).")
    device: Device = Field("auto", description="Where to compute: a graphics card (cuda), or the CPU.")
    runtime: Runtime = Field("auto", description="What computes; auto: the fastest one.")
    index: str | None = Field(
        None, description=f"Search by an index in Milvus instead of all rows in memory; approximate. {FORMS}."
    )
    threads: int | None = Field(None, ge=1, le=1024, description="Default: all processors.")
    queue_images: int = Field(256, ge=1, description="Images that may wait; more are answered 503.")
    batch_images: int = Field(32, ge=1, description="Images computed together at most.")
    request_images: int = Field(64, ge=1, description="Images in one request at most.")
    request_bytes: int = Field(64 << 20, ge=1, description="Bytes of one request at most.")
    upload_bytes: int = Field(1 << 30, ge=1, description="Bytes of all requests under way; more are answered 503.")
    request_seconds: float = Field(30.0, gt=0, description="Seconds one request may take.")
    pixel_limit: int = Field(DEFAULT_PIXEL_LIMIT, ge=1, description="Images with more pixels are refused.")
    rate: float | None = Field(None, gt=0, description="Requests per second of one key (default: any number).")
    drain_seconds: float = Field(30.0, ge=0, description="Seconds that requests may still take after SIGTERM.")
    jobs_from: tuple[Path, ...] = Field((), description="A folder that jobs may import from; may be given again.")
    review_queue: bool = Field(True, description="Queue pairs with the verdict review for people to decide on.")
    review_limit: int = Field(
        10_000, ge=1, description="Pairs that wait for a decision at most, and decisions kept; the oldest go."
    )
    lower_rejected: bool = Field(True, description="Score images like a rejected one lower against its reference.")
    tls_certificate: Path | None = Field(None, description="PEM file; serves HTTPS.")
    tls_key: Path | None = Field(None, description="PEM file with the certificate's key.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")

    @field_validator("index")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                MilvusAddress.parse(value)
        except MilvusError as error:
            raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> "Settings":
        if self.no_auth and self.host not in LOOPBACK:
            raise ValueError(f"no_auth serves this machine only, and {self.host} is not its loopback address")
        if self.request_images > self.queue_images:
            raise ValueError("request_images must not be above queue_images")
        if self.request_bytes > self.upload_bytes:
            raise ValueError("request_bytes must not be above upload_bytes")
        if self.tls_key is not None and self.tls_certificate is None:
            raise ValueError("tls_key needs tls_certificate")
        return self


def load_settings(given: Mapping[str, Any], file: Path | None = None) -> Settings:
    """What was given, else what the environment says, else what the file does.

    Raises: ServiceError that names the setting, MissingExtraError.
    """
    optional_module("pydantic_settings", "serve")
    from pydantic_settings import BaseSettings, InitSettingsSource, SettingsConfigDict

    from_file = {} if file is None else _read(file)

    class Everywhere(Settings, BaseSettings):
        model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix=PREFIX, env_ignore_empty=True)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: Any,
            init_settings: Any,
            env_settings: Any,
            dotenv_settings: Any,
            file_secret_settings: Any,
        ) -> Any:
            return init_settings, env_settings, InitSettingsSource(settings_cls, from_file)

    try:
        return Settings(**Everywhere(**given).model_dump())
    except ValidationError as error:
        raise ServiceError("; ".join(_line(one) for one in error.errors())) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ServiceError(f"{file}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ServiceError(f"{file}: not a TOML file: {error}") from None


def _line(error: Any) -> str:
    name = ".".join(map(str, error["loc"]))
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{name}: {message}, not {error['input']!r}" if name else message
