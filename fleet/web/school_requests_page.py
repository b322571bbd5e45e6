"""申請と異議: what people of a school ask for, approved or refused; objections, to be answered.

Rules: nobody decides on his own day; a refusal has a reason; what is asked for is shown as it would
count, with the mark that it is about.
"""

import datetime
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from fleet import (
    work_accounts,
    work_contests,
    work_corrections,
    work_entries,
    work_now,
    work_objections,
    work_records,
    work_terms,
)
from fleet.web.data import PERSONS, change, read
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.school_page import PATH as SCHOOL_PATH
from fleet.web.school_reach import School, look, number_of, school_of, school_to_write, staff_of
from fleet.web.session import Flash, account_of, flash
from fleet.work_acts import WHY_MAX, Act, WorkRefused
from fleet.work_contests import Contested
from fleet.work_corrections import Request
from fleet.work_entries import Declared
from fleet.work_now import Named
from fleet.work_records import DAYS_MAX, Record, Span
from fleet.work_wishes import AddMark, Wish
from programmes.rulebook import Direction
from programmes.work_marks import Mark
from wire.individual_number import IndividualNumberRefused

PATH: Final = f"{SCHOOL_PATH}/requests"
ANSWERS: Final = ("keep", "back")
"""What may be said of an entry that is objected to: it counts, or it is taken back."""
routes = web.RouteTableDef()


class Asked(NamedTuple):
    """One wish, with the mark that it is about."""

    kind: str
    """add, void or turn."""
    at_ms: int | None
    """None while the mark has not arrived."""
    declared: Direction


class Line(NamedTuple):
    """One request, and whether it is of who looks at it."""

    request: Request
    who: Named
    wishes: tuple[Asked, ...]
    is_own: bool


class Waiting(NamedTuple):
    """All that stands on the page."""

    lines: tuple[Line, ...]
    contested: tuple[Contested, ...]
    objected: tuple[Declared, ...]
    """Entries to which their person objects."""
    own: int | None
    """Who looks at it, as a member."""
    names: Mapping[int, Named]


def _ask(
    fleet: sa.Connection, people: sa.Connection, school: str, account: str, at_ms: int
) -> Waiting:
    asked = work_corrections.waiting(people, school)
    today = work_records.today(fleet, at_ms)
    contested = work_contests.waiting(fleet, people, school, today)
    objected = work_objections.waiting(people, school, today)
    members = {one.member_id for some in (asked, contested, objected) for one in some}
    names = work_now.named(people, members)
    work_now.note_listed(people, account, at_ms, len(members), school)
    own = work_accounts.member_of_account(people, account)
    marks = _marks(fleet, people, asked, today)
    lines = (
        Line(
            one,
            names[one.member_id],
            tuple(_asked(wish, marks) for wish in one.wishes),
            account == one.asked_by or own == one.member_id,
        )
        for one in asked
    )
    return Waiting(tuple(lines), tuple(contested), tuple(objected), own, names)


def _marks(
    fleet: sa.Connection, people: sa.Connection, asked: list[Request], today: datetime.date
) -> dict[str, Mark]:
    """Return the marks of the days that are asked about, by identity."""
    first = today - datetime.timedelta(days=DAYS_MAX - 1)
    days = [one.day for one in asked if first <= one.day <= today]
    if not days:
        return {}
    enrolled = work_terms.of_members(people, {one.member_id for one in asked})
    found = work_records.records(fleet, people, enrolled, Span(min(days), max(days)), today)
    return {mark.identity: mark for one in found.values() for mark in _marks_of(one)}


def _marks_of(one: Record) -> list[Mark]:
    return [reading.standing.mark for day in one.days for reading in day.readings]


def _asked(wish: Wish, marks: Mapping[str, Mark]) -> Asked:
    if isinstance(wish, AddMark):
        return Asked("add", wish.at_ms, wish.declared)
    mark = marks.get(wish.mark)
    kind = str(wish.__struct_config__.tag)
    return Asked(kind, mark.at_ms if mark else None, getattr(wish, "declared", ""))


