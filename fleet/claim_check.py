"""A claim beside the ledger, line by line: what the file says, the row, the entry, the rule again.

Rules: every line is looked at afresh; the rule is the one that the line names, as it stands in the
fleet; what a rider had left is known by the entry, not what his enrolment allows him, so where a
balance decides a subsidy lies between what the least and the most of it gives. An `allowance` is no
fault: two taxis spent the last ride at once, the city bears it; nor is `past`. Nothing here is
written.
"""

import csv
import enum
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import claim_lines, claims, rules
from fleet.claim_file import COLUMNS
from fleet.claim_lines import Line
from fleet.claims import Claim
from fleet.schema import claim_line, entry, finding, place, retired_journal, ride
from programmes.register import RULEBOOKS
from programmes.rides import RideFacts, RiderFacts, Settlement
from programmes.rulebook import Rulebook, RuleTableRefused
from wire.clock import ClockState
from wire.credential import Credential
from wire.entries import Cancel, Entry, EntryRefused, Ride, Used, decode
from wire.roster import RosterRow, RuleTable

_SPENT: Final = Used(1_000_000, 1_000_000_000)
"""More than any allowance."""
_NUMBERS: Final = ("riders", "fare", "discount_yen", "subsidy", "pays")


class Trouble(enum.StrEnum):
    """What speaks against a line, or is to be known of it."""

    FILE = "file"
    """The file says another sum than the row."""
    NO_ENTRY = "no-entry"
    """The reader's entry is not in the ledger."""
    PAST = "past"
    """It went with its month, past retention: it is known by its number alone."""
    ENTRY = "entry"
    """The row says something else than the reader's entry."""
    NO_RULE = "no-rule"
    """The rule table that it names is none of the fleet's, or was not in force."""
    RULE = "rule"
    """Settled again by that table it comes to something else."""
    REPLAY = "replay"
    """The ledger could not follow the reader's settlement when it came."""
    ALLOWANCE = "allowance"
    """A rider had nothing left by what the ledger had counted."""
    VEHICLE = "vehicle"
    """The vehicle is not the company's."""
    DUPLICATE = "duplicate"
    """Another line has the same vehicle, minute and fare, or the same ticket."""


class Checked(NamedTuple):
    """One line, and what was found."""

    line: Line
    file_yen: int | None
    """The subsidy by the file; None: it has no such line."""
    settled_yen: int | None
    """The subsidy by the rule today; None for a taking back, and where it cannot be settled."""
    troubles: tuple[Trouble, ...]

    @property
    def asks(self) -> bool:
        """True where somebody should look: of an old line it is known that its entry has gone."""
        return any(one is not Trouble.PAST for one in self.troubles)


class _Row(NamedTuple):
    """What the ledger holds of a line."""

    line: Line
    is_kept: bool
    """The ledger has an entry of its number."""
    is_past: bool
    """It had one, which went with its month."""
    entry: Entry | None
    """None too for bytes that are none."""
    owner: str | None
    """Whose the vehicle is; None: there is no such vehicle."""


class _Beside(NamedTuple):
    """What the lines of one claim are looked at with."""

    organisation: str
    book: Rulebook
    tables: Mapping[str, RuleTable]
    said: Mapping[int, tuple[int, ...]]
    """The numbers of each ride in the file."""
    findings: Mapping[int, Sequence[Trouble]]
    twice: Collection[int]


def check(connection: sa.Connection, one: Claim) -> list[Checked]:
    """Return every line of a claim, as it is found now."""
    lines = claim_lines.of_claim(connection, one.id)
    beside = _Beside(
        one.organisation,
        RULEBOOKS[one.programme],
        {table.version: table for table in rules.load(connection, one.programme)},
        _said(claims.file_of(connection, one.id)),
        _findings(connection, one.id),
        frozenset(claim_lines.duplicates(lines)),
    )
    by_id = {line.id: line for line in lines}
    return [_checked(row, beside) for row in _rows(connection, one.id, by_id)]


def _checked(row: _Row, beside: _Beside) -> Checked:
    line = row.line
    in_file = beside.said.get(line.id)
    settled, against_rule = _settled(row, beside.book, beside.tables)
    is_others = bool(line.place) and row.owner != beside.organisation
    found = (
        *((Trouble.FILE,) if in_file != _numbers(line) else ()),
        *_entry_troubles(row),
        *against_rule,
        *beside.findings.get(line.id, ()),
        *((Trouble.VEHICLE,) if is_others or line.organisation != beside.organisation else ()),
        *((Trouble.DUPLICATE,) if line.id in beside.twice else ()),
    )
    file_yen = in_file[_NUMBERS.index("subsidy")] if in_file else None
    return Checked(line, file_yen, settled, found)


def _rows(connection: sa.Connection, number: int, lines: Mapping[int, Line]) -> Iterator[_Row]:
    joined = ride.join(claim_line, claim_line.c.ride_id == ride.c.id)
    joined = joined.outerjoin(
        entry, (entry.c.journal_id == ride.c.journal_id) & (entry.c.n == ride.c.n)
    )
    joined = joined.outerjoin(place, place.c.name == ride.c.place)
    runs = retired_journal.c
    past = sa.exists(runs.journal_id).where(
        runs.journal_id == ride.c.journal_id,
        runs.kind == "entries",
        ride.c.n.between(runs.first, runs.last),
    )
    wanted = (
        sa.select(ride.c.id, entry.c.body, past, place.c.organisation)
        .select_from(joined)
        .where(claim_line.c.claim_id == number)
        .order_by(ride.c.boarded_at_ms, ride.c.id)
    )
    for ride_id, body, is_past, owner in connection.execute(wanted).yield_per(1_000):
        yield _Row(lines[ride_id], body is not None, bool(is_past), _entry(body), owner)


