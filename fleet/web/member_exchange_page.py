"""Two members whose cards were swapped: both are shown, and one action exchanges them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from fleet import member_cards, member_search
from fleet.member_events import WHY_MAX, LifeRefused, Step
from fleet.member_search import Found
from fleet.remaining import Left
from fleet.web.data import PERSONS, change, read
from fleet.web.forms import Form, check_fields, empty_form, read_form
from fleet.web.members_page import About, about, what_is_left
from fleet.web.pages import CLOCK, render
from fleet.web.reach import member_in_reach
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import language_of
from programmes.texts import say

_DIGITS_MAX: Final = 18
"""Of a row's number: 64 bits have 18 whole decimal digits."""
_CARDS_MAX: Final = 1_000
"""Characters of the cards of both: two hundred rows."""
routes = web.RouteTableDef()


class Side(NamedTuple):
    """One of the two, as the page shows it."""

    about: About
    left: Sequence[Left]
    in_use: int
    """Cards that would change hands."""


async def _side(request: web.Request, member_id: int) -> Side:
    found = await about(request, member_id)
    cards = sum(one.stopped_ms is None for one in found.member.cards)
    return Side(found, await what_is_left(request, found.member.programme, member_id), cards)


def _held(connection: sa.Connection, *members: int) -> str:
    """Return which cards these members have in use, as the form carries it."""
    every = (member_cards.in_use(connection, one) for one in members)
    return "/".join(" ".join(map(str, cards)) for cards in every)


def _exchange(connection: sa.Connection, step: Step, other_id: int, shown: str) -> int:
    """Exchange the cards that were shown: a form sent twice would change them back."""
    if shown != _held(connection, step.member_id, other_id):
        raise LifeRefused("cards-changed", "the cards have changed: look at them again")
    return member_cards.exchange_cards(connection, step, other_id)


def _other_id(text: str) -> int:
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= _DIGITS_MAX else 0


async def _page(request: web.Request, form: Form, other_id: int, status: int = 200) -> web.Response:
    mine = await _side(request, await member_in_reach(request))
    search = check_fields(language_of(request), request.query, {"search": 60})
    programme = mine.about.member.programme
    other: Side | None = None
    held = ""
    found: list[Found] = []
    if other_id and other_id != mine.about.member.id:
        if await read(request.app[PERSONS], member_cards.programme_of, other_id) != programme:
            raise web.HTTPNotFound
        other = await _side(request, other_id)
        held = await read(request.app[PERSONS], _held, mine.about.member.id, other_id)
    elif search["search"]:
        who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
        _, found = await change(
            request.app[PERSONS],
            member_search.find_members,
            programme,
            search["search"],
            who,
            now_ms,
        )
    form.errors |= search.errors
    return await render(
        request,
        "member_exchange.html",
        status,
        section="/members",
        mine=mine,
        other=other,
        held=held,
        found=[one for one in found if one.id != mine.about.member.id],
        asked=bool(search["search"]),
        search=search,
        form=form,
    )


@routes.get(r"/members/{member:\d+}/exchange")
async def show(request: web.Request) -> web.Response:
    """Choose the other member, and see both."""
    return await _page(request, empty_form(request), _other_id(request.query.get("with", "")))


@routes.post(r"/members/{member:\d+}/exchange")
async def exchange(request: web.Request) -> web.Response:
    """Exchange the cards of the two."""
    member_id = await member_in_reach(request)
    limits = {"with": _DIGITS_MAX, "cards": _CARDS_MAX, "why": WHY_MAX}
    label = say("web.member.cards", language_of(request))
    form = await read_form(request, limits, {"cards": label})
    form.require("why")
    other_id = _other_id(form["with"])
    if form.errors:
        return await _page(request, form, other_id, 422)
    step = Step(member_id, form["why"], account_of(request).name, request.app[CLOCK].now_ms())
    try:
        event = await change(request.app[PERSONS], _exchange, step, other_id, form["cards"])
    except LifeRefused as refused:
        form.refuse("why", f"web.member.refused.{refused.reason}")
        return await _page(request, form, other_id, 409)
    back = f"/members/{member_id}/events/{event}/undo"
    await flash(request, Flash("ok", "web.member.done.exchange", undo=back))
    raise web.HTTPSeeOther(f"/members/{member_id}")
