"""What the ledger knows of each journal: how far it has come, and which journal follows which.

A reader begins a journal at every start and names in it the one before, with its last number and
tip. So a copied disk (two journals after the same one), an old image (the reader knows less than
the ledger) and a tail that never came are all seen here, and none of them stops anything.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from fleet import bulk, gaps
from fleet.alarms import AlarmKind
from fleet.gaps import Span
from fleet.schema import entry, joint, journal, quarantine, reader_state, retired_journal
from wire.entries import JournalId, Start, genesis


class Signature(NamedTuple):
    """What the reader signed last of a journal: its batch without the entries."""

    first: int
    lost: int
    last: int
    before: bytes
    key: str
    signature: bytes


@dataclass(slots=True)
class Journal:
    """One journal inside one transaction."""

    reader: str
    journal: str
    id: int = 0
    """0 until it has a row."""
    former_journal: str | None = None
    former_n: int | None = None
    former_tip: bytes | None = None
    started_at_ms: int | None = None
    agent: str = ""
    received_at_ms: int = 0
    spans: Sequence[Span] = ()
    seen_hash: bytes | None = None
    """The chain's hash at `seen`; None when it is not known (a loss at the end)."""
    claimed: int = 0
    superseded: bool = False
    unreplayed: int = 0
    signed: Signature | None = None
    """What was signed in this transaction; None leaves what stands."""

    @property
    def seen(self) -> int:
        """The greatest number that is accounted for."""
        return gaps.seen(self.spans)

    @property
    def through(self) -> int:
        """The number up to which everything is accounted for."""
        return gaps.through(self.spans)

    @property
    def whole(self) -> bool:
        """Nothing is missing of what must have come by now."""
        end = max(self.seen, self.claimed) if self.superseded else self.seen
        return not gaps.missing(self.spans, 1, end)


Family = dict[str, Journal]
"""Journals of one reader by their ids: those that a batch of it may touch."""


class Alarm(NamedTuple):
    """What needs attention, found without asking a database."""

    kind: AlarmKind
    subject: str
    detail: str


# --- rows ----------------------------------------------------------------------------------------

_LOADED: Final = (
    "reader",
    "journal",
    "id",
    "former_journal",
    "former_n",
    "former_tip",
    "started_at_ms",
    "agent",
    "received_at_ms",
    "spans",
    "seen_hash",
    "claimed",
    "superseded",
    "unreplayed",
)
_SAVED: Final = (
    "id",
    *_LOADED[3:],
    "through",
    "seen",
    "whole",
    "signed_first",
    "signed_lost",
    "signed_last",
    "signed_before",
    "signed_key",
    "signature",
)
_KEPT: Final = frozenset(_SAVED[-6:])
_UNSIGNED: Final = (None,) * 6
_SELECT: Final = f"SELECT {', '.join(_LOADED)} FROM journal WHERE "  # noqa: S608  our own names
_ONE: Final = _SELECT + "journal IN ?"
_FAMILY: Final = _SELECT + "reader IN ? AND superseded IS FALSE"
_FOLLOWERS: Final = _SELECT + "former_journal IN ?"


def _journal(row: Sequence[Any]) -> Journal:
    found = Journal(*row)
    plain: Any = found.spans
    if isinstance(plain, str):
        plain = msgspec.json.decode(plain)
    found.spans = [(first, last) for first, last in plain]
    found.superseded = bool(found.superseded)
    return found


def load(
    connection: sa.Connection, wanted: Collection[tuple[str, str]], starts: Iterable[Start] = ()
) -> dict[str, Family]:
    """Return those of these (reader, journal) that the ledger knows, by reader.

    With `starts`, also what the first entry of a journal must be compared with: the journal
    before, those that follow it already, and those that have not been left behind.
    """
    starting = list(starts)
    ids = {name for _, name in wanted}
    former = {one.former.journal for one in starting if one.former}
    found = [_journal(row) for row in bulk.select_in(connection, _ONE, sorted(ids | former))]
    if starting:
        readers = sorted({reader for reader, _ in wanted})
        more = [
            *bulk.select_in(connection, _FAMILY, readers),
            *bulk.select_in(connection, _FOLLOWERS, sorted(ids | former)),
        ]
        found += [_journal(row) for row in more]
    families: dict[str, Family] = {reader: {} for reader, _ in wanted}
    for one in found:
        if one.reader in families:
            families[one.reader][one.journal] = one
    return families


