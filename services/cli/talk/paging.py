"""Listings, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

import grpc

from services.cli.talk.clients import Clients, Response

PAGE_SIZE = 1000

T = TypeVar("T")


async def pages(
    stubs: Clients, service: str, method: grpc.aio.UnaryUnaryMultiCallable[Any, Response], of: Any
) -> AsyncIterator[Response]:
    """Every page of the listing that the request ``of`` begins.

    Raises:
        CliError: The server refuses or cannot be reached.
    """
    more: Any = True
    while more:
        page: Any = await stubs.call(service, method, of)
        yield page
        more = of.page_token = page.next_page_token


async def first(
    limit: int, pages: AsyncIterator[Response], items: Callable[[Response], Iterable[T]]
) -> tuple[list[T], bool]:
    """The first ``limit`` items of a listing, all of them with 0, and whether there are more."""
    taken: list[T] = []
    page: Any
    async for page in pages:
        taken += items(page)
        if limit and len(taken) >= limit:
            return taken[:limit], bool(page.next_page_token) or len(taken) > limit
    return taken, False


def page_size(limit: int) -> int:
    """The size of pages from which at most ``limit`` items are taken, 0 for all."""
    return min(limit, PAGE_SIZE) or PAGE_SIZE
