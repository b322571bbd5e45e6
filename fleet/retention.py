"""Months past their time: dropped whole, and what is left is a line that the fleet signs.

Rules: how long entries are kept is the tenant's to say; a month is one of receipt, by the fleet's
clock in the town's zone; neither the present month goes nor the one that holds the newest entry;
nothing goes whose chain does not hold or for which a question is still open, unless a person says
so; entries, their findings, conflicts and quarantine go in the transaction that leaves the line.
"""

import datetime
import hashlib
from collections.abc import Iterator
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, evidence, months, verdict
from fleet.evidence import Former, Run
from fleet.grants import lifted
from fleet.schema import (
    conflict,
    entry,
    finding,
    gap,
    joint,
    journal,
    quarantine,
    retention,
    retired_journal,
    retired_month,
    retired_reader,
)
from fleet.store import AnyRow
from fleet.verdict import RetiredMonth, RetiredReader, Sum
from wire.entries import EntryRefused, JournalId, chain, decode, genesis
from wire.envelope import Purpose, Signer
from wire.individual_number import refuse_individual_number

MONTHS_DEFAULT: Final = 60
"""Money claims of and against a municipality lapse after five years (地方自治法 article 236); the
tenant's own rules for records (文書管理規則) may ask for more, and then `set` says so."""
MONTHS_MIN: Final = 13
"""A fiscal year whose allowances are still counted, and a month; more than the 40 days for which a
reader may send an acknowledged entry again."""
MONTHS_MAX: Final = 1_200
OBSTACLES_MAX: Final = 20
"""Reasons named why a month cannot go; the rest is the same again."""
ROWS_AT_ONCE: Final = 1_000


class RetentionRefused(ValueError):
    """This month cannot be dropped, or not be kept so long; the sentence says why."""


class Survey(NamedTuple):
    """What a month holds, read before it is dropped."""

    month: datetime.date
    entries: int
    first_position: int
    last_position: int
    first_hash: bytes
    last_hash: bytes
    readers: dict[str, int]
    """Entries by reader."""
    runs: list[tuple[str, int, str, Former | None, Run]]
    """Reader, journal's number, journal, what came before it, run; by reader and journal."""
    sums: dict[str, Sum]
    obstacles: list[str]


def kept_months(connection: sa.Connection) -> int:
    """Return how many months entries are kept."""
    newest = sa.select(retention.c.months).order_by(retention.c.id.desc()).limit(1)
    return connection.scalar(newest) or MONTHS_DEFAULT


def keep_months(connection: sa.Connection, count: int, who: str, why: str, at_ms: int) -> None:
    """Say how many months entries are kept. Raises RetentionRefused."""
    if not MONTHS_MIN <= count <= MONTHS_MAX:
        raise RetentionRefused(f"entries are kept {MONTHS_MIN} to {MONTHS_MAX} months, not {count}")
    if not why.strip():
        raise RetentionRefused("retention is changed with a reason: name the rule that asks for it")
    refuse_individual_number("why", why)
    row = {"months": count, "at_ms": at_ms, "who": who, "why": why}
    connection.execute(retention.insert(), row)
    audit.note(connection, at_ms, who, "retention.set", str(count), why)


