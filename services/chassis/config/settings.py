"""Settings of a service process, read once at start from its own environment variables."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import ClassVar, TypeVar, cast

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from services.chassis.startup import StartupRefusedError

_MASK = "***"
# Up to the last @: an unescaped password may hold an @, a slash or a space.
_URL_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):.*(?=@)")
_URL_SECRET = re.compile(r"([?&][^=&\s]*(?:pass|secret|token|key)[^=&\s]*=)[^&\s]*", re.IGNORECASE)
# libpq's keyword form: host=db password='it\'s'.
_KEYWORD_SECRET = re.compile(
    r"((?:^|\s)\w*(?:passw|secret|token)\w*\s*=\s*)(?:'(?:\\.|[^'\\])*'?|\S+)", re.IGNORECASE
)


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class EventLoop(StrEnum):
    AUTO = "auto"
    UVLOOP = "uvloop"
    ASYNCIO = "asyncio"


class AccessLog(StrEnum):
    PROBLEMS = "problems"
    ALL = "all"


class ServiceSettings(BaseSettings):
    """Settings of every service; a subclass sets ``env_prefix``, defaults and its own fields."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(frozen=True)

    listen: str = Field(description="host:port to serve on; port 0 picks a free one.")
    database_url: str = Field(
        description="Where state is kept: sqlite:///FILE or postgresql://USER@HOST/NAME."
    )
    database_connections: int = Field(
        default=8,
        ge=1,
        le=1000,
        description="Connections to PostgreSQL for reads and writes; four more serve lists, locks "
        "and wake-ups. SQLite has a writer and two readers.",
    )
    drain_grace_s: float = Field(
        default=8.0,
        ge=0,
        le=3600,
        description="Seconds that running calls get when the process stops.",
    )
    log_level: LogLevel = Field(default=LogLevel.INFO, description="debug, info, warning or error.")
    log_format: LogFormat = Field(default=LogFormat.TEXT, description="text or json.")
    access_log: AccessLog = Field(
        default=AccessLog.PROBLEMS,
        description="Which calls are logged at info: problems (those that failed, unary ones that "
        "were slow or whose caller left) or all.",
    )
    slow_call_s: float = Field(
        default=1.0,
        gt=0,
        le=3600,
        description="Seconds from which a unary call counts as slow.",
    )
    event_loop: EventLoop = Field(
        default=EventLoop.AUTO,
        description="auto (uvloop where it is installed), uvloop or asyncio.",
    )
    otlp_endpoint: str = Field(
        default="", description="Base URL of an OTLP/HTTP receiver; empty exports nothing."
    )
    insecure: bool = Field(
        default=False,
        description="Accept callers from other machines without TLS and authentication, and send "
        "the token to siblings there unencrypted.",
    )
    tls_cert_file: str = Field(
        default="",
        description="Certificate chain of the server in PEM; callers must use TLS then.",
    )
    tls_key_file: str = Field(
        default="", description="Private key of that certificate in PEM, without a password."
    )
    tls_client_ca_file: str = Field(
        default="",
        description="Authority in PEM that must have signed the callers' certificates; empty asks "
        "callers for none.",
    )
    token_file: str = Field(
        default="",
        description="Hashed bearer tokens of callers; empty takes every caller for the local one.",
    )
    peer_ca_file: str = Field(
        default="",
        description="Authority in PEM that signs the siblings' certificates; empty calls them "
        "unencrypted.",
    )
    peer_cert_file: str = Field(
        default="", description="Certificate chain in PEM to show to siblings that ask for one."
    )
    peer_key_file: str = Field(
        default="", description="Private key of that certificate in PEM, without a password."
    )
    peer_token_file: str = Field(
        default="", description="Bearer token to send to siblings; its role must be service."
    )
    failpoints: str = Field(
        default="",
        description="Places where the process fails on purpose, name=action[@n] each; for drills.",
    )

    @classmethod
    def prefix(cls) -> str:
        """Return the prefix of its environment variables, ``RUNYARD_REGISTRY_``."""
        return cls.model_config.get("env_prefix", "")

    @classmethod
    def service(cls) -> str:
        """Return the short name of the service, ``registry``."""
        return cls.prefix().removeprefix("RUNYARD_").rstrip("_").lower()

    @classmethod
    def variable(cls, field: str) -> str:
        """Return the environment variable of a field."""
        return f"{cls.prefix()}{field}".upper()

    def describe(self) -> dict[str, str]:
        """Return the effective values by variable, with secrets and passwords masked."""
        return {self.variable(f): _shown(getattr(self, f)) for f in type(self).model_fields}

    def describe_chosen(self) -> dict[str, str]:
        """As ``describe``, of what differs from the defaults alone."""
        shown = self.describe()
        fields = type(self).model_fields.items()
        return {
            self.variable(name): shown[self.variable(name)]
            for name, field in fields
            if getattr(self, name) != field.get_default(call_default_factory=True)
        }


S = TypeVar("S", bound=ServiceSettings)


def load_settings(settings: type[S]) -> S:
    """Read ``settings`` from the environment.

    Raises:
        StartupRefusedError: A variable is unknown, missing or malformed.
    """
    refuse_unknown(settings, os.environ)
    try:
        return cast(
            "Callable[[], S]", settings
        )()  # pydantic reads missing arguments from the environment
    except ValidationError as error:
        raise StartupRefusedError(_problems(settings, error)) from None
    except SettingsError as error:
        raise StartupRefusedError(_not_json(settings, error)) from None


def refuse_unknown(settings: type[ServiceSettings], environment: Mapping[str, str]) -> None:
    """Refuse variables that have the prefix but name no setting, to detect typos.

    Raises:
        StartupRefusedError: Names each variable and the most similar known one.
    """
    known = {settings.variable(field) for field in settings.model_fields}
    prefix = settings.prefix().upper()
    unknown = sorted(
        name
        for name in environment
        if name.upper().startswith(prefix) and name.upper() not in known
    )
    if unknown:
        raise StartupRefusedError("; ".join(_suggestion(name, known) for name in unknown))


def _suggestion(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.0)
    return f"unknown setting {name}: did you mean {near[0]}?"


def _problems(settings: type[ServiceSettings], error: ValidationError) -> str:
    """Describe the errors without the values, which may be secret."""
    problems = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        name = settings.variable(".".join(str(part) for part in problem["loc"]))
        missing = problem["type"] == "missing"
        text = "is not set" if missing else problem["msg"][:1].lower() + problem["msg"][1:]
        problems.append(f"{name}: {text}")
    return "; ".join(problems)


def _not_json(settings: type[ServiceSettings], error: SettingsError) -> str:
    """Name the variable that is to hold a JSON object, and does not hold JSON."""
    named = (field for field in settings.model_fields if f'"{field}"' in str(error))
    return f"{settings.variable(next(named, ''))}: must be a JSON object"


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return _MASK if value.get_secret_value() else ""
    shown = _URL_PASSWORD.sub(rf"\1:{_MASK}", str(value))
    shown = _URL_SECRET.sub(rf"\1{_MASK}", shown)
    return _KEYWORD_SECRET.sub(rf"\1{_MASK}", shown)
