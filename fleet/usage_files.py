"""What readers are told of usage: one signed file a programme and place, every 15 minutes.

Its rows lie once for all places of a snapshot (fleet.usage_rows).

Rules: rows and marks come from one snapshot, so a file says exactly which of a reader's entries
its sums contain; only members near a limit stand in it, without place and time of any ride; a file
is never older than the one before; who holds several cards has the same sums under each.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from fleet import registry, rules, usage, usage_rows
from fleet.registry import Place
from fleet.schema import card, journal, reader, reader_state, usage_file
from fleet.schema import usage as counters
from fleet.store import Store
from programmes.register import RULEBOOKS
from programmes.rulebook import USAGE_EVERY_S
from wire.clock import Clock
from wire.credential import Credential
from wire.entries import Used
from wire.envelope import Signer
from wire.limits import USAGE_JOURNALS_MAX
from wire.messages import UsageWanted
from wire.usage import Marks, Span, UsageHeader, UsageRow, pack_usage, sign_usage

NAMED_MS: Final = 40 * 24 * usage.HOUR_MS
"""Journals that were heard of within this are named: no reader keeps entries for longer that the
ledger has (40 days by design, seven as built)."""
AFRESH_MS: Final = 60_000
"""A place whose reader comes online gets a new file, unless its own was younger than this then."""
LOOK_EVERY_S: Final = 5
"""How often is looked whether anything is due."""
SECOND_NS: Final = 1_000_000_000


class Fed(NamedTuple):
    """What one file came to; `trouble` says why it could not be made."""

    programme: str
    place: str
    rows: int
    trouble: str = ""


class UsageBuilder:
    """Makes usage files. Used by one thread at a time."""

    def __init__(self, fleet: Store, people: Store, tenant: str, by: Signer, clock: Clock) -> None:
        self._fleet = fleet
        self._people = people
        self._tenant = tenant
        self._by = by
        self._clock = clock
        self._all_ns = 0
        """When all are due, by the monotonic clock; at the first call they are."""
        self._look_ns = 0
        self._revisions: Mapping[str, int] = {}

    def build_due(self) -> list[Fed]:
        """Make all files when it is time, else those of places whose readers have come online.

        It is time every USAGE_EVERY_S, and when rules or places have changed. Cheap when nothing
        is due. Raises OperationalError.
        """
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._look_ns:
            return []
        self._look_ns = now_ns + LOOK_EVERY_S * SECOND_NS
        with self._fleet.read() as connection:
            places, revisions = registry.load_places(connection), registry.revisions(connection)
            every = now_ns >= self._all_ns or revisions != self._revisions
            if not every:
                places = {name: places[name] for name in sorted(_come_online(connection))}
        made = self._build(list(places.values()))
        if every:  # now that it is done: what failed is tried again
            self._all_ns, self._revisions = now_ns + USAGE_EVERY_S * SECOND_NS, revisions
        return made

    def _build(self, places: Sequence[Place]) -> list[Fed]:
        made: list[Fed] = []
        for programme, book in RULEBOOKS.items():
            names = [place.name for place in places if programme in place.programmes]
            if book.near is not None and names:
                made += self._programme(programme, names)
        return made

    def _programme(self, programme: str, names: Sequence[str]) -> list[Fed]:
        """Make the files of one programme for these places, all from one snapshot."""
        with self._fleet.read() as connection:
            now_ms = self._clock.now_ms()
            limits = usage.near(programme, now_ms, {programme: rules.load(connection, programme)})
            if not limits:
                return []
            made_ms = _made(connection, programme)
            marks = marks_of(connection, names, now_ms)
            rows = self._rows(connection, programme, limits)
        packed = pack_usage(rows, sorted(limits))
        header = UsageHeader(
            v=1, programme=programme, place=names[0], at_ms=now_ms, periods=sorted(limits),
            marks={}, rows=len(rows), rows_sha256=hashlib.sha256(packed).digest(),
        )  # fmt: skip
        heads: list[dict[str, Any]] = []
        made: list[Fed] = []
        for name in names:
            at_ms = max(now_ms, made_ms.get(name, 0) + 1)
            here = msgspec.structs.replace(header, place=name, at_ms=at_ms, marks=marks[name])
            made.append(self._head(here, heads))
        snapshot = {
            "programme": programme, "sha256": header.rows_sha256, "at_ms": now_ms,
            "periods": header.periods, "rows": header.rows, "packed": packed,
        }  # fmt: skip
        with self._fleet.write() as connection:
            usage_rows.keep(connection, snapshot, heads)
        return made

    def _head(self, header: UsageHeader, heads: list[dict[str, Any]]) -> Fed:
        """Add the head of one place's file; or say why there can be none, and the former stays."""
        fed = Fed(header.programme, header.place, header.rows)
        try:
            head = sign_usage(header, self._tenant, self._by)
        except ValueError as error:
            return fed._replace(trouble=str(error))
        heads.append(
            {"programme": header.programme, "place": header.place, "at_ms": header.at_ms,
             "rows": header.rows, "head": head, "rows_sha256": header.rows_sha256}
        )  # fmt: skip
        return fed

    def _rows(
        self, connection: sa.Connection, programme: str, limits: Mapping[str, Used]
    ) -> list[UsageRow]:
        """Return what the cards of members near a limit have used, in this snapshot.

        A member of several cards may be near with little on each, so each card's share is asked
        for; whose card it is, is asked after the snapshot, lest a move in between be missed.
        """
        with self._people.read() as people:
            found = _candidates(connection, programme, limits, _most_cards(people, programme))
            cards = usage.cards_of_members(people, {credential for _, _, credential in found})
        found |= usage.load(
            connection, programme, limits, {other for some in cards.values() for other in some}
        )
        rows: dict[str, dict[str, Used]] = {}
        for credential in {credential for _, _, credential in found}:
            of_member = cards.get((programme, credential), (credential,))
            sums = {period: _sum(found, programme, period, of_member) for period in limits}
            if usage.is_near(sums, limits):
                rows |= dict.fromkeys(of_member, sums)
        return [UsageRow(Credential(credential), used) for credential, used in rows.items()]


