"""請求: what transport companies claim of the city, month by month.

A company's office sees its own, looks through what a new one would hold, and makes it; the city
sees all of them. One claim is a page of its own (`claim_page`).
"""

import datetime
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlencode

import sqlalchemy as sa
from aiohttp import web

from fleet import claim_lines, claims
from fleet.claim_lines import Line, Sum
from fleet.claims import Asked, Claim, ClaimRefused, OpenGap, Seen
from fleet.rights import EVERY, OfficeRole
from fleet.tables import Cell
from fleet.web.data import FLEET, change, read
from fleet.web.exports import download
from fleet.web.forms import Form, check_fields, read_form
from fleet.web.organisations import whole_name
from fleet.web.pages import CLOCK, render
from fleet.web.report_words import Words, words_of
from fleet.web.session import Flash, account_of, flash
from fleet.web.vehicles_reach import BY_RIDE, CITY, READERS
from fleet.web.words import language_of
from programmes.calendar import local, local_day
from programmes.texts import say

PATH: Final = "/claims"
MONTHS_SHOWN: Final = 13
"""Months that may be claimed, the last whole one first: a year, and the one before it."""
MARKS: Final = {"made": "info", "approved": "ok", "returned": "bad", "paid": "ok"}
_MAKE: Final = {"programme": 40, "company": 64, "until": 10, "lines": 10, "yen": 14}
_EXPORTED: Final = (
    *("number", "company", "month", "until", "state", "lines", "yen", "made-by", "made-at"),
    *("decided-by", "why", "paid-on"),
)
routes = web.RouteTableDef()


# --- whose ---------------------------------------------------------------------------------------


class Whose(NamedTuple):
    """Whose claims somebody reaches in a programme."""

    programme: str
    is_city: bool
    own: tuple[str, ...]
    """Companies for which he works."""

    def reaches(self, organisation: str) -> bool:
        """True for a company whose claims may be seen."""
        return self.is_city or organisation in self.own


def whose_of(request: web.Request, programme: str = "") -> Whose:
    """Return what is in reach: of this programme, or of the first that settles rides.

    Raises HTTPForbidden when nothing is.
    """
    rights = account_of(request).rights
    names = [programme] if programme else BY_RIDE
    found = next((one for one in names if rights.may(one, *READERS)), None)
    if found is None:
        raise web.HTTPForbidden(reason="right")
    own = {
        one.organisation
        for one in rights
        if one.role is OfficeRole.COMPANY and one.programme in (found, EVERY)
    }
    return Whose(found, rights.may(found, *CITY), tuple(sorted(own)))


# --- the list ------------------------------------------------------------------------------------


class _Filter(NamedTuple):
    company: str
    month: str


def _filter(request: web.Request, whose: Whose) -> _Filter:
    """Return what is shown: a company that is out of reach is not found."""
    company = request.query.get("company", "")
    if company and not whose.reaches(company):
        raise web.HTTPNotFound
    return _Filter(company, request.query.get("month", "")[:7])


def _listed(connection: sa.Connection, whose: Whose, asked: _Filter) -> list[Claim]:
    found = claims.listed(connection, whose.programme, asked.company, asked.month)
    return [one for one in found if whose.reaches(one.organisation)]


def _months(day: datetime.date) -> list[datetime.date]:
    """Return the last days of the months that are over, the newest first."""
    found = []
    for _ in range(MONTHS_SHOWN):
        day = day.replace(day=1) - datetime.timedelta(days=1)
        found.append(day)
    return found


class Preview(NamedTuple):
    """What a claim would hold."""

    asked: Asked
    total: Sum
    by_medium: dict[str, Sum]
    earlier: Sum
    """Of these, rides of earlier months."""
    gaps: list[OpenGap]


def preview_of(asked: Asked, lines: Sequence[Line], gaps: list[OpenGap]) -> Preview:
    """Return what lines come to."""
    earlier = claim_lines.total(line for line in lines if line.month != asked.month)
    by_medium = claim_lines.sums(lines, lambda line: line.medium)
    return Preview(asked, claim_lines.total(lines), by_medium, earlier, gaps)


