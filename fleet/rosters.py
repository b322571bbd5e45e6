"""Building, signing and keeping the rosters that readers decide with.

Rules: the rows of a programme are read and packed once, and lie once for all its places
(fleet.roster_files); each place has a signed head of its own, deterministic in its contents; the
version goes up only when the contents have changed; rows are complete before a head names them;
the last VERSIONS_KEPT versions stay, so that a decision made with one of them can be replayed, as
long as their rows fit into ROWS_BYTES_MAX; a scheme that nobody has stated is not named, and its
cards are not in the rows (`fleet.terms`); a place with a reader whose agent would refuse what is
new gets a head without it. Building takes its turn: it leaves nine tenths of the time to others,
however many members there are and however often they change.
"""

import hashlib
import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa

from fleet import members, registry, rules, terms
from fleet.agents import version_of
from fleet.members import RosterFacts
from fleet.registry import Place, load_places
from fleet.roster_files import FOLDER, Written, remove_rows, rows_path, write_rows
from fleet.schema import reader, reader_state, roster
from fleet.store import Store
from fleet.terms import Terms
from programmes.calendar import local_day
from wire.clock import Clock
from wire.credential import Scheme
from wire.envelope import Signer
from wire.messages import RosterWanted
from wire.roster import MOVING_SINCE, ROW, RosterHeader, RosterRow, pack_rows, sign_head

VERSIONS_KEPT: Final = 40
"""Readers offline for 72 h come back with old versions: 40 changes of a list are two weeks."""
ROWS_BYTES_MAX: Final = 1024**3
"""Of one programme's rows, all versions together: 38 versions of a million members."""
REST: Final = 10
"""A programme is built again after ten times as long as it took: a list of a million (4 s) every
44 s at most, one of a thousand (20 ms) five times a second."""
ROWS_AT_ONCE: Final = 10_000
"""Rows packed at a time: 280 kB, and some 5 MB while they are Python objects."""


class RosterUnbuildable(ValueError):
    """This programme's roster cannot be built; the one before stays. The sentence says why."""


class Built(NamedTuple):
    """What one build came to."""

    programme: str
    place: str
    version: int
    rows: int
    changed: bool


class Latest(NamedTuple):
    """The version of one place's roster that is wanted."""

    version: int
    content_sha256: bytes | None
    """None when it was built before heads were kept: it is to be built again."""


