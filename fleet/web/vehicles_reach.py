"""Whose vehicles and rides somebody reaches: a company's people their own, the city's all of them.

What is out of reach is not found.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from fleet import vehicles
from fleet.rights import EVERY, OfficeRole
from fleet.schema import place, ride
from fleet.store import AnyRow
from fleet.web.data import FLEET, read
from fleet.web.organisations import company_names
from fleet.web.reach import number
from fleet.web.session import account_of
from programmes.register import RULEBOOKS

CITY: Final = (OfficeRole.CLERK, OfficeRole.APPROVER, OfficeRole.AUDITOR)
READERS: Final = frozenset({OfficeRole.COMPANY, *CITY})
"""Who may open these pages, in a programme that settles rides."""
BY_RIDE: Final = tuple(name for name, book in RULEBOOKS.items() if book.rides is not None)


class Company(NamedTuple):
    """The company whose vehicles are shown, and who looks at them."""

    programme: str
    organisation: str
    """Empty while no company has a vehicle."""
    others: tuple[str, ...]
    """All that may be chosen."""
    is_city: bool
    writes: bool
    """False for the city's approvers and auditors."""
    names: Mapping[str, str]
    """What companies that have a name are called."""


def _own(request: web.Request, programme: str) -> tuple[str, ...]:
    """Return the companies for which somebody works."""
    found = {
        one.organisation
        for one in account_of(request).rights
        if one.role is OfficeRole.COMPANY and one.programme in (programme, EVERY)
    }
    return tuple(sorted(found))


async def company_of(request: web.Request) -> Company:
    """Return the company that the address names, or the first in reach.

    Raises HTTPForbidden when none can be, HTTPNotFound when it is out of reach.
    """
    rights = account_of(request).rights
    programme = next((name for name in BY_RIDE if rights.may(name, *READERS)), None)
    if programme is None:
        raise web.HTTPForbidden(reason="right")
    is_city = rights.may(programme, *CITY)
    others = _own(request, programme)
    if is_city:
        others = tuple(await read(request.app[FLEET], vehicles.companies, programme))
    wish = request.query.get("company", "")
    if wish and wish not in others:
        raise web.HTTPNotFound
    organisation = wish or next(iter(others), "")
    writes = rights.may(programme, OfficeRole.CLERK) or organisation in _own(request, programme)
    names = await company_names(request)
    return Company(programme, organisation, others, is_city, writes, names)


def require_writing(company: Company) -> None:
    """Raise HTTPForbidden for somebody who may only look."""
    if not company.writes:
        raise web.HTTPForbidden(reason="right")


class Vehicle(NamedTuple):
    """A vehicle in reach."""

    name: str
    organisation: str
    label_ja: str
    label_en: str
    writes: bool
    is_clerk: bool
    """The city's clerk, who alone writes off."""


async def vehicle_in_reach(request: web.Request) -> Vehicle:
    """Return the vehicle in the address. Raises HTTPNotFound when it is out of reach."""
    row = await read(request.app[FLEET], _vehicle, request.match_info["vehicle"])
    if row is None or not row.organisation:
        raise web.HTTPNotFound
    rights = account_of(request).rights
    for programme in BY_RIDE:
        own = _own(request, programme)
        is_mine = row.organisation in own
        if programme in row.programmes and (is_mine or rights.may(programme, *CITY)):
            is_clerk = rights.may(programme, OfficeRole.CLERK)
            told = (row.name, row.organisation, row.label_ja, row.label_en)
            return Vehicle(*told, is_mine or is_clerk, is_clerk)
    raise web.HTTPNotFound


def _vehicle(connection: sa.Connection, name: str) -> AnyRow | None:
    return connection.execute(sa.select(place).where(place.c.name == name)).one_or_none()


async def ride_in_reach(request: web.Request) -> tuple[int, bool]:
    """Return the number of the ride in the address, and whether the city asks.

    Raises HTTPNotFound for one that is out of reach, or may only be looked at.
    """
    ride_id = number(request, "ride")
    row = await read(request.app[FLEET], _whose, ride_id)
    if row is None:
        raise web.HTTPNotFound
    is_city = account_of(request).rights.may(row.programme, OfficeRole.CLERK)
    if not is_city and row.organisation not in _own(request, row.programme):
        raise web.HTTPNotFound
    return ride_id, is_city


def _whose(connection: sa.Connection, ride_id: int) -> AnyRow | None:
    wanted = sa.select(ride.c.programme, ride.c.organisation).where(ride.c.id == ride_id)
    return connection.execute(wanted).one_or_none()
