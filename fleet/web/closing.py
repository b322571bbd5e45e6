"""What an operator closes with a reason: a gap is written off, an alarm is done.

Both are looked at first, ask for the reason and a confirmation, and leave a line in the audit.
"""

from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa
from aiohttp import web

from fleet import alarms, gaps
from fleet.attention import Task, task_of_alarm, task_of_gap
from fleet.overview import find_alarm, find_gap
from fleet.web.data import FLEET, change, read
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import language_of, moment
from programmes.texts import say

_FIELDS: Final = {"why": 400, "sure": 3}
_ID_MAX: Final = 18
"""Digits of a row's number: what a 64-bit integer surely holds."""
routes = web.RouteTableDef()
Close = Callable[[sa.Connection, int, str, str, int], None]


async def _gap(request: web.Request) -> tuple[Task, dict[str, Any]]:
    gap = await read(request.app[FLEET], find_gap, _id(request))
    if gap is None:
        raise web.HTTPNotFound
    task = task_of_gap(gap)
    numbers = str(gap.first) if gap.first == gap.last else f"{gap.first}–{gap.last}"
    facts = [
        ("web.decide.reader", gap.reader.partition("/")[2]),
        ("web.journal.id", gap.journal[:8]),
        ("web.gap.numbers", numbers),
        ("web.gap.missing", str(gap.missing)),
        ("web.gap.cause", say(f"web.gap.cause.{gap.cause}", language_of(request))),
    ]
    return task, {"what": "gap", "open": gap.closed_ms is None, "facts": facts}


async def _alarm(request: web.Request) -> tuple[Task, dict[str, Any]]:
    found = await read(request.app[FLEET], find_alarm, _id(request))
    if found is None:
        raise web.HTTPNotFound
    alarm, cleared = found
    facts = [
        ("web.alarm.kind", say(f"web.alarm-kind.{alarm.kind}", language_of(request))),
        ("web.decide.reader", alarm.reader.partition("/")[2]),
        ("web.alarm.subject", alarm.subject),
        ("web.alarm.detail", alarm.detail),
        ("web.alarm.count", str(alarm.count)),
    ]
    return task_of_alarm(alarm), {"what": "alarm", "open": not cleared, "facts": facts}


def _id(request: web.Request) -> int:
    text = request.match_info["id"]
    if len(text) > _ID_MAX:
        raise web.HTTPNotFound
    return int(text)


async def _page(
    request: web.Request, task: Task, shown: dict[str, Any], form: Form, status: int = 200
) -> web.Response:
    language = language_of(request)
    facts = [(say(label, language), value) for label, value in shown.pop("facts") if value]
    if task.since_ms:
        when = moment(task.since_ms, language, request.app[CLOCK].now_ms())
        facts.append((say("web.since", language), when))
    short = task.reader.partition("/")[2]
    return await render(
        request,
        "decide.html",
        status,
        section="/readers",
        task=task,
        facts=facts,
        short=short,
        back=f"/readers/{short}" if short else "/",
        form=form,
        **shown,
    )


@routes.get(r"/gaps/{id:\d+}")
async def show_gap(request: web.Request) -> web.Response:
    """What is missing, and the form to write it off."""
    return await _page(request, *await _gap(request), empty_form(request))


@routes.get(r"/alarms/{id:\d+}")
async def show_alarm(request: web.Request) -> web.Response:
    """What happened, and the form to say that it is done."""
    return await _page(request, *await _alarm(request), empty_form(request))


@routes.post(r"/gaps/{id:\d+}")
async def close_gap(request: web.Request) -> web.Response:
    """Write a gap off."""
    return await _close(request, *await _gap(request), gaps.write_off)


@routes.post(r"/alarms/{id:\d+}")
async def close_alarm(request: web.Request) -> web.Response:
    """Say that an alarm is done."""
    return await _close(request, *await _alarm(request), alarms.clear)


async def _close(
    request: web.Request, task: Task, shown: dict[str, Any], close: Close
) -> web.Response:
    form = await read_form(request, _FIELDS)
    form.require("why", "sure")
    if form.errors:
        return await _page(request, task, shown, form, 422)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    try:
        await change(request.app[FLEET], close, _id(request), who, form["why"], now_ms)
    except (gaps.GapRefused, alarms.AlarmRefused):
        form.refuse("why", f"web.{shown['what']}.closed")
        return await _page(request, task, shown, form, 409)
    await flash(request, Flash("ok", f"web.{shown['what']}.done"))
    short = task.reader.partition("/")[2]
    raise web.HTTPSeeOther(f"/readers/{short}" if short else "/")
