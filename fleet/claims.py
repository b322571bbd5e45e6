"""What a transport company claims of the city: made, approved or returned, paid.

Rules: a claim holds all rows of the company through a day that stand in no other claim, so what
came late or was taken back stands in the next one, and a row stands in at most one (the database
refuses a second); of two who make the same claim one wins; its total is the sum of its rows in the
ledger, checked before it is kept; what a claim says is never changed: a returned one lets go of its
rows, and another one is made; who made it does not approve it, nor somebody whose account another
person has just had a hand in (`fleet.second_person`), and none is approved that the fleet has not
signed. Each step leaves a line in the audit.
"""

import datetime
import enum
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, claim_file, claim_lines, second_person
from fleet.claim_lines import Line
from fleet.months import next_month
from fleet.schema import claim, claim_line, gap, journal, place, reader, ride
from programmes.calendar import local, local_day, start_of_day_ms

LINES_MAX: Final = 200_000
"""Of one claim: 500 taxis with 13 rides a day each; some 60 MB as a file."""
WHY_MAX: Final = 400
"""Characters of a reason."""
LISTED_MAX: Final = 500
"""Claims that are listed, newest first: 40 companies for a year."""
_INSERTED_AT_ONCE: Final = 5_000


class State(enum.StrEnum):
    """Where a claim stands."""

    MADE = "made"
    APPROVED = "approved"
    RETURNED = "returned"
    PAID = "paid"


MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.MADE: frozenset({State.APPROVED, State.RETURNED}),
    State.APPROVED: frozenset({State.PAID}),
    State.RETURNED: frozenset(),
    State.PAID: frozenset(),
}


class ClaimRefused(ValueError):
    """This step cannot be taken; `reason` is a stable word, `arguments` what its sentence names."""

    def __init__(self, reason: str, **arguments: str) -> None:
        super().__init__(reason)
        self.reason: Final = reason
        self.arguments: Final = arguments


class Asked(NamedTuple):
    """What is claimed: all of a company through a day."""

    programme: str
    organisation: str
    until: datetime.date

    @property
    def month(self) -> str:
        """The month that the claim is of."""
        return f"{self.until:%Y-%m}"

    @property
    def is_part(self) -> bool:
        """True when the month goes on after that day."""
        return self.until + datetime.timedelta(days=1) != next_month(self.until.replace(day=1))


class Seen(NamedTuple):
    """What somebody saw before he made a claim."""

    lines: int
    subsidy_yen: int


class Claim(NamedTuple):
    """One claim, without its file."""

    id: int
    programme: str
    organisation: str
    month: str
    until: datetime.date
    state: State
    made_at_ms: int
    made_by: str
    lines: int
    subsidy_yen: int
    sha256: bytes
    seal: bytes | None
    signature: bytes | None
    key_id: str
    decided_at_ms: int | None
    decided_by: str
    why: str
    paid_on: datetime.date | None
    paid_by: str

    @property
    def asked(self) -> Asked:
        """What it is a claim of."""
        return Asked(self.programme, self.organisation, self.until)


_COLUMNS: Final = [claim.c[name] for name in Claim._fields]


def check(connection: sa.Connection, asked: Asked, at_ms: int) -> None:
    """Raise ClaimRefused when such a claim cannot be made now."""
    if asked.until >= local_day(at_ms):
        raise ClaimRefused("not-over")
    standing = connection.scalar(
        sa.select(claim.c.made_by).where(
            claim.c.programme == asked.programme,
            claim.c.organisation == asked.organisation,
            claim.c.until == asked.until,
            claim.c.state != State.RETURNED,
        )
    )
    if standing is not None:
        raise ClaimRefused("made-already", by=standing)


def preview(connection: sa.Connection, asked: Asked, at_ms: int) -> list[Line]:
    """Return what a claim would hold. Raises ClaimRefused."""
    check(connection, asked, at_ms)
    lines = claim_lines.unclaimed(connection, *asked)
    if len(lines) > LINES_MAX:
        raise ClaimRefused("many")
    return lines


