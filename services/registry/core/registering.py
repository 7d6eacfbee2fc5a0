"""What registering and replacing a provider write."""

from __future__ import annotations

from dataclasses import dataclass

from services.chassis.errors import InvalidRequestError, Violation
from services.registry.core.applying import Held, Upsert, upsert
from services.registry.core.errors import ProviderExistsError, ProviderNotFoundError
from services.registry.core.field_rules import field_violations
from services.registry.core.validating import Submitted


@dataclass(frozen=True, slots=True)
class ProviderCommand:
    """What the caller wants.

    Attributes:
        submitted: The provider at its path in the request.
        unreadable: What was found wrong with the rest of the request while it was read.
    """

    submitted: Submitted
    unreadable: tuple[Violation, ...] = ()
    expected_version: int | None = None


def check_provider(command: ProviderCommand) -> None:
    """Raise with everything that is wrong with the provider; it refers to nothing."""
    item = command.submitted
    found = [*command.unreadable, *item.unreadable, *field_violations(item.resource, item.field)]
    if found:
        raise InvalidRequestError.of(found)


def registered(command: ProviderCommand, held: Held | None) -> Upsert:
    """The new provider.

    Raises:
        ProviderExistsError: Its id is known, whatever the content.
    """
    if held is not None:
        raise ProviderExistsError.of(command.submitted.ref.id)
    return upsert(command.submitted.resource, "", None)


def replaced(command: ProviderCommand, held: Held | None) -> Upsert:
    """The provider in place of the one that is held, with that one's mark.

    Raises:
        ProviderNotFoundError: Its id is unknown.
    """
    if held is None:
        raise ProviderNotFoundError.of(command.submitted.ref.id)
    return upsert(command.submitted.resource, held.apply_set, held)
