"""What the ledger's entries come to, by programme, month of use, place, hour, category and code.

Rules: entries are read once, in the order of commit, and kept as sums in memory, so that a page
costs what has come since the last one; an entry counts in the month in which it was used, by the
reader's clock, or in that of its receipt when that clock had lost the time; a member counts once
over all cards that he has when the first of them is met (a card of nobody is somebody of its own);
what is not settled yet (SETTLED_MS) is left for the next time. A new process counts anew.
"""

import contextlib
import datetime
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import bulk, ledger_months, rules
from fleet.schema import entry, journal, reader
from fleet.store import Store
from programmes.calendar import start_of_day_ms
from programmes.register import RULEBOOKS
from programmes.rulebook import RuleTableRefused
from wire.clock import ClockState
from wire.codes import Outcome

SETTLED_MS: Final = 60_000
"""Since receipt: a transaction of ingest takes seconds, and positions are given out before it ends,
so what is older than a minute has nothing uncommitted before it."""
KEPT_S: Final = 20.0
"""So long the ledger is not asked again for what is new."""
BUDGET_S: Final = 2.0
"""Of counting for one page; 2,000,000 entries take several, and the page says how far it is."""
ROWS_AT_ONCE: Final = 20_000
AHEAD_MS: Final = 86_400_000
"""A reader's clock that runs ahead: what is used in a year may be received a day before it."""
YEARS_MAX: Final = 6
"""Fiscal years in memory, about 30 MB each with 10,000 riders: three pairs to compare."""
_HOUR_MS: Final = 3_600_000
_ZONE_MS: Final = 9 * _HOUR_MS
"""Japan is nine hours before UTC, without summer time: the hour of the day is arithmetic."""

WHEN: Final = sa.case(
    (entry.c.clock == ClockState.UNKNOWN.value, entry.c.received_at_ms), else_=entry.c.at_ms
)
"""The instant in which an entry counts."""
HOUR: Final = (WHEN + _ZONE_MS) // _HOUR_MS % 24
"""Its hour of the day."""


class Key(NamedTuple):
    """What is counted apart: `by` is all, place, hour, category, code or press."""

    by: str
    value: str = ""


ALL: Final = Key("all")


@dataclass(slots=True)
class Sums:
    """What entries come to; yen are whole."""

    taps: int = 0
    """Accepted presentations of a card."""
    presses: int = 0
    """People who were let on without one."""
    refused: int = 0
    """Of the keys by code alone."""
    rider_yen: int = 0
    city_yen: int = 0
    unpriced: int = 0
    """Uses whose rule table is not here (any more): what the city pays for them is not known."""
    people: set[int] = field(default_factory=set)
    """Whose card was accepted; by code: refused."""

    @property
    def uses(self) -> int:
        """All that was used, with a card and without."""
        return self.taps + self.presses


NOTHING: Final = Sums()


@dataclass(slots=True)
class Month:
    """One month of use of one programme, and where in the ledger its entries lie."""

    sums: dict[Key, Sums] = field(default_factory=dict)
    first_position: int = 0
    last_position: int = 0
    first_received_ms: int = 0
    last_received_ms: int = 0

    def of(self, key: Key) -> Sums:
        """Return the sums of a key, zero when nothing was counted."""
        return self.sums.get(key, NOTHING)

    def reach(self, positions: range, first_ms: int, last_ms: int) -> None:
        """Include a stretch of the ledger, and the times at which it was received."""
        if not self.sums:
            self.first_position, self.first_received_ms = positions.start, first_ms
        self.last_position = positions.stop - 1
        self.first_received_ms = min(self.first_received_ms, first_ms)
        self.last_received_ms = max(self.last_received_ms, last_ms)


