"""What a clerk does to a member: each form of the member's page, its effect told before, and undo.

A form says what was wrong beside its field and keeps what was typed; what was done is said on the
page with a way back, as long as there is one.
"""

import datetime
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from fleet import member_cards, member_events, member_life
from fleet.member_events import WHY_MAX, LifeRefused, Step
from fleet.member_life import Ended
from fleet.member_search import folded
from fleet.schema import member
from fleet.web.data import PERSONS, change
from fleet.web.forms import Form, read_form
from fleet.web.members_page import ENDS, STAMP_CHARACTERS, member_page, stamp_of
from fleet.web.pages import CLOCK
from fleet.web.reach import member_in_reach, number
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import language_of
from programmes.calendar import local_day
from programmes.texts import say

Do = Callable[[sa.Connection, Step], int]
"""What a form asks for; returns the member's event."""
routes = web.RouteTableDef()


class Way(NamedTuple):
    """One form of the member's page."""

    fields: Mapping[str, int]
    read: Callable[[Form, datetime.date], Do | None]
    """Returns what to do on this day; None when the form is refused."""
    field: str = "why"
    """Beside which a refusal is told."""
    undo: bool = True


# --- what each form asks for ---------------------------------------------------------------------


def _plain(do: Do) -> Callable[[Form, datetime.date], Do | None]:
    def read(form: Form, _today: datetime.date) -> Do | None:
        form.require("why")
        return do

    return read


def _end(form: Form, _today: datetime.date) -> Do | None:
    """Why it ends is the reason, unless more is said."""
    form.require("ended_kind", "last_day")
    last = form.day("last_day")
    if form["ended_kind"] not in {kind.value for kind in ENDS}:
        form.refuse(
            "ended_kind", "web.form.required", field=say("web.field.ended_kind", form.language)
        )
    if form.errors or last is None:
        return None
    kind = Ended(form["ended_kind"])
    form.values["why"] = form["why"] or say(f"web.ended.{kind}", form.language)
    return lambda connection, step: member_life.end(connection, step, kind, last)


def _reopen(form: Form, _today: datetime.date) -> Do | None:
    form.require("why")
    last = form.day("valid_to")
    return lambda connection, step: member_life.reopen(connection, step, last)


def _correct(form: Form, today: datetime.date) -> Do | None:
    form.require("name", "why")
    values: dict[str, object] = {name: form[name] for name in ("name", "category")}
    values["kana"] = " ".join(folded(part) for part in form["kana"].split())
    values["birth_date"] = form.born("birth_date", today)
    begin, last = form.day("valid_from"), form.day("valid_to")
    values |= {"valid_from": begin, "valid_to": last}
    if begin and last and last < begin:
        form.refuse("valid_to", "web.form.ends-before-start")

    def do(connection: sa.Connection, step: Step) -> int:
        if form["stamp"] != stamp_of(member_events.row_of(connection, step.member_id)):
            raise LifeRefused("changed-meanwhile", "somebody has corrected it: look at it again")
        return member_life.correct(connection, step, values)

    return do


def _join(form: Form, _today: datetime.date) -> Do | None:
    form.require("lives_with")
    form.values["why"] = form["why"] or say("web.member.join.why", form.language)
    return lambda connection, step: member_life.join_household(
        connection, step, id_of(connection, step.member_id, form["lives_with"])
    )


def id_of(connection: sa.Connection, beside: int, registration_number: str) -> int:
    """Return the member of this number in the same programme. Raises LifeRefused."""
    programme = sa.select(member.c.programme).where(member.c.id == beside).scalar_subquery()
    found: int | None = connection.scalar(
        sa.select(member.c.id).where(
            member.c.programme == programme,
            member.c.registration_number == registration_number,
            member.c.erased_at_ms.is_(None),
        )
    )
    if found is None:
        raise LifeRefused("no-such-member", f"nobody has the number {registration_number!r}")
    return found


def _answer(form: Form, _today: datetime.date) -> Do | None:
    form.require("why")
    event = int(form["event"]) if form["event"].isdecimal() else 0
    return lambda connection, step: member_life.answer_correction(connection, step, event)


