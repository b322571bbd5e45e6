"""Names on a school's gates: where somebody chose to show them, and what each gate is to call whom.

Rules: a place shows no names until somebody of its school chooses so, and from the moment it is to
hide them no reader is told to hold any; who does not want to be named is not in the file; a gate
gets the names of who is of its school today, and whose a lent card is now, by credential; they are
sealed to its reader by the office, the one process that may read names, and what lies between knows
only bytes. docs/adr/0025-names-at-the-gate.md.
"""

from collections.abc import Collection, Iterator
from hashlib import sha256
from itertools import islice
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fleet import audit, lent_cards, store, work_now, work_terms
from fleet.agents import understands
from fleet.schema import card, gate_names, gate_naming, place, reader, reader_state, work_naming
from fleet.sealing import Sealer
from fleet.store import Store
from fleet.work_acts import Act, member_of, note
from programmes import attendance
from programmes.calendar import local_day
from wire.limits import NAMES_MAX
from wire.messages import NAMES_SINCE
from wire.seal import NAME_CHARACTERS_MAX, GateNames, seal_names

log: Final = structlog.get_logger("fleet.office")
PURPOSE: Final = "gate-names"
_LATER: Final = gate_naming.alias("later")
_HERE: Final = place.alias("here")
_OWNER: Final = (
    sa.select(_HERE.c.organisation).where(_HERE.c.name == gate_naming.c.place).scalar_subquery()
)
_SHOWN: Final = (
    gate_naming.c.kind == "shown",
    gate_naming.c.organisation == _OWNER,
    ~sa.select(_LATER.c.id)
    .where(_LATER.c.place == gate_naming.c.place, _LATER.c.id > gate_naming.c.id)
    .exists(),
)
"""The newest row of a place says that it shows names, and is of the school that has it now."""


# --- what people choose --------------------------------------------------------------------------


def choose(fleet: sa.Connection, at: str, *, shown: bool, who: str, at_ms: int) -> None:
    """Let a place show names from now on, or hide them; the same again changes nothing."""
    if (at in places_shown(fleet)) == shown:
        return
    kind = "shown" if shown else "hidden"
    whose = fleet.scalar(sa.select(place.c.organisation).where(place.c.name == at))
    row = {"place": at, "organisation": whose, "kind": kind, "at_ms": at_ms, "who": who}
    fleet.execute(gate_naming.insert().values(row))
    if not shown:
        of_place = sa.select(reader.c.name).where(reader.c.place == at)
        fleet.execute(gate_names.delete().where(gate_names.c.reader.in_(of_place)))
    audit.note(fleet, at_ms, who, f"gate.names-{kind}", at)


def places_shown(fleet: sa.Connection) -> frozenset[str]:
    """Return the places that show names."""
    return frozenset(fleet.scalars(sa.select(gate_naming.c.place).where(*_SHOWN)))


def wish(people: sa.Connection, act: Act, *, shown: bool) -> None:
    """Let a member be named at gates that show names, or not; the same again changes nothing.

    Raises WorkRefused.
    """
    row = member_of(people, act.member_id)
    if (act.member_id not in unnamed(people, [act.member_id])) == shown:
        return
    kind = "shown" if shown else "hidden"
    people.execute(
        work_naming.insert().values(
            member_id=act.member_id, kind=kind, at_ms=act.at_ms, who=act.who
        )
    )
    note(people, act, row.registration_number, f"work.name-{kind}")


def unnamed(people: sa.Connection, members: Collection[int]) -> set[int]:
    """Return those of these members who do not want to be named."""
    found: dict[int, str] = {}
    for some in work_terms.store_some(set(members)):
        rows = people.execute(
            sa.select(work_naming.c.member_id, work_naming.c.kind)
            .where(work_naming.c.member_id.in_(some))
            .order_by(work_naming.c.id)
        )
        found |= {row.member_id: row.kind for row in rows}
    return {member_id for member_id, kind in found.items() if kind == "hidden"}


# --- what readers hold ---------------------------------------------------------------------------


def wanted(fleet: sa.Connection) -> dict[str, bytes]:
    """Return the hash of the names that each reader is to hold; those that hold none are not there.

    An agent that does not know of names would refuse the whole wish.
    """
    rows = fleet.execute(
        sa.select(gate_names.c.reader, gate_names.c.sha256, reader_state.c.agent)
        .join(reader, reader.c.name == gate_names.c.reader)
        .join(gate_naming, gate_naming.c.place == reader.c.place)
        .join(reader_state, reader_state.c.reader == reader.c.name)
        .where(*_SHOWN)
    )
    return {name: sha256 for name, sha256, agent in rows if understands(agent, NAMES_SINCE)}


