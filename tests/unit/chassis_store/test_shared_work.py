"""Shared looks and reads: one works, nobody gets an answer older than the question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.chassis.follow.shared_work import SharedLook, SharedReads
from tests.unit.chassis_store.test_feed import settle


class Source:
    """Answers its value as it is when a look begins, once the look is let through."""

    def __init__(self) -> None:
        self.shared = SharedLook[int]()
        self.value = 0
        self.looks = 0
        self.error: Exception | None = None
        self.through = asyncio.Event()
        self.through.set()

    async def look(self) -> int:
        self.looks += 1
        found, error = self.value, self.error
        await self.through.wait()
        if error is not None:
            raise error
        return found

    def asked(self, times: int) -> list[asyncio.Task[int]]:
        return [asyncio.create_task(self.shared(self.look)) for _ in range(times)]


async def test_all_who_ask_in_a_turn_share_one_look() -> None:
    source = Source()
    answers = await asyncio.gather(*(source.shared(source.look) for _ in range(200)))
    assert (answers, source.looks) == ([0] * 200, 1)


async def test_an_answer_is_never_older_than_its_question() -> None:
    # given a look under way that has already seen the old value
    source = Source()
    source.through.clear()
    (first,) = source.asked(1)
    await settle()

    # when the value changes and others ask
    source.value = 7
    late = source.asked(3)
    await settle()
    assert source.looks == 1
    source.through.set()

    # then they share one that began after it
    assert await first == 0
    assert await asyncio.gather(*late) == [7, 7, 7]
    assert source.looks == 2


@pytest.mark.parametrize("begun", [False, True])
async def test_when_the_one_who_looks_leaves_another_takes_over(begun: bool) -> None:
    # given three who ask
    source = Source()
    source.through.clear()
    leaving, *staying = source.asked(3)
    await asyncio.sleep(0)
    if begun:
        await settle()
    assert source.looks == (1 if begun else 0)

    # when the first leaves
    leaving.cancel()
    source.through.set()

    # then the others are answered by one look
    assert list(await asyncio.gather(*staying)) == [0, 0]
    assert source.looks == (2 if begun else 1)
    assert leaving.cancelled()


async def test_one_who_waits_may_leave_without_disturbing_the_others() -> None:
    source = Source()
    source.through.clear()
    first, leaving, last = source.asked(3)
    await settle()
    leaving.cancel()
    source.through.set()
    assert list(await asyncio.gather(first, last)) == [0, 0]
    assert source.looks == 1


async def test_an_error_is_everybodys_and_the_next_question_starts_afresh() -> None:
    source = Source()
    source.error = ValueError("away")
    answers = await asyncio.gather(*source.asked(3), return_exceptions=True)
    assert [str(each) for each in answers] == ["away"] * 3
    assert source.looks == 1

    source.error = None
    assert await source.shared(source.look) == 0


class Shelf:
    """Reads words by their initial, one event each, and counts."""

    def __init__(self, max_bytes: int = 10) -> None:
        self.reads: list[str] = []
        self.through = asyncio.Event()
        self.through.set()
        self.shared = SharedReads[str, str](max_bytes=max_bytes, size_bytes=len)

    def read(self, word: str) -> Callable[[], Awaitable[str]]:
        async def read() -> str:
            self.reads.append(word)
            await self.through.wait()
            return word

        return read

    async def get(self, word: str) -> str:
        return await self.shared.get(word[0], self.read(word))


async def test_what_is_known_is_not_read_again() -> None:
    shelf = Shelf()
    assert await asyncio.gather(*(shelf.get("abc") for _ in range(200))) == ["abc"] * 200
    assert await shelf.get("abc") == "abc"
    assert shelf.reads == ["abc"]


async def test_what_was_used_longest_ago_is_forgotten_beyond_the_bound() -> None:
    shelf = Shelf(max_bytes=10)
    for word in ("aaaa", "bbbb", "aaaa", "cccc", "aaaa", "bbbb"):
        await shelf.get(word)
    assert shelf.reads == ["aaaa", "bbbb", "cccc", "bbbb"]


async def test_what_exceeds_the_bound_alone_is_answered_and_not_kept() -> None:
    shelf = Shelf(max_bytes=10)
    for word in ("bb", "a" * 11, "a" * 11, "bb"):
        await shelf.get(word)
    assert shelf.reads == ["bb", "a" * 11, "a" * 11, "bb"]


async def test_forgetting_leaves_what_is_under_way_shared() -> None:
    shelf = Shelf()
    await shelf.get("bb")
    shelf.through.clear()
    waiting = [asyncio.create_task(shelf.get("aa")) for _ in range(2)]
    await settle()
    shelf.shared.forget()
    shelf.through.set()
    assert await asyncio.gather(*waiting) == ["aa", "aa"]
    await shelf.get("bb")
    assert shelf.reads == ["bb", "aa", "bb"]


async def test_when_the_one_who_reads_leaves_another_takes_over() -> None:
    shelf = Shelf()
    shelf.through.clear()
    leaving, staying = [asyncio.create_task(shelf.get("aa")) for _ in range(2)]
    await settle()
    leaving.cancel()
    shelf.through.set()
    assert await staying == "aa"
    assert shelf.reads == ["aa", "aa"]