def make(connection: sa.Connection, asked: Asked, seen: Seen | None, who: str, at_ms: int) -> int:
    """Make a claim and return its number. Raises ClaimRefused, and keeps nothing then.

    `seen`: refused when it would hold something else by now; None: whatever it holds.
    """
    lines = preview(connection, asked, at_ms)
    total = claim_lines.total(lines)
    if seen is not None and seen != (total.lines, total.subsidy_yen):
        raise ClaimRefused("changed")
    file = claim_file.contents(lines)
    row = {
        **asked._asdict(),
        "month": asked.month,
        "state": State.MADE,
        "made_at_ms": at_ms,
        "made_by": who,
        "lines": total.lines,
        "subsidy_yen": total.subsidy_yen,
        "file": zlib.compress(file),
        "sha256": hashlib.sha256(file).digest(),
    }
    try:
        made = connection.execute(claim.insert().values(row).returning(claim.c.id))
        number = int(made.scalar_one())
        _keep_lines(connection, number, [line.id for line in lines])
    except sa.exc.IntegrityError as error:
        raise ClaimRefused("made-meanwhile") from error
    _require_sum(connection, number, total.lines, total.subsidy_yen)
    detail = f"{total.lines} lines {total.subsidy_yen} yen through {asked.until}"
    _note(connection, asked, number, State.MADE, who, at_ms, detail)
    return number


def _keep_lines(connection: sa.Connection, number: int, ids: Sequence[int]) -> None:
    for start in range(0, len(ids), _INSERTED_AT_ONCE):
        some = ids[start : start + _INSERTED_AT_ONCE]
        rows = [{"claim_id": number, "ride_id": one, "stands": True} for one in some]
        connection.execute(claim_line.insert(), rows)


def _require_sum(connection: sa.Connection, number: int, lines: int, yen: int) -> None:
    """Raise RuntimeError unless the ledger's rows of a claim add up to what it says."""
    summed = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(ride.c.subsidy_yen), 0))
    mine = summed.join(claim_line, claim_line.c.ride_id == ride.c.id)
    found = connection.execute(mine.where(claim_line.c.claim_id == number)).one()
    if tuple(found) != (lines, yen):
        raise RuntimeError(f"claim {number}: {lines} lines of {yen} yen, the ledger has {found}")


# --- what the city says --------------------------------------------------------------------------


def approve(connection: sa.Connection, number: int, why: str, who: str, at_ms: int) -> None:
    """Let a claim be paid. Raises ClaimRefused."""
    one = _step(connection, number, State.APPROVED, who)
    if one.signature is None:
        raise ClaimRefused("unsigned")
    from_ms = second_person.counts_from_ms(connection, who, one.programme)
    if at_ms < from_ms:
        whole_minute = local(from_ms + 59_999)  # the minute that is named has to be late enough
        raise ClaimRefused("new", when=f"{whole_minute:%Y-%m-%d %H:%M}")
    _decide(connection, one, State.APPROVED, why, who, at_ms)


def give_back(connection: sa.Connection, number: int, why: str, who: str, at_ms: int) -> None:
    """Return a claim, with the reason; its rows go into the next one. Raises ClaimRefused."""
    one = _step(connection, number, State.RETURNED, who)
    if not why:
        raise ClaimRefused("why")
    let_go = claim_line.update().where(claim_line.c.claim_id == number).values(stands=False)
    connection.execute(let_go)
    _decide(connection, one, State.RETURNED, why, who, at_ms)


def pay(
    connection: sa.Connection, number: int, paid_on: datetime.date, who: str, at_ms: int
) -> None:
    """Write down that a claim was paid on a day. Raises ClaimRefused."""
    one = _step(connection, number, State.PAID, who)
    if not local_day(one.made_at_ms) <= paid_on <= local_day(at_ms):
        raise ClaimRefused("paid-on")
    _set(connection, number, state=State.PAID, paid_on=paid_on, paid_by=who)
    _note(connection, one.asked, number, State.PAID, who, at_ms, paid_on.isoformat())