def load_one(
    connection: sa.Connection, reader: str, name: str, start: Start | None = None
) -> Family:
    """Return what is known of one journal and, with its first entry, of those around it."""
    return load(connection, {(reader, name)}, [start] if start else [])[reader]


def save(connection: sa.Connection, states: Iterable[Journal]) -> None:
    """Write these journals' marks; those without a row get one, and their number."""
    every = list(states)
    _add(connection, [one for one in every if not one.id])
    rows = [
        (
            one.id,
            one.former_journal,
            one.former_n,
            one.former_tip,
            one.started_at_ms,
            one.agent,
            one.received_at_ms,
            msgspec.json.encode(one.spans).decode(),
            one.seen_hash,
            one.claimed,
            one.superseded,
            one.unreplayed,
            one.through,
            one.seen,
            one.whole,
            *(one.signed or _UNSIGNED),
        )
        for one in every
    ]
    bulk.update(connection, journal, _SAVED, rows, _KEPT)


_MOVED: Final = (
    "id",
    "received_at_ms",
    "spans",
    "seen_hash",
    "claimed",
    "unreplayed",
    "through",
    "seen",
    *_SAVED[-6:],
)


def move(connection: sa.Connection, states: Iterable[Journal]) -> None:
    """Write the marks of whole journals that only go on: a third less than `save` writes."""
    rows = [
        (
            one.id,
            one.received_at_ms,
            msgspec.json.encode(one.spans).decode(),
            one.seen_hash,
            one.claimed,
            one.unreplayed,
            one.through,
            one.seen,
            *(one.signed or _UNSIGNED),
        )
        for one in states
    ]
    bulk.update(connection, journal, _MOVED, rows, _KEPT)


_INSERT: Final = journal.insert().returning(journal.c.id, journal.c.journal, journal.c.reader)


def _add(connection: sa.Connection, new: Sequence[Journal]) -> None:
    if not new:
        return
    rows = [
        {"reader": one.reader, "journal": one.journal, "received_at_ms": 0, "spans": []}
        for one in new
    ]
    ids = {(row.reader, row.journal): row.id for row in connection.execute(_INSERT, rows)}
    for one in new:
        one.id = ids[one.reader, one.journal]


# --- the chain -----------------------------------------------------------------------------------


class NotKnown(Exception):
    """What is kept in memory of a journal does not say the hash: ask the database."""


def known_hash(state: Journal, n: int) -> bytes | None:
    """Return the chain's hash at number n, None when the ledger does not know it.

    Raises NotKnown when only the database can say.
    """
    if n == 0:
        return genesis(state.reader, JournalId(state.journal))
    if n > state.seen:
        return None
    if n == state.seen and state.seen_hash is not None:
        return state.seen_hash
    raise NotKnown(f"{state.journal}/{n}")


def hash_at(connection: sa.Connection, state: Journal, n: int) -> bytes | None:
    """Return the chain's hash at number n; None when the ledger does not know it."""
    try:
        return known_hash(state, n)
    except NotKnown:
        pass
    if not state.id:
        return None
    for table, number, digest in (
        (entry, entry.c.n, entry.c.hash),
        (quarantine, quarantine.c.last, quarantine.c.hash),
        (retired_journal, retired_journal.c.last, retired_journal.c.after),
        (joint, joint.c.n, joint.c.hash),
    ):
        here = (table.c.journal_id == state.id, number == n)
        found: bytes | None = connection.scalar(sa.select(digest).where(*here).limit(1))
        if found is not None:
            return found
    return None


# --- one journal after another -------------------------------------------------------------------


