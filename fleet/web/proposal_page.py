"""A proposed rule table: looked through in words, in examples and in a month that was, and decided.

Rules: the author and the approver see the same page; nothing goes out before a second person with a
second factor has approved it.
"""

import datetime
import functools
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa
from aiohttp import web

from fleet import golden, months, proposals, replay, replay_rides, rules
from fleet.proposals import Proposal, ProposalRefused, State
from fleet.replay import Progress, Replayed
from fleet.rights import OfficeRole
from fleet.rule_words import (
    lines,
)
from fleet.suppression import is_few
from fleet.web import second_factor
from fleet.web.data import FLEET, PERSONS, change, read, reading
from fleet.web.forms import Form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.reach import number, require
from fleet.web.replays import REPLAYS
from fleet.web.rules_page import READERS, context
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import language_of, today
from programmes.register import RULEBOOKS
from wire.roster import RuleTable

MONTHS_SHOWN: Final = 12
"""Months that may be chosen to be replayed, the last whole one first."""
routes = web.RouteTableDef()


async def _proposal(request: web.Request, *roles: OfficeRole) -> Proposal:
    """Return the proposal in the address; a draft is its author's alone."""
    found = await read(request.app[FLEET], proposals.load, number(request, "proposal"))
    if found is None:
        raise web.HTTPNotFound
    require(request, found.programme, *roles)
    if found.state is State.DRAFT and found.proposed_by != account_of(request).name:
        raise web.HTTPNotFound
    return found


def _obstacle(
    standing: list[RuleTable], proposal: Proposal, day: datetime.date
) -> ProposalRefused | None:
    """Return what speaks against an open proposal now."""
    if proposal.state not in (State.DRAFT, State.WAITING):
        return None
    try:
        proposals.check(standing, proposal.table, day)
        proposals.check_base(standing, proposal)
        proposals.check_examples(proposal.programme, proposal.table)
    except ProposalRefused as error:
        return error
    return None


def _months(day: datetime.date) -> list[datetime.date]:
    found, month = [], day.replace(day=1)
    for _ in range(MONTHS_SHOWN):
        month = (month - datetime.timedelta(days=1)).replace(day=1)
        found.append(month)
    return found


def _month(request: web.Request) -> datetime.date:
    """Return the month in the address, or the last whole one."""
    known = _months(today(request.app[CLOCK].now_ms()))
    wish = request.query.get("month", "")
    return next((one for one in known if f"{one:%Y-%m}" == wish), known[0])


def _replayed(request: web.Request, proposal: Proposal) -> dict[str, Any]:
    """Return how far a month's replay is; it is begun when it was not."""
    month = _month(request)
    run = functools.partial(_run, request.app, proposal, month)
    job = request.app[REPLAYS].ask((proposal.id, f"{month:%Y-%m}"), run)
    book = RULEBOOKS[proposal.programme]
    return {
        "job": job,
        "month": month,
        "months": _months(today(request.app[CLOCK].now_ms())),
        "is_few": is_few,
        "has_fare": book.fare is not None or book.rides is not None,
        "has_city": book.city_pays is not None or book.rides is not None,
        "entries_max": replay.ENTRIES_MAX,
        "proposal": proposal,
    }


def _run(
    app: web.Application, proposal: Proposal, month: datetime.date, progress: Progress
) -> Replayed:
    members = reading(app[PERSONS], replay.members_of)(proposal.programme)

    def run(connection: sa.Connection) -> Replayed:
        standing = rules.load(connection, proposal.programme)
        book = RULEBOOKS[proposal.programme]
        again = replay_rides.replay if book.rides else replay.replay
        return again(connection, book, month, proposal.table, standing, members, progress)

    return reading(app[FLEET], run)()


async def _page(
    request: web.Request, proposal: Proposal, form: Form, status: int = 200
) -> web.Response:
    standing = await read(request.app[FLEET], rules.load, proposal.programme)
    book, language = RULEBOOKS[proposal.programme], form.language
    base = next((one for one in standing if one.version == proposal.base), None)
    told = golden.told(book, proposal.table, base, language)
    return await render(
        request,
        "rule_proposal.html",
        status,
        **await context(request, proposal.programme),
        **_replayed(request, proposal),
        base=base,
        lines=lines(book, proposal.table, base, language),
        told=told,
        obstacle=_obstacle(standing, proposal, today(request.app[CLOCK].now_ms())),
        next_month=months.next_month,
        form=form,
    )


@routes.get(r"/rules/proposals/{proposal:\d+}")
async def show(request: web.Request) -> web.Response:
    """What a table would change, in words, in examples and in a month that was."""
    proposal = await _proposal(request, *READERS)
    return await _page(request, proposal, Form(language_of(request), {}))


@routes.get(r"/rules/proposals/{proposal:\d+}/replay")
async def show_replay(request: web.Request) -> web.Response:
    """The part of the page that a running replay renews."""
    proposal = await _proposal(request, *READERS)
    return await render(request, "rule_replay.html", **_replayed(request, proposal))


# --- deciding ------------------------------------------------------------------------------------


@routes.post(r"/rules/proposals/{proposal:\d+}/propose")
async def propose(request: web.Request) -> web.Response:
    """Hand it to the approvers."""
    proposal = await _proposal(request)
    return await _do(request, proposal, Form(language_of(request), {}), proposals.propose)


@routes.post(r"/rules/proposals/{proposal:\d+}/withdraw")
async def withdraw(request: web.Request) -> web.Response:
    """Take it back."""
    proposal = await _proposal(request)
    return await _do(request, proposal, Form(language_of(request), {}), proposals.withdraw)


@routes.post(r"/rules/proposals/{proposal:\d+}/approve")
async def approve(request: web.Request) -> web.Response:
    """Let it come into force on its day."""
    proposal = await _proposal(request, OfficeRole.APPROVER)
    await second_factor.require(request)
    form = await read_form(request, {"why": proposals.WHY_MAX})
    if form.errors:
        return await _page(request, proposal, form, 422)
    return await _do(request, proposal, form, proposals.approve, form["why"])


@routes.post(r"/rules/proposals/{proposal:\d+}/reject")
async def reject(request: web.Request) -> web.Response:
    """Send it back with a reason."""
    proposal = await _proposal(request, OfficeRole.APPROVER)
    await second_factor.require(request)
    form = await read_form(request, {"why": proposals.WHY_MAX})
    form.require("why")
    if form.errors:
        return await _page(request, proposal, form, 422)
    return await _do(request, proposal, form, proposals.reject, form["why"])


async def _do(
    request: web.Request,
    proposal: Proposal,
    form: Form,
    step: Callable[..., None],
    *said: str,
) -> web.Response:
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    try:
        await change(request.app[FLEET], step, proposal.id, *said, who, now_ms)
    except ProposalRefused as error:
        form.refuse("step", f"web.rules.refused.{error.reason}", **error.arguments)
        return await _page(request, await _proposal(request, *READERS), form, 409)
    await flash(request, Flash("ok", f"web.rules.done.{step.__name__}"))
    raise web.HTTPSeeOther(
        f"/rules?programme={proposal.programme}"
        if step is proposals.withdraw
        else f"/rules/proposals/{proposal.id}"
    )
