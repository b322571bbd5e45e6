"""A new card in the place of a lost one: held at the desk's reader while the page waits."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from aiohttp import web

from fleet import desk_wait, member_cards
from fleet.desk_wait import DeskRefused
from fleet.enrolment import EnrolmentRefused, NewCard
from fleet.member_events import WHY_MAX, LifeRefused, Step
from fleet.terms import SchemeRefused
from fleet.web.data import PERSONS, change
from fleet.web.desk_wait_page import FIELDS, DeskPart, handle
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.members_page import About, about
from fleet.web.pages import CLOCK, render
from fleet.web.reach import member_in_reach
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import language_of
from programmes.texts import say

PURPOSE: Final = "replace"
STOPS: Final = ("all", "none")
"""What becomes of the cards of before: a lost one is stopped, a second one goes on."""
_FIELDS: Final = {"why": WHY_MAX, "stops": 4, **FIELDS}
routes = web.RouteTableDef()


async def _page(
    request: web.Request,
    found: About,
    form: Form,
    part: DeskPart | None = None,
    status: int = 200,
) -> web.Response:
    programme = found.member.programme
    return await render(
        request,
        "member_replace.html",
        status,
        section="/members",
        member=found.member,
        stops=STOPS,
        form=form,
        desk=part or await handle(request, programme, PURPOSE, form, submits=True),
    )


async def _about(request: web.Request) -> About:
    """Return a member who may be given a card; for one who has left there is no such page."""
    found = await about(request, await member_in_reach(request))
    if found.member.ended_kind or found.member.erased_at_ms is not None:
        raise web.HTTPNotFound
    return found


@routes.get(r"/members/{member:\d+}/replace")
async def show(request: web.Request) -> web.Response:
    """Why, what becomes of the cards of before, and the reader."""
    found, why = await _about(request), say("web.member.why.lost", language_of(request))
    stops = "all" if found.member.cards else "none"
    return await _page(request, found, empty_form(request, why=why, stops=stops))


def _write(
    connection: sa.Connection, wait: str, programme: str, step: Step, stopped: Sequence[int]
) -> int:
    """Take the card that was held and give it, in one transaction."""
    cards = [NewCard(*one) for one in desk_wait.take(connection, wait, step.who, programme)]
    return member_cards.replace_card(connection, step, cards, stopped)


@routes.post(r"/members/{member:\d+}/replace")
async def replace(request: web.Request) -> web.Response:
    """Give the card that was held, and stop the others."""
    found = await _about(request)
    form = await read_form(request, _FIELDS)
    part = await handle(request, found.member.programme, PURPOSE, form, submits=True)
    if part.pressed:
        return await _page(request, found, form, part)
    form.require("why")
    if form["stops"] not in STOPS:
        form.values["stops"] = STOPS[0]
    if not part.is_read:
        form.refuse("desk_reader", "web.member.replace.no-card")
    if form.errors:
        return await _page(request, found, form, part, 422)
    every = [one.id for one in found.member.cards if one.stopped_ms is None]
    return await _replace(request, found, form, every if form["stops"] == "all" else ())


async def _replace(
    request: web.Request, found: About, form: Form, stopped: Sequence[int]
) -> web.Response:
    member = found.member
    step = Step(member.id, form["why"], account_of(request).name, request.app[CLOCK].now_ms())
    what = (form["wait"], member.programme, step, stopped)
    try:
        event = await change(request.app[PERSONS], _write, *what)
    except LifeRefused as refused:
        form.refuse("desk_reader", f"web.member.refused.{refused.reason}")
    except EnrolmentRefused as refused:
        said = f"web.enrol.refused.{refused.reason}"
        form.refuse("desk_reader", said, number=refused.number)
    except SchemeRefused as refused:
        form.refuse("desk_reader", f"web.scheme.refused.{refused.reason}")
    except DeskRefused:
        form.refuse("desk_reader", "web.member.replace.no-card")
    else:
        back = f"/members/{member.id}/events/{event}/undo"
        await flash(request, Flash("ok", "web.member.done.replace", undo=back))
        raise web.HTTPSeeOther(f"/members/{member.id}")
    form.values["wait"] = ""
    return await _page(request, found, form, status=409)