def _said(file: bytes) -> dict[int, tuple[int, ...]]:
    """Return the numbers of each ride in a file, by the ride's number."""
    rows = csv.reader(io.StringIO(file.decode("utf-8-sig"), newline=""))
    at = [COLUMNS.index(name) for name in _NUMBERS]
    return {int(row[0]): tuple(int(row[one]) for one in at) for row in rows if row[0].isdecimal()}


def _numbers(line: Line) -> tuple[int, ...]:
    return (
        line.riders,
        line.fare_yen,
        line.discount_yen,
        line.subsidy_yen,
        line.riders_pay_yen,
    )


def _findings(connection: sa.Connection, number: int) -> dict[int, list[Trouble]]:
    joined = finding.join(
        ride, (finding.c.journal_id == ride.c.journal_id) & (finding.c.n == ride.c.n)
    ).join(claim_line, claim_line.c.ride_id == ride.c.id)
    kinds = (Trouble.REPLAY.value, Trouble.ALLOWANCE.value)
    rows = connection.execute(
        sa.select(ride.c.id, finding.c.kind)
        .select_from(joined)
        .where(claim_line.c.claim_id == number, finding.c.kind.in_(kinds), ride.c.kind == "ride")
        .order_by(finding.c.kind)
    )
    found: dict[int, list[Trouble]] = {}
    for ride_id, kind in rows:
        found.setdefault(ride_id, []).append(Trouble(kind))
    return found


# --- the reader's own entry ----------------------------------------------------------------------


def _entry(body: bytes | None) -> Entry | None:
    try:
        return None if body is None else decode(body)
    except EntryRefused:
        return None


def _entry_troubles(row: _Row) -> list[Trouble]:
    """Compare a row with the entry from which it was written; the office's rows have none."""
    line = row.line
    if line.n is None:
        return []
    if not row.is_kept:
        return [Trouble.PAST if row.is_past else Trouble.NO_ENTRY]
    one = row.entry
    if line.kind != "ride":
        return [] if isinstance(one, Cancel) else [Trouble.ENTRY]
    if not isinstance(one, Ride):
        return [Trouble.ENTRY]
    told = (len(one.riders), one.fare_yen, one.discount_yen, one.subsidy_yen, one.riders_pay_yen)
    same = (one.boarded_at_ms, one.at_ms, one.driver, one.rule, one.outcome.value)
    stands = (line.boarded_at_ms, line.at_ms, line.driver, line.rule, line.outcome)
    return [] if told == _numbers(line) and same == stands else [Trouble.ENTRY]


# --- the rule, again -----------------------------------------------------------------------------


def _settled(
    row: _Row, book: Rulebook, tables: Mapping[str, RuleTable]
) -> tuple[int | None, list[Trouble]]:
    """Return what a line comes to by the table that it names, and what is wrong about that."""
    line = row.line
    if line.kind != "ride" or book.rides is None:
        return None, []
    table = tables.get(line.rule)
    if table is None:
        return None, [Trouble.NO_RULE]
    least, most = _facts(row, book, table)
    try:
        low, high = book.rides.settle(least), book.rides.settle(most)
    except RuleTableRefused:
        return None, [Trouble.NO_RULE]
    agrees = low.subsidy_yen <= line.subsidy_yen <= high.subsidy_yen and _same(line, high)
    return high.subsidy_yen, [] if agrees else [Trouble.RULE]


def _same(line: Line, made: Settlement) -> bool:
    pays_yen = line.fare_yen - made.discount_yen - line.subsidy_yen
    return (line.outcome, line.discount_yen, line.riders_pay_yen) == (
        made.outcome.value,
        made.discount_yen,
        pays_yen,
    )


def _facts(row: _Row, book: Rulebook, table: RuleTable) -> tuple[RideFacts, RideFacts]:
    """Return a ride as of riders with least left, and with most."""
    line, one = row.line, row.entry
    day = line.day
    brief = RosterRow(Credential(""), "", day, day, None)
    whole = RosterRow(Credential(""), "", None, None, None)
    if isinstance(one, Ride):
        least = [RiderFacts(brief, each.used, each.usage_age_s) for each in one.riders]
        most = [RiderFacts(whole, each.used, each.usage_age_s) for each in one.riders]
        known, age_s = one.clock is not ClockState.UNKNOWN, one.roster_age_s
    else:
        spent = dict.fromkeys(book.periods(line.boarded_at_ms), _SPENT) if book.periods else {}
        least = [RiderFacts(brief, spent, 0)] * line.riders
        most = [RiderFacts(whole, {}, 0)] * line.riders
        known, age_s = True, 0

    def facts(riders: list[RiderFacts]) -> RideFacts:
        return RideFacts(
            line.at_ms,
            line.boarded_at_ms,
            riders,
            line.fare_yen,
            (table,),
            age_s,
            known,
            line.discount,
            line.on_spot,
            line.off_spot,
        )

    return facts(least), facts(most)