class Alike(NamedTuple):
    """All that is counted of an entry but whose card it was: many have the same."""

    month: int
    """Of the fiscal year, 0 to 11."""
    hour: int
    """Of the day."""
    programme: str
    place: str
    kind: str
    outcome: str | None
    code: str | None
    category: str | None
    rider_pays_yen: int | None
    rule: str | None

    def counts_as(self) -> tuple[Key, ...]:
        """Return under what it counts."""
        if self.outcome == Outcome.REFUSED.value:
            return (Key("code", self.code or ""),)
        pressed = self.kind == "press"
        apart = Key("press", self.code or "") if pressed else Key("category", self.category or "")
        return ALL, Key("place", self.place), Key("hour", f"{self.hour:02}"), apart


class Counting(Exception):
    """Not all is counted yet: ask again; `percent` says how far it is."""

    def __init__(self, percent: int) -> None:
        super().__init__(f"{percent} %")
        self.percent: Final = percent


@dataclass(slots=True)
class Year:
    """One fiscal year, of all programmes: its months by programme and `2026-06`."""

    year: int
    months: dict[tuple[str, str], Month] = field(default_factory=dict)
    position: int = 0
    """All before it is counted; 0: not begun."""
    begun: int = 0
    as_of_ms: int = 0
    """Received until then."""
    looked_s: float = 0.0
    starts_ms: list[int] = field(init=False)
    """Instants at which its twelve months begin, and that at which the next year does."""
    names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        days = [datetime.date(self.year + (n > 12), 1 + (n - 1) % 12, 1) for n in range(4, 17)]
        self.starts_ms = [start_of_day_ms(day) for day in days]
        self.names = [f"{day:%Y-%m}" for day in days]

    def month(self, programme: str, month: str) -> Month:
        """Return one month, an empty one when nothing was counted."""
        return self.months.get((programme, month)) or Month()


