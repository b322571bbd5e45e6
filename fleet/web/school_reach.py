"""Whose days somebody reaches: a school's people their own staff's, the board's people all.

What is out of reach is not found.
"""

import asyncio
import datetime
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar

import sqlalchemy as sa
from aiohttp import web

from fleet import work_terms
from fleet.rights import EVERY, OfficeRole
from fleet.web.data import FLEET, PERSONS, read
from fleet.web.organisations import company_names
from fleet.web.reach import require
from fleet.web.session import account_of
from fleet.work_acts import WorkRefused, member_of
from fleet.work_terms import Enrolled
from programmes import attendance

BOARD: Final = (OfficeRole.CLERK, OfficeRole.AUDITOR)
READERS: Final = frozenset({OfficeRole.SCHOOL, *BOARD})
"""Who may open a school's pages."""
NO_SCHOOL: Final = "-"
"""In an address: people of no school, whom the board alone sees."""
_DIGITS_MAX: Final = 18
P = ParamSpec("P")
T = TypeVar("T")


class School(NamedTuple):
    """The school that is shown, and who looks at it."""

    organisation: str
    """Empty: people of no school."""
    others: tuple[str, ...]
    """All that may be chosen."""
    writes: bool
    """False for the board's auditors."""
    names: Mapping[str, str]
    """What schools that have a name are called."""

    @property
    def code(self) -> str:
        """What stands for it in an address."""
        return self.organisation or NO_SCHOOL


def _own(request: web.Request) -> tuple[str, ...]:
    """Return the schools for which somebody works."""
    found = {
        one.organisation
        for one in account_of(request).rights
        if one.role is OfficeRole.SCHOOL and one.programme in (attendance.NAME, EVERY)
    }
    return tuple(sorted(found))


async def school_of(request: web.Request) -> School:
    """Return the school that the address names, or the first in reach.

    Raises HTTPNotFound when it is out of reach.
    """
    require(request, attendance.NAME, *READERS)
    rights, own = account_of(request).rights, _own(request)
    others = own
    if rights.may(attendance.NAME, *BOARD):
        found = await read(request.app[PERSONS], work_terms.schools)
        others = (*sorted({*found, *own}), "")
    wish = request.query.get("school", "")
    organisation = "" if wish == NO_SCHOOL else wish or others[0]
    if organisation not in others:
        raise web.HTTPNotFound
    writes = rights.may(attendance.NAME, OfficeRole.CLERK) or organisation in own
    return School(organisation, others, writes, await company_names(request))


async def school_to_write(request: web.Request) -> School:
    """Return the school that the address names, to somebody who may change something there."""
    found = await school_of(request)
    if not found.writes:
        raise web.HTTPForbidden(reason="right")
    return found


def number_of(text: str) -> int:
    """Return a row's number in a form or a query. Raises HTTPNotFound for what is none."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX):
        raise web.HTTPNotFound
    return int(text)


def staff_of(
    people: sa.Connection, school: School, member_id: int, day: datetime.date
) -> Enrolled | None:
    """Return a member who was of this school on a day; None for anybody else."""
    try:
        member_of(people, member_id)
    except WorkRefused:
        return None
    found = work_terms.of_members(people, [member_id])[member_id]
    return found if found.organisation_on(day) == school.organisation else None


async def look(
    request: web.Request,
    ask: Callable[Concatenate[sa.Connection, sa.Connection, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Return what `ask` reads of both databases; persons is a writing one, since it is a look.

    For what takes no longer than a tenth of a second: others wait to write meanwhile.
    """
    return await _with_both(request, request.app[PERSONS].write, ask, *args, **kwargs)


async def derive(
    request: web.Request,
    ask: Callable[Concatenate[sa.Connection, sa.Connection, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Return what `ask` reads of both databases, however long; the caller notes the look."""
    return await _with_both(request, request.app[PERSONS].read, ask, *args, **kwargs)


async def _with_both(
    request: web.Request,
    persons: Callable[[], AbstractContextManager[sa.Connection]],
    ask: Callable[Concatenate[sa.Connection, sa.Connection, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    fleet = request.app[FLEET]

    def run() -> Any:
        with fleet.read() as one, persons() as other:
            return ask(one, other, *args, **kwargs)

    return await asyncio.to_thread(run)
