"""Rides that a company's office looks at again, each for a reason that has a name.

Rules: each doubt is written once, as a condition of the database; a ride that was taken back is not
listed; a rider who boarded and was never settled is found by his tap, which no ride of his at this
vehicle embraces and no cancellation names; riders are numbers of a seat, never persons.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet.office_rides import SETTLED, standing
from fleet.schema import (
    claim,
    claim_line,
    entry,
    finding,
    journal,
    place,
    reader,
    ride,
    ride_share,
    ride_taken_back,
)
from programmes.calendar import local_day, start_of_day_ms
from wire.codes import Code, Outcome

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
LONG_MS: Final = 3 * HOUR_MS
"""As long as a reader keeps a rider on its list (programmes.rides.UNDER_WAY_MS)."""
FARE_YEN_MAX: Final = 20_000
"""Two hours through a town by taxi: a nought too many is more likely."""
SHOWN_MAX: Final = 200
"""Rows of one list; the newest."""
ENTERED_MAX: Final = 2_000
"""Riders of rides by hand that are looked for among the cards': a month of a fleet on paper."""
PAIR_MS: Final = HOUR_MS
"""How far a ride from a slip and the same from a card may lie apart: a driver writes it down after
the ride, to the quarter of an hour."""

_OVER: Final = sa.exists().where(
    finding.c.journal_id == ride.c.journal_id,
    finding.c.n == ride.c.n,
    finding.c.kind == "allowance",
)
DOUBTS: Final[Mapping[str, sa.ColumnElement[bool]]] = {
    "no-fare": ride.c.fare_yen == 0,
    "high-fare": ride.c.fare_yen > FARE_YEN_MAX,
    "long": ride.c.at_ms - ride.c.boarded_at_ms > LONG_MS,
    "no-driver": ride.c.driver == "",
    "no-place": (ride.c.medium == "card") & ((ride.c.on_spot == "") | (ride.c.off_spot == "")),
    "same-place": (ride.c.on_spot != "") & (ride.c.on_spot == ride.c.off_spot),
    "refused": ride.c.outcome == Outcome.REFUSED.value,
    "over": _OVER | ((ride.c.journal_id.is_(None)) & (ride.c.code == Code.USED_UP.value)),
}
"""By the word that names them; the words and what to do stand under `web.check.` in `locale/`."""
NOT_SETTLED: Final = "not-settled"
PAIR: Final = "pair"
KINDS: Final = (NOT_SETTLED, PAIR, *DOUBTS)


