"""Enums of a contract and of the code behind it, and what the numbers of the one are in the other.

A table is made at import and fails there when a value has no counterpart, so that neither side can
get one more alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any, Generic, TypeVar, cast

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

E = TypeVar("E", bound=Enum)
T = TypeVar("T")


class EnumTable(Generic[E]):
    """One enum on both sides: ``PREFIX_NAME`` of the contract is ``NAME`` of ``members``.

    Args:
        wire: The enum of the contract.
        unset: The member that number 0 stands for; None where 0 has no member.
        without: Names, without the prefix, that only one side has: reserved by the contract, or
            never sent.

    Attributes:
        from_pb: Members by number.
        to_pb: Names of the contract by member; constructors of messages take them.

    Raises:
        TypeError: A value of the contract or a member has no counterpart.
    """

    def __init__(
        self,
        wire: object,
        prefix: str,
        members: type[E],
        *,
        unset: E | None = None,
        without: Collection[str] = (),
    ) -> None:
        numbers = _numbers(wire, prefix)
        ours = {member.name: member for member in members if member is not unset}
        one_sided = numbers.keys() ^ ours.keys()
        if one_sided != set(without):
            differing = sorted(one_sided ^ set(without))
            raise TypeError(f"{members.__name__} and {prefix}_* differ in {differing}")
        shared = [name for name in ours if name in numbers]
        self.to_pb: Mapping[E, str] = {ours[name]: f"{prefix}_{name}" for name in shared}
        self.from_pb: Mapping[int, E] = {numbers[name]: ours[name] for name in shared}
        if unset is not None:
            self.to_pb = {**self.to_pb, unset: f"{prefix}_UNSPECIFIED"}
            self.from_pb = {0: unset, **self.from_pb}


class ReadTable(Generic[T]):
    """What each value of an enum of a contract means here, where the names differ.

    Args:
        wire: The enum of the contract.
        meanings: By name without the prefix; one for every value but the unspecified one.

    Attributes:
        from_pb: Meanings by number.

    Raises:
        TypeError: A value has no meaning, or a name is not in the contract.
    """

    def __init__(self, wire: object, prefix: str, meanings: Mapping[str, T]) -> None:
        numbers = _numbers(wire, prefix)
        differing = sorted(numbers.keys() ^ meanings.keys())
        if differing:
            raise TypeError(f"the meanings of {prefix}_* differ from it in {differing}")
        self.from_pb: Mapping[int, T] = {numbers[name]: meanings[name] for name in meanings}


def value_name(wire: object, prefix: str, number: int) -> str:
    """``number`` in lower case without its prefix, for people; empty for 0 and unknown numbers."""
    names = {number: name for name, number in _numbers(wire, prefix).items()}
    return names.get(number, "").lower()


def value_of(wire: object, prefix: str, name: str) -> Any:
    """The value that ``value_name`` calls ``name``; 0 for other names."""
    return _numbers(wire, prefix).get(name.upper(), 0)


def _numbers(wire: object, prefix: str) -> dict[str, int]:
    """Without the unspecified one, by name without the prefix."""
    values = cast("EnumTypeWrapper", wire)  # which the generated stubs call a class
    return {
        name.removeprefix(f"{prefix}_"): number for name, number in values.items() if number != 0
    }
