"""Enrolling somebody at a counter: one page, then the card, then the slip; and undo.

What was typed travels with the pages and is kept nowhere until the person is enrolled. Conditions,
people who may be the same, and the household are looked at while the clerk types, and again when
the form is sent.
"""

from typing import Any, Final

import sqlalchemy as sa
from aiohttp import web

from fleet import desk_wait, enrolment, slips
from fleet.consent import ConsentRefused
from fleet.desk_wait import DeskRefused
from fleet.enrolment import EnrolmentRefused, Given, NewCard
from fleet.members import NewMember
from fleet.schema import member
from fleet.terms import SchemeRefused
from fleet.web.data import PERSONS, change, read
from fleet.web.enrol_card import card_step, listed_card
from fleet.web.enrol_form import FIELDS, Applied, apply, proposed_form
from fleet.web.forms import Form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.reach import member_in_reach, programme_of, programmes_of, require
from fleet.web.session import Flash, account_of, flash
from fleet.web.sheets import sheet

CARD_ERRORS: Final = frozenset({"card-of", "card-not-usable", "gone"})
"""What the next card may mend; all else is mended in the form."""
routes = web.RouteTableDef()


async def _form_page(
    request: web.Request, applied: Applied, status: int = 200, **context: Any
) -> web.Response:
    return await render(
        request,
        "enrol.html",
        status,
        section="/enrol",
        programmes=programmes_of(request),
        card=await listed_card(request, applied.programme, applied.form["card"]),
        **applied.shown(),
        **context,
    )


@routes.get("/enrol")
async def show(request: web.Request) -> web.Response:
    """The form, with what the programme proposes."""
    programme = programme_of(request)
    form = await proposed_form(request, programme)
    return await _form_page(request, await apply(request, programme, form, looking=False))


@routes.post("/enrol/{programme}/check")
async def check(request: web.Request) -> web.Response:
    """What the form comes to so far, as a part of the page."""
    programme = require(request, request.match_info["programme"])
    form = await read_form(request, FIELDS)
    form.errors.clear()  # said when it is sent
    applied = await apply(request, programme, form)
    form.errors.clear()
    return await render(request, "_enrol_check.html", **applied.shown())


@routes.post("/enrol/{programme}")
async def send(request: web.Request) -> web.Response:
    """Look at all of it, and go on to the card, or enrol without one."""
    programme = require(request, request.match_info["programme"])
    form = await read_form(request, FIELDS)
    broken = dict(form.errors)
    applied = await apply(request, programme, form)
    if form["how"] in ("edit", "none"):
        await _wait_no_more(request, form)
    if form["how"] == "edit":
        form.errors.clear()
        return await _form_page(request, applied)
    if broken or not applied.may_be_enrolled():
        return await _form_page(request, applied, 422)
    is_chosen = form["how"] == "none" or form["card"] or form["wait"]
    if is_chosen and not form["desk"]:
        return await _enrol(request, applied)
    return await card_step(request, applied)


async def _wait_no_more(request: web.Request, form: Form) -> None:
    if form["wait"]:
        who = account_of(request).name
        await change(request.app[PERSONS], desk_wait.cancel, form["wait"], who)
        form.values["wait"] = ""


# --- enrolling -----------------------------------------------------------------------------------


def _write(
    connection: sa.Connection,
    programme: str,
    form: Form,
    new: NewMember,
    given: Given,
    lives_with: str,
    by_ground: bool,
    who: str,
    at_ms: int,
) -> tuple[int, str]:
    """Take the card that was held and enrol, in one transaction; return the member's two numbers.

    That of the row, and the registration number that it got.
    """
    cards: list[NewCard] = []
    if form["wait"]:
        found = desk_wait.take(connection, form["wait"], who, programme)
        cards = [NewCard(*one) for one in found]
    elif form["how"] != "none" and form["card"]:
        number = int(form["card"]) if form["card"].isdecimal() else 0
        cards = enrolment.stranger(connection, programme, number)
    member_id = enrolment.enrol(
        connection,
        programme,
        new,
        given,
        cards,
        who,
        at_ms,
        lives_with=lives_with,
        next_free=form["registration_number"] == form["proposed"],
        by_ground=by_ground,
    )
    got = sa.select(member.c.registration_number).where(member.c.id == member_id)
    return member_id, connection.execute(got).scalar_one()


