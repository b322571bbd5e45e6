"""制度の決まり: a programme's rule tables in words, with who proposed and approved them."""

import datetime
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from fleet import proposals, rules
from fleet.proposals import Proposal, State
from fleet.rights import OfficeRole
from fleet.rule_words import Line, lines
from fleet.rules import Added
from fleet.tables import Cell
from fleet.web.data import FLEET, read
from fleet.web.exports import download
from fleet.web.pages import CLOCK, render
from fleet.web.reach import programme_of, programmes_of, require
from fleet.web.session import account_of
from fleet.web.words import language_of, today
from programmes.calendar import era_date, local
from programmes.register import RULEBOOKS
from programmes.texts import Language, say
from wire.roster import RuleTable

READERS: Final = (OfficeRole.CLERK, OfficeRole.APPROVER, OfficeRole.AUDITOR)
"""Who may see the rules of a programme."""
SECTION: Final = "/rules"
MARKS: Final = {
    State.DRAFT: "info",
    State.WAITING: "warn",
    State.APPROVED: "ok",
    State.REJECTED: "bad",
    State.WITHDRAWN: "off",
}
"""The shape beside each state of a proposal."""
_COLUMNS: Final = (
    *("version", "begins", "state", "proposed-by", "proposed-at", "why"),
    *("decided-by", "decided-at", "decided-why", "changes"),
)
routes = web.RouteTableDef()


class Row(NamedTuple):
    """A table that stands, with what it changed."""

    added: Added
    standing: str
    """past, now or later."""
    changes: list[Line]
    """What is said otherwise than in the table before; empty for the first one."""


class Book(NamedTuple):
    """All that the pages of one programme show."""

    tables: list[RuleTable]
    added: list[Added]
    proposals: list[Proposal]


def load(connection: sa.Connection, programme: str) -> Book:
    """Return a programme's tables and proposals on one state."""
    added = rules.history(connection, programme)
    standing = [one.table for one in added][::-1]
    return Book(standing, added, proposals.of_programme(connection, programme))


def rows(book: Book, programme: str, day: datetime.date, language: Language) -> list[Row]:
    """Return the tables, the one that begins last first."""
    now = proposals.base_of(book.tables, day)
    before: dict[str, RuleTable | None] = {}
    former: RuleTable | None = None
    for one in book.tables:
        before[one.version], former = former, one
    return [
        Row(
            added,
            _standing(added.table, now, day),
            changes(programme, added.table, before[added.table.version], language),
        )
        for added in book.added
    ]


def _standing(table: RuleTable, now: RuleTable | None, day: datetime.date) -> str:
    if table == now:
        return "now"
    return "later" if table.valid_from > day else "past"


def changes(
    programme: str, table: RuleTable, base: RuleTable | None, language: Language
) -> list[Line]:
    """Return what a table says otherwise than another one."""
    found = lines(RULEBOOKS[programme], table, base, language)
    return [line for line in found if line.is_changed]


async def context(request: web.Request, programme: str) -> dict[str, Any]:
    """Return what every page on rules uses."""
    rights = account_of(request).rights
    return {
        "section": SECTION,
        "programmes": programmes_of(request, *READERS),
        "programme": programme,
        "era": era,
        "marks": MARKS,
        "may_propose": rights.may(programme, OfficeRole.CLERK),
        "may_approve": rights.may(programme, OfficeRole.APPROVER),
        "me": account_of(request).name,
    }


def era(day: datetime.date) -> str:
    """Return a day as 令和8年4月1日; empty for one of before 明治."""
    try:
        return era_date(day)
    except ValueError:
        return ""


@routes.get("/rules")
async def show(request: web.Request) -> web.Response:
    """The table in force today in large, then all others and what waits."""
    programme = programme_of(request, *READERS)
    language, day = language_of(request), today(request.app[CLOCK].now_ms())
    book = await read(request.app[FLEET], load, programme)
    now = proposals.base_of(book.tables, day)
    me = account_of(request).name
    return await render(
        request,
        "rules.html",
        **await context(request, programme),
        now=now,
        lines=lines(RULEBOOKS[programme], now, None, language) if now else [],
        rows=rows(book, programme, day, language),
        waiting=[one for one in book.proposals if one.state is State.WAITING],
        drafts=[
            one for one in book.proposals if one.state is State.DRAFT and one.proposed_by == me
        ],
        decided=[one for one in book.proposals if one.state in (State.REJECTED, State.WITHDRAWN)],
    )


@routes.get(r"/rules/{programme}/table")
async def show_one(request: web.Request) -> web.Response:
    """One table beside the one before it."""
    programme = require(request, request.match_info["programme"], *READERS)
    language, day = language_of(request), today(request.app[CLOCK].now_ms())
    book = await read(request.app[FLEET], load, programme)
    version = request.query.get("version", "")
    row = next(
        (one for one in rows(book, programme, day, language) if one.added.table.version == version),
        None,
    )
    if row is None:
        raise web.HTTPNotFound
    index = [one.version for one in book.tables].index(version)
    before = book.tables[index - 1] if index else None
    return await render(
        request,
        "rule_table.html",
        **await context(request, programme),
        row=row,
        before=before,
        lines=lines(RULEBOOKS[programme], row.added.table, before, language),
    )


@routes.get("/rules/history")
async def export(request: web.Request) -> web.StreamResponse:
    """The history as a file: each table and proposal, who, when, why, and what it changed."""
    programme = programme_of(request, *READERS)
    language = language_of(request)
    book = await read(request.app[FLEET], load, programme)
    heads = [say(f"web.rules.column.{name}", language) for name in _COLUMNS]
    return await download(request, f"rules-{programme}", heads, _cells(book, programme, language))


def _cells(book: Book, programme: str, language: Language) -> list[list[Cell]]:
    told = {one.version: one for one in book.tables}
    by_hand = say("web.rules.by-hand", language)
    through = {one.table.version for one in book.proposals if one.state is State.APPROVED}
    found: list[list[Cell]] = [
        [
            *(one.table.version, one.table.valid_from, say("web.rules.state.approved", language)),
            *(one.by, _instant(one.at_ms), one.why, one.approved_by or by_hand, "", "", ""),
        ]
        for one in book.added
        if one.table.version not in through
    ]
    for one in book.proposals:
        if one.state is State.DRAFT:
            continue
        changed = changes(programme, one.table, told.get(one.base), language)
        decided = _instant(one.decided_at_ms) if one.decided_at_ms else ""
        found.append(
            [
                *(one.table.version, one.table.valid_from),
                *(say(f"web.rules.state.{one.state}", language), one.proposed_by),
                *(_instant(one.proposed_at_ms), one.why, one.decided_by, decided),
                *(one.decided_why, _in_one(changed)),
            ]
        )
    return found


def _instant(at_ms: int) -> str:
    return f"{local(at_ms):%Y-%m-%d %H:%M}"


def _in_one(changed: Sequence[Line]) -> str:
    return " / ".join(f"{line.label}: {line.before} → {line.said}" for line in changed)
