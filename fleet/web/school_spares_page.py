"""予備のカード: a school's spare staff cards, lent to who forgot his own, and to visitors.

Rules: a card that nobody has and that was held at the school's gate becomes a spare one; it is lent
for today, to a member perhaps until a later day, and given back at once by one press; nobody sees
which card it is, but for the number on its sticker.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from fleet import (
    work_gates,
    work_now,
    work_records,
    work_spare_use,
    work_spares,
    work_terms,
    work_visitors,
)
from fleet.members import Waiting
from fleet.rights import OfficeRole
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.school_page import PATH as SCHOOL_PATH
from fleet.web.school_reach import School, look, number_of, school_of, school_to_write
from fleet.web.session import Flash, account_of, flash
from fleet.web.triage_page import place_labels
from fleet.work_acts import Act, WorkRefused
from fleet.work_now import Named
from fleet.work_spares import Spare
from fleet.work_visitors import Visitor
from programmes import attendance

PATH: Final = f"{SCHOOL_PATH}/spares"
_BESIDE: Final = {"visit": ("visit", "visitor")}
"""Which form and field a refusal is said beside, but for the one that lends to a member."""
routes = web.RouteTableDef()


class Shown(NamedTuple):
    """All that stands on the page."""

    spares: Sequence[Spare]
    staff: Sequence[Named]
    """To whom a card may be lent today, by reading."""
    names: Mapping[int, Named]
    visitors: Sequence[Visitor]
    """Of today and of as many days as their labels are kept, the latest first."""
    until: work_spares.Ends
    """When a loan of today ends."""
    unknown: Sequence[Waiting]
    """Staff cards that nobody has, held at the school's gates."""


def _ask(fleet: sa.Connection, people: sa.Connection, school: str, who: str, at_ms: int) -> Shown:
    today = work_records.today(fleet, at_ms)
    staff = work_terms.of_school(people, school, today, today)
    spares = work_spares.of_school(people, school, at_ms)
    borrowers = {one.member_id for one in spares if one.member_id is not None}
    names = work_now.named(people, {*staff, *borrowers})
    work_now.note_listed(people, who, at_ms, len(names), school)
    mine = [one for one in names.values() if one.member_id in staff]
    visitors = work_visitors.lately(people, school, at_ms)
    unknown = work_spares.unknown_at(people, _places(fleet, school), at_ms)
    until = work_spares.ends(fleet, school, at_ms)
    return Shown(spares, mine, names, visitors, until, unknown)


def _places(fleet: sa.Connection, school: str) -> frozenset[str]:
    return frozenset(one.place for one in work_gates.of_school(fleet, school))


async def spares_page(
    request: web.Request, school: School, form: Form, status: int = 200, tried: str = ""
) -> web.Response:
    """Show the page. `tried`: which form was sent and is shown again."""
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    found = await look(request, _ask, school.organisation, who, now_ms)
    places = await place_labels(request)
    return await render(
        request,
        "school_spares.html",
        status,
        section=PATH,
        school=school,
        form=form,
        tried=tried,
        may_enrol=account_of(request).rights.may(attendance.NAME, OfficeRole.CLERK),
        places=places,
        labels={one.loan_id: one.label for one in found.visitors},
        whys=work_spare_use.WHYS,
        days_max=work_spares.DAYS_MAX,
        **found._asdict(),
    )


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """A school's spare cards, and who has which one now."""
    return await spares_page(request, await school_of(request), empty_form(request))


async def _done(
    request: web.Request, school: School, form: Form, done: str, step: Any, *said: Any
) -> web.Response:
    """Do it and go back; what is refused stands beside the field that `_BESIDE` names."""
    try:
        await change(request.app[PERSONS], step, *said)
    except WorkRefused as error:
        tried, field = _BESIDE.get(done, ("lend", "spare"))
        form.refuse(field, f"work.refused.{error.reason}", **error.arguments)
        return await spares_page(request, school, form, 409, tried)
    await flash(request, Flash("ok", f"web.school.spares.done.{done}"))
    raise web.HTTPSeeOther(f"{PATH}?school={school.code}")


@routes.post(f"{PATH}/register")
async def register(request: web.Request) -> web.Response:
    """Let a card that was held at the gate be a spare one."""
    school, form = await school_to_write(request), await read_form(request, {"card": 20})
    if not school.organisation:
        raise web.HTTPNotFound
    places = await read(request.app[FLEET], _places, school.organisation)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    said = (school.organisation, places, number_of(form["card"]), who, now_ms)
    return await _done(request, school, form, "register", work_spares.register, *said)


async def until_of(
    request: web.Request, school: School, form: Form, name: str = ""
) -> work_spares.Ends | None:
    """Return when a loan is to end: today, or on the day in this field; None when refused."""
    until = form.day(name) if name else None
    if form.errors:
        return None
    asked = (school.organisation, request.app[CLOCK].now_ms(), until)
    try:
        return await read(request.app[FLEET], work_spares.ends, *asked)
    except WorkRefused as error:
        form.refuse(name, f"work.refused.{error.reason}", **error.arguments)
        return None


@routes.post(f"{PATH}/lend")
async def lend(request: web.Request) -> web.Response:
    """Lend a spare card to a member of the school, for today or until a day."""
    school = await school_to_write(request)
    form = await read_form(request, {"spare": 20, "member": 20, "back_day": 10})
    form.require("member", "spare")
    until = await until_of(request, school, form, "back_day")
    if until is None:
        return await spares_page(request, school, form, 422, "lend")
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    act = Act(number_of(form["member"]), who, now_ms)
    said = (act, school.organisation, number_of(form["spare"]), until)
    done = "lend" if until.day == until.today else "lend-longer"
    return await _done(request, school, form, done, work_spares.lend, *said)


@routes.post(f"{PATH}/visit")
async def visit(request: web.Request) -> web.Response:
    """Lend a spare card to a visitor, for today."""
    school = await school_to_write(request)
    form = await read_form(request, {"visitor": work_visitors.LABEL_MAX, "spare": 20})
    form.require("visitor", "spare")
    until = await until_of(request, school, form)
    if until is None:
        return await spares_page(request, school, form, 422, "visit")
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    said = (school.organisation, number_of(form["spare"]), form["visitor"], until, who, now_ms)
    return await _done(request, school, form, "visit", work_visitors.lend, *said)


@routes.post(f"{PATH}/back")
async def give_back(request: web.Request) -> web.Response:
    """End a loan at once."""
    school, form = await school_to_write(request), await read_form(request, {"loan": 20})
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    said = (school.organisation, number_of(form["loan"]), who, now_ms)
    return await _done(request, school, form, "give_back", work_spares.give_back, *said)


@routes.post(f"{PATH}/retire")
async def retire(request: web.Request) -> web.Response:
    """Let a card that is lost or broken be out of use."""
    school, form = await school_to_write(request), await read_form(request, {"spare": 20, "out": 6})
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    said = (school.organisation, number_of(form["spare"]), form["out"], who, now_ms)
    return await _done(request, school, form, "retire", work_spare_use.retire, *said)


@routes.post(f"{PATH}/restore")
async def restore(request: web.Request) -> web.Response:
    """Let a card that was found again be lent."""
    school, form = await school_to_write(request), await read_form(request, {"spare": 20})
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    said = (school.organisation, number_of(form["spare"]), who, now_ms)
    return await _done(request, school, form, "restore", work_spare_use.restore, *said)
