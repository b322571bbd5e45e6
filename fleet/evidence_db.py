"""The facts of `fleet.evidence` from the fleet's own database: in one consistent state, streamed.

An entry's columns are compared with its bytes here, since a bundle carries the bytes alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import evidence, ledger, usage
from fleet.quarantine import ENTRY
from fleet.schema import (
    conflict,
    entry,
    gap,
    joint,
    journal,
    ledger_epoch,
    quarantine,
    reader,
    reader_key,
    reader_state,
    retired_journal,
    retired_month,
    retired_reader,
)
from fleet.store import AnyRow
from wire.entries import EntryRefused, decode

ROWS_AT_ONCE: Final = 1_000
"""Entries fetched at a time: about half a megabyte."""


class Scope(NamedTuple):
    """Which reader (None: all), and which days of receipt, UTC in ms, `to_ms` excluded."""

    reader: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None


def facts(connection: sa.Connection, tenant: str, scope: Scope) -> Iterator[evidence.Fact]:
    """Yield all facts of a scope. The connection reads one consistent state until the end."""
    yield evidence.Head(1, tenant, *scope)
    for row in connection.execute(sa.select(ledger_epoch).order_by(ledger_epoch.c.id)):
        yield evidence.Life(row.epoch, row.began_at_ms, row.reason)
    for row in connection.execute(sa.select(retired_month).order_by(retired_month.c.month)):
        yield evidence.Month(row.month, row.entries, row.at_ms, row.who, row.line)
    readers = sa.select(reader.c.name)
    if scope.reader is not None:
        readers = readers.where(reader.c.name == scope.reader)
    for name in sorted(connection.scalars(readers)):
        yield from _reader(connection, name, scope)
    if scope == Scope():
        yield from _counters(connection)


def _counters(connection: sa.Connection) -> Iterator[evidence.Fact]:
    """Yield how many counters of each period differ from the entries; it names no card."""
    found: dict[tuple[str, str], tuple[int, bool]] = {}
    for one in usage.check(connection):
        differing, more = found.get((one.programme, one.period), (0, True))
        more = more and one.counted.times >= one.entries.times
        found[one.programme, one.period] = (differing + 1, more)
    for (programme, period), (differing, more) in sorted(found.items()):
        yield evidence.Counters(programme, period, differing, more)


def entries_in(connection: sa.Connection, scope: Scope) -> int:
    """Return about how many entries `facts` will yield, for a progress bar."""
    wanted = sa.select(sa.func.coalesce(sa.func.sum(journal.c.seen), 0))
    if scope.reader is not None:
        wanted = wanted.where(journal.c.reader == scope.reader)
    return int(connection.scalar(wanted) or 0)


def _reader(connection: sa.Connection, name: str, scope: Scope) -> Iterator[evidence.Fact]:
    told = connection.execute(
        sa.select(reader_state.c.journal, reader_state.c.n).where(reader_state.c.reader == name)
    ).one_or_none()
    yield evidence.Reader(name, *(told or (None, 0)))
    keys = sa.select(reader_key).where(reader_key.c.reader == name).order_by(reader_key.c.key_id)
    for row in connection.execute(keys):
        yield evidence.Key(row.key_id, row.public_key)
    retired = sa.select(retired_reader).where(retired_reader.c.reader == name)
    for row in connection.execute(retired.order_by(retired_reader.c.month)):
        yield evidence.RetiredOf(row.month, row.line)
    journals = sa.select(journal).where(journal.c.reader == name).order_by(journal.c.id)
    chosen = _chosen(connection, name, scope)
    for row in connection.execute(journals).all():
        take = chosen is None or row.id in chosen
        yield _journal(row, take)
        yield from _around(connection, row.id, take)
        if take:
            yield from _entries(connection, row.id)


def _chosen(connection: sa.Connection, name: str, scope: Scope) -> set[int] | None:
    """Return the journals of which something came in the days asked for; None: all of them."""
    if scope.from_ms is None and scope.to_ms is None:
        return None
    found: set[int] = set()
    for table, at in (
        (entry, entry.c.received_at_ms),
        (gap, gap.c.opened_at_ms),
        (quarantine, quarantine.c.received_at_ms),
        (conflict, conflict.c.received_at_ms),
    ):
        inside = [table.c.journal_id == journal.c.id]
        if scope.from_ms is not None:
            inside.append(at >= scope.from_ms)
        if scope.to_ms is not None:
            inside.append(at < scope.to_ms)
        there = sa.exists().where(*inside)
        found |= set(
            connection.scalars(sa.select(journal.c.id).where(journal.c.reader == name, there))
        )
    return found


def _journal(row: AnyRow, chosen: bool) -> evidence.Journal:
    former = None
    if row.former_journal is not None:
        former = evidence.Former(row.former_journal, row.former_n, row.former_tip)
    return evidence.Journal(
        journal=row.journal,
        chosen=chosen,
        former=former,
        spans=[(first, last) for first, last in row.spans],
        claimed=row.claimed,
        superseded=row.superseded,
        seen_hash=row.seen_hash,
        signature=_signature(row),
    )


def _signature(row: AnyRow) -> evidence.Signature | None:
    if row.signature is None:
        return None
    return evidence.Signature(
        row.signed_first,
        row.signed_lost,
        row.signed_last,
        row.signed_before,
        row.signed_key,
        row.signature,
    )


def _around(connection: sa.Connection, journal_id: int, chosen: bool) -> Iterator[evidence.Fact]:
    """Yield what is told of a journal beside its entries."""
    if chosen:
        for row in _rows(connection, _GAPS, journal_id):
            yield evidence.Gap(*row)
    for row in _rows(connection, _RUNS, journal_id):
        yield evidence.Run(*row)
    if not chosen:
        return
    for row in _rows(connection, _ASIDES, journal_id):
        single = row.first == row.last and row.reason == ENTRY
        yield evidence.Aside(
            row.first,
            row.last,
            row.hash,
            row.reason,
            row.received_at_ms,
            row.resolved_at_ms,
            bytes(row.payload) if single else None,
        )
    for row in _rows(connection, _JOINTS, journal_id):
        yield evidence.Joint(*row)
    for row in _rows(connection, _CONFLICTS, journal_id):
        yield evidence.Conflict(*row)


def _rows(connection: sa.Connection, wanted: "sa.Select[Any]", journal_id: int) -> Iterator[AnyRow]:
    yield from connection.execute(wanted, {"here": journal_id})


_HERE: Final[Any] = sa.bindparam("here")
_GAPS: Final = (
    sa.select(
        gap.c.first,
        gap.c.last,
        gap.c.missing,
        gap.c.cause,
        gap.c.opened_at_ms,
        gap.c.how,
        gap.c.closed_at_ms,
        gap.c.closed_by,
        gap.c.why,
    )
    .where(gap.c.journal_id == _HERE)
    .order_by(gap.c.id)
)
_RUNS: Final = (
    sa.select(
        retired_journal.c.month,
        retired_journal.c.kind,
        retired_journal.c.first,
        retired_journal.c.last,
        retired_journal.c.before,
        retired_journal.c.after,
    )
    .where(retired_journal.c.journal_id == _HERE)
    .order_by(retired_journal.c.first, retired_journal.c.month, retired_journal.c.kind)
)
_ASIDES: Final = (
    sa.select(quarantine).where(quarantine.c.journal_id == _HERE).order_by(quarantine.c.id)
)
_JOINTS: Final = sa.select(joint.c.n, joint.c.hash).where(joint.c.journal_id == _HERE)
_CONFLICTS: Final = (
    sa.select(conflict.c.n, conflict.c.body_sha256, conflict.c.received_at_ms)
    .where(conflict.c.journal_id == _HERE)
    .order_by(conflict.c.id)
)
_BODY: Final = sa.cast(entry.c.body, sa.LargeBinary).label("body")
_HASH: Final = sa.cast(entry.c.hash, sa.LargeBinary).label("hash")
_TOLD: Final = [entry.c[name] for name in ledger.TAKEN_FROM_BODY]
_ENTRIES: Final = (
    sa.select(entry.c.n, _HASH, _BODY, entry.c.received_at_ms, *_TOLD)
    .where(entry.c.journal_id == _HERE)
    .order_by(entry.c.n)
)


def _entries(connection: sa.Connection, journal_id: int) -> Iterator[evidence.Fact]:
    streamed = {"yield_per": ROWS_AT_ONCE}
    for row in connection.execute(_ENTRIES, {"here": journal_id}, execution_options=streamed):
        n, digest, body, received_at_ms, *told = row
        yield evidence.Entry(
            n, digest, body.decode("utf-8", "replace"), received_at_ms, _unlike(body, told)
        )


def _unlike(body: bytes, told: list[Any]) -> str:
    """Return the names of the columns that differ from what the bytes say; empty: none."""
    try:
        said: Mapping[str, Any] = ledger.columns(decode(body))
    except EntryRefused:
        return ""  # the proof says so of the bytes themselves
    pairs = zip(ledger.TAKEN_FROM_BODY, told, strict=True)
    return " ".join(name for name, value in pairs if said[name] != value)[:400]