class Builder:
    """Builds what has changed since it last looked. Used by one thread at a time."""

    def __init__(
        self, fleet: Store, people: Store, state: Path, tenant: str, by: Signer, clock: Clock
    ) -> None:
        self._fleet = fleet
        self._people = people
        self._state = state
        self._tenant = tenant
        self._by = by
        self._clock = clock
        self._built: dict[str, object] = {}
        self._rows: dict[str, tuple[object, RosterFacts, Written]] = {}
        self._rests_until_ns: dict[str, int] = {}

    def build_changed(self, refused: Callable[[str, RosterUnbuildable], None]) -> list[Built]:
        """Build the rosters of every programme whose members, rules, places or terms have changed.

        A programme that cannot be built is told to `refused` and tried again at its next change.
        """
        with self._fleet.read() as connection:
            places = load_places(connection)
            revisions = _revisions(connection)
            behind = places_behind(connection)
        with self._people.read() as connection:
            of_members = members.revisions(connection)
            stated = terms.load(connection)
        day = local_day(self._clock.now_ms())
        built: list[Built] = []
        for programme in sorted({name for place in places.values() for name in place.programmes}):
            of = stated.get(programme, terms.NOTHING).on(day)
            shared = (of_members.get(programme, 0), of)
            now = (*revisions, *shared, behind)
            started_ns = self._clock.monotonic_ns()
            if self._built.get(programme) == now or self._rests(programme, started_ns):
                continue
            served = [place for place in places.values() if programme in place.programmes]
            try:
                built += self._build(programme, shared, served, behind)
            except RosterUnbuildable as error:
                refused(programme, error)
            self._built[programme] = now
            ended_ns = self._clock.monotonic_ns()
            self._rests_until_ns[programme] = ended_ns + REST * (ended_ns - started_ns)
        return built

    def _rests(self, programme: str, now_ns: int) -> bool:
        return now_ns < self._rests_until_ns.get(programme, now_ns)

    def _build(
        self,
        programme: str,
        shared: tuple[int, Terms],
        places: Sequence[Place],
        behind: frozenset[str],
    ) -> list[Built]:
        with self._fleet.read() as connection:
            tables = rules.load(connection, programme)
            epoch = registry.key_epochs(connection).get(programme, 1)
        if not tables:
            raise RosterUnbuildable(
                f"{programme} has no rule table yet: `kazasu-fleet rules add {programme} FILE`"
            )
        facts, written = self._written(programme, shared)
        of = shared[1]
        header = RosterHeader(
            v=1,
            programme=programme,
            place=places[0].name,
            version=0,
            at_ms=0,
            key_epoch=max(epoch, facts.key_epoch),
            schemes=facts.schemes,
            categories=facts.categories,
            rules=tables,
            triage=False,
            rows=written.rows,
            rows_sha256=written.sha256,
        )
        with self._fleet.write() as connection:
            last = latest(connection, programme)
            built = [
                self._place(
                    connection,
                    _for_place(header, place, of, old=place.name in behind),
                    last.get(place.name),
                )
                for place in places
            ]
            kept = _forget_old(connection, programme)
        remove_rows(self._state, programme, kept)
        _remove_former_layout(self._state, programme)
        return built

    def _written(self, programme: str, shared: tuple[int, Terms]) -> tuple[RosterFacts, Written]:
        """Return what a programme's rosters share, read anew when members or terms have changed."""
        if programme in self._rows:
            of, facts, written = self._rows[programme]
            if of == shared and rows_path(self._state, programme, written.sha256).exists():
                return facts, written
        with self._people.read() as connection:
            facts = members.roster_facts(connection, programme, shared[1])
            rows = members.roster_rows(connection, programme, shared[1])
            try:
                written = write_rows(self._state, programme, _packed(rows, facts.categories))
            except ValueError as error:
                raise RosterUnbuildable(f"{programme}: {error}") from error
        self._rows[programme] = shared, facts, written
        return facts, written

    def _place(self, connection: sa.Connection, header: RosterHeader, last: Latest | None) -> Built:
        content = hashlib.sha256(msgspec.json.encode(header)).digest()
        if last is not None and last.content_sha256 == content:
            return Built(header.programme, header.place, last.version, header.rows, False)
        version = last.version + 1 if last else 1
        header = msgspec.structs.replace(header, version=version, at_ms=self._clock.now_ms())
        try:
            head = sign_head(header, self._tenant, self._by)
        except ValueError as error:
            raise RosterUnbuildable(f"{header.programme} at {header.place}: {error}") from error
        connection.execute(
            roster.insert(),
            {
                "programme": header.programme,
                "place": header.place,
                "version": version,
                "sha256": hashlib.sha256(head).digest(),
                "content_sha256": content,
                "rows": header.rows,
                "bytes": len(head) + header.rows * ROW.size,
                "built_at_ms": header.at_ms,
                "head": head,
                "rows_sha256": header.rows_sha256,
            },
        )
        return Built(header.programme, header.place, version, header.rows, True)


def _packed(rows: Iterable[RosterRow], categories: Sequence[str]) -> Iterator[bytes]:
    """Yield rows as they stand in a file, some at a time."""
    rows = iter(rows)
    while some := list(itertools.islice(rows, ROWS_AT_ONCE)):
        yield pack_rows(some, categories)


def _remove_former_layout(state: Path, programme: str) -> None:
    """Remove whole files of one place each, as they were kept before rows were shared."""
    for folder in (state / FOLDER / programme).iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)


def _for_place(header: RosterHeader, place: Place, of: Terms, *, old: bool) -> RosterHeader:
    """Return the header of one place; where cards are enrolled every enrolling scheme is read.

    Else the first card of a programme that has no members yet could not be read at all. `old`: an
    agent there would refuse a header with what came with MOVING_SINCE.
    """
    triage = header.programme in place.triage_programmes
    enrols = triage or place.kind == "desk"
    read = {*header.schemes, *(of.enrolling if enrols else ())}
    return msgspec.structs.replace(
        header,
        place=place.name,
        triage=triage,
        schemes=members.in_order(read - {Scheme.CARD_AP} if old else read, of),
        moving=None if old else of.moving,
    )


