"""The common batch, worked out without a database: it continues its journal exactly, whole.

Rules: pure; whatever is unusual about a batch is left to `careful`, which asks the database. A
batch is plain when its first number follows the last one seen, nothing of the journal is missing
or declared lost, its chain joins the ledger's, every entry can be read, and the reader has not
left the journal behind.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fleet import journals
from fleet.journals import Alarm, Family, Journal, NotKnown, Signature
from fleet.opening import Opened


@dataclass(frozen=True, slots=True)
class Plan:
    """What taking a plain batch in comes to."""

    opened: Opened
    state: Journal
    """Its journal afterwards."""
    others: Sequence[Journal]
    """Journals of the same reader that its first entry changes, afterwards."""
    alarms: Sequence[Alarm]
    former: Journal | None
    """The journal before this one as the group knows it at this point; None: as it stands."""
    first_ever: bool
    """The reader has written nothing before."""


def plan(family: Family, opened: Opened) -> Plan | None:
    """Return what a batch comes to, or None when it is not plain; changes nothing."""
    batch, arrived = opened.batch, opened.arrived
    if opened.fault or not opened.readable or batch.lost or not opened.bodies:
        return None
    known = family.get(batch.journal)
    state = replace(known) if known else Journal(arrived.reader.name, batch.journal)
    seen = state.seen
    if batch.first != seen + 1 or state.through != seen or (known and known.superseded):
        return None
    others: Sequence[Journal] = ()
    alarms: Sequence[Alarm] = ()
    try:
        if journals.known_hash(state, seen) != batch.before:
            return None
        state.received_at_ms = arrived.received_at_ms
        state.spans = [(1, batch.last)]
        state.seen_hash = opened.hashes[-1]
        state.claimed = max(state.claimed, batch.last)
        state.signed = signature(opened)
        if opened.start:
            others, alarms = journals.begin(family, state, opened.start, journals.known_hash)
    except NotKnown:
        return None
    if state.superseded:
        return None
    former = family.get(state.former_journal) if state.former_journal else None
    start = opened.start
    first_ever = start is not None and start.former is None and not family
    return Plan(opened, state, others, alarms, former, first_ever)


def signature(opened: Opened) -> Signature | None:
    """Return what the reader signed, without the entries; None when it could not be rebuilt."""
    batch, proof = opened.batch, opened.proof
    if proof is None:
        return None
    return Signature(
        batch.first, batch.lost, batch.last, batch.before, proof.key_id, proof.signature
    )
