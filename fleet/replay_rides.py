"""What a past month of rides would have come to under another rule table.

Rules: the programme's own functions decide who rides and settle each ride again, in the order in
which rides began, with what each member had used since the fiscal year's beginning, over all his
cards, as if the table had been in force since then; a ride that was taken back is not played; who
would not have been let on is no rider of it, and when nobody is left the riders pay it all. Rides
that the office entered are played like the others.
"""

import datetime
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import sqlalchemy as sa
from msgspec.structs import replace as changed

from fleet.months import bounds_ms
from fleet.replay import (
    ALWAYS,
    BREATH_ENTRIES,
    BREATH_S,
    ENTRIES_MAX,
    ROWS_AT_ONCE,
    Members,
    Progress,
    Replayed,
    Sums,
    TooMuch,
)
from fleet.schema import ride, ride_share
from fleet.store import AnyRow
from programmes.calendar import fiscal_year, local_day, start_of_day_ms
from programmes.rides import RideFacts, RiderFacts, Rides
from programmes.rulebook import Facts, Place, Rulebook, RuleTableRefused
from wire.codes import Outcome
from wire.credential import Credential
from wire.entries import Used
from wire.roster import RosterRow, RuleTable

_TAXI: Final = Place("", "taxi")


class _Ridden(NamedTuple):
    """One ride of the ledger with its riders."""

    of: AnyRow
    riders: tuple[object, ...]
    """Who they are: a member's number, or a card that is nobody's."""


def replay(
    connection: sa.Connection,
    book: Rulebook,
    month: datetime.date,
    table: RuleTable,
    tables: Sequence[RuleTable],
    members: Members,
    progress: Progress,
) -> Replayed:
    """Settle a month's rides again under a table; see fleet.replay.replay for what is what.

    Raises TooMuch, RuleTableRefused when a table does not fit the programme.
    """
    if book.rides is None:
        raise RuleTableRefused(f"{book.name} settles no rides")
    begin_ms, end_ms = bounds_ms(month)
    would_be = _Run(book, book.rides, (changed(table, valid_from=ALWAYS),))
    again = _Run(book, book.rides, tables)
    was, new_sums = Sums(), Sums()
    seen, affected, unlike = set[object](), set[object](), 0
    for one in _rides(connection, book.name, begin_ms, end_ms, members, progress):
        new, old = would_be.ride(one), again.ride(one)
        if one.of.boarded_at_ms < begin_ms:
            continue
        accepted = one.of.outcome == Outcome.ACCEPTED.value
        then = _Came(len(one.riders) if accepted else 0, one.of.subsidy_yen, one.of.riders_pay_yen)
        _add(was, then, len(one.riders))
        _add(new_sums, new, len(one.riders))
        unlike += old != then
        seen.update(one.riders)
        if new != then:
            affected.update(one.riders)
    return Replayed(was, new_sums, len(seen), len(affected), unlike)


class _Came(NamedTuple):
    """What a ride came to: riders who were let on and supported, and whole yen."""

    riders: int
    city_yen: int
    riders_yen: int


def _add(sums: Sums, came: _Came, riders: int) -> None:
    sums.accepted += came.riders
    sums.refused += riders - came.riders
    sums.rider_yen += came.riders_yen
    sums.city_yen += came.city_yen


def _rides(
    connection: sa.Connection,
    programme: str,
    begin_ms: int,
    end_ms: int,
    members: Members,
    progress: Progress,
) -> Iterator[_Ridden]:
    """Yield the rides since the fiscal year began, in the order in which they began."""
    year = fiscal_year(local_day(begin_ms))
    since_ms = start_of_day_ms(datetime.date(year, 4, 1))
    later = sa.alias(ride, "later")
    wanted = (
        sa.select(ride, ride_share.c.credential)
        .join(ride_share, ride_share.c.ride_id == ride.c.id)
        .where(
            ride.c.programme == programme,
            ride.c.boarded_at_ms >= since_ms,
            ride.c.boarded_at_ms < end_ms,
            ride.c.kind == "ride",
            ~sa.exists().where(later.c.of_id == ride.c.id),
        )
        .order_by(ride.c.boarded_at_ms, ride.c.id, ride_share.c.seat)
    )
    with connection.execute(wanted, execution_options={"yield_per": ROWS_AT_ONCE}) as rows:
        for number, (_, some) in enumerate(itertools.groupby(rows, lambda row: row.id), 1):
            if number > ENTRIES_MAX:
                raise TooMuch(f"more than {ENTRIES_MAX} rides")
            shares = list(some)
            if number % BREATH_ENTRIES == 0:
                gone_ms = shares[0].boarded_at_ms - since_ms
                progress(min(1.0, gone_ms / (end_ms - since_ms)))
                time.sleep(BREATH_S)
            cards = (row.credential for row in shares)
            yield _Ridden(shares[0], tuple(members.get(card, card) for card in cards))


@dataclass(slots=True)
class _Run:
    """One table, or those of then, over all rides: what members have used so far."""

    book: Rulebook
    rides: Rides
    rules: Sequence[RuleTable]
    _used: dict[object, dict[str, Used]] = field(default_factory=dict)

    def ride(self, one: _Ridden) -> _Came:
        """Play a ride, count it, and return what it comes to."""
        let_on = [who for who in one.riders if self._may(who, one.of.boarded_at_ms)]
        whole = one.of.fare_yen - one.of.discount_yen
        if not let_on:
            return _Came(0, 0, whole)
        facts = RideFacts(
            one.of.at_ms,
            one.of.boarded_at_ms,
            [RiderFacts(_ROW, self._of(who), 0) for who in let_on],
            one.of.fare_yen,
            self.rules,
            discount=one.of.discount,
            on=one.of.on_spot,
            off=one.of.off_spot,
        )
        try:
            made = self.rides.settle(facts)
        except RuleTableRefused:  # a day before the first table
            return _Came(0, 0, whole)
        if made.outcome is not Outcome.ACCEPTED:
            return _Came(0, 0, made.riders_pay_yen)
        for who, yen in zip(let_on, made.subsidies_yen, strict=True):
            self._count(who, one.of.boarded_at_ms, yen)
        return _Came(len(let_on), made.subsidy_yen, made.riders_pay_yen)

    def _may(self, who: object, at_ms: int) -> bool:
        facts = Facts(at_ms, _TAXI, _ROW, self.rules, 0, used=self._of(who), usage_age_s=0)
        try:
            return self.book.decide(facts).outcome is Outcome.ACCEPTED
        except RuleTableRefused:
            return False

    def _of(self, who: object) -> dict[str, Used]:
        return self._used.get(who, {})

    def _count(self, who: object, at_ms: int, yen: int) -> None:
        mine = self._used.setdefault(who, {})
        for period in self.book.periods(at_ms) if self.book.periods else ():
            had = mine.get(period, Used())
            mine[period] = Used(had.times + 1, had.yen + yen)


_ROW: Final = RosterRow(Credential("00" * 16), "", None, None, None)
"""Whoever rode was enrolled; nothing else of a member is known to the ledger."""
