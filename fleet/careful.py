"""The batch that is not plain, one at a time, with the database asked at each step.

Rules: whatever is wrong with a batch stays with it, under a savepoint; what cannot be read goes
byte for byte into quarantine and counts as committed, so nothing behind it waits; other bytes for
a number that stands are kept beside them, with an alarm; what the reader says is lost is a gap.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Final

import sqlalchemy as sa
import structlog

from fleet import gaps, journals, ledger, quarantine, reconcile, rides, store, usage
from fleet.alarms import AlarmKind, settle, sound
from fleet.findings import Finding
from fleet.journals import Family, Journal
from fleet.ledger import NewEntry
from fleet.opening import Deciding, Opened
from fleet.plain import signature
from fleet.quarantine import Numbers, Source
from fleet.reconcile import History, Judging
from fleet.schema import finding, gap, joint
from fleet.tally import Taken, Tally
from wire.entries import Cancel, ClockStep, EntryRefused, Ride, Start, Tap

log: Final = structlog.get_logger("fleet.ingest")


class BatchRefused(Exception):
    """A signed batch that does not hold together: it is quarantined, its numbers are known."""


def take(connection: sa.Connection, opened: Opened, judging: Judging | None, tally: Tally) -> Taken:
    """Take one batch in; whatever is wrong with it stays with it.

    Without `judging` its taps are not decided again, and counted as such.
    """
    try:
        with connection.begin_nested():
            return take_or_refuse(connection, opened, judging, tally)
    except BatchRefused as error:
        return _set_aside(connection, opened, "chain", str(error), tally)
    except Exception as error:  # one reader's bytes must never stop the others; they are kept
        if store.not_by_content(error):
            raise  # disk full, locked, a grant gone; the whole group is tried again
        log.exception("batch not taken in", reader=opened.arrived.reader.name)
        return _set_aside(connection, opened, "fault", repr(error), tally)


def take_or_refuse(
    connection: sa.Connection, opened: Opened, judging: Judging | None, tally: Tally
) -> Taken:
    """Take one batch in. Raises BatchRefused when its chain does not hold."""
    arrived, batch = opened.arrived, opened.batch
    at_ms = arrived.received_at_ms
    family, state = _open(connection, opened)
    _check(connection, state, opened)
    was_seen, was_through = state.seen, state.through
    conflicts = tally.conflicts
    new = _sort_out(connection, state, opened, tally)
    lost = gaps.missing(state.spans, batch.first, opened.begins_at - 1)
    _mark(state, opened)
    if batch.last > was_seen and tally.conflicts == conflicts:
        state.signed = signature(opened)
    touched = [state]
    if opened.start and any(one.n == 1 for one in new):
        touched += begin(connection, family, state, opened.start)
    if journals.goes_on_too_long(connection, state, batch.last) and batch.last > was_seen:
        sound(connection, AlarmKind.OLD_JOURNAL, state.journal, state.reader, "", at_ms)
    behind = not new or new[0].n <= was_seen  # a resend may hold both known and new entries
    follows = not behind and batch.first <= was_seen + 1 and was_seen == was_through
    in_order = follows and not state.superseded  # the next journal's bookings stand already
    findings = _judge(connection, state, opened, new, judging, in_order)
    journals.save(connection, touched)
    rows, counts = ledger.rows(state.id, new, at_ms), ledger.Counts()
    ledger.count(counts, arrived.reader, at_ms, rows)
    ledger.append(connection, rows, counts)
    tally.booked += rides.book(connection, arrived, state, new)
    note_findings(connection, [(state, findings)], at_ms)
    for hole in lost:  # what the reader says it can never send is a gap at once
        open_gap(connection, state.id, state.reader, hole, "declared-lost", at_ms)
    if batch.first <= was_seen or state.superseded:
        for number in gaps.fill(connection, state.id, state.spans, at_ms):
            settle(connection, AlarmKind.GAP, str(number), at_ms)
    tally.note_new(one.entry for one in new)
    return Taken(state.reader, state.journal, state.through)


def _open(connection: sa.Connection, opened: Opened) -> tuple[Family, Journal]:
    arrived, name = opened.arrived, opened.batch.journal
    family = journals.load_one(connection, arrived.reader.name, name, opened.start)
    state = family.get(name) or Journal(arrived.reader.name, name)
    state.received_at_ms = arrived.received_at_ms
    return family, state


def begin(
    connection: sa.Connection, family: Family, state: Journal, start: Start
) -> Sequence[Journal]:
    """Take in the first entry of a journal, sound what it tells; return the others it changes."""
    others, alarms = journals.begin(
        family, state, start, lambda one, n: journals.hash_at(connection, one, n)
    )
    for kind, subject, detail in alarms:
        sound(connection, kind, subject, state.reader, detail, state.received_at_ms)
    return others


def _check(connection: sa.Connection, state: Journal, opened: Opened) -> None:
    """Raise BatchRefused when the chain does not hold, in itself or with the ledger's."""
    batch = opened.batch
    if opened.fault:
        raise BatchRefused(opened.fault)
    place = opened.begins_at - 1
    if opened.hashes or not batch.lost:
        expected = journals.hash_at(connection, state, place)
        if expected is not None and expected != batch.before:
            raise BatchRefused(f"the ledger has another hash at {place}")
        if expected is None and opened.hashes and _fits(state, opened):
            _note_joint(connection, state, place, batch.before)
    if not _fits(state, opened):
        raise BatchRefused(f"more than {gaps.SPANS_MAX} holes in one journal")