async def _enrol(request: web.Request, applied: Applied) -> web.Response:
    form, programme = applied.form, applied.programme
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    what = (applied.new(), applied.given(), applied.lives_with, applied.judged.by_ground)
    try:
        member_id, number = await change(
            request.app[PERSONS], _write, programme, form, *what, who, now_ms
        )
    except EnrolmentRefused as refused:
        if refused.reason in CARD_ERRORS:
            said = f"web.enrol.refused.{refused.reason}"
            return await card_step(request, applied, 409, said, number=refused.number)
        return await _mended(request, applied, refused)
    except SchemeRefused as refused:
        return await card_step(request, applied, 409, f"web.scheme.refused.{refused.reason}")
    except DeskRefused:  # sent by hand before a card was read: it goes on waiting
        return await card_step(request, applied, 409, "web.enrol.refused.gone", keep=True)
    except ConsentRefused:  # the ground was of another programme: the form was made by hand
        form.refuse("consent", "web.enrol.wording-changed")
        return await _form_page(request, applied, 409)
    if number != form["registration_number"]:
        other = {"number": number}
        await flash(request, Flash("warn", "web.enrol.done.other-number", other))
    raise web.HTTPSeeOther(f"/enrol/done/{member_id}")


async def _mended(
    request: web.Request, applied: Applied, refused: EnrolmentRefused
) -> web.Response:
    """Show the form again, with the next free number when that was the cause."""
    form = applied.form
    if refused.reason == "number-used":
        form.refuse("registration_number", "web.enrol.number-used", number=refused.number)
        fresh = await proposed_form(request, applied.programme)
        form.values["registration_number"] = form.values["proposed"] = fresh["proposed"]
    else:
        form.refuse("lives_with", "web.enrol.lives-nobody")
    return await _form_page(request, applied, 409)


# --- afterwards ----------------------------------------------------------------------------------


@routes.get(r"/enrol/done/{member:\d+}")
async def done(request: web.Request) -> web.Response:
    """Who was enrolled; the slip; undo for a while."""
    member_id = await member_in_reach(request)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    slip = await change(request.app[PERSONS], slips.slip, member_id, who, now_ms, "member.seen")
    if slip is None:
        raise web.HTTPNotFound
    may_undo = await read(request.app[PERSONS], enrolment.may_undo, member_id, who, now_ms)
    return await render(request, "enrol_done.html", section="/enrol", slip=slip, may_undo=may_undo)


@routes.get(r"/enrol/done/{member:\d+}/slip.pdf")
async def print_slip(request: web.Request) -> web.Response:
    """The slip to take home; `?paper=en` for those who read no Japanese."""
    member_id = await member_in_reach(request)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    slip = await change(request.app[PERSONS], slips.slip, member_id, who, now_ms)
    if slip is None:
        raise web.HTTPNotFound
    return await sheet(request, slips.TEMPLATE, f"slip-{member_id}.pdf", slip=slip)


@routes.post(r"/enrol/done/{member:\d+}/undo")
async def undo(request: web.Request) -> web.Response:
    """Take the enrolment back, and show what was typed so that it can be put right."""
    member_id = await member_in_reach(request)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    programme = await read(request.app[PERSONS], _programme_of, member_id)
    try:
        typed = await change(request.app[PERSONS], enrolment.undo, member_id, who, now_ms)
    except EnrolmentRefused:
        await flash(request, Flash("warn", "web.enrol.done.undo.over"))
        raise web.HTTPSeeOther(f"/members/{member_id}") from None
    form = await proposed_form(request, programme, typed)
    await flash(request, Flash("ok", "web.enrol.undone"))
    applied = await apply(request, programme, form)
    form.errors.clear()
    return await _form_page(request, applied)


def _programme_of(connection: sa.Connection, member_id: int) -> str:
    found: str = connection.execute(
        sa.select(member.c.programme).where(member.c.id == member_id)
    ).scalar_one()
    return found
