"""How far somebody signed in reaches: only into programmes in which they hold the role it takes.

Every page of the office asks one of these before it reads a row. What is out of reach is not found,
so that nobody learns what there is; a page of no programme in reach is forbidden.
"""

from typing import Final

import sqlalchemy as sa
from aiohttp import web

from fleet.rights import OfficeRole
from fleet.schema import member, triage
from fleet.web.data import PERSONS, read
from fleet.web.session import account_of
from fleet.web.words import PROGRAMME_COOKIE

CLERK: Final = (OfficeRole.CLERK,)
_DIGITS_MAX: Final = 18
"""Of a row's number: 64 bits have 18 whole decimal digits."""


def programmes_of(request: web.Request, *roles: OfficeRole) -> tuple[str, ...]:
    """Return the programmes in reach, in the register's order. Raises HTTPForbidden without any."""
    found = account_of(request).rights.programmes(*(roles or CLERK))
    if not found:
        raise web.HTTPForbidden(reason="right")
    return found


def programme_of(request: web.Request, *roles: OfficeRole) -> str:
    """Return the programme in the address, or the one of before, or the first: in reach."""
    found = programmes_of(request, *roles)
    wishes = request.query.get("programme", ""), request.cookies.get(PROGRAMME_COOKIE, "")
    return next((wish for wish in wishes if wish in found), found[0])


def require(request: web.Request, programme: str, *roles: OfficeRole) -> str:
    """Return this programme. Raises HTTPNotFound when it is out of reach."""
    if programme not in account_of(request).rights.programmes(*(roles or CLERK)):
        raise web.HTTPNotFound
    return programme


def number(request: web.Request, name: str) -> int:
    """Return a row's number in the address; one that no row can have is not found."""
    text = request.match_info[name]
    if len(text) > _DIGITS_MAX:
        raise web.HTTPNotFound
    return int(text)


async def member_in_reach(request: web.Request, *roles: OfficeRole) -> int:
    """Return the number of the member in the address. Raises HTTPNotFound when out of reach."""
    return await _row(request, member, "member", *roles)


async def stranger_in_reach(request: web.Request) -> int | None:
    """Return the number of the unknown card in the address, None when it has left the list.

    Raises HTTPNotFound when it is out of reach.
    """
    card = number(request, "card")
    programme = await read(request.app[PERSONS], _programme, triage, card)
    if programme is None:
        return None
    require(request, programme)
    return card


async def _row(request: web.Request, table: sa.Table, name: str, *roles: OfficeRole) -> int:
    row = number(request, name)
    programme = await read(request.app[PERSONS], _programme, table, row)
    if programme is None:
        raise web.HTTPNotFound
    require(request, programme, *roles)
    return row


def _programme(connection: sa.Connection, table: sa.Table, row: int) -> str | None:
    found: str | None = connection.scalar(sa.select(table.c.programme).where(table.c.id == row))
    return found
