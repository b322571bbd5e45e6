"""宿泊行事: one trip over night for several people of a school, entered and taken back at once.

Rules: all or nobody; who cannot be entered is named beside his own box; whoever is entered sees who
did it and may object.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from fleet import work_now, work_records, work_terms, work_trips
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.forms import Form, check_fields, empty_form, read_post
from fleet.web.own_data import PATH as OWN_PATH
from fleet.web.own_steps_page import instant
from fleet.web.pages import CLOCK, render
from fleet.web.reach import number
from fleet.web.school_page import PATH as SCHOOL_PATH
from fleet.web.school_reach import School, look, school_of, school_to_write
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import language_of
from fleet.work_acts import WHY_MAX, Act, WorkRefused, require_day
from fleet.work_entries import AHEAD_DAYS_MAX, TRIP_DAYS_MAX, NewEntry
from fleet.work_now import Named
from fleet.work_trips import Trip, TripRefused
from programmes.calendar import local_day
from programmes.texts import say

PATH: Final = f"{SCHOOL_PATH}/trips"
_FIELDS: Final = {"from_day": 10, "from_time": 5, "to_day": 10, "to_time": 5, "note": WHY_MAX}
_PROPOSED: Final = {"from_time": "08:00", "to_time": "17:00"}
_MEMBER: Final = "member-"
"""How the box of a member is named, before his row's number."""
_DIGITS_MAX: Final = 18
routes = web.RouteTableDef()


class Shown(NamedTuple):
    """All that stands on the page."""

    today: datetime.date
    staff: Sequence[Named]
    """Who is of the school today, by reading."""
    trips: Sequence[Trip]
    names: Mapping[int, Named]


def _ask(fleet: sa.Connection, people: sa.Connection, school: str, who: str, at_ms: int) -> Shown:
    today = work_records.today(fleet, at_ms)
    staff = work_terms.of_school(people, school, today, today)
    trips = work_trips.of_school(people, school, today)
    members = {one.member_id for trip in trips for one in trip.entries}
    names = work_now.named(people, {*staff, *members})
    work_now.note_listed(people, who, at_ms, len(names), school)
    return Shown(today, [one for one in names.values() if one.member_id in staff], trips, names)


async def _page(
    request: web.Request,
    school: School,
    form: Form,
    status: int = 200,
    chosen: frozenset[int] | None = frozenset(),
) -> web.Response:
    """Show the page. `chosen`: whose boxes are ticked; None: everybody's."""
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    found = await look(request, _ask, school.organisation, who, now_ms)
    return await render(
        request,
        "school_trips.html",
        status,
        section=PATH,
        school=school,
        form=form,
        chosen={one.member_id for one in found.staff} if chosen is None else chosen,
        days_max=TRIP_DAYS_MAX,
        local_day=local_day,
        **found._asdict(),
    )


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """The form, and what was entered and counts."""
    everybody = request.query.get("all", "") == "yes"
    form = empty_form(request, **_PROPOSED)
    chosen = None if everybody else frozenset[int]()
    return await _page(request, await school_of(request), form, chosen=chosen)


def _chosen(sent: Mapping[str, object]) -> frozenset[int]:
    """Return whose boxes are ticked; what is no number is nobody's."""
    found = [name.removeprefix(_MEMBER) for name in sent if name.startswith(_MEMBER)]
    return frozenset(
        int(one) for one in found if one.isascii() and one.isdecimal() and len(one) <= _DIGITS_MAX
    )


def _trip(form: Form, at_ms: int) -> NewEntry | None:
    """Return what the form says; None when refused."""
    form.require(*_FIELDS.keys() - {"note"})
    first, last = _day(form, "from_day", at_ms), _day(form, "to_day", at_ms)
    if form.errors or first is None or last is None:
        return None
    from_ms, to_ms = instant(form, "from_time", first, 0), instant(form, "to_time", last, 0)
    if from_ms is None or to_ms is None:
        return None
    return NewEntry("trip", from_ms, to_ms, form["note"])


def _day(form: Form, name: str, at_ms: int) -> datetime.date | None:
    """Return a day on which a trip can be; None when refused: years 1 and 9999 have no next one."""
    day = form.day(name)
    try:
        if day is not None:
            require_day(day, at_ms, ahead=AHEAD_DAYS_MAX + TRIP_DAYS_MAX)
    except WorkRefused as error:
        form.refuse(name, f"work.refused.{error.reason}", **error.arguments)
        return None
    return day


@routes.post(PATH)
async def enter(request: web.Request) -> web.Response:
    """Enter a trip for everybody who is ticked, or for nobody."""
    school, sent = await school_to_write(request), await read_post(request)
    form, chosen = check_fields(language_of(request), sent, _FIELDS), _chosen(sent)
    said = (account_of(request).name, request.app[CLOCK].now_ms())
    trip = _trip(form, said[1])
    if not chosen:
        form.refuse("members", "web.school.trips.nobody")
    if form.errors or trip is None:
        return await _page(request, school, form, 422, chosen)
    first = local_day(trip.from_ms)
    rules = await read(request.app[FLEET], work_records.day_rules, first)
    told = (school.organisation, chosen, trip, rules, *said)
    try:
        made = await change(request.app[PERSONS], work_trips.enter, *told)
    except TripRefused as error:
        for one, why in error.of.items():
            form.refuse(f"{_MEMBER}{one}", f"work.refused.{why.reason}", **why.arguments)
        return await _page(request, school, form, 409, chosen)
    except WorkRefused as error:
        form.refuse("from_day", f"work.refused.{error.reason}", **error.arguments)
        return await _page(request, school, form, 409, chosen)
    undo = f"{PATH}/{made[0]}/withdraw?school={school.code}"
    if chosen == {account_of(request).member_id}:  # then it is his own to take back
        undo = f"{OWN_PATH}/entries/{made[0]}/withdraw"
    many = {"n": str(len(made))}
    await flash(request, Flash("ok", "web.school.trips.done", many, undo=undo))
    raise web.HTTPSeeOther(f"{PATH}?school={school.code}")


@routes.post(f"{PATH}/{{entry:\\d+}}/withdraw")
async def take_back(request: web.Request) -> web.Response:
    """Take a trip back for everybody for whom it was entered."""
    school, entry = await school_to_write(request), number(request, "entry")
    now_ms = request.app[CLOCK].now_ms()
    today = await read(request.app[FLEET], work_records.today, now_ms)
    why = say("web.school.trips.undo-why", language_of(request))
    act = Act(0, account_of(request).name, now_ms, why)
    told = (school.organisation, entry, today, act)
    try:
        count = await change(request.app[PERSONS], work_trips.take_back, *told)
    except WorkRefused as error:
        written = {name: str(value) for name, value in error.arguments.items()}
        await flash(request, Flash("warn", f"work.refused.{error.reason}", written))
    else:
        await flash(request, Flash("ok", "web.school.trips.gone", {"n": str(count)}))
    raise web.HTTPSeeOther(f"{PATH}?school={school.code}")
