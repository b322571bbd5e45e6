"""What a member does to his own days: enters, asks, objects, takes his own entry back.

Rules: an entry holds at once and can be taken back by who made it; what changes a mark is a request
that somebody of the school approves; an objection changes nothing and is seen by everybody who sees
the day. A time of day before the hour at which a day begins is of the night that follows.
"""

import datetime
from collections.abc import Callable
from typing import Final

import sqlalchemy as sa
from aiohttp import web

from fleet import work_corrections, work_entries, work_objections, work_records
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.own_data import ONE_DAY, PATH, OwnDay, day_of, own_member
from fleet.web.own_day_page import DAY, DIRECTIONS, KINDS, day_page
from fleet.web.pages import CLOCK, render
from fleet.web.reach import number
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import language_of
from fleet.work_acts import WHY_MAX, Act, WorkRefused
from fleet.work_entries import NewEntry
from fleet.work_wishes import IDENTITY_MAX, AddMark, TurnMark, VoidMark, Wish
from programmes.calendar import local, start_of_day_ms
from programmes.texts import say
from programmes.work_day_rules import DayRules

MINUTE_MS: Final = 60_000
_ENTRY: Final = {"entry_kind": 10, "from_time": 5, "to_time": 5, "to_day": 10, "note": WHY_MAX}
_MARK: Final = {"declared": 4, "time": 5, "why": WHY_MAX}
_TURN: Final = {"mark": IDENTITY_MAX, "turn_to": 4, "why": WHY_MAX, "tried": 12}
Do = Callable[[sa.Connection, Act], object]
routes = web.RouteTableDef()


def instant(form: Form, name: str, day: datetime.date, starts_at_hour: int) -> int | None:
    """Return a time of day of a day of work as an instant; None when refused."""
    try:
        time = datetime.time.fromisoformat(form[name])
    except ValueError:
        form.refuse(name, "web.own.no-time")
        return None
    date = day + ONE_DAY if time.hour < starts_at_hour else day
    return start_of_day_ms(date) + (time.hour * 60 + time.minute) * MINUTE_MS


async def _rules(request: web.Request, day: datetime.date) -> DayRules:
    return await read(request.app[FLEET], work_records.day_rules, day)


def _act(request: web.Request, why: str = "") -> Act:
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    return Act(own_member(request), who, now_ms, why)


async def _do(
    request: web.Request, one: OwnDay, form: Form, tried: str, field: str, do: Do, done: str
) -> web.Response:
    """Do it and go back to the day; what is refused stands beside its field."""
    try:
        await change(request.app[PERSONS], do, _act(request, form["why"]))
    except WorkRefused as error:
        form.refuse(field, f"work.refused.{error.reason}", **error.arguments)
        return await day_page(request, one, form, 409, tried)
    await flash(request, Flash("ok", done))
    raise web.HTTPSeeOther(f"{PATH}/day/{one.day}")


# --- entries -------------------------------------------------------------------------------------


@routes.post(f"{PATH}/day/{DAY}/entries")
async def declare(request: web.Request) -> web.Response:
    """Enter duty elsewhere, work at home, self-study, leave, a break or a trip."""
    one = await day_of(request, request.match_info["day"])
    form = await read_form(request, _ENTRY)
    rules = await _rules(request, one.day)
    new = _entry(form, one.day, rules.starts_at_hour)
    if form.errors or new is None:
        return await day_page(request, one, form, 422, "entry")
    try:
        entry = await change(request.app[PERSONS], work_entries.declare, _act(request), new, rules)
    except WorkRefused as error:
        form.refuse("from_time", f"work.refused.{error.reason}", **error.arguments)
        return await day_page(request, one, form, 409, "entry")
    undo = f"{PATH}/entries/{entry}/withdraw"
    await flash(request, Flash("ok", "web.own.entry.done", undo=undo))
    raise web.HTTPSeeOther(f"{PATH}/day/{one.day}")


