"""How the command shows itself to the servers, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

from services.chassis.access.peers import PeerFiles, Peers
from services.chassis.clock import SystemClock
from services.chassis.startup import StartupRefusedError
from services.cli.exits import EXIT_USAGE, CliError

CA_VARIABLE = "RUNYARD_CA_FILE"
TOKEN_FILE_VARIABLE = "RUNYARD_TOKEN_FILE"  # noqa: S105  # a name
TOKEN_VARIABLE = "RUNYARD_TOKEN"  # noqa: S105  # a name

NAMES: Mapping[str, str] = {
    "ca": CA_VARIABLE,
    "cert": "RUNYARD_CERT_FILE",
    "key": "RUNYARD_KEY_FILE",
    "token": TOKEN_FILE_VARIABLE,
    "token_value": TOKEN_VARIABLE,
    "insecure": "RUNYARD_INSECURE",
}


def read_peers(environment: Mapping[str, str] = os.environ) -> Peers:
    """Credentials for channels to the servers; none without variables.

    Raises:
        CliError: A file cannot be used, or there are two tokens.
    """
    said = {field: environment.get(name, "") for field, name in NAMES.items()}
    if said["token"] and said["token_value"]:
        raise _unusable(f"{TOKEN_FILE_VARIABLE} and {TOKEN_VARIABLE} are both set: set one of them")
    files = PeerFiles(dict(NAMES), said["ca"], said["cert"], said["key"], said["token"])
    insecure = said["insecure"].lower() in {"1", "true", "yes", "on"}
    try:
        return Peers(files, SystemClock(), token=said["token_value"], insecure=insecure)
    except StartupRefusedError as error:
        raise _unusable(str(error)) from None


def _unusable(message: str) -> CliError:
    return CliError(message, reason="CREDENTIALS", exit_code=EXIT_USAGE)
