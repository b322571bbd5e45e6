"""What the ledger has of members' comings and goings, with each time as well as it is known.

Rules: a mark is a presentation that its reader accepted, a repeat books nothing; the clock's later
steps in the same journal move it, a person's own word is moved by none; a reader's clock is sure
once the fleet has told it the time, for all of that journal, before and after; a direction that was
corrected at the gate counts as the person's own correction, and an answer as a mark that was added.
A tap is looked for under each credential that a member's cards have or had; with a lent card it is
whose the card was at that time, and nobody's when that time is not known.
"""

import datetime
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import lent_cards
from fleet.lent_cards import Loan
from fleet.schema import card, entry, journal, place, reader
from fleet.work_terms import store_some
from programmes import attendance
from programmes.calendar import start_of_day_ms
from programmes.work_day import UNSURE_MS_MAX
from programmes.work_marks import Add, Mark, Origin, Redirect
from wire.clock import ClockState
from wire.codes import Outcome
from wire.entries import Answer, ClockStep, EntryRefused, decode
from wire.entries import Redirect as RedirectEntry

BY_THE_PERSON: Final = "gate"
"""Who corrected a direction at the reader: whoever held the card."""
HOLDOVER_MS: Final = 30 * 60_000
"""How far a clock may be off that looked right at its start and was never compared with the fleet's
in that journal: a small computer's crystal drifts by 20 ppm, half an hour in two and a half years,
and one without a battery goes on from where it was switched off."""
ON_THE_WAY_MS: Final = 2_000
"""What came at once was this long on its way at most; a smaller step of a clock is none either."""
ANSWERED_WITHIN_MS: Final = 62 * 24 * 3_600_000
"""How long after a day its answer is looked for: a reader keeps at most 40 days, and asks of no
others; the rest is for one that was without a network."""
GATE_NUMBERS: Final = -(2**62)
"""Numbers of corrections at the gate begin here, in the ledger's order: before those of the office,
which correct what has arrived."""
_DAY_MS: Final = 24 * 3_600_000
_HOURS_MAX_MS: Final = 12 * 3_600_000
"""A day of work begins at most so long after midnight."""
_MARKS: Final = ("tap", "redirect", "answer")


class Told(NamedTuple):
    """All that the ledger has of one member in a span."""

    marks: tuple[Mark, ...] = ()
    said: tuple[Add | Redirect, ...] = ()
    """What the person said at the gate: answers and directions; the later has the higher number."""
    received: Mapping[str, int] = {}
    """When each mark whose clock was not known arrived, ms, by identity."""
    unknowing: tuple[datetime.date, ...] = ()
    """Days of which the person answered that he does not know."""


class _Row(NamedTuple):
    position: int
    journal_id: int
    n: int
    kind: str
    at_ms: int
    clock: str
    credential: str
    declared: str
    body: bytes | None
    received_at_ms: int
    journal: str
    reader: str
    place: str

    @property
    def identity(self) -> str:
        return f"{self.reader}/{self.journal}/{self.n}"


class _Steps(NamedTuple):
    """The steps of one journal's clock: their numbers, and what all from there on come to."""

    numbers: list[int]
    sums: list[int]

    def after(self, n: int) -> int:
        """Return by how much entry n is off."""
        return self.sums[bisect_right(self.numbers, n)]


def told(
    fleet: sa.Connection,
    people: sa.Connection,
    members: Collection[int],
    first: datetime.date,
    last: datetime.date,
) -> dict[int, Told]:
    """Return what the ledger has of each of these members from one day to another."""
    owners = _owners(people, members)
    lent = lent_cards.of_members(people, members)
    wanted = owners.keys() | lent.keys()
    from_ms = start_of_day_ms(first)
    until_ms = start_of_day_ms(last) + _DAY_MS + _HOURS_MAX_MS
    rows = {(row.journal_id, row.n): row for row in _near(fleet, wanted, from_ms, until_ms)}
    gates = _gates(fleet)
    asked = {row.journal_id for row in rows.values()} if rows else set()
    steps, odd = _odd(fleet, gates, asked, from_ms)
    for row in _in_journals(fleet, wanted, odd):
        rows[row.journal_id, row.n] = row
    sure = _sure_until(fleet, {row.journal_id for row in rows.values() if not _is_sure(row)})
    found: dict[int, list[_Row]] = defaultdict(list)
    for row in rows.values():
        owner = owners.get(row.credential)
        if row.credential in lent and _is_dated(row, sure):
            owner = _borrower(row, lent[row.credential], _at_ms(row, steps))
        if owner is not None:
            found[owner].append(row)
    return {
        one: _told(sorted(found[one]), steps, sure, (from_ms, until_ms), lent)
        for one in sorted(members)
    }