def begin(
    family: Family, state: Journal, start: Start, hash_of: Callable[[Journal, int], bytes | None]
) -> tuple[list[Journal], list[Alarm]]:
    """Take in the first entry of a journal: what came before it, and what that tells.

    Changes `state`; returns the others as they are now (copies), and what is wrong.
    """
    former = start.former
    state.started_at_ms, state.agent = start.at_ms, start.agent
    state.former_journal = former.journal if former else None
    state.former_n = former.n if former else None
    state.former_tip = former.tip if former else None
    others = [one for one in family.values() if one.journal != state.journal]
    followed = any(one.former_journal == state.journal for one in others)
    changed: Family = {}
    alarms: list[Alarm] = []
    if former is None:
        if not followed and any(not _only_named_after(one, start) for one in others):
            alarms.append(Alarm(AlarmKind.HISTORY_LOST, state.journal, ""))
    else:
        if any(one.former_journal == former.journal for one in others):
            alarms.append(Alarm(AlarmKind.FORK, former.journal, state.journal))
        known = family.get(former.journal) or Journal(
            state.reader, former.journal, received_at_ms=state.received_at_ms
        )
        alarms += _compare(known, state, start, hash_of)
        changed[former.journal] = replace(
            known, claimed=max(known.claimed, former.n), superseded=True
        )
    if followed:
        state.superseded = True
        return list(changed.values()), alarms
    for one in others:
        if _only_named_after(one, start):
            continue
        if not one.superseded and (one.started_at_ms or 0) <= start.at_ms:
            changed.setdefault(one.journal, replace(one, superseded=True))
    return list(changed.values()), alarms


def _only_named_after(one: Journal, start: Start) -> bool:
    """True for a journal of which nothing has come but a status, later than this start.

    A reader that was restarted before it ever reached the fleet says so, and then sends the
    journal from before.
    """
    return one.started_at_ms is None and not one.seen and one.received_at_ms > start.at_ms


def _compare(
    known: Journal, state: Journal, start: Start, hash_of: Callable[[Journal, int], bytes | None]
) -> list[Alarm]:
    """Compare what the reader remembers of its former journal with what the ledger has."""
    former = start.former
    if former is None:
        return []
    if known.seen > former.n:
        detail = f"{former.journal}: reader {former.n}, ledger {known.seen}"
        return [Alarm(AlarmKind.ROLLED_BACK, state.journal, detail)]
    told = hash_of(known, former.n)
    if told is not None and told != former.tip:
        detail = f"{former.journal}: other tip at {former.n}"
        return [Alarm(AlarmKind.ROLLED_BACK, state.journal, detail)]
    return []


def goes_on_too_long(connection: sa.Connection, state: Journal, last: int) -> bool:
    """True when the journal goes on behind the number at which the reader said it had ended."""
    if not state.superseded:
        return False
    ended = connection.scalar(
        sa.select(sa.func.min(journal.c.former_n)).where(
            journal.c.reader == state.reader, journal.c.former_journal == state.journal
        )
    )
    return ended is not None and last > ended


def history_is_whole(connection: sa.Connection, state: Journal, former: Journal | None) -> bool:
    """True when the ledger has the journal before this one just as the reader remembers it.

    `former` is that journal where the caller knows it better than the database.
    """
    if state.former_journal is None:
        return True
    found = former
    if found is None:
        found = load_one(connection, state.reader, state.former_journal).get(state.former_journal)
    return found is not None and found.through == found.seen == state.former_n


def claim(connection: sa.Connection, reader: str, name: str, n: int, at_ms: int) -> None:
    """Note that the reader says it has written `n` entries of a journal.

    The caller holds the reader's lock, as whoever changes a journal's marks does.
    """
    state = load_one(connection, reader, name).get(name)
    if state is None:
        row = {"reader": reader, "journal": name, "received_at_ms": at_ms}
        connection.execute(journal.insert(), row | {"spans": [], "claimed": n})
    elif n > state.claimed:
        state.claimed = n
        bulk.update(connection, journal, ("id", "claimed", "whole"), [(state.id, n, state.whole)])


def readers_of(connection: sa.Connection, ids: Sequence[int]) -> dict[int, str]:
    """Return the full name of the reader that wrote each of these journals."""
    rows = connection.execute(
        sa.select(journal.c.id, journal.c.reader).where(journal.c.id.in_(ids))
    )
    return dict(rows.all())


def through_of_present(
    connection: sa.Connection, readers: Collection[str]
) -> dict[str, tuple[str, int]]:
    """Return the journal that each reader last named, and how far the ledger has it."""
    named = sa.and_(
        journal.c.reader == reader_state.c.reader, journal.c.journal == reader_state.c.journal
    )
    rows = connection.execute(
        sa.select(reader_state.c.reader, journal.c.journal, journal.c.through)
        .join(journal, named)
        .where(reader_state.c.reader.in_(readers))
    )
    return {row.reader: (row.journal, row.through) for row in rows}
