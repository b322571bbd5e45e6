"""What members have used of their allowances: counted once, decided with, and checked.

Rules: a booking (programmes.bookings: an accepted tap, a rider of a ride) counts in the transaction
that inserts its entry, so a resend counts nothing; its periods follow from its own time
(programmes.rulebook.Rulebook.periods), never from a table that a clerk may change; a member's usage
is the sum over all cards that he ever had; counters are added to in the order of their keys, so
that two workers never wait for each other crosswise.
`usage_files` tells the readers of it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import bulk, rides, store
from fleet.schema import card, entry, usage
from programmes.bookings import Booking
from programmes.register import RULEBOOKS
from programmes.rulebook import RuleTableRefused
from wire.codes import Code, Outcome
from wire.entries import Cancel, Ride, Tap, Used
from wire.roster import RuleTable

HOUR_MS: Final = 3_600_000
ROWS_AT_ONCE: Final = 5_000
Key = tuple[str, str, str]
"""Programme, period, credential."""
Cards = Mapping[tuple[str, str], Sequence[str]]
"""By programme and credential, all credentials of that member; absent: it is the only one."""
NOTHING: Final = Used()


def add(one: Used, other: Used) -> Used:
    """Return the sum of two usages."""
    return Used(one.times + other.times, one.yen + other.yen)


def sums(booked: Iterable[Booking]) -> dict[tuple[str, str], dict[str, Used]]:
    """Return what these bookings come to, by programme and period, and there by credential."""
    found: dict[tuple[str, str], dict[str, Used]] = {}
    for one in booked:
        for period in one.periods:
            cards = found.setdefault((one.programme, period), {})
            before = cards.get(one.credential)
            cards[one.credential] = add(before, one.used) if before else one.used
    return found


def count(connection: sa.Connection, booked: Iterable[Booking]) -> None:
    """Add new bookings to the counters, once a group, in the transaction that inserts them."""
    rows = [
        (*key, credential, cards[credential].times, cards[credential].yen)
        for key, cards in sorted(sums(booked).items())
        for credential in sorted(cards)
    ]
    bulk.count_up(connection, usage, ("programme", "period", "credential"), ("times", "yen"), rows)


class Boarded(NamedTuple):
    """One rider of a ride, as if he tapped at its beginning: what usage looks at."""

    programme: str
    at_ms: int
    credential: str | None
    older_credential: str | None
    code: Code = Code.OK


def boarded(entries: Iterable[Tap | Ride | Cancel]) -> Iterator[Tap | Boarded]:
    """Yield the taps among these, and every rider of the rides."""
    for one in entries:
        if isinstance(one, Tap):
            yield one
        elif isinstance(one, Ride):
            for rider in one.riders:
                cards = (rider.credential, rider.older_credential)
                yield Boarded(one.programme, one.boarded_at_ms, *cards)


# --- deciding with it ----------------------------------------------------------------------------


@dataclass(slots=True)
class Running:
    """Usage as the ledger has it at a point in the order of commit, carried along a group.

    One a group. `expect` its taps and riders under the group's locks before the first is judged;
    `book` what each new entry books, so that those after it in the group see it.
    """

    rules: Mapping[str, Sequence[RuleTable]]
    cards: Cards
    _used: dict[Key, Used] = field(default_factory=dict)
    _asked: set[tuple[str, str]] = field(default_factory=set)
    _limits: dict[tuple[str, int], Mapping[str, Used]] = field(default_factory=dict)

    def expect(self, connection: sa.Connection, taps: Iterable[Tap | Boarded]) -> None:
        """Read what stands under the cards of these, those of a limited programme alone.

        One query a programme for all that was not asked before; it may be called again. What the
        group books is not counted before its end, so it stands beside what is read here.
        """
        wanted: dict[str, tuple[set[str], set[str]]] = {}
        for tap in taps:
            if limits := self.limits(tap.programme, tap.at_ms):
                periods, credentials = wanted.setdefault(tap.programme, (set(), set()))
                periods.update(limits)
                credentials.update(members_cards(self.cards, tap))
        for programme, (periods, credentials) in wanted.items():
            for period in sorted(periods):
                new = {one for one in credentials if (period, one) not in self._asked}
                self._asked.update((period, one) for one in new)
                for key, used in load(connection, programme, [period], new).items():
                    self._used[key] = add(used, self._used.get(key, NOTHING))

    def of(self, tap: Tap | Boarded) -> dict[str, Used] | None:
        """Return what the member had used before this tap.

        None where it cannot matter: no limit is in force, or the member is far from it and the
        reader did not refuse for it.
        """
        limits = self.limits(tap.programme, tap.at_ms)
        if not limits or tap.credential is None:
            return None
        found = {period: self._sum(tap, period) for period in limits}
        refused = tap.code in (Code.USED_UP, Code.STALE)
        return found if refused or is_near(found, limits) else None

    def book(self, booked: Iterable[Booking]) -> None:
        """Count these for those that come after them in the group."""
        if self.rules:
            for one in booked:
                for period in one.periods:
                    key = (one.programme, period, one.credential)
                    self._used[key] = add(self._used.get(key, NOTHING), one.used)

    def limits(self, programme: str, at_ms: int) -> Mapping[str, Used]:
        """Return the thresholds of the hour; tables begin at midnight."""
        hour = at_ms // HOUR_MS
        found = self._limits.get((programme, hour))
        if found is None:
            found = near(programme, hour * HOUR_MS, self.rules)
            self._limits[programme, hour] = found
        return found

    def _sum(self, tap: Tap | Boarded, period: str) -> Used:
        total = NOTHING
        for credential in members_cards(self.cards, tap):
            total = add(total, self._used.get((tap.programme, period, credential), NOTHING))
        return total


def members_cards(cards: Cards, tap: Tap | Boarded) -> Collection[str]:
    """Return all credentials under which the member who holds this card was counted."""
    named = [one for one in (tap.credential, tap.older_credential) if one]
    return {other for one in named for other in (one, *cards.get((tap.programme, one), ()))}


_LOAD: Final = """
SELECT period, credential, times, yen FROM usage
WHERE credential IN ? AND programme = ? AND period IN ?
"""


def load(
    connection: sa.Connection, programme: str, periods: Iterable[str], credentials: Iterable[str]
) -> dict[Key, Used]:
    """Return what stands under these credentials in these periods."""
    named, every = sorted(set(periods)), sorted(set(credentials))
    rows = bulk.select_in(connection, _LOAD, every, programme, named)
    return {(programme, period, card): Used(times, yen) for period, card, times, yen in rows}


def near(
    programme: str, at_ms: int, rules: Mapping[str, Sequence[RuleTable]]
) -> Mapping[str, Used]:
    """Return from what usage on readers must know of a member; empty without a limit in force."""
    book = RULEBOOKS.get(programme)
    if book is None or book.near is None:
        return {}
    try:
        return book.near(at_ms, rules.get(programme, ()))
    except RuleTableRefused:
        return {}


def is_limited(rules: Mapping[str, Sequence[RuleTable]], at_ms: int) -> bool:
    """True when a table in force limits anything in any programme."""
    return any(near(programme, at_ms, rules) for programme in rules)


def is_near(used: Mapping[str, Used], limits: Mapping[str, Used]) -> bool:
    """True when a member has used enough of any period that readers must know."""
    return any(reaches(used.get(period, NOTHING), limit) for period, limit in limits.items())


def reaches(used: Used, limit: Used) -> bool:
    """See programmes.rulebook.Rulebook.near."""
    if not limit.times and not limit.yen:
        return used != NOTHING
    return (0 < limit.times <= used.times) or (0 < limit.yen <= used.yen)


_SIBLINGS: Final = """
SELECT card.programme, card.credential, sibling.credential
FROM card JOIN card AS sibling ON sibling.member_id = card.member_id
WHERE card.credential IN ? AND card.credential <> sibling.credential
"""


def cards_of_members(people: sa.Connection, credentials: Collection[str]) -> Cards:
    """Return all cards of each member that has others than the one named, superseded ones too."""
    found: dict[tuple[str, str], list[str]] = {}
    for programme, one, other in bulk.select_in(people, _SIBLINGS, sorted(credentials)):
        found.setdefault((programme, one), [one]).append(other)
    return found


def of_member(
    connection: sa.Connection, programme: str, credentials: Collection[str], at_ms: int
) -> dict[str, Used]:
    """Return what one member has used in the periods of an instant, over all his cards."""
    book = RULEBOOKS.get(programme)
    if book is None or book.periods is None:
        return {}
    total = dict.fromkeys(book.periods(at_ms), NOTHING)
    for (_, period, _), used in load(connection, programme, total, credentials).items():
        total[period] = add(total[period], used)
    return total


def cards_of(people: sa.Connection, member_id: int) -> list[str]:
    """Return the credentials of all cards that a member ever had."""
    return list(people.scalars(sa.select(card.c.credential).where(card.c.member_id == member_id)))


# --- the invariant -------------------------------------------------------------------------------


class Difference(NamedTuple):
    """A counter that is not the sum of its entries."""

    programme: str
    period: str
    credential: str
    counted: Used
    entries: Used


def recount(connection: sa.Connection) -> dict[Key, Used]:
    """Return what the ledger's entries come to, from the first to the last."""
    found: dict[Key, Used] = {}
    for name, book in RULEBOOKS.items():
        if book.periods is not None and book.rides is None:
            for row in _accepted(connection, name):
                used = Used(1, row.rider_pays_yen or 0)
                _recount(found, name, book.periods(row.at_ms), row.credential, used)
    for row in rides.shares(connection):
        periods = RULEBOOKS[row.programme].periods
        if periods is not None:
            used = Used(row.times, row.subsidy_yen)
            _recount(found, row.programme, periods(row.boarded_at_ms), row.credential, used)
    return found


