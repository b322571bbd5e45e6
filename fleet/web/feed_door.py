"""What a calendar reads by a secret address: before all that pages have, without a session.

Rules: the address is the whole right, so it is in no log and no audit, and nothing answers with it;
an unknown one and an ended one are asked for and answered the same; whose right has gone finds his
address ended; no cookie is read or set, no answer is kept on the way. Reading is no look at a
person: one's own days are one's own, and a school's calendar has counts without names. So that a
stranger with the address is noticed, its owner is shown when it was read last.
"""

import asyncio
import contextlib
import re
import secrets
from typing import Final

import sqlalchemy as sa
import structlog
from aiohttp import web

from fleet import ical, work_accounts, work_calendar, work_feeds
from fleet.registry import load_organisations
from fleet.web.data import FLEET, PERSONS, change
from fleet.web.pace import Pace
from fleet.web.pages import CLOCK
from fleet.web.session import Handler
from fleet.web.signin import address_of
from fleet.work_feeds import READ_STEP_MS, Feed
from programmes.texts import say

PREFIX: Final = "/calendar/"
ROUTE: Final = PREFIX + "{token}.ics"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z")
REFRESH_H: Final = 1
"""Calendars that heed it ask so often; nothing here is newer than that to anybody."""
KEPT_MS: Final = 5 * 60_000
"""How long an address's answer is given again: a person's several devices ask at once."""
KEPT_MAX: Final = 500
"""Answers of some 10 kB."""
REQUESTS_PER_S: Final = 1.0
REQUESTS_BURST: Final = 120
"""Of one network address: a town hall's 500 calendars behind one, each every few minutes."""
ADDRESSES_MAX: Final = 10_000


class _Kept:
    """The answers of one process that were made just now; one is made at a time."""

    def __init__(self) -> None:
        self._answers: dict[bytes, tuple[int, bytes]] = {}
        self.making: Final = asyncio.Lock()

    def find(self, feed: Feed, now_ms: int) -> bytes | None:
        """Return what an address answered lately."""
        kept = self._answers.get(feed.token_sha256)
        return kept[1] if kept and 0 <= now_ms - kept[0] < KEPT_MS else None

    def keep(self, feed: Feed, now_ms: int, body: bytes) -> None:
        """Keep an answer; all are forgotten when there are too many."""
        if len(self._answers) >= KEPT_MAX:
            self._answers.clear()
        self._answers[feed.token_sha256] = now_ms, body


_KEPT: Final = web.AppKey("feeds-kept", _Kept)
_PACE: Final = web.AppKey("feeds-pace", Pace)


def open_door(app: web.Application) -> None:
    """Serve calendars in the office's application, before all that pages have."""
    app[_KEPT] = _Kept()
    app[_PACE] = Pace(app[CLOCK], REQUESTS_PER_S, REQUESTS_BURST, ADDRESSES_MAX)
    app.middlewares.insert(0, door)
    app.router.add_get(ROUTE, show)


@web.middleware
async def door(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what is under PREFIX in plain text or a calendar; pass all else on to the pages."""
    if not request.path.startswith(PREFIX):
        return await handler(request)
    if wait_s := request.app[_PACE].wait_s(address_of(request)):
        return _told(429, **{"Retry-After": str(int(wait_s) + 1)})
    try:
        return await request.match_info.handler(request)
    except web.HTTPException as error:
        allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return _told(error.status, **allowed)
    except Exception:  # noqa: BLE001  the log has it all, but for the address
        reference = secrets.token_hex(4)
        structlog.get_logger().exception("feed.failed", reference=reference)
        return _told(503, **{"Retry-After": "600"})


def _told(status: int, **headers: str) -> web.Response:
    """Return an answer that is the same for every address."""
    name = str(status) if status in (404, 429) else "other"
    lines = (say(f"web.feed.status.{name}", language) for language in ("ja", "en"))
    return web.Response(status=status, text="\n".join((*lines, "")), headers=_headers(headers))


def _headers(more: dict[str, str]) -> dict[str, str]:
    return {"Cache-Control": "private, no-store", "X-Robots-Tag": "noindex", **more}


async def show(request: web.Request) -> web.Response:
    """One calendar. Raises HTTPNotFound for an address that is not known, or ended."""
    token, now_ms = request.match_info["token"], request.app[CLOCK].now_ms()
    if not _TOKEN.match(token):
        raise web.HTTPNotFound
    feed, lost = await asyncio.to_thread(_find, request.app, token)
    if lost is not None:
        await change(request.app[PERSONS], work_feeds.end_one, lost, lost.account, now_ms)
    if feed is None:
        raise web.HTTPNotFound
    if feed.read_at_ms is None or not 0 <= now_ms - feed.read_at_ms < READ_STEP_MS:
        with contextlib.suppress(sa.exc.OperationalError):  # a full disk: it can still be read
            await change(request.app[PERSONS], work_feeds.note_read, feed, now_ms)
    body = await _body(request.app, feed, now_ms)
    return web.Response(
        body=body, content_type=ical.CONTENT_TYPE, charset="utf-8", headers=_headers({})
    )


def _find(app: web.Application, token: str) -> tuple[Feed | None, Feed | None]:
    """Return whose address it is while its owner may; else, beside None, one that is to end."""
    with app[FLEET].read() as fleet, app[PERSONS].read() as people:
        feed = work_feeds.by_token(people, token)
        if feed is None:
            return None, None
        owner = work_feeds.owner_of(fleet, feed)
        if owner is not None:
            bound = work_accounts.member_of_account(people, owner.name)
            owner = owner._replace(member_id=bound)
        return (feed, None) if work_feeds.is_allowed(feed, owner) else (None, feed)


async def _body(app: web.Application, feed: Feed, now_ms: int) -> bytes:
    async with app[_KEPT].making:
        body = app[_KEPT].find(feed, now_ms)
        if body is None:
            body = await asyncio.to_thread(_make, app, feed, now_ms)
            app[_KEPT].keep(feed, now_ms, body)
        return body


def _make(app: web.Application, feed: Feed, now_ms: int) -> bytes:
    with app[FLEET].read() as fleet, app[PERSONS].read() as people:
        found = work_calendar.events(fleet, people, feed, now_ms)
        name = _name(fleet, feed)
    if found is None:
        raise web.HTTPNotFound
    return ical.write(name, REFRESH_H, found)


def _name(fleet: sa.Connection, feed: Feed) -> str:
    """Return what the calendar is called: without a person's name."""
    if not feed.organisation:
        return say("web.feed.own", feed.language)
    labels = {one.name: one for one in load_organisations(fleet)}
    school = feed.organisation
    if one := labels.get(school):
        school = (one.label_en if feed.language == "en" else "") or one.label_ja
    return say("web.feed.school", feed.language, school=school)