_WHY: Final = {"why": WHY_MAX}
_CORRECT: Final = {
    "stamp": STAMP_CHARACTERS,
    "name": 60,
    "kana": 60,
    "birth_date": 20,
    "category": 40,
}
_DAYS: Final = {"valid_from": 10, "valid_to": 10}
WAYS: Final[Mapping[str, Way]] = {
    "stop-cards": Way(_WHY, _plain(member_cards.stop_cards)),
    "stop": Way(_WHY, _plain(member_life.stop)),
    "unstop": Way(_WHY, _plain(member_life.unstop)),
    "end": Way({"ended_kind": 12, "last_day": 10, **_WHY}, _end, "last_day"),
    "reopen": Way({"valid_to": 10, **_WHY}, _reopen),
    "correct": Way({**_CORRECT, **_DAYS, **_WHY}, _correct, "name"),
    "join": Way({"lives_with": 32, **_WHY}, _join, "lives_with"),
    "leave": Way(_WHY, _plain(member_life.leave_household)),
    "withdraw": Way(_WHY, _plain(member_life.withdraw), undo=False),
    "ask": Way(_WHY, _plain(member_life.ask_correction), undo=False),
    "answer": Way({"event": 18, **_WHY}, _answer, undo=False),
}
"""By the last part of the path."""


@routes.post(r"/members/{member:\d+}/{way:" + "|".join(WAYS) + "}")
async def take(request: web.Request) -> web.Response:
    """Do what one form of the member's page asks for."""
    name = request.match_info["way"]
    way, member_id = WAYS[name], await member_in_reach(request)
    labels = {"stamp": say("web.member.data", language_of(request))}
    form = await read_form(request, way.fields, labels)
    do = way.read(form, local_day(request.app[CLOCK].now_ms()))
    tried = f"{name}-{form['event']}" if "event" in way.fields else name
    if form.errors or do is None:
        return await member_page(request, form, 422, tried)
    done = f"web.member.done.{name}"
    return await do_step(request, member_id, form, do, tried, way.field, done, undo=way.undo)


@routes.post(r"/members/{member:\d+}/cards/{card:\d+}/stop")
async def stop_card(request: web.Request) -> web.Response:
    """Stop one card, with a reason."""
    card = number(request, "card")
    return await _turn(
        request, f"stop-{card}", "web.member.stopped",
        lambda connection, step: member_cards.stop_cards(connection, step, [card]),
    )  # fmt: skip


@routes.post(r"/members/{member:\d+}/cards/{card:\d+}/unstop")
async def unstop_card(request: web.Request) -> web.Response:
    """Lift one card's stop, with a reason."""
    card = number(request, "card")
    return await _turn(
        request, f"unstop-{card}", "web.member.unstopped",
        lambda connection, step: member_cards.unstop_card(connection, step, card),
    )  # fmt: skip


async def _turn(request: web.Request, tried: str, done: str, do: Do) -> web.Response:
    member_id = await member_in_reach(request)
    form = await read_form(request, _WHY)
    form.require("why")
    if form.errors:
        return await member_page(request, form, 422, tried)
    return await do_step(request, member_id, form, do, tried, "why", done)


async def do_step(
    request: web.Request,
    member_id: int,
    form: Form,
    do: Do,
    tried: str,
    field: str,
    done: str,
    *,
    undo: bool = True,
) -> web.Response:
    """Take the step, and say on the member's page what was done, with a way back."""
    step = Step(member_id, form["why"], account_of(request).name, request.app[CLOCK].now_ms())
    try:
        event = await change(request.app[PERSONS], do, step)
    except LifeRefused as refused:
        form.refuse(field, f"web.member.refused.{refused.reason}")
        return await member_page(request, form, 409, tried)
    back = f"/members/{member_id}/events/{event}/undo" if undo else ""
    await flash(request, Flash("ok", done, undo=back))
    raise web.HTTPSeeOther(f"/members/{member_id}")


@routes.post(r"/members/{member:\d+}/events/{event:\d+}/undo")
async def undo(request: web.Request) -> web.Response:
    """Take one step back."""
    member_id, event = await member_in_reach(request), number(request, "event")
    form = await read_form(request, {})
    why = say("web.member.undo.why", form.language)
    step = Step(member_id, why, account_of(request).name, request.app[CLOCK].now_ms())
    try:
        await change(request.app[PERSONS], member_events.undo, step, event)
    except LifeRefused as refused:
        await flash(request, Flash("warn", f"web.member.refused.{refused.reason}"))
    else:
        await flash(request, Flash("ok", "web.member.undone"))
    raise web.HTTPSeeOther(f"/members/{member_id}")
