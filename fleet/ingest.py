"""What becomes of a group of batches: inserted or recognised, decided again, marked, acknowledged.

Rules: one transaction for a group of batches of many readers; an acknowledgement is made only of
what the transaction commits; what a group costs the database does not grow with its batches while
they are plain (`plain`); everything unusual is taken one by one (`careful`), behind the plain
batches of its reader that came before it; no batch can stop another one; what nobody vouches for
is kept within limits and acknowledged never.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import sqlalchemy as sa
import structlog

from fleet import (
    bulk,
    careful,
    gaps,
    journals,
    ledger,
    plain,
    quarantine,
    reconcile,
    rides,
    store,
    usage,
)
from fleet.alarms import sound
from fleet.bookings import Bookings
from fleet.findings import Finding, Known, Names
from fleet.journals import Family, Journal
from fleet.opening import Deciding, Opened, Refused
from fleet.plain import Plan
from fleet.quarantine import Source
from fleet.reconcile import History, Judging, Last
from fleet.roster_files import RosterArchive
from fleet.tally import Taken, Tally
from wire.entries import Cancel, ClockStep, Ride, Tap

log: Final = structlog.get_logger("fleet.ingest")


def lock(connection: sa.Connection, opened: Iterable[Opened | Refused], known: Known) -> None:
    """Let no other worker touch these readers' journals, nor what limited programmes count."""
    store.lock(connection, "reader", {one.arrived.reader.name for one in opened})
    some = (each for one in opened if isinstance(one, Opened) for each in one.deciding)
    hours = {(one.programme, _counts_at_ms(one) // usage.HOUR_MS) for one in some}
    limits = known.usage.limits
    limited = {name for name, hour in hours if limits(name, hour * usage.HOUR_MS)}
    store.lock(connection, "programme", limited)


def _counts_at_ms(one: Deciding) -> int:
    return one.boarded_at_ms if isinstance(one, Ride) else one.at_ms


class NotAtOnce(Exception):
    """Something of a group stands against taking it in at once; nothing of it may be kept."""


class Ingest:
    """Takes groups of batches in; what the fleet knows about cards is asked once a group."""

    def __init__(self, archive: RosterArchive) -> None:
        self._archive = archive
        self._bookings = Bookings()

    def take(
        self,
        connection: sa.Connection,
        opened: Sequence[Opened | Refused],
        known: Known,
        *,
        at_once: bool,
    ) -> Tally:
        """Take one group in, inside the caller's transaction, which has its `lock`.

        Raises NotAtOnce; the group is taken again, not `at_once` and so one batch after another,
        after the caller has rolled back.
        """
        batches = [one for one in opened if isinstance(one, Opened)]
        tally, left = self._plain(connection, batches, known) if at_once else (Tally(), batches)
        judging, waiting = Judging(self._archive, known, {}), {id(one) for one in left}
        for one in opened:
            if isinstance(one, Refused):
                _keep(connection, one)
                tally.quarantined += 1
            elif id(one) in waiting:
                self._bookings.forget(one.arrived.reader.name)
                tally.taken.append(careful.take(connection, one, judging, tally))
        if left:
            usage.count(connection, tally.booked)
        return tally

    def _plain(
        self, connection: sa.Connection, batches: Sequence[Opened], known: Known
    ) -> tuple[Tally, Sequence[Opened]]:
        """Take all plain batches in at once; return those that are left, in their order."""
        try:
            plans, left = _sort_out(connection, batches)
            judged = self._judge(connection, plans, known)
            return _write(connection, plans, judged, is_all=not left), left
        except sa.exc.OperationalError:
            raise  # the database itself: disk full, locked; the whole group is tried again
        except Exception as error:  # one batch stops no other: each is taken alone
            self._bookings = Bookings()
            log.warning("group not taken in at once", batches=len(batches), error=repr(error))
            raise NotAtOnce from error

    def _judge(
        self, connection: sa.Connection, plans: Sequence[Plan], known: Known
    ) -> list[tuple[Sequence[Finding], int]]:
        """Decide all taps again in the order of arrival.

        Return each plan's findings, and how many of its taps could not be replayed.
        """
        if not plans:
            return []
        names = dict(known.names)
        last = self._bookings.begin(connection, plans, names)
        deciding = [one.opened.deciding for one in plans]
        known.usage.expect(connection, usage.boarded(each for some in deciding for each in some))
        judging = Judging(self._archive, known, {})
        found: list[tuple[Sequence[Finding], int]] = []
        for one, some in zip(plans, deciding, strict=True):
            history = History(
                one.state.journal,
                last[one.state.reader],
                _is_whole(connection, one),
                _is_stepped(connection, one, plans),
                names,
                _look_up(connection, one.state, names),
                one.state.reader,
                functools.partial(rides.find, connection, one.state.reader),
            )
            place = one.opened.arrived.reader.place
            found.append(reconcile.judge_all(some, place, judging, history))
        return found


def _keep(connection: sa.Connection, refused: Refused) -> None:
    arrived = refused.arrived
    source = Source(arrived.reader.name, arrived.topic, arrived.received_at_ms)
    quarantine.keep(connection, source, refused.reason, refused.detail, arrived.payload)


def _sort_out(
    connection: sa.Connection, batches: Sequence[Opened]
) -> tuple[list[Plan], list[Opened]]:
    """Return what the plain batches come to, and the others.

    Behind the first batch of a reader that is not plain none of it is: they wait for it.
    """
    wanted = {(one.arrived.reader.name, one.batch.journal) for one in batches}
    starts = [start for one in batches if (start := one.start)]
    families = journals.load(connection, wanted, starts) if wanted else {}
    plans: list[Plan] = []
    left: list[Opened] = []
    waiting: set[str] = set()
    for one in batches:
        reader = one.arrived.reader.name
        planned = None if reader in waiting else plain.plan(families[reader], one)
        if planned is None:
            waiting.add(reader)
            left.append(one)
        else:
            plans.append(planned)
            families[reader] |= _states(planned)
    return plans, left


def _states(plan: Plan) -> Family:
    """Return the journals that a plan changes, as they are after it."""
    return {one.journal: one for one in (plan.state, *plan.others)}


def _is_whole(connection: sa.Connection, plan: Plan) -> reconcile.Ask:
    return lambda: journals.history_is_whole(connection, plan.state, plan.former)


def _is_stepped(
    connection: sa.Connection, plan: Plan, group: Sequence[Plan]
) -> Callable[[str], bool]:
    reader = plan.state.reader

    def is_stepped(name: str) -> bool:
        here = (
            one.state.reader == reader
            and one.state.journal == name
            and any(isinstance(each, ClockStep) for each in one.opened.entries)
            for one in group
        )
        return any(here) or ledger.is_stepped(connection, reader, name)

    return is_stepped


def _look_up(connection: sa.Connection, state: Journal, names: Names) -> reconcile.LookUp:
    def look_up(tap: Tap) -> Mapping[str, Last]:
        asked = ledger.Asked.of([(state.reader, [tap])], state.received_at_ms, names)
        return ledger.last_bookings(connection, asked).get(state.reader, {})

    return look_up


def _write(
    connection: sa.Connection,
    plans: Sequence[Plan],
    judged: Sequence[tuple[Sequence[Finding], int]],
    *,
    is_all: bool,
) -> Tally:
    """Write what the plans come to: a few statements, however many there are.

    `is_all`: nothing else of the group follows, so usage is counted too.
    """
    tally = Tally()
    states: dict[tuple[str, str], Journal] = {}
    unreplayed: dict[tuple[str, str], int] = {}
    for plan, (_, count) in zip(plans, judged, strict=True):
        for one in (plan.state, *plan.others):
            states[one.reader, one.journal] = one
        key = (plan.state.reader, plan.state.journal)
        unreplayed[key] = unreplayed.get(key, 0) + count
        tally.taken.append(Taken(*key, plan.state.through))
    for key, count in unreplayed.items():
        states[key].unreplayed += count
    begun = {one.journal for plan in plans if plan.opened.start for one in _states(plan).values()}
    every = states.values()
    goes_on = [one for one in every if one.id and one.journal not in begun]
    journals.save(connection, [one for one in every if not one.id or one.journal in begun])
    rows: list[ledger.Row] = []
    riding: list[tuple[Opened, Journal]] = []
    counts: ledger.Counts = {}
    found: list[tuple[Journal, Sequence[Finding]]] = []
    for plan, (findings, _) in zip(plans, judged, strict=True):
        opened, state = plan.opened, states[plan.state.reader, plan.state.journal]
        arrived = opened.arrived
        tally.note_new(opened.readable_entries)
        some = ledger.rows(state.id, opened.numbered(), arrived.received_at_ms)
        if any(isinstance(one, Ride | Cancel) for one in opened.entries):
            riding.append((opened, state))
        ledger.count(counts, arrived.reader, arrived.received_at_ms, some)
        rows += some
        found.append((state, findings))
        for kind, subject, detail in plan.alarms:
            sound(connection, kind, subject, state.reader, detail, arrived.received_at_ms)
    with bulk.few(connection, rows):
        journals.move(connection, goes_on)
        ledger.append(connection, rows, counts)
        if is_all and not riding:
            usage.count(connection, tally.booked)
    for opened, state in riding:
        tally.booked += rides.book(connection, opened.arrived, state, opened.numbered())
    if is_all and riding:
        usage.count(connection, tally.booked)
    careful.note_findings(
        connection, found, max((one.received_at_ms for one, _ in found), default=0)
    )
    return tally


def sweep(
    connection: sa.Connection, clock: gaps.HoleClock, now_ns: int, at_ms: int
) -> list[tuple[int, gaps.Span]]:
    """Turn holes that have stood long enough into gaps; return those (journal id, hole)."""
    due = clock.due(gaps.open_holes(connection), now_ns)
    if not due:
        return []
    readers = journals.readers_of(connection, [journal_id for journal_id, _ in due])
    store.lock(connection, "reader", set(readers.values()))
    still_open = set(gaps.open_holes(connection))
    due = [hole for hole in due if hole in still_open]
    for journal_id, hole in due:
        careful.open_gap(connection, journal_id, readers[journal_id], hole, "not-arrived", at_ms)
    return due
