"""Building, signing and keeping the rosters that readers decide with.

Rules: one file per programme and place, deterministic in its contents; the version goes up only
when the contents have changed; a file is complete before its row names it; the last
VERSIONS_KEPT versions stay, so that a decision made with one of them can be replayed.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa

from fleet import members, registry, rules
from fleet.registry import Place, load_places
from fleet.schema import roster
from fleet.store import AnyRow, Store
from wire.clock import Clock
from wire.credential import Scheme
from wire.envelope import Signer
from wire.messages import RosterWanted
from wire.roster import ROW, RosterHeader, RosterRow, build_roster, pack_rows

VERSIONS_KEPT: Final = 40
"""Readers offline for 72 h come back with old versions: 40 changes of a list are two weeks."""
FOLDER: Final = "rosters"
ENROLLING: Final = (Scheme.COMMON_AP, Scheme.FELICA_IDM, Scheme.STAFF_TOKEN)
"""By these a card can be enrolled from a tap. Not by `jpki-auth`: a certificate's serial is read
only where members are enrolled by it, on the ground that the tenant states (docs/adr/0004)."""


class RosterUnbuildable(ValueError):
    """This programme's roster cannot be built; the one before stays. The sentence says why."""


class Built(NamedTuple):
    """What one build came to."""

    programme: str
    place: str
    version: int
    rows: int
    changed: bool


def roster_path(state: Path, programme: str, place: str, version: int) -> Path:
    """Return where a roster's file lies."""
    return state / FOLDER / programme / place / f"{version}.roster"


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
        self._built: dict[str, tuple[int, ...]] = {}

    def build_changed(self, refused: Callable[[str, RosterUnbuildable], None]) -> list[Built]:
        """Build the rosters of every programme whose members, rules or places have changed.

        A programme that cannot be built is told to `refused` and tried again at its next change.
        """
        with self._fleet.read() as connection:
            places = load_places(connection)
            revisions = _revisions(connection)
        with self._people.read() as connection:
            of_members = members.revisions(connection)
        built: list[Built] = []
        for programme in sorted({name for place in places.values() for name in place.programmes}):
            now = (*revisions, of_members.get(programme, 0))
            if self._built.get(programme) == now:
                continue
            served = [place for place in places.values() if programme in place.programmes]
            try:
                built += self._build(programme, served)
            except RosterUnbuildable as error:
                refused(programme, error)
            self._built[programme] = now
        return built

    def _build(self, programme: str, places: list[Place]) -> list[Built]:
        with self._fleet.read() as connection:
            tables = rules.load(connection, programme)
        if not tables:
            raise RosterUnbuildable(
                f"{programme} has no rule table yet: `kazasu-fleet rules add {programme} FILE`"
            )
        with self._people.read() as connection:
            facts = members.roster_facts(connection, programme)
            rows = list(members.roster_rows(connection, programme))
        try:
            packed = pack_rows(rows, facts.categories)
        except ValueError as error:
            raise RosterUnbuildable(f"{programme}: {error}") from error
        header = RosterHeader(
            v=1,
            programme=programme,
            place=places[0].name,
            version=0,
            at_ms=0,
            key_epoch=facts.key_epoch,
            schemes=facts.schemes,
            categories=facts.categories,
            rules=tables,
            triage=False,
            rows=len(packed) // ROW.size,
            rows_sha256=hashlib.sha256(packed).digest(),
        )
        return [
            self._place(
                _for_place(header, place),
                rows,
            )
            for place in places
        ]

    def _place(self, header: RosterHeader, rows: list[RosterRow]) -> Built:
        content = hashlib.sha256(msgspec.json.encode(header)).digest()
        with self._fleet.read() as connection:
            last = latest(connection, header.programme, header.place)
        if last is not None and last.content_sha256 == content:
            return Built(header.programme, header.place, last.version, header.rows, False)
        version = last.version + 1 if last else 1
        header = msgspec.structs.replace(header, version=version, at_ms=self._clock.now_ms())
        try:
            data = build_roster(header, rows, self._tenant, self._by)
        except ValueError as error:
            raise RosterUnbuildable(f"{header.programme} at {header.place}: {error}") from error
        write_whole(roster_path(self._state, header.programme, header.place, version), data)
        with self._fleet.write() as connection:
            connection.execute(
                roster.insert(),
                {
                    "programme": header.programme,
                    "place": header.place,
                    "version": version,
                    "sha256": hashlib.sha256(data).digest(),
                    "content_sha256": content,
                    "rows": header.rows,
                    "bytes": len(data),
                    "built_at_ms": header.at_ms,
                },
            )
            old = _forget_old(connection, header.programme, header.place, version)
        for number in old:
            with contextlib.suppress(FileNotFoundError):
                roster_path(self._state, header.programme, header.place, number).unlink()
        return Built(header.programme, header.place, version, header.rows, True)


def _for_place(header: RosterHeader, place: Place) -> RosterHeader:
    """Return the header of one place; where strangers are reported every enrolling scheme is read.

    Else the first card of a programme that has no members yet could not be read at all.
    """
    triage = header.programme in place.triage_programmes
    read = {*header.schemes, *(ENROLLING if triage else ())}
    return msgspec.structs.replace(
        header,
        place=place.name,
        triage=triage,
        schemes=[scheme for scheme in Scheme if scheme in read],
    )


def _revisions(connection: sa.Connection) -> tuple[int, ...]:
    known = registry.revisions(connection)
    return known.get("registry", 0), known.get("rules", 0)


def _forget_old(connection: sa.Connection, programme: str, place: str, version: int) -> list[int]:
    old = (
        roster.c.programme == programme,
        roster.c.place == place,
        roster.c.version <= version - VERSIONS_KEPT,
    )
    numbers = list(connection.scalars(sa.select(roster.c.version).where(*old)))
    connection.execute(roster.delete().where(*old))
    return numbers


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def latest(connection: sa.Connection, programme: str, place: str) -> AnyRow | None:
    """Return (version, content_sha256) of the roster that is wanted, None before the first."""
    return connection.execute(
        sa.select(roster.c.version, roster.c.content_sha256)
        .where(roster.c.programme == programme, roster.c.place == place)
        .order_by(roster.c.version.desc())
        .limit(1)
    ).one_or_none()


def wanted(connection: sa.Connection) -> dict[str, list[RosterWanted]]:
    """Return by place the rosters that its readers are to hold, in the place's order."""
    newest = (
        sa.select(roster.c.programme, roster.c.place, sa.func.max(roster.c.version).label("v"))
        .group_by(roster.c.programme, roster.c.place)
        .subquery()
    )
    rows = connection.execute(
        sa.select(roster.c.programme, roster.c.place, roster.c.version, roster.c.sha256).join(
            newest,
            sa.and_(
                roster.c.programme == newest.c.programme,
                roster.c.place == newest.c.place,
                roster.c.version == newest.c.v,
            ),
        )
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