def _entry(form: Form, day: datetime.date, starts_at_hour: int) -> NewEntry | None:
    """Return what a form declares; an end that is not after the beginning is of the next day."""
    form.require("entry_kind")
    kind = next((one for one in KINDS if one == form["entry_kind"]), None)
    if kind is None:
        form.refuse("entry_kind", "work.refused.entry-kind")
        return None
    if kind == "no-break":
        noon_ms = start_of_day_ms(day, 12)
        return NewEntry("no-break", noon_ms, noon_ms, form["note"])
    until = form.day("to_day")
    from_ms = instant(form, "from_time", day, starts_at_hour)
    to_ms = instant(form, "to_time", until or day, 0 if until else starts_at_hour)
    if form.errors or from_ms is None or to_ms is None:
        return None
    if to_ms <= from_ms and until is None:
        to_ms += round(ONE_DAY.total_seconds() * 1000)
    return NewEntry(kind, from_ms, to_ms, form["note"])


@routes.post(PATH + r"/entries/{entry:\d+}/withdraw")
async def withdraw_entry(request: web.Request) -> web.Response:
    """Take one's own entry back."""
    entry = number(request, "entry")
    found = await read(request.app[PERSONS], work_entries.load, own_member(request), entry)
    if found is None or found.who != account_of(request).name:
        raise web.HTTPNotFound
    why = say("web.own.entry.undo-why", language_of(request))
    act = _act(request, why)
    return await _back(request, found.day, "web.own.entry.gone", work_entries.withdraw, act, entry)


@routes.post(PATH + r"/requests/{asked:\d+}/withdraw")
async def withdraw_request(request: web.Request) -> web.Response:
    """Take a request back that nobody has decided."""
    asked = number(request, "asked")
    found = await read(request.app[PERSONS], work_corrections.load, asked)
    if found is None or found.member_id != own_member(request):
        raise web.HTTPNotFound
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    done = "web.own.request.gone"
    return await _back(request, found.day, done, work_corrections.withdraw, asked, who, now_ms)


async def _back(
    request: web.Request,
    day: datetime.date,
    done: str,
    do: Callable[..., None],
    *arguments: object,
) -> web.Response:
    """Take something back and show its day."""
    try:
        await change(request.app[PERSONS], do, *arguments)
    except WorkRefused as error:
        written = {name: str(value) for name, value in error.arguments.items()}
        await flash(request, Flash("warn", f"work.refused.{error.reason}", written))
    else:
        await flash(request, Flash("ok", done))
    raise web.HTTPSeeOther(f"{PATH}/day/{day}")


# --- requests and objections ---------------------------------------------------------------------


@routes.post(f"{PATH}/day/{DAY}/ask")
async def ask(request: web.Request) -> web.Response:
    """Ask for a mark that no reader has."""
    one = await day_of(request, request.match_info["day"])
    form = await read_form(request, _MARK)
    form.require("why")
    rules = await _rules(request, one.day)
    wish = _added(form, one.day, rules)
    if form.errors or wish is None:
        return await day_page(request, one, form, 422, "add")
    return await _ask(request, one, form, "add", "time", wish, rules)


def _added(form: Form, day: datetime.date, rules: DayRules) -> AddMark | None:
    form.require("declared", "time")
    declared = next((one for one in DIRECTIONS if one == form["declared"]), None)
    if declared is None:
        form.refuse("declared", "web.own.no-direction")
    at_ms = instant(form, "time", day, rules.starts_at_hour) if form["time"] else None
    if declared is None or at_ms is None:
        return None
    return AddMark(at_ms=at_ms, declared=declared)


async def _ask(
    request: web.Request,
    one: OwnDay,
    form: Form,
    tried: str,
    field: str,
    wish: Wish,
    rules: DayRules,
) -> web.Response:
    def do(connection: sa.Connection, act: Act) -> object:
        return work_corrections.ask(connection, act, one.day, [wish], rules)

    return await _do(request, one, form, tried, field, do, "web.own.asked")