def _recount(
    found: dict[Key, Used], programme: str, periods: Iterable[str], card: str, used: Used
) -> None:
    for period in periods:
        key = (programme, period, card)
        found[key] = add(found.get(key, NOTHING), used)


def _accepted(connection: sa.Connection, programme: str) -> Iterator[store.AnyRow]:
    wanted = sa.select(entry.c.credential, entry.c.at_ms, entry.c.rider_pays_yen).where(
        entry.c.kind == "tap",
        entry.c.programme == programme,
        entry.c.outcome == Outcome.ACCEPTED.value,
        entry.c.credential.is_not(None),
    )
    yield from connection.execute(wanted, execution_options={"yield_per": ROWS_AT_ONCE})


def check(connection: sa.Connection) -> list[Difference]:
    """Return every counter that is not the sum of its entries; none is right.

    It reads the whole ledger: for audits and tests. Entries of months that retention has dropped
    are missing from the sums, so counters of periods that began before are larger than them. Of
    periods from which rides were dropped nothing is said: their counters went too.
    """
    entries = recount(connection)
    gone = rides.gone_through(connection)
    rows = connection.execute(sa.select(usage))
    counters = {
        (row.programme, row.period, row.credential): Used(row.times, row.yen) for row in rows
    }
    return [
        Difference(key[0], key[1], key[2], counters.get(key, NOTHING), entries.get(key, NOTHING))
        for key in sorted(counters.keys() | entries.keys())
        if counters.get(key, NOTHING) != entries.get(key, NOTHING) and not _is_past(key, gone)
    ]


def _is_past(key: Key, gone: str) -> bool:
    """True for a period that began in a month through which rides were dropped, or before."""
    programme, period, _ = key
    began = period[:7] if "-" in period else f"{period}-04"
    return RULEBOOKS[programme].rides is not None and began <= gone
