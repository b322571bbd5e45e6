"""1人の1日: every mark and what became of it, corrected by somebody of the school with a reason.

Rules: nobody corrects his own day here; a mark is never changed, what is said of it stands beside
it; an objection is answered by saying again what holds, or something else; whoever voids one read
of a card voids those that repeat it.
"""

import datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from fleet import work_accounts, work_corrections, work_now, work_records
from fleet.web.data import PERSONS, change
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.school_page import PATH as SCHOOL_PATH
from fleet.web.school_reach import School, look, number_of, school_of, school_to_write, staff_of
from fleet.web.session import Flash, account_of, flash
from fleet.web.triage_page import place_labels
from fleet.work_acts import WHY_MAX, Act, WorkRefused, note
from fleet.work_now import Named
from fleet.work_records import Record, Span
from fleet.work_wishes import IDENTITY_MAX, AddMark, TurnMark, VoidMark, Wish
from programmes.calendar import start_of_day_ms
from programmes.work_day import WorkDay, with_doubles
from programmes.work_day_rules import DayRules
from programmes.work_marks import Standing
from wire.individual_number import IndividualNumberRefused

PATH: Final = f"{SCHOOL_PATH}/day"
DIRECTIONS: Final = ("in", "out", "away", "back")
TURNS: Final = (*DIRECTIONS, "", "void", "keep")
"""What may be said of a mark: a direction, whatever the day says, that it does not count, that it
stays as it was corrected."""
FIELDS: Final = {
    **{"member": 20, "day": 10, "do": 4, "mark": IDENTITY_MAX, "turn": 5},
    **{"declared": 4, "time": 5, "why": WHY_MAX},
}
_ONE_DAY: Final = datetime.timedelta(days=1)
_MINUTE_MS: Final = 60_000
routes = web.RouteTableDef()


class Seen(NamedTuple):
    """One person's day."""

    who: Named
    day: datetime.date
    today: datetime.date
    record: Record
    rules: DayRules
    is_own: bool

    @property
    def here(self) -> WorkDay | None:
        """Return the day; None when nothing is known of it."""
        return self.record.day(self.day)


def _day(text: str, today: datetime.date) -> datetime.date:
    """Return a day in an address; raises HTTPNotFound for what is none, or to come."""
    try:
        day = datetime.date.fromisoformat(text) if text else today
    except ValueError as error:
        raise web.HTTPNotFound from error
    if not datetime.date(2000, 1, 2) <= day <= today:
        raise web.HTTPNotFound
    return day


def _see(
    fleet: sa.Connection,
    people: sa.Connection,
    school: School,
    asked: tuple[int, str],
    account: str,
    at_ms: int,
) -> Seen:
    """Return one day, and write the look down. Raises HTTPNotFound when it is out of reach."""
    member_id, today = asked[0], work_records.today(fleet, at_ms)
    day = _day(asked[1], today)
    enrolled = staff_of(people, school, member_id, day)
    if enrolled is None:
        raise web.HTTPNotFound
    span = Span(day, day)
    record = work_records.records(fleet, people, {member_id: enrolled}, span, today - _ONE_DAY)
    who = work_now.named(people, [member_id])[member_id]
    act = Act(member_id, account, at_ms)
    note(people, act, who.registration_number, "work.seen", str(day))
    is_own = work_accounts.member_of_account(people, account) == member_id
    rules = work_records.day_rules(fleet, day)
    return Seen(who, day, today, record[member_id], rules, is_own)


async def _seen(request: web.Request, school: School, member: str, day: str) -> Seen:
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    return await look(request, _see, school, (number_of(member), day), who, now_ms)


async def _page(
    request: web.Request, school: School, seen: Seen, form: Form, status: int = 200
) -> web.Response:
    known: dict[str, Any] = {"marks": seen.here.readings if seen.here else ()}
    return await render(
        request,
        "school_day.html",
        status,
        section=SCHOOL_PATH,
        school=school,
        seen=seen,
        form=form,
        hours_of_day=next(iter(seen.record.hours), None),
        undated=seen.record.undated.get(seen.day, ()),
        directions=DIRECTIONS,
        turns=TURNS,
        places=await place_labels(request),
        may=school.writes and not seen.is_own,
        before=seen.day - _ONE_DAY,
        after=seen.day + _ONE_DAY,
        **known,
    )


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """One day of one person."""
    school = await school_of(request)
    seen = await _seen(
        request, school, request.query.get("member", ""), request.query.get("day", "")
    )
    return await _page(request, school, seen, empty_form(request))


# --- correcting ----------------------------------------------------------------------------------


@routes.post(PATH)
async def correct(request: web.Request) -> web.Response:
    """Say what a mark was, or add one that nobody made."""
    form = await read_form(request, FIELDS)
    school = await school_to_write(request)
    seen = await _seen(request, school, form["member"], form["day"])
    form.require("why")
    wishes = _added(form, seen) if form["do"] == "add" else _turned(form, seen)
    if form.errors:
        return await _page(request, school, seen, form, 422)
    now_ms = request.app[CLOCK].now_ms()
    act = Act(seen.who.member_id, account_of(request).name, now_ms, form["why"])
    try:
        await change(
            request.app[PERSONS], work_corrections.correct, act, seen.day, wishes, seen.rules
        )
    except WorkRefused as error:
        form.refuse("why", f"work.refused.{error.reason}", **error.arguments)
        return await _page(request, school, seen, form, 409)
    except IndividualNumberRefused:
        form.refuse("why", "refused.individual-number")
        return await _page(request, school, seen, form, 422)
    await flash(request, Flash("ok", "web.school.day.done"))
    query = f"school={school.code}&member={seen.who.member_id}&day={seen.day}"
    raise web.HTTPSeeOther(f"{PATH}?{query}")


def _added(form: Form, seen: Seen) -> list[Wish]:
    try:
        time = datetime.time.fromisoformat(form["time"])
    except ValueError:
        form.refuse("time", "web.school.day.no-time")
        return []
    if form["declared"] not in DIRECTIONS:
        form.refuse("declared", "web.school.day.no-direction")
        return []
    minutes = time.hour * 60 + time.minute
    day = seen.day + _ONE_DAY if time.hour < seen.rules.starts_at_hour else seen.day
    at_ms = start_of_day_ms(day) + minutes * _MINUTE_MS
    return [AddMark(at_ms, form["declared"])]  # type: ignore[arg-type]  # one of DIRECTIONS


def _turned(form: Form, seen: Seen) -> list[Wish]:
    readings = seen.here.readings if seen.here else ()
    found = [one.standing for one in readings if one.standing.mark.identity == form["mark"]]
    if not found or seen.here is None:
        form.refuse("mark", "web.school.day.no-mark")
        return []
    if form["turn"] not in TURNS:
        form.refuse("turn", "web.school.day.no-direction")
        return []
    turn = _kept(found[0]) if form["turn"] == "keep" else form["turn"]
    if turn == "void":
        return [VoidMark(one) for one in with_doubles(seen.here, form["mark"])]
    return [TurnMark(form["mark"], turn)]  # type: ignore[arg-type]  # one of TURNS


def _kept(one: Standing) -> str:
    return "void" if one.is_void else one.declared