def _fits(state: Journal, opened: Opened) -> bool:
    batch = opened.batch
    return len(gaps.add(state.spans, batch.first, batch.last)) <= gaps.SPANS_MAX


def _note_joint(connection: sa.Connection, state: Journal, n: int, digest: bytes) -> None:
    """Keep the hash before what stands behind a hole: the entry after it is proven by it."""
    if not state.id:
        journals.save(connection, [state])
    row = {"journal_id": state.id, "n": n, "hash": digest}
    store.insert_missing(connection, joint, [row])


def _sort_out(
    connection: sa.Connection, state: Journal, opened: Opened, tally: Tally
) -> list[NewEntry]:
    """Return the entries that are new; those that contradict or cannot be read are kept aside."""
    arrived, batch = opened.arrived, opened.batch
    start, at_ms = opened.begins_at, arrived.received_at_ms
    stands: Mapping[int, bytes | None] = {}
    if start <= state.seen:
        stands = ledger.bodies(connection, state, start, batch.last)
    new: list[NewEntry] = []
    every = zip(opened.bodies, opened.hashes, opened.entries, strict=True)
    for n, (body, digest, entry) in enumerate(every, start):
        if n in stands:
            if stands[n] in (body, None):
                tally.exists += 1
            else:
                ledger.contradict(connection, state, n, digest, body, at_ms)
                tally.conflicts += 1
        elif isinstance(entry, EntryRefused):
            if not state.id:
                journals.save(connection, [state])
            numbers = Numbers(state.id, n, n, digest)
            source = Source(arrived.reader.name, arrived.topic, at_ms)
            quarantine.keep(connection, source, quarantine.ENTRY, str(entry), body, numbers)
            tally.quarantined += 1
        else:
            new.append(NewEntry(n, digest, body, entry))
    return new


def _mark(state: Journal, opened: Opened) -> None:
    """Account for the batch's numbers."""
    batch, hashes = opened.batch, opened.hashes
    if batch.last > state.seen:
        state.seen_hash = hashes[-1] if hashes else None
    elif batch.last == state.seen and hashes and state.seen_hash is None:
        state.seen_hash = hashes[-1]
    state.spans = gaps.add(state.spans, batch.first, batch.last)
    state.claimed = max(state.claimed, batch.last)