async def _page(
    request: web.Request, school: School, form: Form, status: int = 200, tried: str = ""
) -> web.Response:
    """Show the page. `tried`: which form was sent and is shown again, as `why-12` or `answer-7`."""
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    found = await look(request, _ask, school.organisation, who, now_ms)
    return await render(
        request,
        "school_requests.html",
        status,
        section=PATH,
        school=school,
        form=form,
        tried=tried,
        answers=ANSWERS,
        **found._asdict(),
    )


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """What waits for somebody of the school."""
    return await _page(request, await school_of(request), empty_form(request))


# --- deciding ------------------------------------------------------------------------------------


def _in_reach(people: sa.Connection, school: School, number: int) -> bool:
    one = work_corrections.load(people, number)
    return one is not None and staff_of(people, school, one.member_id, one.day) is not None


@routes.post(f"{PATH}/approve")
async def approve(request: web.Request) -> web.Response:
    """Let a request count."""
    form = await read_form(request, {"request": 20})
    return await _decide(request, form, work_corrections.approve)


@routes.post(f"{PATH}/refuse")
async def refuse(request: web.Request) -> web.Response:
    """Refuse a request with a reason."""
    form = await read_form(request, {"request": 20, "why": WHY_MAX})
    form.require("why")
    return await _decide(request, form, work_corrections.refuse, form["why"])


async def _decide(
    request: web.Request, form: Form, step: Callable[..., None], *said: Any
) -> web.Response:
    school, number = await school_to_write(request), number_of(form["request"])
    if not await read(request.app[PERSONS], _in_reach, school, number):
        raise web.HTTPNotFound
    tried = f"why-{number}"
    if form.errors:
        return await _page(request, school, form, 422, tried)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    try:
        await change(request.app[PERSONS], step, number, *said, who, now_ms)
    except WorkRefused as error:
        form.refuse("why", f"work.refused.{error.reason}", **error.arguments)
        return await _page(request, school, form, 409, tried)
    except IndividualNumberRefused:
        form.refuse("why", "refused.individual-number")
        return await _page(request, school, form, 422, tried)
    await flash(request, Flash("ok", f"web.school.requests.done.{step.__name__}"))
    raise web.HTTPSeeOther(f"{PATH}?school={school.code}")


@routes.post(f"{PATH}/answer")
async def answer(request: web.Request) -> web.Response:
    """Say of an entry that its person objects to that it counts, or take it back."""
    form = await read_form(request, {"member": 20, "entry": 20, "answer": 4, "why": WHY_MAX})
    school = await school_to_write(request)
    member_id, entry = number_of(form["member"]), number_of(form["entry"])
    if not await read(request.app[PERSONS], _entry_in_reach, school, member_id, entry):
        raise web.HTTPNotFound
    form.require("why")
    if form["answer"] not in ANSWERS:
        form.refuse("answer", "web.school.day.no-direction")
    tried = f"answer-{entry}"
    if form.errors:
        return await _page(request, school, form, 422, tried)
    act = Act(member_id, account_of(request).name, request.app[CLOCK].now_ms(), form["why"])
    counts = form["answer"] == "keep"
    try:
        await change(request.app[PERSONS], work_objections.answer, act, entry, counts=counts)
    except WorkRefused as error:
        form.refuse("why", f"work.refused.{error.reason}", **error.arguments)
        return await _page(request, school, form, 409, tried)
    await flash(request, Flash("ok", "web.school.requests.done.answer"))
    raise web.HTTPSeeOther(f"{PATH}?school={school.code}")


def _entry_in_reach(people: sa.Connection, school: School, member_id: int, entry: int) -> bool:
    one = work_entries.load(people, member_id, entry)
    return one is not None and staff_of(people, school, member_id, one.day) is not None