@routes.post(f"{PATH}/day/{DAY}/turn")
async def turn(request: web.Request) -> web.Response:
    """Ask that a mark of this day counts for nothing, or for another direction."""
    one = await day_of(request, request.match_info["day"])
    form = await read_form(request, _TURN)
    form.require("why")
    tried = form["tried"] if form["tried"].startswith("turn-") else "turn-0"
    mine = {reading.standing.mark.identity for reading in one.readings}
    if form["mark"] not in mine or form["turn_to"] not in ("void", *DIRECTIONS):
        raise web.HTTPNotFound
    if form.errors:
        return await day_page(request, one, form, 422, tried)
    wish: Wish = VoidMark(mark=form["mark"])
    for declared in DIRECTIONS:
        if form["turn_to"] == declared:
            wish = TurnMark(mark=form["mark"], declared=declared)
    return await _ask(request, one, form, tried, "why", wish, await _rules(request, one.day))


@routes.post(f"{PATH}/day/{DAY}/corrections/{{correction:\\d+}}/contest")
async def contest(request: web.Request) -> web.Response:
    """Object to a correction that somebody else made."""
    one = await day_of(request, request.match_info["day"])
    correction = number(request, "correction")
    form = await read_form(request, {"why": WHY_MAX})
    form.require("why")
    made = {made.correction.number for made in one.corrections}
    if correction not in made:
        raise web.HTTPNotFound
    tried = f"contest-{correction}"
    if form.errors:
        return await day_page(request, one, form, 422, tried)

    def do(connection: sa.Connection, act: Act) -> object:
        return work_corrections.contest(connection, act, correction)

    return await _do(request, one, form, tried, "why", do, "web.own.contest.done")


@routes.post(f"{PATH}/day/{DAY}/entries/{{entry:\\d+}}/contest")
async def contest_entry(request: web.Request) -> web.Response:
    """Object to an entry that somebody else made."""
    one = await day_of(request, request.match_info["day"])
    entry = number(request, "entry")
    form = await read_form(request, {"why": WHY_MAX})
    form.require("why")
    if entry not in {made.id for made in one.entries}:
        raise web.HTTPNotFound
    tried = f"object-{entry}"
    if form.errors:
        return await day_page(request, one, form, 422, tried)

    def do(connection: sa.Connection, act: Act) -> None:
        work_objections.contest(connection, act, entry)

    return await _do(request, one, form, tried, "why", do, "web.own.contest.done")


# --- the card was forgotten ----------------------------------------------------------------------


@routes.get(f"{PATH}/forgot")
async def forgot(request: web.Request) -> web.Response:
    """Came or went, now: the time and the reason are filled in."""
    one = await _today(request)
    now = local(request.app[CLOCK].now_ms())
    form = empty_form(
        request,
        declared="out" if one.is_there else "in",
        time=f"{now:%H:%M}",
        why=say("web.own.forgot.why", language_of(request)),
    )
    return await _forgot(request, one, form)


async def _today(request: web.Request) -> OwnDay:
    now_ms = request.app[CLOCK].now_ms()
    today = await read(request.app[FLEET], work_records.today, now_ms)
    return await day_of(request, today.isoformat())


async def _forgot(request: web.Request, one: OwnDay, form: Form, status: int = 200) -> web.Response:
    return await render(request, "own_forgot.html", status, section=PATH, one=one, form=form)


@routes.post(f"{PATH}/forgot")
async def forgot_today(request: web.Request) -> web.Response:
    """Ask for the mark of today."""
    one = await _today(request)
    form = await read_form(request, _MARK)
    form.require("why")
    rules = await _rules(request, one.day)
    wish = _added(form, one.day, rules)
    if form.errors or wish is None:
        return await _forgot(request, one, form, 422)
    try:
        await change(
            request.app[PERSONS],
            work_corrections.ask,
            _act(request, form["why"]),
            one.day,
            [wish],
            rules,
        )
    except WorkRefused as error:
        form.refuse("time", f"work.refused.{error.reason}", **error.arguments)
        return await _forgot(request, one, form, 409)
    await flash(request, Flash("ok", "web.own.asked"))
    raise web.HTTPSeeOther(f"{PATH}/day/{one.day}")