def _judge(
    connection: sa.Connection,
    state: Journal,
    opened: Opened,
    new: Sequence[NewEntry],
    judging: Judging | None,
    in_order: bool,
) -> list[Finding]:
    """Replay the new taps and rides; taps out of order cannot be, and are counted."""
    deciding = [one.entry for one in new if isinstance(one.entry, Deciding)]
    taps = [one for one in deciding if isinstance(one, Tap)]
    if judging is None:
        state.unreplayed += sum(not isinstance(one, Cancel) for one in deciding)
        return []
    judging.known.usage.expect(connection, usage.boarded(deciding))
    reader = opened.arrived.reader
    numbers = [one.n for one in deciding if isinstance(one, Ride)]
    for n in rides.taken_back_before(connection, reader.name, state.journal, numbers):
        judging.settled.setdefault((reader.name, state.journal, n), None)
    names = dict(judging.known.names)
    stepped = any(isinstance(one.entry, ClockStep) for one in new)
    asked = ledger.Asked.of([(reader.name, taps)], opened.arrived.received_at_ms, names)
    history = History(
        state.journal,
        ledger.last_bookings(connection, asked).get(reader.name, {}),
        lambda: journals.history_is_whole(connection, state, None),
        lambda name: (
            (stepped and name == state.journal) or ledger.is_stepped(connection, reader.name, name)
        ),
        names,
        reader=reader.name,
        ride=functools.partial(rides.find, connection, reader.name),
    )
    findings, unreplayed = reconcile.judge_all(
        deciding, reader.place, judging, history, in_order=in_order
    )
    state.unreplayed += unreplayed
    return findings


def _set_aside(
    connection: sa.Connection, opened: Opened, reason: str, detail: str, tally: Tally
) -> Taken:
    """Quarantine a signed batch whole. Its numbers are known, so they count as committed."""
    arrived, batch = opened.arrived, opened.batch
    source = Source(arrived.reader.name, arrived.topic, arrived.received_at_ms)
    _, state = _open(connection, opened)
    tally.quarantined += 1
    accounted = gaps.add(state.spans, batch.first, batch.last)
    if len(accounted) > gaps.SPANS_MAX or batch.last < batch.first:
        quarantine.keep(connection, source, reason, detail, arrived.payload)
    else:
        if batch.last > state.seen:
            state.seen_hash = batch.tip
        state.spans = accounted
        journals.save(connection, [state])
        numbers = Numbers(state.id, batch.first, batch.last, batch.tip)
        quarantine.keep(connection, source, reason, detail, arrived.payload, numbers)
    return Taken(state.reader, state.journal, state.through)


def note_findings(
    connection: sa.Connection, found: Sequence[tuple[Journal, Sequence[Finding]]], at_ms: int
) -> None:
    """Keep findings, all in one statement; each journal's first fault sounds the alarm."""
    rows = [
        {
            "journal_id": state.id,
            "n": one.n,
            "kind": one.kind,
            "outcome": one.decision.outcome.value,
            "code": one.decision.code.value,
            "rule": one.decision.rule,
            "rider_pays_yen": one.decision.rider_pays_yen,
            "found_at_ms": at_ms,
        }
        for state, findings in found
        for one in findings
    ]
    store.insert_missing(connection, finding, rows)
    for state, findings in found:
        faults = [one.n for one in findings if one.kind == "replay"]
        if faults:
            detail = f"{state.journal}/{faults[0]}"
            sound(connection, AlarmKind.REPLAY, state.reader, state.reader, detail, at_ms)


def open_gap(
    connection: sa.Connection,
    journal_id: int,
    reader: str,
    hole: gaps.Span,
    cause: str,
    at_ms: int,
) -> None:
    """Open a gap and its alarm; one that is open already stays as it is."""
    first, last = hole
    row = {
        "journal_id": journal_id,
        "first": first,
        "last": last,
        "missing": last - first + 1,
        "cause": cause,
        "opened_at_ms": at_ms,
    }
    store.insert_missing(connection, gap, [row])
    here = (gap.c.journal_id == journal_id, gap.c.first == first, gap.c.last == last)
    number = connection.scalar(sa.select(gap.c.id).where(*here, gap.c.cause == cause))
    detail = f"{cause}: {first}-{last}"
    sound(connection, AlarmKind.GAP, str(number), reader, detail, at_ms)