class _Gate(NamedTuple):
    """A reader at a place that shows names."""

    reader: str
    organisation: str
    sealing_public_key: str
    contents: bytes | None
    """Fingerprint of what it holds now."""


class NameSealer:
    """Seals what has changed since it last looked. Used by one thread at a time."""

    def __init__(self, fleet: Store, people: Store, by: Sealer) -> None:
        self._fleet, self._people, self._by = fleet, people, by
        self._warned: set[str] = set()

    def seal_due(self, at_ms: int) -> list[str]:
        """Seal the names of every gate that shows some other ones; return those readers."""
        with self._fleet.read() as connection:
            gates = list(_gates(connection))
            stale = _held(connection) - {one.reader for one in gates}
        if stale:
            with self._fleet.write() as connection:
                gone = _held(connection) - {one.reader for one in _gates(connection)}
                connection.execute(gate_names.delete().where(gate_names.c.reader.in_(gone)))
        if not gates:
            return []
        with self._people.read() as connection:
            schools = {one.organisation for one in gates}
            names = {school: names_of(connection, school, at_ms) for school in sorted(schools)}
        due = [made for one in gates if (made := self._made(one, names[one.organisation]))]
        if due:
            with self._fleet.write() as connection:
                shown = {one.reader for one in _gates(connection)}  # it may be hidden by now
                rows = [row for row in due if row["reader"] in shown]
                replace = ["sealed", "sha256", "contents"]
                store.upsert(connection, gate_names, rows, key=["reader"], replace=replace)
        return [str(one["reader"]) for one in due]

    def _made(self, gate: _Gate, names: GateNames) -> dict[str, object] | None:
        """Return a gate's new row; None when it holds these names already, or can hold none."""
        body = gate.sealing_public_key.encode() + msgspec.json.encode(names, order="sorted")
        contents = self._by.fingerprint(body, f"{PURPOSE} {gate.reader}")
        if contents == gate.contents:
            return None
        try:
            key = load_pem_public_key(gate.sealing_public_key.encode())
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
            if gate.reader not in self._warned:
                log.warning("no P-256 key to seal to: set the reader up anew", reader=gate.reader)
            self._warned.add(gate.reader)
            return None
        sealed = seal_names(names, gate.reader, key)
        return {
            "reader": gate.reader,
            "sealed": sealed,
            "sha256": sha256(sealed).digest(),
            "contents": contents,
        }


def _held(fleet: sa.Connection) -> set[str]:
    """Return the readers for which names are kept."""
    return set(fleet.scalars(sa.select(gate_names.c.reader)))


def _gates(fleet: sa.Connection) -> Iterator[_Gate]:
    rows = fleet.execute(
        sa.select(
            *(reader.c.name, place.c.organisation, reader.c.sealing_public_key),
            *(gate_names.c.contents, place.c.programmes),
        )
        .join(place, place.c.name == reader.c.place)
        .join(gate_naming, gate_naming.c.place == place.c.name)
        .outerjoin(gate_names, gate_names.c.reader == reader.c.name)
        .where(*_SHOWN, reader.c.revoked_at_ms.is_(None), place.c.organisation != "")
        .order_by(reader.c.name)
    )
    for *gate, programmes in rows:
        if attendance.NAME in programmes:
            yield _Gate(*gate)


def names_of(people: sa.Connection, organisation: str, at_ms: int) -> GateNames:
    """Return what a school's gates call whom at this moment, by credential."""
    today = local_day(at_ms)
    staff = set(work_terms.of_school(people, organisation, today, today))
    staff -= unnamed(people, staff)
    called = {
        member_id: one.name[:NAME_CHARACTERS_MAX]
        for member_id, one in work_now.named(people, staff).items()
    }
    found: dict[str, str] = {}
    for some in work_terms.store_some(set(called)):
        rows = people.execute(
            sa.select(card.c.credential, card.c.member_id).where(
                card.c.member_id.in_(some), card.c.stopped_from_ms.is_(None)
            )
        )
        found |= {row.credential: called[row.member_id] for row in rows}
    for credential, loans in lent_cards.of_members(people, called).items():
        borrower = lent_cards.borrower(loans, at_ms)
        if borrower is not None:
            found[credential] = called[borrower]
    return GateNames(v=1, programme=attendance.NAME, names=dict(islice(found.items(), NAMES_MAX)))