def _preview(connection: sa.Connection, asked: Asked, at_ms: int) -> Preview:
    lines = claims.preview(connection, asked, at_ms)
    gaps = claims.open_gaps(connection, asked.organisation, asked.until)
    return preview_of(asked, lines, gaps)


def _asked(request: web.Request, form: Form, whose: Whose) -> Asked | None:
    """Return what is to be looked through; None when nothing is, or it is refused."""
    company = form["company"] or next(iter(whose.own), "")
    if "until" not in request.query or company not in whose.own:
        return None
    until = form.day("part") or form.day("until")
    return Asked(whose.programme, company, until) if until else None


async def _page(request: web.Request, form: Form, status: int = 200) -> web.Response:
    whose, store = whose_of(request), request.app[FLEET]
    now_ms = request.app[CLOCK].now_ms()
    shown = _filter(request, whose)
    asked, preview = _asked(request, form, whose), None
    if asked is not None and not form.errors:
        try:
            preview = await read(store, _preview, asked, now_ms)
        except ClaimRefused as error:
            form.refuse("until", f"web.claims.refused.{error.reason}", **error.arguments)
    every = await read(store, _listed, whose, _Filter("", ""))
    companies = list(whose.own)
    if whose.is_city:
        companies = await read(store, claims.companies, whose.programme)
    return await render(
        request,
        "claims.html",
        status,
        section=PATH,
        form=form,
        whose=whose,
        shown=shown,
        claims=await read(store, _listed, whose, shown),
        companies=companies,
        months=sorted({one.month for one in every}, reverse=True),
        ends=_months(local_day(now_ms)),
        preview=preview,
        marks=MARKS,
        words=await words_of(request),
        export=f"{PATH}/export?{urlencode({'company': shown.company, 'month': shown.month})}",
    )


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """The claims in reach; for a company also what a new one would hold."""
    fields = {"company": 64, "until": 10, "part": 10}
    return await _page(request, check_fields(language_of(request), request.query, fields))


@routes.post(f"{PATH}/make")
async def make(request: web.Request) -> web.Response:
    """Make the claim that was looked through."""
    form = await read_form(request, _MAKE)
    whose = whose_of(request, form["programme"])
    until = form.day("until")
    if form["company"] not in whose.own or whose.programme not in BY_RIDE:
        raise web.HTTPNotFound
    seen = _seen(form)
    if form.errors or until is None or seen is None:
        raise web.HTTPBadRequest
    asked = Asked(whose.programme, form["company"], until)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    try:
        number = await change(request.app[FLEET], claims.make, asked, seen, who, now_ms)
    except ClaimRefused as error:
        form.refuse("until", f"web.claims.refused.{error.reason}", **error.arguments)
        return await _page(request, form, 409)
    await flash(request, Flash("ok", "web.claims.done.made"))
    raise web.HTTPSeeOther(f"{PATH}/{number}")


def _seen(form: Form) -> Seen | None:
    """Return what stood on the page; None for a form that is not ours."""
    try:
        return Seen(int(form["lines"]), int(form["yen"]))
    except ValueError:
        return None


@routes.get(f"{PATH}/export")
async def export(request: web.Request) -> web.StreamResponse:
    """The list as it is shown."""
    whose = whose_of(request)
    shown = _filter(request, whose)
    rows = await read(request.app[FLEET], _listed, whose, shown)
    words, language = await words_of(request), language_of(request)
    heads = [say(f"web.claims.column.{name}", language) for name in _EXPORTED]
    cells = ((*_cells(one, words), say(f"web.claims.state.{one.state}", language)) for one in rows)
    ordered = ((*row[:4], row[-1], *row[4:-1]) for row in cells)
    return await download(request, f"claims-{whose.programme}", heads, ordered)


def _cells(one: Claim, words: Words) -> tuple[Cell, ...]:
    """Return one line of the list but its state."""
    return (
        one.id,
        whole_name(one.organisation, words.companies),
        words.month(one.month),
        one.until,
        one.lines,
        one.subsidy_yen,
        one.made_by,
        f"{local(one.made_at_ms):%Y-%m-%d %H:%M}",
        one.decided_by,
        one.why,
        one.paid_on,
    )