def _borrower(row: _Row, loans: Collection[Loan], at_ms: int) -> int | None:
    """Return whose a row of a lent card is; nobody's is an answer on somebody else's loan.

    A gate asks about what it knows of the card, and does not know who had it then.
    """
    owner = lent_cards.borrower(loans, at_ms)
    one = _decoded(row) if row.kind == "answer" else None
    if isinstance(one, Answer):
        beside = (one.after_ms, one.before_ms)
        if any(owner != lent_cards.borrower(loans, ms) for ms in beside if ms is not None):
            return None
    return owner


def _owners(people: sa.Connection, members: Collection[int]) -> dict[str, int]:
    """Return whose each credential is or was."""
    found: dict[str, int] = {}
    for some in store_some(members):
        rows = people.execute(
            sa.select(card.c.credential, card.c.member_id).where(
                card.c.member_id.in_(some), card.c.programme == attendance.NAME
            )
        )
        found |= dict(rows.all())
    return found


# --- rows ----------------------------------------------------------------------------------------

_JOINED: Final = (
    entry.join(journal, journal.c.id == entry.c.journal_id)
    .join(reader, reader.c.name == journal.c.reader)
    .join(place, place.c.name == reader.c.place)
)
_CLOCK_IS_ASKED: Final = sa.text("(kind = 'clock' OR clock = 'unknown')")
"""As the index `ix_entry_clock` has it."""


def _rows(credentials: Sequence[str]) -> sa.Select[Any]:
    return (
        sa.select(
            entry.c.position,
            entry.c.journal_id,
            entry.c.n,
            entry.c.kind,
            entry.c.at_ms,
            entry.c.clock,
            entry.c.credential,
            sa.func.coalesce(entry.c.declared, ""),
            sa.case((entry.c.kind != "tap", entry.c.body)),
            entry.c.received_at_ms,
            journal.c.journal,
            journal.c.reader,
            place.c.name,
        )
        .select_from(_JOINED)
        .where(
            entry.c.credential.in_(credentials),
            entry.c.programme == attendance.NAME,
            entry.c.kind.in_(_MARKS),
            sa.or_(entry.c.kind != "tap", entry.c.outcome == Outcome.ACCEPTED.value),
        )
    )


def _near(
    fleet: sa.Connection, owners: Collection[str], from_ms: int, until_ms: int
) -> Iterator[_Row]:
    """Yield rows of a time by their readers' clocks, and answers that were given after it."""
    late_ms = until_ms + ANSWERED_WITHIN_MS
    for some in _some(owners):
        near = entry.c.at_ms < until_ms
        answers = sa.and_(entry.c.kind == "answer", entry.c.at_ms < late_ms)
        wanted = _rows(some).where(entry.c.at_ms >= from_ms, sa.or_(near, answers))
        yield from (_Row(*row) for row in fleet.execute(wanted))


def _in_journals(
    fleet: sa.Connection, owners: Collection[str], journals: Collection[int]
) -> Iterator[_Row]:
    for here in store_some(journals):
        for some in _some(owners):
            wanted = _rows(some).where(entry.c.journal_id.in_(here))
            yield from (_Row(*row) for row in fleet.execute(wanted))


def _some(credentials: Iterable[str]) -> Iterator[list[str]]:
    ordered = sorted(credentials)
    for start in range(0, len(ordered), 5_000):
        yield ordered[start : start + 5_000]


def _gates(fleet: sa.Connection) -> frozenset[str]:
    """Return the readers at which members of attendance tap."""
    rows = fleet.execute(
        sa.select(reader.c.name, place.c.programmes).join(place, place.c.name == reader.c.place)
    )
    return frozenset(name for name, programmes in rows if attendance.NAME in programmes)


def _odd(
    fleet: sa.Connection, gates: Collection[str], journals: Collection[int], from_ms: int
) -> tuple[dict[int, _Steps], set[int]]:
    """Return the steps of clocks by journal, and the gates' journals that may hold more of a time.

    A step arrives after what it moves has happened, so those that matter were received since then.
    """
    here = entry.c.journal_id.in_(sorted(journals)) if len(journals) < 5_000 else sa.true()
    wanted = (
        sa.select(entry.c.journal_id, entry.c.n, entry.c.kind, entry.c.body, journal.c.reader)
        .select_from(entry.join(journal, journal.c.id == entry.c.journal_id))
        .where(_CLOCK_IS_ASKED, sa.or_(entry.c.received_at_ms >= from_ms, here))
        .order_by(entry.c.journal_id, entry.c.n)
    )
    moved: dict[int, list[tuple[int, int]]] = defaultdict(list)
    odd: set[int] = set()
    for journal_id, n, kind, body, name in fleet.execute(wanted):
        if name in gates:
            odd.add(journal_id)
        if kind == "clock":
            moved[journal_id].append((n, _step_ms(body)))
    return {one: _steps(steps) for one, steps in moved.items()}, odd


