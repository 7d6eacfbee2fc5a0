"""Settings from the environment: read, refused, shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from services.chassis.config.settings import LogFormat, LogLevel, ServiceSettings, load_settings
from services.chassis.startup import StartupRefusedError
from tests.support.stack import exported


class BridgeSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="RUNYARD_BRIDGE_", frozen=True)

    listen: str = "127.0.0.1:7499"
    database_url: str = Field(description="Where.")
    lanes: int = Field(default=2, ge=1)
    token: SecretStr = SecretStr("")
    relay_url: str = ""
    widths: dict[str, int] = Field(default={})


DATABASE = {"RUNYARD_BRIDGE_DATABASE_URL": "sqlite:///bridge.db"}


@pytest.fixture(autouse=True)
def _database() -> Iterator[None]:
    with exported(DATABASE):
        yield


def _refusal(**variables: str) -> str:
    with exported(variables), pytest.raises(StartupRefusedError) as caught:
        load_settings(BridgeSettings)
    return str(caught.value)


def test_variables_override_defaults() -> None:
    with exported({"RUNYARD_BRIDGE_LANES": "4", "RUNYARD_BRIDGE_LOG_FORMAT": "json"}):
        settings = load_settings(BridgeSettings)
    assert (settings.lanes, settings.log_format) == (4, LogFormat.JSON)
    assert (settings.listen, settings.log_level) == ("127.0.0.1:7499", LogLevel.INFO)
    assert settings.drain_grace_s == 8.0
    assert settings.insecure is False


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [
        ("RUNYARD_BRIDGE_LANE", "RUNYARD_BRIDGE_LANES"),
        ("RUNYARD_BRIDGE_DRAIN_GRACE", "RUNYARD_BRIDGE_DRAIN_GRACE_S"),
        ("RUNYARD_BRIDGE_LOGLEVEL", "RUNYARD_BRIDGE_LOG_LEVEL"),
        ("runyard_bridge_databaseurl", "RUNYARD_BRIDGE_DATABASE_URL"),
    ],
)
def test_an_unknown_variable_is_refused_and_the_nearest_named(unknown: str, nearest: str) -> None:
    assert _refusal(**{unknown: "1"}) == f"unknown setting {unknown}: did you mean {nearest}?"


def test_every_unknown_variable_is_named() -> None:
    refusal = _refusal(RUNYARD_BRIDGE_X="1", RUNYARD_BRIDGE_Y="1")
    assert refusal.count("unknown setting") == 2


def test_variables_of_others_do_not_matter() -> None:
    with exported({"RUNYARD_ENDPOINTS": "x", "RUNYARD_BRIDGES_X": "1", "BRIDGE_LANES": "9"}):
        assert load_settings(BridgeSettings).lanes == 2


def test_problems_name_the_variable_and_never_the_value() -> None:
    """The value may be a secret in the wrong place."""
    refusal = _refusal(RUNYARD_BRIDGE_LANES="hunter2", RUNYARD_BRIDGE_LOG_LEVEL="loud")
    assert "RUNYARD_BRIDGE_LANES: input should be a valid integer" in refusal
    assert "RUNYARD_BRIDGE_LOG_LEVEL: input should be" in refusal
    assert "hunter2" not in refusal


def test_a_required_variable_that_is_missing_is_named() -> None:
    class Bare(ServiceSettings):
        model_config = SettingsConfigDict(env_prefix="RUNYARD_BARE_", frozen=True)

    with pytest.raises(StartupRefusedError) as caught:
        load_settings(Bare)
    assert str(caught.value) == (
        "RUNYARD_BARE_LISTEN: is not set; RUNYARD_BARE_DATABASE_URL: is not set"
    )


def test_effective_values_are_shown_with_secrets_masked() -> None:
    settings = BridgeSettings(
        database_url="postgresql://bridge:hunter2@db/bridge?password=hunter2",
        token=SecretStr("hunter2"),
        relay_url="http://:hunter2@relay:1/x",
    )
    assert settings.describe() == {
        "RUNYARD_BRIDGE_LISTEN": "127.0.0.1:7499",
        "RUNYARD_BRIDGE_DATABASE_URL": "postgresql://bridge:***@db/bridge?password=***",
        "RUNYARD_BRIDGE_DATABASE_CONNECTIONS": "8",
        "RUNYARD_BRIDGE_DRAIN_GRACE_S": "8.0",
        "RUNYARD_BRIDGE_LOG_LEVEL": "info",
        "RUNYARD_BRIDGE_LOG_FORMAT": "text",
        "RUNYARD_BRIDGE_ACCESS_LOG": "problems",
        "RUNYARD_BRIDGE_SLOW_CALL_S": "1.0",
        "RUNYARD_BRIDGE_EVENT_LOOP": "auto",
        "RUNYARD_BRIDGE_OTLP_ENDPOINT": "",
        "RUNYARD_BRIDGE_INSECURE": "False",
        "RUNYARD_BRIDGE_TLS_CERT_FILE": "",
        "RUNYARD_BRIDGE_TLS_KEY_FILE": "",
        "RUNYARD_BRIDGE_TLS_CLIENT_CA_FILE": "",
        "RUNYARD_BRIDGE_TOKEN_FILE": "",
        "RUNYARD_BRIDGE_PEER_CA_FILE": "",
        "RUNYARD_BRIDGE_PEER_CERT_FILE": "",
        "RUNYARD_BRIDGE_PEER_KEY_FILE": "",
        "RUNYARD_BRIDGE_PEER_TOKEN_FILE": "",
        "RUNYARD_BRIDGE_FAILPOINTS": "",
        "RUNYARD_BRIDGE_LANES": "2",
        "RUNYARD_BRIDGE_TOKEN": "***",
        "RUNYARD_BRIDGE_RELAY_URL": "http://:***@relay:1/x",
        "RUNYARD_BRIDGE_WIDTHS": "{}",
    }


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40hunter2@db/x",
        "postgresql://u:p@hunter2@db/x",
        "postgresql://u:hunter2/p@db/x",
        "postgresql://db/x?sslmode=require&sslpassword=hunter2",
        "postgresql://u:hunter2@db1:5432,db2:5433/x?options=-csearch_path%3Dbridge",
        "postgresql://u:hunter2@[::1]:5432/x?options=-csearch_path%3Dbridge&password=hunter2",
        "postgresql://db/x?user=u&password=hunter2%26more",
        "postgresql:///x?host=/run/db&password='hunter2'",
        "postgresql://u:hunter2 with spaces@db/x",
        "host=db password=hunter2 dbname=x",
        "host=db password = 'hunter2 \\' hunter2' dbname=x",
        "dbname=x sslpassword='hunter2'",
        "dbname=x PASSWORD=hunter2",
    ],
)
def test_a_password_is_masked_however_it_is_written(url: str) -> None:
    shown = BridgeSettings(database_url=url).describe()["RUNYARD_BRIDGE_DATABASE_URL"]
    assert "hunter2" not in shown
    assert shown.partition("=")[0].partition(":")[0] == url.partition("=")[0].partition(":")[0]
    assert "***" in shown


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////data/my key=1.db",
        "postgresql://u@db:5432/x?options=-csearch_path%3Dbridge&sslmode=verify-full",
        "host=db port=5432 dbname=x options='-csearch_path=bridge'",
        "/etc/keys/token=1",
    ],
)
def test_what_is_no_password_is_shown(url: str) -> None:
    assert BridgeSettings(database_url=url).describe()["RUNYARD_BRIDGE_DATABASE_URL"] == url


def test_an_empty_secret_is_shown_as_unset() -> None:
    assert BridgeSettings(database_url="x").describe()["RUNYARD_BRIDGE_TOKEN"] == ""


def test_settings_do_not_change() -> None:
    settings: Any = BridgeSettings(database_url="x")
    with pytest.raises(ValidationError):
        settings.lanes = 3


def test_a_class_knows_its_service_and_its_variables() -> None:
    assert BridgeSettings.service() == "bridge"
    assert BridgeSettings.variable("listen") == "RUNYARD_BRIDGE_LISTEN"


def test_an_object_is_json_and_anything_else_is_refused() -> None:
    with exported({"RUNYARD_BRIDGE_WIDTHS": '{"a": 2}'}):
        assert load_settings(BridgeSettings).widths == {"a": 2}

    assert _refusal(RUNYARD_BRIDGE_WIDTHS="a=2") == ("RUNYARD_BRIDGE_WIDTHS: must be a JSON object")
