"""「このデスクで今かざされたカード」: an unknown card, just held at a reader, gets its member.

Or it is ignored, or somebody is asked whose it is. The card is chosen by where and when it was
held; no credential is ever shown. What was just done can be undone for UNDO_MS; after that the card
is stopped on the member's page.
"""

from typing import Any, Final

import sqlalchemy as sa
from aiohttp import web
from aiohttp_session import get_session

from fleet import desk, member_search, triage
from fleet.members import MemberRefused, Waiting
from fleet.schema import place
from fleet.terms import SchemeRefused
from fleet.web.data import FLEET, PERSONS, change, read, reading
from fleet.web.forms import Form, check_fields, empty_form, read_form
from fleet.web.live import stream
from fleet.web.pages import CLOCK, render
from fleet.web.reach import programmes_of, require, stranger_in_reach
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import language_of

UNDO_MS: Final = 10 * 60_000
"""Time to see that it was the wrong person; afterwards the card is stopped, which is recorded."""
DECIDED: Final[dict[str, triage.Decided]] = {"ignored": "ignored", "asked": "asked", "listed": ""}
routes = web.RouteTableDef()


def _labels(connection: sa.Connection) -> dict[str, tuple[str, str]]:
    rows = connection.execute(sa.select(place.c.name, place.c.label_ja, place.c.label_en))
    return {name: (ja or name, en or name) for name, ja, en in rows}


async def place_labels(request: web.Request) -> dict[str, str]:
    """Return every place's name for people."""
    index = 1 if language_of(request) == "en" else 0
    labels = await read(request.app[FLEET], _labels)
    return {name: both[index] for name, both in labels.items()}


async def waiting_cards(request: web.Request) -> dict[str, Any]:
    """Return what templates/_triage.html shows: the cards in reach, the last one held first."""
    now_ms, wish = request.app[CLOCK].now_ms(), request.query.get("place", "")
    mine = programmes_of(request)

    async def here(*, ignored: bool) -> list[Waiting]:
        found = await read(request.app[PERSONS], triage.waiting, now_ms, ignored=ignored)
        return [card for card in found if card.programme in mine and wish in ("", card.place)]

    return {
        "cards": await here(ignored=False),
        "ignored": await here(ignored=True),
        "place": wish,
        "places": await place_labels(request),
    }


@routes.get("/cards/now")
async def now(request: web.Request) -> web.Response:
    """The unknown cards, as the first page shows them."""
    return await render(request, "_triage.html", **await waiting_cards(request))


@routes.get("/cards/live")
async def live(request: web.Request) -> web.StreamResponse:
    """Say when a card was held or assigned."""
    clock, ask = request.app[CLOCK], reading(request.app[PERSONS], triage.waiting)

    def look() -> tuple[list[Waiting], list[Waiting]]:
        return ask(clock.now_ms()), ask(clock.now_ms(), ignored=True)

    return await stream(request, "triage", look)


async def _card_page(request: web.Request, form: Form, status: int = 200) -> web.Response:
    """Where and when the card was held, members found for it, and the form for a new one."""
    store = request.app[PERSONS]
    wanted = await stranger_in_reach(request)
    card = None if wanted is None else await read(store, desk.see_stranger, wanted)
    if card is None:
        await flash(request, Flash("warn", "web.triage.gone"))
        raise web.HTTPSeeOther("/")
    search = check_fields(language_of(request), request.query, {"search": 60})
    form.errors |= search.errors
    total, found = 0, list[member_search.Found]()
    if search["search"]:
        total, found = await change(
            store,
            member_search.find_members,
            card.programme,
            search["search"],
            account_of(request).name,
            request.app[CLOCK].now_ms(),
        )
    return await render(
        request,
        "card.html",
        status,
        section="/",
        card=card,
        places=await place_labels(request),
        search=search,
        total=total,
        found=found,
        form=form,
    )


@routes.get(r"/cards/{card:\d+}")
async def show_card(request: web.Request) -> web.Response:
    """One unknown card."""
    return await _card_page(request, empty_form(request))


@routes.post(r"/cards/{card:\d+}/member")
async def assign(request: web.Request) -> web.Response:
    """Give the card to a member who was found."""
    form = await read_form(request, {"registration_number": 32})
    form.require("registration_number")
    if form.errors:
        return await _card_page(request, form, 422)
    return await _assign(request, form, form["registration_number"])


def _assign_and_find(
    connection: sa.Connection, card_id: int, number: str, who: str, at_ms: int
) -> tuple[desk.Stranger, int]:
    """Assign in one transaction; return what is needed to undo it."""
    stranger = desk.see_stranger(connection, card_id)
    assigned = triage.assign(connection, card_id, number, who, at_ms)
    if stranger is None:
        raise MemberRefused("this card is no longer listed")
    return stranger, assigned


async def _assign(request: web.Request, form: Form, number: str) -> web.Response:
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    card_id, store = await stranger_in_reach(request), request.app[PERSONS]
    if card_id is None:
        return await _card_page(request, form, 409)
    try:
        stranger, assigned = await change(store, _assign_and_find, card_id, number, who, now_ms)
    except MemberRefused:
        # a card that has left the list is told by _card_page, so the number remains as the cause
        form.refuse("registration_number", "web.triage.no-such-member", number=number)
        return await _card_page(request, form, 409)
    except SchemeRefused as error:
        form.refuse("registration_number", f"web.scheme.refused.{error.reason}")
        return await _card_page(request, form, 409)
    session = await get_session(request)
    fields = {name: getattr(stranger, name) for name in desk.Stranger.__slots__}
    session["assigned"] = {"card": assigned, "at_ms": now_ms, "stranger": fields}
    await flash(request, Flash("ok", "web.triage.done", undo="/cards/undo"))
    raise web.HTTPSeeOther("/")


@routes.post(r"/cards/{card:\d+}/{state:ignored|asked|listed}")
async def decide(request: web.Request) -> web.Response:
    """Ignore the card, note whom one asks about it, or let it wait as before."""
    form = await read_form(request, {"ask_whom": triage.NOTE_MAX})
    state = request.match_info["state"]
    if state == "asked":
        form.require("ask_whom")
    if form.errors:
        return await _card_page(request, form, 422)
    card_id = await stranger_in_reach(request)
    if card_id is None:
        return await _card_page(request, form, 409)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    decided: triage.Decided = DECIDED[state]
    try:
        await change(
            request.app[PERSONS], triage.decide, card_id, decided, who, now_ms, form["ask_whom"]
        )
    except MemberRefused:
        return await _card_page(request, form, 409)
    undo = f"/cards/{card_id}/listed" if state != "listed" else ""
    await flash(request, Flash("ok", f"web.triage.done.{state}", undo=undo))
    raise web.HTTPSeeOther("/")


@routes.post("/cards/undo")
async def undo(request: web.Request) -> web.Response:
    """Take back the assignment that this clerk has just made."""
    session = await get_session(request)
    done = session.pop("assigned", None)
    now_ms = request.app[CLOCK].now_ms()
    try:
        if done is None or now_ms - done["at_ms"] > UNDO_MS:
            raise MemberRefused("there is nothing to undo any more")
        who, stranger = account_of(request).name, desk.Stranger(**done["stranger"])
        require(request, stranger.programme)
        store = request.app[PERSONS]
        await change(store, desk.take_back, done["card"], stranger, who, now_ms)
    except MemberRefused:
        await flash(request, Flash("warn", "web.triage.not-undone"))
    else:
        await flash(request, Flash("ok", "web.triage.undone"))
    raise web.HTTPSeeOther("/")
