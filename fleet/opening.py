"""What can be known of a message before any database is asked: verified, decoded, chained, once.

Rules: pure, so it may run in any thread; a batch whose signature is right is opened whole,
whatever its entries are; what of an entry cannot be read is kept as its refusal.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from fleet.registry import Reader
from wire.entries import Cancel, Entry, EntryRefused, Ride, Start, Tap, chain, decode
from wire.envelope import MessageRefused, Proof, Purpose, open_proven
from wire.messages import Batch

_encoder: Final = msgspec.json.Encoder()
Deciding = Tap | Ride | Cancel
"""Entries that are decided again, or undo one that was."""


class Arrived(NamedTuple):
    """One message of the leaf `entries`, from a reader of the registry."""

    reader: Reader
    topic: str
    payload: bytes
    received_at_ms: int


class Refused(NamedTuple):
    """A message that nobody vouches for."""

    arrived: Arrived
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A batch whose signature is right, with all that follows from its bytes alone."""

    arrived: Arrived
    batch: Batch
    bodies: Sequence[bytes]
    entries: Sequence[Entry | EntryRefused]
    hashes: Sequence[bytes]
    """The chain's hash after each entry."""
    fault: str
    """Why its chain does not hold in itself; empty when it does."""
    readable: bool
    """Every entry could be read and has its own number."""
    proof: Proof | None
    """None when the body was not encoded as ours is: it could not be rebuilt to check it."""

    @property
    def start(self) -> Start | None:
        """The first entry of a journal, when this batch brings it."""
        first = self.entries[0] if self.entries and self.begins_at == 1 else None
        return first if isinstance(first, Start) else None

    @property
    def begins_at(self) -> int:
        """The number of the first entry, behind those that are declared lost."""
        return self.batch.first + self.batch.lost

    @property
    def readable_entries(self) -> list[Entry]:
        """The entries that could be read, in order."""
        return [one for one in self.entries if not isinstance(one, EntryRefused)]

    def numbered(self) -> Iterable[tuple[int, bytes, bytes, Entry]]:
        """Number, hash, bytes and entry of each, where all could be read."""
        numbers = itertools.count(self.begins_at)
        return zip(numbers, self.hashes, self.bodies, self.readable_entries, strict=False)

    @property
    def taps(self) -> list[Tap]:
        """The taps that could be read, in order."""
        return [one for one in self.entries if isinstance(one, Tap)]

    @property
    def deciding(self) -> list[Deciding]:
        """The entries that decide something or take it back, in order."""
        return [one for one in self.entries if isinstance(one, Deciding)]


def open_batch(arrived: Arrived) -> Opened | Refused:
    """Verify one message with its reader's registered key, and read what it brings."""
    reader = arrived.reader
    try:
        batch, proof = open_proven(
            arrived.payload, Purpose.BATCH, reader.name, reader.key, reader.key_id, Batch
        )
    except MessageRefused as error:
        return Refused(arrived, error.reason, str(error))
    return _read(arrived, batch, proof)


def _read(arrived: Arrived, batch: Batch, proof: Proof) -> Opened:
    digest, hashes = batch.before, []
    bodies = [bytes(raw) for raw in batch.entries]
    for body in bodies:
        digest = chain(digest, body)
        hashes.append(digest)
    fault = "" if digest == batch.tip else "the tip does not follow from the entries"
    entries = [read_entry(n, body) for n, body in enumerate(bodies, batch.first + batch.lost)]
    return Opened(
        arrived,
        batch,
        bodies,
        entries,
        hashes,
        fault,
        not any(isinstance(one, EntryRefused) for one in entries),
        proof if _encoder.encode(batch) == proof.body else None,
    )


def read_entry(n: int, body: bytes) -> Entry | EntryRefused:
    """Return the entry with this number, or why these bytes are none."""
    try:
        found = decode(body)
    except EntryRefused as error:
        return error
    if found.n != n:
        return EntryRefused(f"it says that its number is {found.n}")
    return found


def credentials(opened: Iterable[Opened | Refused]) -> set[str]:
    """Return the credentials that these batches name."""
    found: set[str | None] = set()
    for one in opened:
        for entry in one.entries if isinstance(one, Opened) else ():
            if isinstance(entry, Tap):
                found.update((entry.credential, entry.older_credential))
            elif isinstance(entry, Ride):
                for rider in entry.riders:
                    found.update((rider.credential, rider.older_credential))
    return {name for name in found if name}