class Span(NamedTuple):
    """The rides of a company that are looked at: those that began in this time."""

    programme: str
    organisation: str
    from_ms: int
    now_ms: int

    @classmethod
    def of(cls, programme: str, organisation: str, days: int, now_ms: int) -> "Span":
        """Return the span of the last days, today included."""
        today_ms = start_of_day_ms(local_day(now_ms))
        return cls(programme, organisation, today_ms - (days - 1) * DAY_MS, now_ms)


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A ride to look at, and why."""

    id: int
    place: str
    boarded_at_ms: int
    at_ms: int
    riders: int
    fare_yen: int
    subsidy_yen: int
    driver: str
    medium: str
    ticket: str
    entered_by: str
    is_settled: bool
    """It stands in a claim that is approved: the city takes it back."""
    doubts: tuple[str, ...]


class NotSettled(NamedTuple):
    """A rider who boarded and of whom no fare followed."""

    place: str
    at_ms: int


class Pair(NamedTuple):
    """A ride that the office entered, and one by card that may be the same."""

    entered: Doubtful
    tapped: Doubtful


_ROW: Final = (
    *(ride.c[name] for name in ("id", "place", "boarded_at_ms", "at_ms", "riders", "fare_yen")),
    *(ride.c[name] for name in ("subsidy_yen", "driver", "medium", "ticket", "who")),
    sa.exists()
    .where(
        claim_line.c.ride_id == ride.c.id,
        claim_line.c.stands.is_(sa.true()),
        claim.c.id == claim_line.c.claim_id,
        claim.c.state.in_(SETTLED),
    )
    .label("is_settled"),
    *(condition.label(name) for name, condition in DOUBTS.items()),
)


def _within(span: Span) -> list[sa.ColumnElement[bool]]:
    return [
        ride.c.programme == span.programme,
        ride.c.boarded_at_ms >= span.from_ms,
        ride.c.organisation == span.organisation,
        *standing(),
    ]


def _doubtful(row: Sequence[Any]) -> Doubtful:
    facts, said = row[: -len(DOUBTS)], row[-len(DOUBTS) :]
    doubts = tuple(name for name, is_so in zip(DOUBTS, said, strict=True) if is_so)
    values: tuple[Any, ...] = (*facts[:-1], bool(facts[-1]), doubts)
    return Doubtful(*values)


def doubtful(connection: sa.Connection, span: Span, kind: str = "") -> list[Doubtful]:
    """Return rides with any doubt, or with this one, the newest first."""
    of_kind = DOUBTS[kind] if kind else sa.or_(*DOUBTS.values())
    wanted = sa.select(*_ROW).where(*_within(span), of_kind)
    newest = wanted.order_by(ride.c.boarded_at_ms.desc(), ride.c.id.desc()).limit(SHOWN_MAX)
    return [_doubtful(row) for row in connection.execute(newest)]


def counts(connection: sa.Connection, span: Span) -> dict[str, int]:
    """Return how many rides have each doubt."""
    sums = [sa.func.sum(sa.case((condition, 1), else_=0)) for condition in DOUBTS.values()]
    row = connection.execute(sa.select(*sums).where(*_within(span))).one()
    return {name: int(n or 0) for name, n in zip(DOUBTS, row, strict=True)}


def not_settled(connection: sa.Connection, span: Span) -> list[NotSettled]:
    """Return riders who boarded more than three hours ago and were never settled, newest first.

    Entries of the span alone are read, by the journals of the company's readers.
    """
    embraced = sa.exists().where(
        ride_share.c.credential == entry.c.credential,
        ride.c.id == ride_share.c.ride_id,
        ride.c.kind == "ride",
        ride.c.place == reader.c.place,
        ride.c.boarded_at_ms <= entry.c.at_ms,
        ride.c.at_ms >= entry.c.at_ms,
    )
    taken_off = sa.exists().where(
        ride_taken_back.c.reader == journal.c.reader,
        ride_taken_back.c.of_journal == journal.c.journal,
        ride_taken_back.c.of_n == entry.c.n,
    )
    joined = entry.join(journal, entry.c.journal_id == journal.c.id)
    joined = joined.join(reader, reader.c.name == journal.c.reader)
    rows = connection.execute(
        sa.select(reader.c.place, entry.c.at_ms)
        .select_from(joined.join(place, place.c.name == reader.c.place))
        .where(
            place.c.organisation == span.organisation,
            journal.c.received_at_ms >= span.from_ms,
            entry.c.received_at_ms >= span.from_ms,
            entry.c.kind == "tap",
            entry.c.programme == span.programme,
            entry.c.outcome == Outcome.ACCEPTED.value,
            entry.c.at_ms.between(span.from_ms, span.now_ms - LONG_MS),
            ~embraced,
            ~taken_off,
        )
        .order_by(entry.c.at_ms.desc())
        .limit(SHOWN_MAX)
    )
    return [NotSettled(*row) for row in rows]


class Taken(NamedTuple):
    """When a ride was taken back, by whom and why."""

    at_ms: int
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Whole:
    """One ride with what each rider was worth, and what became of it."""

    ride: Doubtful
    why: str
    subsidies_yen: tuple[int, ...]
    taken: Taken | None


def whole(connection: sa.Connection, ride_id: int) -> Whole | None:
    """Return one ride; None for a number that is none's."""
    row = connection.execute(
        sa.select(*_ROW).where(ride.c.id == ride_id, ride.c.kind == "ride")
    ).one_or_none()
    if row is None:
        return None
    parts = sa.select(ride_share.c.subsidy_yen).where(ride_share.c.ride_id == ride_id)
    columns = (ride.c.booked_at_ms, ride.c.who, ride.c.why)
    taken = connection.execute(sa.select(*columns).where(ride.c.of_id == ride_id)).one_or_none()
    return Whole(
        _doubtful(row),
        connection.scalar(sa.select(ride.c.why).where(ride.c.id == ride_id)) or "",
        tuple(connection.scalars(parts.order_by(ride_share.c.seat))),
        Taken(*taken) if taken else None,
    )


# --- counted twice? ------------------------------------------------------------------------------


def entered(connection: sa.Connection, span: Span) -> dict[str, list[int]]:
    """Return the rides that the office entered, by the credentials that they count for."""
    rows = connection.execute(
        sa.select(ride_share.c.credential, ride.c.id)
        .join(ride, ride.c.id == ride_share.c.ride_id)
        .where(*_within(span), ride.c.journal_id.is_(None))
        .order_by(ride.c.id.desc())
        .limit(ENTERED_MAX)
    )
    found: dict[str, list[int]] = {}
    for credential, ride_id in rows:
        found.setdefault(credential, []).append(ride_id)
    return found


def pairs(
    connection: sa.Connection,
    span: Span,
    by_hand: Mapping[str, Collection[int]],
    cards: Mapping[tuple[str, str], Collection[str]],
) -> list[Pair]:
    """Return rides entered by hand beside one by card of the same member about the same time.

    `by_hand` as `entered` says; `cards` as `usage.cards_of_members` of its credentials.
    """
    others = {
        other: credential
        for credential in by_hand
        for other in cards.get((span.programme, credential), ())
        if other != credential
    }
    if not others:
        return []
    tapped = connection.execute(
        sa.select(ride_share.c.credential, *_ROW)
        .join(ride_share, ride_share.c.ride_id == ride.c.id)
        .where(*_within(span), ride.c.medium == "card", ride_share.c.credential.in_(others))
    ).all()
    wanted = {ride_id for some in by_hand.values() for ride_id in some}
    rows = connection.execute(sa.select(*_ROW).where(ride.c.id.in_(wanted)))
    mine = {row.id: _doubtful(row) for row in rows}
    found: dict[tuple[int, int], Pair] = {}
    for credential, *row in tapped:
        other = _doubtful(row)
        for ride_id in by_hand[others[credential]]:
            if abs(mine[ride_id].boarded_at_ms - other.boarded_at_ms) <= PAIR_MS:
                found[ride_id, other.id] = Pair(mine[ride_id], other)
    return sorted(found.values(), key=lambda pair: -pair.tapped.boarded_at_ms)
