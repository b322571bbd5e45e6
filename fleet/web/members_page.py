"""Members of a programme: found by name, reading or number; a card stopped, or its stop lifted."""

from collections.abc import Callable, Mapping

import sqlalchemy as sa
from aiohttp import web

from fleet import desk, member_cards, member_search, registry, schemes, usage
from fleet.member_events import Step
from fleet.members import MemberRefused
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.forms import Form, check_fields, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.reach import member_in_reach, number, programme_of, programmes_of
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import language_of
from programmes.calendar import local_day
from wire.entries import Used

routes = web.RouteTableDef()


@routes.get("/members")
async def show(request: web.Request) -> web.Response:
    """The list; nobody is shown before something is searched for."""
    form = check_fields(language_of(request), request.query, {"search": 60})
    programme = programme_of(request)
    epochs = await read(request.app[FLEET], registry.key_epochs)
    epoch = epochs.get(programme, 1)
    unmoved = epoch > 1 and "unmoved" in request.query
    ended = "ended" in request.query
    day = local_day(request.app[CLOCK].now_ms())
    warned = await read(request.app[PERSONS], schemes.warnings, day, programme)
    if form.errors:
        await flash(request, Flash("bad", "refused.individual-number"))
        raise web.HTTPSeeOther(f"/members?programme={programme}")
    total, found = 0, list[member_search.Found]()
    asked = "search" in request.query
    if asked:
        total, found = await change(
            request.app[PERSONS],
            member_search.find_members,
            programme,
            form["search"],
            account_of(request).name,
            request.app[CLOCK].now_ms(),
            epoch if unmoved else 0,
            ended=ended,
        )
    return await render(
        request,
        "members.html",
        section="/members",
        programmes=programmes_of(request),
        programme=programme,
        form=form,
        asked=asked,
        epoch=epoch,
        unmoved=unmoved,
        ended=ended,
        warned=warned,
        total=total,
        found=found,
    )


async def _member_page(request: web.Request, form: Form, status: int = 200) -> web.Response:
    member = await change(
        request.app[PERSONS],
        desk.see_member,
        await member_in_reach(request),
        account_of(request).name,
        request.app[CLOCK].now_ms(),
    )
    if member is None:
        raise web.HTTPNotFound
    tried = number(request, "card") if "card" in request.match_info else None
    return await render(
        request,
        "member.html",
        status,
        section="/members",
        member=member,
        used=await _used(request, member),
        form=form,
        tried=tried,
    )


async def _used(request: web.Request, member: desk.Member) -> Mapping[str, Used]:
    """Return what a member has used in the periods of this moment, over all cards."""
    cards = await read(request.app[PERSONS], usage.cards_of, member.id)
    now_ms = request.app[CLOCK].now_ms()
    return await read(request.app[FLEET], usage.of_member, member.programme, cards, now_ms)


@routes.get(r"/members/{member:\d+}")
async def show_member(request: web.Request) -> web.Response:
    """One member with the cards."""
    return await _member_page(request, empty_form(request))


@routes.post(r"/members/{member:\d+}/cards/{card:\d+}/stop")
async def stop_card(request: web.Request) -> web.Response:
    """Stop one card, with a reason."""
    return await _turn(
        request,
        lambda c, step, card: member_cards.stop_cards(c, step, [card]),
        "web.member.stopped",
        "web.member.already-stopped",
    )


@routes.post(r"/members/{member:\d+}/cards/{card:\d+}/unstop")
async def unstop_card(request: web.Request) -> web.Response:
    """Lift one card's stop, with a reason."""
    return await _turn(
        request, member_cards.unstop_card, "web.member.unstopped", "web.member.not-stopped"
    )


async def _turn(
    request: web.Request,
    turn: Callable[[sa.Connection, Step, int], int],
    done: str,
    refused: str,
) -> web.Response:
    member, card = await member_in_reach(request), number(request, "card")
    form = await read_form(request, {"why": 200})
    form.require("why")
    if form.errors:
        return await _member_page(request, form, 422)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    try:
        await change(request.app[PERSONS], turn, Step(member, form["why"], who, now_ms), card)
    except MemberRefused:
        form.refuse("why", refused)
        return await _member_page(request, form, 409)
    await flash(request, Flash("ok", done))
    raise web.HTTPSeeOther(f"/members/{member}")