def _step(connection: sa.Connection, number: int, to: State, who: str) -> Claim:
    """Return the claim when this person may take it to this state."""
    one = load(connection, number)
    if one is None:
        raise ClaimRefused("gone")
    if to not in MOVES[one.state]:
        raise ClaimRefused("decided", by=one.paid_by or one.decided_by or one.made_by)
    if one.made_by == who:
        raise ClaimRefused("own")
    return one


def _decide(
    connection: sa.Connection, one: Claim, to: State, why: str, who: str, at_ms: int
) -> None:
    _set(connection, one.id, state=to, decided_at_ms=at_ms, decided_by=who, why=why)
    _note(connection, one.asked, one.id, to, who, at_ms, why)


def _set(connection: sa.Connection, number: int, **values: object) -> None:
    connection.execute(claim.update().where(claim.c.id == number).values(**values))


def _note(
    connection: sa.Connection,
    asked: Asked,
    number: int,
    to: State,
    who: str,
    at_ms: int,
    detail: str,
) -> None:
    subject = f"{asked.programme} {asked.organisation} {asked.month} {number}"
    audit.note(connection, at_ms, who, f"claim.{to}", subject, detail)


# --- reading -------------------------------------------------------------------------------------


def load(connection: sa.Connection, number: int) -> Claim | None:
    """Return one claim."""
    row = connection.execute(sa.select(*_COLUMNS).where(claim.c.id == number)).one_or_none()
    return None if row is None else _claim(row)


def file_of(connection: sa.Connection, number: int) -> bytes:
    """Return the file of a claim in UTF-8, without its signature."""
    packed = connection.execute(sa.select(claim.c.file).where(claim.c.id == number)).scalar_one()
    return zlib.decompress(packed)


def listed(
    connection: sa.Connection, programme: str, organisation: str = "", month: str = ""
) -> list[Claim]:
    """Return a programme's claims, newest first: of a company, of a month, or all."""
    wanted = sa.select(*_COLUMNS).where(claim.c.programme == programme)
    if organisation:
        wanted = wanted.where(claim.c.organisation == organisation)
    if month:
        wanted = wanted.where(claim.c.month == month)
    rows = connection.execute(wanted.order_by(claim.c.id.desc()).limit(LISTED_MAX))
    return [_claim(row) for row in rows]


def companies(connection: sa.Connection, programme: str) -> list[str]:
    """Return the companies that have rides or claims of a programme."""
    found = {
        name
        for table in (ride, claim)
        for name in connection.scalars(
            sa.select(table.c.organisation).where(table.c.programme == programme).distinct()
        )
    }
    return sorted(found - {""})


class OpenGap(NamedTuple):
    """A vehicle whose reader still has entries that have not come."""

    place: str
    missing: int


def open_gaps(connection: sa.Connection, organisation: str, until: datetime.date) -> list[OpenGap]:
    """Return the company's vehicles with open gaps in journals begun by the end of a day."""
    after_ms = start_of_day_ms(until + datetime.timedelta(days=1))
    joined = gap.join(journal, journal.c.id == gap.c.journal_id)
    joined = joined.join(reader, reader.c.name == journal.c.reader)
    joined = joined.join(place, place.c.name == reader.c.place)
    rows = connection.execute(
        sa.select(place.c.name, sa.func.sum(gap.c.missing))
        .select_from(joined)
        .where(
            place.c.organisation == organisation,
            gap.c.closed_at_ms.is_(None),
            journal.c.started_at_ms < after_ms,
        )
        .group_by(place.c.name)
        .order_by(place.c.name)
    )
    return [OpenGap(name, int(missing)) for name, missing in rows]


def _claim(row: Any) -> Claim:
    return Claim(*row)._replace(state=State(row.state))