class Counts:
    """The counted years of one process. Safe for several threads: `held` while they are read."""

    def __init__(
        self,
        fleet: Store,
        people: Store,
        *,
        rows_at_once: int = ROWS_AT_ONCE,
        budget_s: float = BUDGET_S,
        kept_s: float = KEPT_S,
    ) -> None:
        self._fleet, self._people = fleet, people
        self._rows_at_once, self._budget_s, self._kept_s = rows_at_once, budget_s, kept_s
        self._years: dict[int, Year] = {}
        self._members: dict[str, int] = {}
        self._city: dict[tuple[str, str], int] = {}
        self.held: Final = threading.RLock()

    def pair(self, year: int, now_ms: int) -> tuple[Year, Year]:
        """Return a fiscal year and the one before it, counted; call it with `held`.

        Raises Counting, of both together.
        """
        try:
            before = self.year(year - 1, now_ms)
        except Counting as error:
            raise Counting(error.percent // 2) from error
        try:
            return self.year(year, now_ms), before
        except Counting as error:
            raise Counting(50 + error.percent // 2) from error

    def year(self, year: int, now_ms: int) -> Year:
        """Return a fiscal year, counted until SETTLED_MS before now; call it with `held`.

        Raises Counting when that takes more than `budget_s`.
        """
        found = self._years.pop(year, None) or Year(year)
        self._years[year] = found
        while len(self._years) > YEARS_MAX:
            self._years.pop(next(iter(self._years)))
        if time.monotonic() - found.looked_s > self._kept_s or not found.position:
            self._go_on(found, now_ms)
        return found

    def _go_on(self, year: Year, now_ms: int) -> None:
        until = time.monotonic() + self._budget_s
        settled_ms = now_ms - SETTLED_MS
        with self._fleet.read() as connection:
            end = ledger_months.position_at(connection, settled_ms)
            if not year.position:
                begin = ledger_months.position_at(connection, year.starts_ms[0] - AHEAD_MS)
                year.begun = year.position = begin
            self._city = city_pays(connection)
            while year.position < end:
                after = min(year.position + self._rows_at_once, end)
                self._take(year, after, _rows(connection, year, after))
                year.position = after
                if time.monotonic() > until and after < end:
                    raise Counting((after - year.begun) * 100 // (end - year.begun))
        year.as_of_ms, year.looked_s = settled_ms, time.monotonic()

    def _take(self, year: Year, after: int, rows: Sequence[Any]) -> None:
        """Add rows of (credential, time of receipt, what they are alike in)."""
        received = [row[1] for row in rows]
        stretch = range(year.position, after), min(received, default=0), max(received, default=0)
        alike = [row[2:] for row in rows]
        of: dict[tuple[Any, ...], list[Sums]] = {}
        for some, number in Counter(alike).items():
            of[some] = self._sums(year, Alike(*some), stretch)
            for sums in of[some]:
                self._add(sums, Alike(*some), number)
        self._know({row[0] for row in rows if row[0]} - self._members.keys())
        for row, some in zip(rows, alike, strict=True):
            if row[0]:
                member = self._members[row[0]]
                for sums in of[some]:
                    sums.people.add(member)

    def _sums(self, year: Year, one: Alike, stretch: tuple[range, int, int]) -> list[Sums]:
        month = year.months.setdefault((one.programme, year.names[one.month]), Month())
        month.reach(*stretch)
        return [month.sums.setdefault(key, Sums()) for key in one.counts_as()]

    def _know(self, new: Collection[str]) -> None:
        """Learn whose cards these are; one of nobody gets a number of its own below zero."""
        if not new:
            return
        with self._people.read() as people:
            owners = dict(bulk.select_in(people, _OWNERS, sorted(new)))
        for credential in new:
            nobody = -len(self._members) - 1
            self._members[credential] = owners.get(credential, nobody)

    def _add(self, sums: Sums, one: Alike, number: int) -> None:
        if one.outcome == Outcome.REFUSED.value:
            sums.refused += number
            return
        if one.kind == "press":
            sums.presses += number
        else:
            sums.taps += number
        sums.rider_yen += (one.rider_pays_yen or 0) * number
        city = self._city.get((one.programme, one.rule or ""))
        sums.city_yen += (city or 0) * number
        sums.unpriced += number if city is None else 0


_OWNERS: Final = "SELECT credential, member_id FROM card WHERE credential IN ?"
_ALIKE: Final = (
    HOUR,
    entry.c.programme,
    reader.c.place,
    entry.c.kind,
    entry.c.outcome,
    entry.c.code,
    entry.c.category,
    entry.c.rider_pays_yen,
    entry.c.rule,
)
"""As Alike has them, from the hour on."""
USED: Final = sa.or_(entry.c.outcome == Outcome.ACCEPTED.value, entry.c.kind == "press")
"""What was used: an accepted card, or a person who was let on without one."""
COUNTED: Final = sa.or_(USED, entry.c.outcome == Outcome.REFUSED.value)
"""A repeat books nothing, and starts and clock entries are nobody's."""
WITH_PLACES: Final = entry.join(journal, journal.c.id == entry.c.journal_id).join(
    reader, reader.c.name == journal.c.reader
)


def _rows(connection: sa.Connection, year: Year, after: int) -> Sequence[Any]:
    starts_ms = year.starts_ms
    month = sa.case(*((at_ms > WHEN, nth) for nth, at_ms in enumerate(starts_ms[1:])))
    wanted = sa.select(entry.c.credential, entry.c.received_at_ms, month, *_ALIKE)
    here = (entry.c.position >= year.position, entry.c.position < after)
    when = (starts_ms[0] <= WHEN, starts_ms[-1] > WHEN)
    of = wanted.select_from(WITH_PLACES).where(*here, *when, COUNTED)
    return connection.execute(of).all()


def city_pays(connection: sa.Connection) -> dict[tuple[str, str], int]:
    """Return what the city pays for one use, by programme and version of its rule table."""
    found: dict[tuple[str, str], int] = {}
    for name, book in RULEBOOKS.items():
        if book.city_pays is None:
            continue
        for table in rules.load(connection, name):
            with contextlib.suppress(RuleTableRefused):
                found[name, table.version] = book.city_pays(table)
    return found
