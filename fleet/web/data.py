"""How a page reads and changes data: in a thread, one connection, under its process's role."""

import asyncio
from collections.abc import Callable
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import sqlalchemy as sa
from aiohttp import web

from fleet.store import Store

FLEET: Final = web.AppKey("fleet", Store)
"""The database without persons, opened as this process's role."""
PERSONS: Final = web.AppKey("persons", Store)
"""The database of persons; the office alone has it."""

P = ParamSpec("P")
T = TypeVar("T")


def reading(store: Store, ask: Callable[Concatenate[sa.Connection, P], T]) -> Callable[P, T]:
    """Return `ask` as a function that opens and closes its own connection."""

    def read(*args: P.args, **kwargs: P.kwargs) -> T:
        with store.read() as connection:
            return ask(connection, *args, **kwargs)

    return read


async def read(
    store: Store, ask: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Return what `ask` reads on one consistent state."""
    return await asyncio.to_thread(reading(store, ask), *args, **kwargs)


async def change(
    store: Store, do: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Return what `do` returns, after its transaction has been committed."""

    def write() -> Any:
        with store.write() as connection:
            return do(connection, *args, **kwargs)

    return await asyncio.to_thread(write)