def _step_ms(body: bytes) -> int:
    try:
        one = decode(body)
    except EntryRefused:
        return 0
    return one.step_ms if isinstance(one, ClockStep) else 0


def _steps(moved: Sequence[tuple[int, int]]) -> _Steps:
    sums = [0]
    for _, step_ms in reversed(moved):
        sums.append(sums[-1] + step_ms)
    return _Steps([n for n, _ in moved], sums[::-1])


def _is_sure(row: _Row) -> bool:
    return row.clock == ClockState.SYNCHRONISED.value


def _sure_until(fleet: sa.Connection, journals: Collection[int]) -> dict[int, int]:
    """Return up to which number each of these journals' clocks were compared with the fleet's."""
    found: dict[int, int] = {}
    for some in store_some(journals):
        rows = fleet.execute(
            sa.select(entry.c.journal_id, sa.func.max(entry.c.n))
            .where(entry.c.journal_id.in_(some), entry.c.clock == ClockState.SYNCHRONISED.value)
            .group_by(entry.c.journal_id)
        )
        found |= dict(rows.all())
    return found


# --- one member ----------------------------------------------------------------------------------


def _told(
    rows: Sequence[_Row],
    steps: Mapping[int, _Steps],
    sure: Mapping[int, int],
    span: tuple[int, int],
    lent: Collection[str],
) -> Told:
    marks: list[Mark] = []
    said: list[Add | Redirect] = []
    received: dict[str, int] = {}
    unknowing: list[datetime.date] = []
    for row in rows:
        at_ms = _at_ms(row, steps)
        if row.kind == "tap":
            mark = _mark(row, max(at_ms, 0), sure, "lent" if row.credential in lent else "tap")
            undated = mark.unsure_ms > UNSURE_MS_MAX
            if span[0] <= (row.received_at_ms if undated else at_ms) < span[1]:
                marks.append(mark)
                if undated:
                    received[mark.identity] = row.received_at_ms
        elif isinstance(one := _decoded(row), RedirectEntry):
            said.append(_redirect(row, one, max(at_ms, 0)))
        elif isinstance(one, Answer):
            if one.claimed_at_ms is None:
                unknowing.append(one.day)
            elif span[0] <= one.claimed_at_ms < span[1]:
                said.append(_answer(row, one, one.claimed_at_ms, max(at_ms, 0)))
    return Told(tuple(marks), tuple(said), received, tuple(sorted(set(unknowing))))


def _at_ms(row: _Row, steps: Mapping[int, _Steps]) -> int:
    """Return when an entry was, with the later steps of its journal's clock."""
    return row.at_ms + (steps[row.journal_id].after(row.n) if row.journal_id in steps else 0)


def _is_dated(row: _Row, sure: Mapping[int, int]) -> bool:
    return row.clock != ClockState.UNKNOWN.value or row.n < sure.get(row.journal_id, 0)


def _mark(row: _Row, at_ms: int, sure: Mapping[int, int], origin: Origin) -> Mark:
    return Mark(
        row.identity,
        at_ms,
        row.declared,  # type: ignore[arg-type]  # read from the entry's own Literal
        row.place,
        row.reader,
        0 if _is_sure(row) or row.n < sure.get(row.journal_id, 0) else _unsure_ms(row, at_ms),
        origin,
    )


def _unsure_ms(row: _Row, at_ms: int) -> int:
    """Return how far a time may be off that was never compared; what came at once is no further."""
    if row.clock == ClockState.UNKNOWN.value:
        return UNSURE_MS_MAX + 1
    return min(HOLDOVER_MS, max(ON_THE_WAY_MS, abs(row.received_at_ms - at_ms)))


def _decoded(row: _Row) -> object:
    try:
        return decode(row.body or b"")
    except EntryRefused:
        return None


def _redirect(row: _Row, one: RedirectEntry, at_ms: int) -> Redirect:
    return Redirect(
        number=GATE_NUMBERS + row.position,
        who=BY_THE_PERSON,
        at_ms=at_ms,
        why="",
        mark=f"{row.reader}/{one.of_journal}/{one.of_n}",
        declared=one.declared,
    )


def _answer(row: _Row, one: Answer, claimed_ms: int, at_ms: int) -> Add:
    return Add(
        number=GATE_NUMBERS + row.position,
        who=BY_THE_PERSON,
        at_ms=at_ms,
        why="",
        added=Mark(row.identity, claimed_ms, one.missing, row.place, origin="answer"),
    )
