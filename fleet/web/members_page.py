"""Members of a programme: found by what a clerk has, and one member's page with all about it.

«あと何回» is answered here without a second page: on the list as soon as one person is left, and
on top of the member's page. What can be done to a member is `member_steps_page`.
"""

import hashlib
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from fleet import (
    audit,
    consent,
    desk,
    erasure,
    member_events,
    member_life,
    member_search,
    registry,
    remaining,
    schemes,
    usage,
    work_accounts,
)
from fleet.consent import Consent
from fleet.member_events import Event
from fleet.member_life import Ended, Housemate
from fleet.member_search import Found
from fleet.remaining import Left
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.forms import Form, check_fields, empty_form
from fleet.web.pages import CLOCK, render
from fleet.web.reach import member_in_reach, programme_of, programmes_of
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import language_of
from programmes.calendar import local_day
from programmes.texts import say
from wire.individual_number import looks_like_individual_number

ENDS: Final = (Ended.MOVED_AWAY, Ended.DECEASED, Ended.WRONG, Ended.OTHER)
"""Ends that a clerk may choose; the others come by steps of their own."""
STAMP_CHARACTERS: Final = 32
"""128 bits."""
SEARCH_MAX: Final = 60
"""Characters: as long as a name may be."""
routes = web.RouteTableDef()


@routes.get("/members")
async def show(request: web.Request) -> web.Response:
    """The list; nobody is shown before something is searched for."""
    programme = programme_of(request)
    form = await search_of(request, programme)
    epochs = await read(request.app[FLEET], registry.key_epochs)
    epoch = epochs.get(programme, 1)
    unmoved = epoch > 1 and "unmoved" in request.query
    ended = "ended" in request.query
    now_ms = request.app[CLOCK].now_ms()
    warned = await read(request.app[PERSONS], schemes.warnings, local_day(now_ms), programme)
    total, found = 0, list[Found]()
    asked = "search" in request.query and not form.errors
    if asked:
        total, found = await change(
            request.app[PERSONS],
            member_search.find_members,
            programme,
            form["search"],
            account_of(request).name,
            now_ms,
            epoch if unmoved else 0,
            ended=ended,
        )
    erased_ms = None
    if asked and not found:
        number = form["search"]
        erased_ms = await read(request.app[PERSONS], erasure.erased_at, programme, number)
    return await render(
        request,
        "members.html",
        422 if form.errors else 200,
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
        left=await what_is_left(request, programme, found[0].id) if len(found) == 1 else [],
        erased_ms=erased_ms,
    )


async def search_of(request: web.Request, programme: str) -> Form:
    """Return what is searched for. An individual number leaves the address: HTTPSeeOther."""
    asked = request.query.get("search", "")
    if looks_like_individual_number(asked):
        await flash(request, Flash("bad", "refused.individual-number"))
        raise web.HTTPSeeOther(f"/members?programme={programme}")
    label = {"search": say("web.field.member-search", language_of(request))}
    return check_fields(language_of(request), {"search": asked}, {"search": SEARCH_MAX}, label)


async def what_is_left(request: web.Request, programme: str, member_id: int) -> list[Left]:
    """Return what a member has used and may still use, in the periods of this moment."""
    cards = await read(request.app[PERSONS], usage.cards_of, member_id)
    now_ms = request.app[CLOCK].now_ms()
    return await read(request.app[FLEET], remaining.of_member, programme, cards, now_ms)


# --- one member ----------------------------------------------------------------------------------


class About(NamedTuple):
    """All that the page shows of a member, read in the transaction that writes the look down."""

    member: desk.Member
    household: list[Housemate]
    consents: list[Consent]
    events: list[Event]
    requests: list[Event]
    """Corrections that were asked for and are not answered."""


def see(connection: sa.Connection, member_id: int, who: str, at_ms: int) -> About | None:
    """Return a member with household, consents and history; who is shown is in the audit."""
    member = desk.see_member(connection, member_id, who, at_ms)
    if member is None:
        return None
    every = member_life.household_of(connection, member.programme, member.household)
    household = [one for one in every if one.id != member_id]
    if household:
        numbers = " ".join(one.registration_number for one in household)
        audit.note_person(connection, at_ms, who, "members.listed", member.programme, numbers)
    return About(
        member,
        household,
        consent.of_member(connection, member_id),
        member_events.history(connection, member_id, at_ms),
        member_life.open_requests(connection, member_id),
    )


async def about(request: web.Request, member_id: int) -> About:
    """Return all about a member in reach. Raises HTTPNotFound."""
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    found = await change(request.app[PERSONS], see, member_id, who, now_ms)
    if found is None:
        raise web.HTTPNotFound
    return found


async def member_page(
    request: web.Request, form: Form, status: int = 200, tried: str = ""
) -> web.Response:
    """Show a member. `tried`: which form was sent and is shown again, as `end` or `stop-12`."""
    found = await about(request, await member_in_reach(request))
    member, today = found.member, local_day(request.app[CLOCK].now_ms())
    return await render(
        request,
        "member.html" if member.erased_at_ms is None else "member_erased.html",
        status,
        section="/members",
        **found._asdict(),
        left=await what_is_left(request, member.programme, member.id),
        form=form,
        tried=tried,
        today=today.isoformat(),
        ends=[kind.value for kind in ENDS],
        has_consent=bool(found.consents) and found.consents[0].kind == "given",
        stamp=stamp_of(member),
        values=_values(member, form if tried == "correct" else None),
        own_account=await read(request.app[PERSONS], work_accounts.account_of, member.id),
    )


def _values(member: desk.Member, sent: Form | None) -> dict[str, Any]:
    """Return what stands in the fields of a correction: what was typed, else what is written."""
    if sent is not None:
        return dict(sent.values)
    names = (*member_life.OF_PERSON, *member_life.OF_MEMBER)
    return {name: str(getattr(member, name) or "") for name in names}


def stamp_of(member: Any) -> str:
    """Return a word that is another one as soon as anything that a correction sets is."""
    names = (*member_life.OF_PERSON, *member_life.OF_MEMBER)
    plain = repr([str(getattr(member, name) or "") for name in names])
    return hashlib.sha256(plain.encode()).hexdigest()[:STAMP_CHARACTERS]


@routes.get(r"/members/{member:\d+}")
async def show_member(request: web.Request) -> web.Response:
    """One member."""
    return await member_page(request, empty_form(request))