def places_behind(connection: sa.Connection) -> frozenset[str]:
    """Return the places with a reader in service whose agent, as last heard, is an older one."""
    rows = connection.execute(
        sa.select(reader.c.place, reader_state.c.agent)
        .join(reader_state, reader_state.c.reader == reader.c.name)
        .where(reader.c.revoked_at_ms.is_(None))
        .distinct()
    )
    found = ((place, version_of(agent)) for place, agent in rows)
    return frozenset(place for place, version in found if version and version < MOVING_SINCE)


def _revisions(connection: sa.Connection) -> tuple[int, ...]:
    known = registry.revisions(connection)
    return known.get("registry", 0), known.get("rules", 0)


def _forget_old(connection: sa.Connection, programme: str) -> set[bytes]:
    """Forget versions past their number or bytes; return the rows that are still named.

    The version that is wanted stays, whatever its size.
    """
    rows = connection.execute(
        sa.select(roster.c.place, roster.c.version, roster.c.rows, roster.c.rows_sha256)
        .where(roster.c.programme == programme)
        .order_by(roster.c.built_at_ms.desc(), roster.c.version.desc())
    ).all()
    seen: dict[str, int] = {}
    kept: set[bytes] = set()
    size = 0
    for row in rows:
        number = seen[row.place] = seen.get(row.place, 0) + 1
        known = row.rows_sha256 in kept
        size += 0 if known else row.rows * ROW.size
        if number == 1 or (size <= ROWS_BYTES_MAX and number <= VERSIONS_KEPT):
            kept |= {row.rows_sha256} if row.rows_sha256 else set()
        else:
            connection.execute(
                roster.delete().where(
                    roster.c.programme == programme,
                    roster.c.place == row.place,
                    roster.c.version == row.version,
                )
            )
    return kept


def jump(
    connection: sa.Connection, used: Mapping[tuple[str, str], int], by: int, at_ms: int
) -> None:
    """Let each roster's next version lie beyond all that were ever used, after a restore.

    `used`: versions of (programme, place) that this database may not know of. What stands for the
    jump has no rows: it is never wanted, and the next build makes the version after it.
    """
    newest = sa.select(roster.c.programme, roster.c.place, sa.func.max(roster.c.version).label("v"))
    here = connection.execute(newest.group_by(roster.c.programme, roster.c.place))
    versions = {(row.programme, row.place): row.v for row in here}
    places = load_places(connection)
    for key in used.keys() | versions.keys():
        programme, place = key
        if place not in places:
            continue
        connection.execute(
            roster.insert(),
            {
                "programme": programme,
                "place": place,
                "version": max(used.get(key, 0), versions.get(key, 0)) + by,
                "sha256": b"",
                "content_sha256": b"",
                "rows": 0,
                "bytes": 0,
                "built_at_ms": at_ms,
            },
        )


def latest(connection: sa.Connection, programme: str) -> dict[str, Latest]:
    """Return by place the version of a programme's roster that is wanted."""
    rows = connection.execute(
        sa.select(roster.c.place, roster.c.version, roster.c.content_sha256, roster.c.rows_sha256)
        .where(roster.c.programme == programme)
        .order_by(roster.c.version)
    )
    return {
        row.place: Latest(row.version, row.content_sha256 if row.rows_sha256 else None)
        for row in rows
    }


def wanted(connection: sa.Connection) -> dict[str, list[RosterWanted]]:
    """Return by place the rosters that its readers are to hold, in the place's order."""
    newest = (
        sa.select(roster.c.programme, roster.c.place, sa.func.max(roster.c.version).label("v"))
        .group_by(roster.c.programme, roster.c.place)
        .subquery()
    )
    rows = connection.execute(
        sa.select(roster.c.programme, roster.c.place, roster.c.version, roster.c.sha256)
        .join(
            newest,
            sa.and_(
                roster.c.programme == newest.c.programme,
                roster.c.place == newest.c.place,
                roster.c.version == newest.c.v,
            ),
        )
        .where(roster.c.rows_sha256.is_not(None))
    )
    found = {
        (row.place, row.programme): RosterWanted(row.programme, row.version, row.sha256)
        for row in rows
    }
    return {
        place.name: [
            found[place.name, programme]
            for programme in place.programmes
            if (place.name, programme) in found
        ]
        for place in load_places(connection).values()
    }