def _sum(
    found: Mapping[usage.Key, Used], programme: str, period: str, credentials: Collection[str]
) -> Used:
    total = usage.NOTHING
    for credential in credentials:
        total = usage.add(total, found.get((programme, period, credential), usage.NOTHING))
    return total


def _candidates(
    connection: sa.Connection, programme: str, limits: Mapping[str, Used], cards: int
) -> dict[usage.Key, Used]:
    """Return the counters that alone, times so many cards, would be near a limit."""
    found: dict[usage.Key, Used] = {}
    for period, limit in limits.items():
        reached = []
        if limit.times:
            reached.append(counters.c.times * cards >= limit.times)
        if limit.yen:
            reached.append(counters.c.yen * cards >= limit.yen)
        wanted = sa.select(counters.c.credential, counters.c.times, counters.c.yen).where(
            counters.c.programme == programme,
            counters.c.period == period,
            sa.or_(*reached) if reached else sa.true(),
        )
        for row in connection.execute(wanted):
            found[programme, period, row.credential] = Used(row.times, row.yen)
    return found


def _most_cards(people: sa.Connection, programme: str) -> int:
    """Return how many cards any one member has had at most."""
    each = (
        sa.select(sa.func.count().label("cards"))
        .select_from(card)
        .where(card.c.programme == programme)
        .group_by(card.c.member_id)
        .subquery()
    )
    return people.scalar(sa.select(sa.func.max(each.c.cards))) or 1


def _come_online(connection: sa.Connection) -> set[str]:
    """Return the places with a reader that came online after their usage file was made."""
    later = (
        sa.select(reader.c.place)
        .join(reader_state, reader_state.c.reader == reader.c.name)
        .join(usage_file, usage_file.c.place == reader.c.place)
        .where(
            reader_state.c.online.is_(sa.true()),
            reader_state.c.online_since_ms >= usage_file.c.at_ms + AFRESH_MS,
        )
    )
    return set(connection.scalars(later))


def _made(connection: sa.Connection, programme: str) -> dict[str, int]:
    rows = connection.execute(
        sa.select(usage_file.c.place, usage_file.c.at_ms).where(usage_file.c.programme == programme)
    )
    return {row.place: row.at_ms for row in rows}


def marks_of(
    connection: sa.Connection, places: Collection[str], now_ms: int
) -> dict[str, dict[str, Marks]]:
    """Return by place and reader what the ledger has accounted for of each journal.

    Named are the journals heard of within NAMED_MS and the latest of each reader however old; at
    most USAGE_JOURNALS_MAX of a reader, the latest of them.
    """
    of_reader = sa.select(
        journal.c.reader, sa.func.count().label("all"), sa.func.max(journal.c.id).label("latest")
    ).group_by(journal.c.reader)
    every = of_reader.subquery()
    wanted = (
        sa.select(
            reader.c.place, journal.c.reader, journal.c.journal, journal.c.spans, every.c["all"]
        )
        .join(reader, journal.c.reader == reader.c.name)
        .join(every, journal.c.reader == every.c.reader)
        .where(
            sa.or_(journal.c.received_at_ms >= now_ms - NAMED_MS, journal.c.id == every.c.latest)
        )
        .order_by(journal.c.id.desc())
    )
    named: dict[tuple[str, str], dict[str, list[Span]]] = {}
    there: dict[tuple[str, str], int] = {}
    for row in connection.execute(wanted):
        key = (row.place, row.reader)
        there[key] = row.all
        spans = named.setdefault(key, {})
        if len(spans) < USAGE_JOURNALS_MAX:
            spans[row.journal] = [(first, last) for first, last in row.spans]
    found: dict[str, dict[str, Marks]] = {name: {} for name in places}
    for (at, name), spans in named.items():
        if at in found:
            found[at][name] = Marks(spans, left_out=len(spans) < there[at, name])
    return found


def wanted(connection: sa.Connection) -> dict[str, list[UsageWanted]]:
    """Return by place the usage files that its readers are to hold."""
    found: dict[str, list[UsageWanted]] = {}
    rows = connection.execute(
        sa.select(usage_file.c.programme, usage_file.c.place, usage_file.c.at_ms).where(
            usage_file.c.head.is_not(None)
        )
    )
    newest = {(row.place, row.programme): row.at_ms for row in rows}
    for place in registry.load_places(connection).values() if newest else ():
        for programme in place.programmes:
            if at_ms := newest.get((place.name, programme)):
                found.setdefault(place.name, []).append(UsageWanted(programme, at_ms))
    return found