def oldest_kept(now_ms: int, count: int) -> datetime.date:
    """Return the first month that stays: the present one and `count` whole ones before it."""
    present = months.month_of(now_ms)
    number = present.year * 12 + present.month - 1 - count
    return datetime.date(number // 12, number % 12 + 1, 1)


def due(connection: sa.Connection, now_ms: int) -> list[datetime.date]:
    """Return the months past their time that hold entries, the oldest first."""
    before_ms, _ = months.bounds_ms(oldest_kept(now_ms, kept_months(connection)))
    found: list[datetime.date] = []
    since_ms = 0
    while True:
        inside = (entry.c.received_at_ms >= since_ms, entry.c.received_at_ms < before_ms)
        first_ms = connection.scalar(sa.select(sa.func.min(entry.c.received_at_ms)).where(*inside))
        if first_ms is None:
            break
        month = months.month_of(first_ms)
        found.append(month)
        _, since_ms = months.bounds_ms(month)
    newest = sa.select(entry.c.received_at_ms).order_by(entry.c.position.desc()).limit(1)
    last_ms = connection.scalar(newest)
    return [one for one in found if last_ms is None or one != months.month_of(last_ms)]


def gone(connection: sa.Connection) -> list[tuple[str, int, str]]:
    """Return the months that were dropped: month, entries, by whom."""
    wanted = sa.select(retired_month.c.month, retired_month.c.entries, retired_month.c.who)
    rows = connection.execute(wanted.order_by(retired_month.c.month))
    return [(row.month, row.entries, row.who) for row in rows]


# --- reading a month -----------------------------------------------------------------------------


def survey(connection: sa.Connection, month: datetime.date) -> Survey:
    """Read all of a month: its runs, with their chains worked out again, and its sums."""
    inside = _inside(entry.c.received_at_ms, month)
    ends = sa.select(
        sa.func.count(), sa.func.min(entry.c.position), sa.func.max(entry.c.position)
    ).where(inside)
    entries, first, last = connection.execute(ends).one()
    if not entries:
        raise RetentionRefused(f"{month:%Y-%m} holds no entry")
    hash_of = sa.select(entry.c.hash).where(entry.c.position == sa.bindparam("position"))
    first_hash, last_hash = (
        bytes(connection.execute(hash_of, {"position": one}).scalar_one()) for one in (first, last)
    )
    found = Survey(month, entries, first, last, first_hash, last_hash, {}, [], {}, [])
    for row in _journals(connection, month):
        _survey_journal(connection, row, found)
    found.obstacles.extend(_open_questions(connection, month))
    del found.obstacles[OBSTACLES_MAX:]
    return found


def _inside(at: "sa.ColumnElement[int]", month: datetime.date) -> "sa.ColumnElement[bool]":
    first_ms, after_ms = months.bounds_ms(month)
    return sa.and_(at >= first_ms, at < after_ms)


def _journals(connection: sa.Connection, month: datetime.date) -> list[AnyRow]:
    """Return the journals of which something was received in a month, by reader, oldest first."""
    named = set(
        connection.scalars(
            sa.select(entry.c.journal_id).where(_inside(entry.c.received_at_ms, month)).distinct()
        )
    )
    there = quarantine.c.journal_id.is_not(None)
    aside = sa.select(quarantine.c.journal_id).where(
        there, _inside(quarantine.c.received_at_ms, month)
    )
    named |= set(connection.scalars(aside.distinct()))
    rows = [
        connection.execute(sa.select(journal).where(journal.c.id == one)).one()
        for one in sorted(named)
    ]
    return sorted(rows, key=lambda row: (row.reader, row.id))


def _survey_journal(connection: sa.Connection, row: AnyRow, found: Survey) -> None:
    former = None
    if row.former_journal is not None:
        former = Former(row.former_journal, row.former_n, row.former_tip)
    runs = list(_asides(connection, row.id, found.month))
    runs += _entry_runs(connection, row, found)
    for run in sorted(runs, key=lambda run: (run.first, run.kind)):
        found.runs.append((row.reader, row.id, row.journal, former, run))
        if run.kind == "entries":
            size = run.last - run.first + 1
            found.readers[row.reader] = found.readers.get(row.reader, 0) + size
        else:
            found.readers.setdefault(row.reader, 0)


def _asides(connection: sa.Connection, journal_id: int, month: datetime.date) -> Iterator[Run]:
    """Yield what of a journal is in quarantine and goes too: its numbers stay accounted for."""
    here = (quarantine.c.journal_id == journal_id, _inside(quarantine.c.received_at_ms, month))
    rows = connection.execute(sa.select(quarantine).where(*here).order_by(quarantine.c.id))
    spans = {row.first: row for row in rows}
    for row in spans.values():
        yield Run(f"{month:%Y-%m}", "aside", row.first, row.last, None, row.hash)


def _entry_runs(connection: sa.Connection, row: AnyRow, found: Survey) -> Iterator[Run]:
    """Yield the runs of numbers without a hole, with the chain's hashes around each."""
    here = (entry.c.journal_id == row.id, _inside(entry.c.received_at_ms, found.month))
    wanted = sa.select(entry.c.n, entry.c.hash, entry.c.body).where(*here).order_by(entry.c.n)
    first, last, before, digest = 0, -1, None, b""
    name = f"{found.month:%Y-%m}"
    streamed = connection.execute(wanted, execution_options={"yield_per": ROWS_AT_ONCE})
    for n, told, body in streamed:
        if n != last + 1 or not first:
            if first:
                yield Run(name, "entries", first, last, before, digest)
            first, before = n, hash_before(connection, row, n)
            digest = before or b""
        if digest and chain(digest, body) != told:
            found.obstacles.append(f"the chain does not hold at {row.reader} {row.journal}/{n}")
        last, digest = n, told
        try:
            verdict.count(found.sums, decode(body))
        except EntryRefused:
            found.obstacles.append(f"unreadable: {row.reader} {row.journal}/{n}")
    if first:
        yield Run(name, "entries", first, last, before, digest)


def hash_before(connection: sa.Connection, row: AnyRow, n: int) -> bytes | None:
    """Return the chain's hash before number n of a journal, from wherever it is known."""
    if n == 1:
        return genesis(row.reader, JournalId(row.journal))
    for table, number, digest in (
        (entry, entry.c.n, entry.c.hash),
        (quarantine, quarantine.c.last, quarantine.c.hash),
        (retired_journal, retired_journal.c.last, retired_journal.c.after),
        (joint, joint.c.n, joint.c.hash),
    ):
        here = (table.c.journal_id == row.id, number == n - 1)
        known = connection.scalar(sa.select(digest).where(*here).limit(1))
        if known is not None:
            return bytes(known)
    return None


def _open_questions(connection: sa.Connection, month: datetime.date) -> Iterator[str]:
    """Yield what a person should look at before the month is gone."""
    _, after_ms = months.bounds_ms(month)
    open_gaps = sa.select(gap.c.id, gap.c.first, gap.c.last, journal.c.reader).join(
        journal, gap.c.journal_id == journal.c.id
    )
    asked = open_gaps.where(gap.c.closed_at_ms.is_(None), gap.c.opened_at_ms < after_ms)
    for row in connection.execute(asked.limit(OBSTACLES_MAX)):
        yield f"gap {row.id} of {row.reader} is open: {row.first}-{row.last}"
    unresolved = (
        _inside(quarantine.c.received_at_ms, month),
        quarantine.c.resolved_at_ms.is_(None),
    )
    aside = sa.select(quarantine.c.id, quarantine.c.reader, quarantine.c.reason)
    for one in connection.execute(aside.where(*unresolved).limit(OBSTACLES_MAX)):
        yield f"quarantine {one.id} of {one.reader} is unresolved: {one.reason}"


# --- dropping it ---------------------------------------------------------------------------------


def retire(
    connection: sa.Connection,
    found: Survey,
    tenant: str,
    by: Signer,
    who: str,
    at_ms: int,
    *,
    forced: bool = False,
) -> RetiredMonth:
    """Drop a month and leave its line, in the caller's transaction. Raises RetentionRefused."""
    if found.month not in due(connection, at_ms):
        raise RetentionRefused(
            f"{found.month:%Y-%m} is not past its time, or holds the newest entry"
        )
    if found.obstacles and not forced:
        raise RetentionRefused(
            f"{found.month:%Y-%m} stays: " + "; ".join(found.obstacles) + " (--yes drops it anyway)"
        )
    _require_unchanged(connection, found)
    name = f"{found.month:%Y-%m}"
    signed = [
        (reader, by.seal(Purpose.RETIRED_READER, tenant, _reader_line(found, reader)))
        for reader in sorted(found.readers)
    ]
    gone = _drop(connection, found.month)
    line = RetiredMonth(
        v=1,
        month=name,
        entries=found.entries,
        first_position=found.first_position,
        last_position=found.last_position,
        first_hash=found.first_hash,
        last_hash=found.last_hash,
        sha256=hashlib.sha256(b"".join(payload for _, payload in signed)).digest(),
        sums=dict(sorted(found.sums.items())),
        conflicts=gone["conflict"],
        quarantined=gone["quarantine"],
        findings=gone["finding"],
        forced=bool(found.obstacles),
        at_ms=at_ms,
        who=who,
    )
    payload = by.seal(Purpose.RETIRED_MONTH, tenant, line)
    month_row = {"month": name, "entries": found.entries, "at_ms": at_ms, "who": who}
    connection.execute(retired_month.insert(), {**month_row, "line": payload})
    for reader, sealed in signed:
        row = {"month": name, "reader": reader, "line": sealed}
        connection.execute(retired_reader.insert(), row)
    connection.execute(retired_journal.insert(), [_run_row(*one) for one in found.runs])
    detail = "; ".join(found.obstacles)[:300] if forced else ""
    audit.note(connection, at_ms, who, "month.retired", name, detail)
    return line


def _reader_line(found: Survey, reader: str) -> RetiredReader:
    digest = hashlib.sha256()
    for name, _, journal_name, former, run in found.runs:
        if name == reader:
            digest.update(verdict.run_bytes(journal_name, former, run))
    month = f"{found.month:%Y-%m}"
    return RetiredReader(1, month, reader, found.readers[reader], digest.digest())


def _run_row(
    _reader: str, journal_id: int, _journal: str, _former: Former | None, run: evidence.Run
) -> dict[str, object]:
    return {
        "month": run.month,
        "journal_id": journal_id,
        "kind": run.kind,
        "first": run.first,
        "last": run.last,
        "before": run.before,
        "after": run.after,
    }


def _require_unchanged(connection: sa.Connection, found: Survey) -> None:
    ends = sa.select(
        sa.func.count(), sa.func.min(entry.c.position), sa.func.max(entry.c.position)
    ).where(_inside(entry.c.received_at_ms, found.month))
    now = tuple(connection.execute(ends).one())
    if now != (found.entries, found.first_position, found.last_position):
        raise RetentionRefused(f"{found.month:%Y-%m} has changed while it was read: run it again")


def _drop(connection: sa.Connection, month: datetime.date) -> dict[str, int]:
    """Remove all of a month; return how many rows went beside the entries."""
    inside = _inside(entry.c.received_at_ms, month)
    here = (entry.c.journal_id == finding.c.journal_id, entry.c.n == finding.c.n)
    gone: dict[str, int] = {}
    gone["finding"] = connection.execute(
        finding.delete().where(sa.exists().where(*here, inside))
    ).rowcount
    with lifted(connection, "entry", "conflict"):
        months.drop(connection, month)
        for table in (conflict, quarantine):
            old = _inside(table.c.received_at_ms, month)
            gone[table.name] = connection.execute(table.delete().where(old)).rowcount
    return gone
