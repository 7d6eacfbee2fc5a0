"""The credentials of the command for the servers, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

from services.chassis.access.peers import PeerFiles, Peers
from services.chassis.clock import SystemClock
from services.chassis.startup import StartupRefusedError
from services.cli.base.exits import EXIT_USAGE, CliError

CA_VARIABLE = "RUNYARD_CA_FILE"
CERT_VARIABLE = "RUNYARD_CERT_FILE"
KEY_VARIABLE = "RUNYARD_KEY_FILE"
TOKEN_FILE_VARIABLE = "RUNYARD_TOKEN_FILE"  # noqa: S105  # a name
TOKEN_VARIABLE = "RUNYARD_TOKEN"  # noqa: S105  # a name

NAMES: Mapping[str, str] = {
    "ca": CA_VARIABLE,
    "cert": CERT_VARIABLE,
    "key": KEY_VARIABLE,
    "token": TOKEN_FILE_VARIABLE,
    "token_value": TOKEN_VARIABLE,
    "insecure": "RUNYARD_INSECURE",
}


def read_peers(environment: Mapping[str, str] = os.environ) -> Peers:
    """Credentials for channels to the servers; none without variables.

    Raises:
        CliError: A file cannot be used, or there are two tokens.
    """
    values = {field: environment.get(name, "") for field, name in NAMES.items()}
    if values["token"] and values["token_value"]:
        raise _unusable(f"{TOKEN_FILE_VARIABLE} and {TOKEN_VARIABLE} are both set: set one of them")
    files = PeerFiles(dict(NAMES), values["ca"], values["cert"], values["key"], values["token"])
    insecure = values["insecure"].lower() in {"1", "true", "yes", "on"}
    try:
        return Peers(files, SystemClock(), token=values["token_value"], insecure=insecure)
    except StartupRefusedError as error:
        raise _unusable(str(error)) from None


def _unusable(message: str) -> CliError:
    return CliError(message, reason="CREDENTIALS", exit_code=EXIT_USAGE)
