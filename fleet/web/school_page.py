"""学校の今: who is in, who opened, what is missing and waits; live, and as a list for a fire."""

import datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from fleet import work_contests, work_corrections, work_gates, work_now, work_objections
from fleet.paper import to_html
from fleet.schema import (
    work_correction,
    work_decision,
    work_entry,
    work_loan,
    work_objection,
    work_request,
    work_return,
)
from fleet.web.data import FLEET, PERSONS, reading
from fleet.web.live import stream
from fleet.web.pages import CLOCK, render
from fleet.web.school_reach import School, look, school_of
from fleet.web.session import account_of
from fleet.web.sheets import sheet
from fleet.web.triage_page import place_labels
from fleet.web.words import language_of
from fleet.work_gates import Gate
from fleet.work_now import PersonNow, SchoolNow
from programmes.calendar import local

PATH: Final = "/school"
LATE_MS: Final = 15 * 60_000
"""How often the page looks whose hours have begun, while nothing arrives."""
routes = web.RouteTableDef()


class Board(NamedTuple):
    """All that stands on the page."""

    now: SchoolNow
    gates: list[Gate]
    requests: int
    contested: int

    @property
    def groups(self) -> list[tuple[str, list[PersonNow]]]:
        """Return people by what is known of them now."""
        found: dict[str, list[PersonNow]] = {
            name: [] for name in ("present", "away", "left", "none")
        }
        for one in self.now.people:
            gone = "left" if one.first_ms is not None else "none"
            found[gone if one.state == "absent" else one.state].append(one)
        return list(found.items())

    @property
    def inside(self) -> int:
        """Return how many are in: members and visitors."""
        return len(self.now.present) + len(self.now.visitors)

    @property
    def told_ms(self) -> int | None:
        """Return up to when the gates have told everything."""
        return work_gates.told_until(self.gates)


def _ask(fleet: sa.Connection, people: sa.Connection, school: str, who: str, at_ms: int) -> Board:
    now = work_now.school_now(fleet, people, school, who, at_ms)
    return Board(
        now,
        work_gates.of_school(fleet, school),
        len(work_corrections.waiting(people, school)),
        len(work_contests.waiting(fleet, people, school, now.today))
        + len(work_objections.waiting(people, school, now.today)),
    )


async def _board(request: web.Request, school: School) -> Board:
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    return await look(request, _ask, school.organisation, who, now_ms)


async def _shown(request: web.Request) -> dict[str, Any]:
    school = await school_of(request)
    board = await _board(request, school)
    return {"school": school, "board": board, "places": await place_labels(request)}


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """A school at this moment."""
    return await render(request, "school.html", section=PATH, **await _shown(request))


@routes.get(f"{PATH}/now")
async def now(request: web.Request) -> web.Response:
    """The board alone, as the page shows it."""
    return await render(request, "_school_now.html", **await _shown(request))


@routes.get(f"{PATH}/live")
async def live(request: web.Request) -> web.StreamResponse:
    """Say when something of the school has changed."""
    school = (await school_of(request)).organisation
    clock = request.app[CLOCK]
    tips = reading(request.app[FLEET], work_gates.tips)
    written = reading(request.app[PERSONS], _written)

    def changed() -> object:
        return tips(school), written(), clock.now_ms() // LATE_MS

    return await stream(request, f"school {school}", changed)


def _written(people: sa.Connection) -> list[int | None]:
    """Return how far what people say of days has come."""
    tables = (work_correction, work_request, work_entry, work_objection, work_loan)
    counted = (work_decision, work_return)
    return [
        *(people.scalar(sa.select(sa.func.count()).select_from(table)) for table in counted),
        *(people.scalar(sa.select(sa.func.max(table.c.id))) for table in tables),
    ]


# --- the list for a fire -------------------------------------------------------------------------


async def _list(request: web.Request) -> dict[str, Any]:
    school = await school_of(request)
    board = await _board(request, school)
    english = language_of(request) == "en"
    return {
        "school": school,
        "board": board,
        "label_of": lambda gate: (gate.label_en if english else "") or gate.label_ja,
        "places": await place_labels(request),
        "written": lambda ms: f"{local(ms):%H:%M}",
        "written_day": lambda ms: f"{local(ms):%Y-%m-%d %H:%M}",
    }


def _name(request: web.Request, school: School, suffix: str) -> str:
    when: datetime.datetime = local(request.app[CLOCK].now_ms())
    return f"{school.organisation or 'people'}-{when:%Y%m%d-%H%M}{suffix}"


@routes.get(f"{PATH}/list")
async def on_paper(request: web.Request) -> web.Response:
    """Everybody of the school with the last thing known, to be printed."""
    shown = await _list(request)
    return await sheet(
        request, "school_list.html", _name(request, shown["school"], ".pdf"), **shown
    )


@routes.get(f"{PATH}/list/file")
async def as_file(request: web.Request) -> web.Response:
    """The same as one file that needs no network, with a box to tick for each."""
    shown = await _list(request)
    name = _name(request, shown["school"], ".html")
    return web.Response(
        text=to_html("school_list.html", language_of(request), **shown),
        content_type="text/html",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
