"""教育委員会の集計: a month of all schools, what may be published, and the file of just that.

Rules: page and file hold the same tables with the same words; what is withheld is said to be; a
picture is drawn from the table beside it.
"""

import asyncio
import datetime
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from aiohttp import web

from fleet import work_board, work_now, work_records
from fleet.months import next_month
from fleet.rights import OfficeRole
from fleet.tables import Cell
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.exports import download
from fleet.web.pages import CLOCK, render
from fleet.web.reach import require
from fleet.web.report_words import words_of
from fleet.web.school_month_page import month_of
from fleet.web.school_reach import BOARD, derive
from fleet.web.session import account_of
from fleet.web.words import hours, language_of
from fleet.work_board import MEANS, BoardMonth
from fleet.work_limits_report import CLASSES
from programmes import attendance
from programmes.texts import Language, say

PATH: Final = "/board"
READERS: Final = frozenset({*BOARD, OfficeRole.APPROVER})
SHARE: Final = "share"
"""The column that is drawn."""
PUBLISHED: Final = ("school", "staff", "people", *CLASSES, "mean", SHARE)
MEANS_COLUMNS: Final = ("staff", "people", *(f"mean-{many}" for many in MEANS), "special")
HAND: Final = ("school", "marks", "by-hand", "rate")
GROUPS: Final = (
    *("school", "staff", "engaged", "people", "incomplete", "within-45", "over-45", "over-80"),
    *("from-100", "year-over", "mean", SHARE),
)
KEPT_MS: Final = 5 * 60_000
"""How long a month is shown again as it was worked out: the page, and its files after it."""
KEPT_MAX: Final = 24
"""Months kept: about 100 kB each."""
_ONE_DAY: Final = datetime.timedelta(days=1)
routes = web.RouteTableDef()


class Sheet(NamedTuple):
    """One table as the page and the file have it."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    bars: tuple[float | None, ...] = ()
    """Per cent, of each row, where a picture is drawn."""


class _Writer:
    """How cells are written in one language."""

    def __init__(self, language: Language, names: Mapping[str, str]) -> None:
        self.language: Final = language
        self._names = names

    def say(self, message: str) -> str:
        return say(message, self.language)

    def school(self, code: str) -> str:
        return self._names.get(code, code) or self.say("web.school.none")

    def count(self, value: int | None) -> Cell:
        return self.say("web.report.withheld") if value is None else value

    def mean(self, minutes: int | None) -> str:
        return self.say("web.report.withheld") if minutes is None else hours(minutes)

    def share(self, permille: int | None) -> str:
        return self.say("web.report.withheld") if permille is None else f"{permille / 10:.1f}%"


def sheets_of(found: BoardMonth, writer: _Writer) -> list[Sheet]:
    """Return all tables of the page."""
    published = [
        (
            writer.school(one.organisation),
            writer.say(f"work.staff.{one.staff}"),
            writer.count(one.people),
            *(writer.count(count) for count in one.classes),
            writer.mean(one.mean_min),
            writer.share(one.within_45_permille),
        )
        for one in found.published
    ]
    shares = [one.within_45_permille for one in found.published]
    bars = tuple(None if one is None else one / 10 for one in shares)
    means = [
        (
            writer.say(f"work.staff.{one.staff}"),
            writer.count(one.people),
            *(writer.count(count) for count in one.over),
            writer.count(one.special),
        )
        for one in found.means
    ]
    hand = [
        (writer.school(one.organisation), one.marks, one.by_hand, writer.share(one.permille))
        for one in found.hand
    ]
    sheets = [
        Sheet("published", PUBLISHED, tuple(published), bars),
        Sheet("means", MEANS_COLUMNS, tuple(means)),
        Sheet("hand", HAND, tuple(hand)),
    ]
    return [*sheets, _groups(found, writer)] if found.groups else sheets


def _groups(found: BoardMonth, writer: _Writer) -> Sheet:
    rows = [
        (
            writer.school(school),
            writer.say(f"work.staff.{staff}"),
            writer.say(f"work.engaged.{engaged}"),
            *(one.people, one.incomplete, one.within_45, one.over_45, one.over_80),
            *(one.from_100, one.year_over_360),
            writer.mean(one.mean_min),
            writer.share(one.within_45_permille),
        )
        for (school, staff, engaged), one in found.groups.items()
    ]
    return Sheet("groups", GROUPS, tuple(rows))


class Kept:
    """The months of one process that were worked out just now; each is worked out once at a time.

    What is kept is whole; who may not see small groups is shown the rest.
    """

    def __init__(self) -> None:
        self._months: dict[datetime.date, tuple[int, BoardMonth]] = {}
        self._working = asyncio.Lock()

    async def month(self, request: web.Request, first: datetime.date) -> tuple[int, BoardMonth]:
        """Return a month of all schools, and when it was worked out."""
        async with self._working:
            now_ms = request.app[CLOCK].now_ms()
            kept = self._months.get(first)
            if kept is None or not 0 <= now_ms - kept[0] < KEPT_MS:
                if len(self._months) >= KEPT_MAX:
                    self._months.clear()
                kept = now_ms, await derive(request, work_board.month, first, now_ms)
                self._months[first] = kept
            return kept


KEPT: Final = web.AppKey("board-kept", Kept)


class Shown(NamedTuple):
    """All that stands on the page."""

    month: datetime.date
    is_over: bool
    as_of_ms: int
    sheets: list[Sheet]


async def _shown(request: web.Request) -> Shown:
    require(request, attendance.NAME, *READERS)
    account, now_ms = account_of(request), request.app[CLOCK].now_ms()
    today = await read(request.app[FLEET], work_records.today, now_ms)
    first = month_of(request.query.get("month", ""), today)
    as_of_ms, found = await request.app[KEPT].month(request, first)
    told = (account.name, now_ms, found.people, f"{first:%Y-%m}")
    await change(request.app[PERSONS], work_now.note_listed, *told)
    if not account.rights.may(attendance.NAME, *BOARD):
        found = found._replace(groups={})
    words = await words_of(request)
    writer = _Writer(language_of(request), words.companies)
    return Shown(first, next_month(first) <= today, as_of_ms, sheets_of(found, writer))


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """A month of all schools."""
    shown = await _shown(request)
    return await render(
        request,
        "board.html",
        section=PATH,
        before=(shown.month - _ONE_DAY).replace(day=1),
        after=next_month(shown.month),
        share=SHARE,
        words=await words_of(request),
        **shown._asdict(),
    )


@routes.get(f"{PATH}/export")
async def export(request: web.Request) -> web.StreamResponse:
    """All tables of the page, one below the other, with the same words."""
    shown, language = await _shown(request), language_of(request)
    title = f"{say('web.board.title', language)} {shown.month:%Y-%m}"
    name = f"board-{shown.month:%Y-%m}"
    return await download(request, name, [title], _lines(shown.sheets, language))


def _lines(sheets: Sequence[Sheet], language: Language) -> list[tuple[Cell, ...]]:
    lines: list[tuple[Cell, ...]] = []
    for one in sheets:
        heads = (say(f"web.board.column.{name}", language) for name in one.columns)
        lines += [(), (say(f"web.board.table.{one.name}", language),), tuple(heads), *one.rows]
    return lines
