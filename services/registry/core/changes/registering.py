"""What registering and replacing a provider write."""

from __future__ import annotations

from dataclasses import dataclass

from services.chassis.errors import InvalidRequestError, Violation
from services.registry.core.changes.publishing import Upsert, upsert
from services.registry.core.errors import ProviderExistsError, ProviderNotFoundError
from services.registry.core.rules.validating import Submitted, submitted_violations
from services.registry.core.stored import Existing


@dataclass(frozen=True, slots=True)
class ProviderCommand:
    """What the caller wants.

    Attributes:
        submitted: The provider at its path in the request.
        unreadable: Violations found while decoding the rest of the request.
    """

    submitted: Submitted
    unreadable: tuple[Violation, ...] = ()
    expected_version: int | None = None


def check_provider(command: ProviderCommand) -> None:
    """Raise with every violation; a provider refers to nothing, so the rules of fields suffice."""
    found = [*command.unreadable, *submitted_violations(command.submitted)]
    if found:
        raise InvalidRequestError.of(found)


def registered(command: ProviderCommand, existing: Existing | None) -> Upsert:
    """The new provider.

    Raises:
        ProviderExistsError: Its id is known, whatever the content.
    """
    if existing is not None:
        raise ProviderExistsError.of(command.submitted.ref.id)
    return upsert(command.submitted.resource, "", None)


def replaced(command: ProviderCommand, existing: Existing | None) -> Upsert:
    """The new content of an existing provider, which stays in its apply set.

    Raises:
        ProviderNotFoundError: Its id is unknown.
    """
    if existing is None:
        raise ProviderNotFoundError.of(command.submitted.ref.id)
    return upsert(command.submitted.resource, existing.apply_set, existing)
