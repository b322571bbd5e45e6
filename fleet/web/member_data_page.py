"""A person's rights over what is held: disclosure as page, paper and file, and erasure.

Rules: what is exported is what the page shows; each way of showing it is a line of its own in the
audit; who is erased is named twice, by the page and by the clerk who types the number.
"""

import asyncio
from typing import Any, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from fleet import audit, disclosure, erasure, member_events, remaining, usage
from fleet.disclosure import USES_MAX, Disclosure
from fleet.member_events import LifeRefused
from fleet.member_life import Ended
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.disclosure_sheet import Section, sections
from fleet.web.exports import download
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.members_page import about, member_page
from fleet.web.pages import CLOCK, render
from fleet.web.reach import member_in_reach
from fleet.web.session import Flash, account_of, flash
from fleet.web.sheets import sheet
from fleet.web.words import language_of
from programmes.calendar import local_day
from programmes.texts import say

routes = web.RouteTableDef()


class Made(NamedTuple):
    """A disclosure, ready to be shown in any way."""

    of: Disclosure
    sections: list[Section]
    more: bool
    """There are more uses than are told at once."""


async def _made(request: web.Request, what: str = "") -> Made:
    """Return all that is held of a member in reach. `what`: a word for one more line in the audit.

    Raises HTTPNotFound for one who was erased.
    """
    member_id = await member_in_reach(request)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()

    def look(connection: sa.Connection) -> tuple[Disclosure, list[str]]:
        found = disclosure.disclose(connection, member_id, who, now_ms)
        if what:
            subject = f"{found.programme} {found.registration_number}"
            audit.note_person(connection, now_ms, who, what, subject)
        return found, usage.cards_of(connection, member_id)

    try:
        found, cards = await change(request.app[PERSONS], look)
    except LifeRefused as refused:
        raise web.HTTPNotFound from refused
    fleet, programme = request.app[FLEET], found.programme
    left = await read(fleet, remaining.of_member, programme, cards, now_ms)
    uses = await read(fleet, disclosure.uses, programme, cards)
    made = sections(found, left, uses[:USES_MAX], language_of(request))
    return Made(found, made, len(uses) > USES_MAX)


@routes.get(r"/members/{member:\d+}/disclosure")
async def show(request: web.Request) -> web.Response:
    """All that is held of one person, to be read and printed; of an erased one, that it was."""
    member_id = await member_in_reach(request)
    try:
        await read(request.app[PERSONS], member_events.row_of, member_id)
    except LifeRefused:
        return await member_page(request, empty_form(request))
    made = await _made(request)
    return await render(
        request, "member_disclosure.html", section="/members", made=made, of=made.of
    )


@routes.get(r"/members/{member:\d+}/disclosure.pdf")
async def as_paper(request: web.Request) -> web.Response:
    """The same on paper."""
    made = await _made(request, "person.printed")
    today = local_day(request.app[CLOCK].now_ms())
    name = f"disclosure-{made.of.member_id}.pdf"
    return await sheet(
        request, "member_disclosure_paper.html", name, made=made, of=made.of, today=today
    )


@routes.get(r"/members/{member:\d+}/disclosure/file")
async def as_file(request: web.Request) -> web.StreamResponse:
    """The same for a spreadsheet: one line a row, its section first."""
    made = await _made(request, "person.exported")
    widest = max(len(one.heads) for one in made.sections)
    head = (say("web.disclosure.section", language_of(request)), *[""] * widest)
    rows: list[tuple[str, ...]] = []
    for one in made.sections:
        rows.append(_wide((one.title, *one.heads), widest + 1))
        rows += [_wide((one.title, *row), widest + 1) for row in one.rows]
    return await download(request, f"disclosure-{made.of.member_id}", head, rows)


def _wide(row: tuple[str, ...], width: int) -> tuple[str, ...]:
    return row + ("",) * (width - len(row))


@routes.get(r"/members/{member:\d+}/withdrawn.pdf")
async def withdrawn(request: web.Request) -> web.Response:
    """A slip that says that the consent was taken back, and what that means."""
    found = await about(request, await member_in_reach(request))
    if found.member.ended_kind != Ended.WITHDRAWN:
        raise web.HTTPNotFound
    ground = next((one for one in found.consents if one.ordinance), None)
    return await sheet(
        request,
        "member_withdrawn_paper.html",
        f"withdrawn-{found.member.id}.pdf",
        member=found.member,
        ground=ground,
        on=local_day(found.member.stopped_ms or request.app[CLOCK].now_ms()),
    )


# --- erasure -------------------------------------------------------------------------------------


async def _erase_page(request: web.Request, form: Form, status: int = 200) -> web.Response:
    found = await about(request, await member_in_reach(request))
    if found.member.erased_at_ms is not None:
        return await member_page(request, form, status)
    context: dict[str, Any] = {"member": found.member, "form": form}
    return await render(request, "member_erase.html", status, section="/members", **context)


@routes.get(r"/members/{member:\d+}/erase")
async def show_erase(request: web.Request) -> web.Response:
    """What is erased and what stays, and the second confirmation."""
    return await _erase_page(request, empty_form(request))


@routes.post(r"/members/{member:\d+}/erase")
async def erase(request: web.Request) -> web.Response:
    """Erase the member whose number was typed."""
    member_id, store = await member_in_reach(request), request.app[PERSONS]
    form = await read_form(request, {"registration_number": 32})
    form.require("registration_number")
    if form.errors:
        return await _erase_page(request, form, 422)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    number = form["registration_number"]
    await asyncio.to_thread(store.owe)
    try:
        await change(store, erasure.erase, member_id, number, who, now_ms)
    except LifeRefused as refused:
        form.refuse("registration_number", f"web.member.refused.{refused.reason}")
        return await _erase_page(request, form, 409)
    settled = await asyncio.to_thread(store.settle)
    said = "web.member.done.erase" if settled else "web.member.done.erase-busy"
    await flash(request, Flash("ok" if settled else "warn", said))
    raise web.HTTPSeeOther(f"/members/{member_id}")
