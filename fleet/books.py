"""All that ingest does with messages and databases: plain calls, no network, no waiting.

`groups` hands messages over and sends what comes back; what `dispatch` does with the databases
stands in `dispatch_books`. A message is read (`Books.read`) in whatever thread it arrives, since
that asks no database; everything else belongs to one thread.
"""

import functools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fleet import (
    desk_wait,
    ingest,
    intake,
    lag,
    moves,
    registry,
    rules,
    statements,
    telemetry,
    triage,
)
from fleet.config import Config, ConfigRefused
from fleet.findings import Known
from fleet.grants import Role
from fleet.ingest import Ingest, NotAtOnce
from fleet.intake import Heard, Said, Stranger
from fleet.known import Cards, what_is_known
from fleet.lag import Figure
from fleet.months import Months
from fleet.moves import Move
from fleet.opening import Arrived, Opened, Refused, credentials, open_batch
from fleet.registry import Reader
from fleet.roster_files import RosterArchive
from fleet.store import Store, StoreUnready, open_fleet, open_persons
from fleet.tally import Taken
from programmes.register import RULEBOOKS
from wire.clock import Clock, patience_ms
from wire.envelope import Purpose, Signer
from wire.messages import Ack
from wire.mqtt import Message
from wire.roster import RuleTable
from wire.topics import UP, Leaf, parse_reader, parse_topic, topic

TOPICS_MAX: Final = 8_192
"""Topics that a worker has read or written out before: 2,000 readers with all their leaves."""


class Letter(NamedTuple):
    """Something to be published."""

    topic: str
    payload: bytes
    retain: bool = False


class Done(NamedTuple):
    """What came of a group, after its commit: how far each reader's journal is in, to be sealed."""

    acks: list[tuple[str, Ack]]
    created: int


@dataclass(frozen=True, slots=True, eq=False)
class Register:
    """Who is enrolled and which rules hold, as the database said at one instant."""

    readers: Mapping[str, Reader]
    rules: Mapping[str, Sequence[RuleTable]]
    state: Mapping[str, str]

    def whose(self, message: Message, now_ms: int) -> Arrived | Said | Stranger:
        """Return what a message is, by its topic and who may write there."""
        try:
            name, leaf = _from_reader(message.topic)
        except ValueError:
            return Stranger(intake.UNKNOWN_READER, "?", "topic")
        reader = self.readers.get(name)
        if reader is None:
            return Stranger(intake.UNKNOWN_READER, leaf, "not-enrolled")
        if reader.revoked:
            return Stranger(name, leaf, "revoked")
        if leaf is Leaf.ENTRIES:
            return Arrived(reader, message.topic, message.payload, now_ms)
        return Said(reader, leaf, message.payload, now_ms)


class Received(NamedTuple):
    """A message as it was read under one state of the register: verified, decoded, chained."""

    message: Message
    at_ms: int
    """When it was read: its time of receipt."""
    register: Register
    what: Opened | Refused | Said | Stranger

    @property
    def payload(self) -> bytes:
        """Its bytes as they came."""
        return self.message.payload


def read_signing_key(path: str) -> ed25519.Ed25519PrivateKey:
    """Return the fleet's signing key. Raises ConfigRefused."""
    try:
        key = load_pem_private_key(Path(path).read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigRefused(f"{path}: {error}") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ConfigRefused(f"{path}: the signing key is an Ed25519 key")
    return key


_STATE: Final = """
SELECT name, CAST(revision AS text) FROM revision UNION ALL
SELECT 'epoch', epoch FROM (SELECT epoch FROM ledger_epoch ORDER BY id DESC LIMIT 1) AS latest
"""
"""One statement for all that is asked at each group: it costs as much as a single row."""


class Roll:
    """The register as it is now; read again on a change. `present` may be read in any thread."""

    def __init__(self, store: Store, programmes: Collection[str] = ()) -> None:
        """Raises StoreUnready when the ledger has no epoch."""
        self._store = store
        self._programmes = programmes
        self.present = self._read()

    @property
    def epoch(self) -> str:
        """The ledger's present life."""
        return self.present.state["epoch"]

    def is_current(self, connection: sa.Connection) -> bool:
        """True when nothing of it has changed since it was read."""
        return _state(connection) == self.present.state

    def read_again(self) -> None:
        """Read everything. Raises StoreUnready when the ledger has no epoch."""
        self.present = self._read()

    def _read(self) -> Register:
        with self._store.read() as connection:
            state = _state(connection)
            if "epoch" not in state:
                raise StoreUnready("the ledger has no epoch: run `kazasu-fleet init` first")
            tables = {name: rules.load(connection, name) for name in self._programmes}
            return Register(dict(registry.load_readers(connection)), tables, state)


@functools.lru_cache(TOPICS_MAX)
def _from_reader(text: str) -> tuple[str, Leaf]:
    """Return reader and leaf of a topic that readers write. Raises ValueError for any other."""
    name, leaf = parse_topic(text)
    if leaf not in UP:
        raise ValueError(f"{text!r} is not written by readers")
    return str(name), leaf


@functools.lru_cache(TOPICS_MAX)
def _ack_topic(reader: str) -> str:
    return topic(parse_reader(reader), Leaf.ACK)


def _state(connection: sa.Connection) -> dict[str, str]:
    return dict(statements.select(connection, _STATE))


class Books:
    """The databases as ingest uses them."""

    def __init__(self, config: Config, clock: Clock) -> None:
        """Raises StoreUnready when `kazasu-fleet init` is due, ConfigRefused for a bad key."""
        key = read_signing_key(config.signing_key)
        self._clock = clock
        self._signer = Signer(key)
        self._fleet = open_fleet(config.databases, Role.INGEST)
        self._roll = Roll(self._fleet, RULEBOOKS)
        self._people = open_persons(config.databases, Role.INGEST)
        self._telemetry = telemetry.open_telemetry(config, self._fleet, clock)
        self._archive = RosterArchive(
            self._fleet, config.state_folder, config.tenant, key.public_key()
        )
        self._ingest = Ingest(self._archive)
        self._cards = Cards()
        self._months = Months(self._fleet)

    def close(self) -> None:
        """Close files and databases."""
        self._telemetry.close()
        self._archive.close()
        self._fleet.close()
        self._people.close()

    def read(self, message: Message) -> Received:
        """Read a message as far as that needs no database; in any thread."""
        register, now_ms = self._roll.present, self._clock.now_ms()
        found = register.whose(message, now_ms)
        what = open_batch(found) if isinstance(found, Arrived) else found
        return Received(message, now_ms, register, what)

    def take(self, received: Sequence[Received]) -> Done:
        """Take a group of messages in; when this returns, it is committed.

        Raises sqlalchemy.exc.OperationalError when the database cannot (away, disk full): nothing
        of the group is in then, and it may be tried again.
        """
        now_ms = self._clock.now_ms()
        at_once = True
        while True:
            present = self._roll.present
            group = [one if one.register is present else self.read(one.message) for one in received]
            for one in group:
                self._months.ensure(one.at_ms)
            try:
                done = self._take([one.what for one in group], now_ms, at_once=at_once)
            except NotAtOnce:
                at_once = False
                continue
            if done is not None:
                return done
            self._roll.read_again()

    def _take(
        self, group: Sequence[Opened | Refused | Said | Stranger], now_ms: int, *, at_once: bool
    ) -> Done | None:
        """Take a group in; None when registry, rules or epoch have changed, and nothing is in.

        That is looked at inside the transaction: so it costs no transaction of its own, and a
        revocation that was committed before this group holds for it. Raises NotAtOnce.
        """
        opened = [one for one in group if isinstance(one, Opened | Refused)]
        strangers = Counter(one for one in group if isinstance(one, Stranger))
        known = self._known(opened, now_ms)
        with self._fleet.write() as connection:
            with statements.together(connection):
                ingest.lock(connection, opened, known)
                if not self._roll.is_current(connection):
                    return None
            tally = self._ingest.take(connection, opened, known, at_once=at_once)
            heard = intake.take(connection, [one for one in group if isinstance(one, Said)])
            self._telemetry.keep(connection, heard.minutes, now_ms)
            intake.refuse(connection, strangers, now_ms)
        new = [one for one in tally.moves if not self._cards.is_moved(one)]
        self._tell_persons(new, heard)
        return Done([self._ack(one, now_ms) for one in _last_of_each(tally.taken)], tally.created)

    def _known(self, opened: Sequence[Opened | Refused], now_ms: int) -> Known:
        named, rules = credentials(opened), self._roll.present.rules
        return what_is_known(self._cards, self._people, named, rules, now_ms)

    def _tell_persons(self, moved: Sequence[Move], heard: Heard) -> None:
        if not moved and not heard.unknown_cards and not heard.answers:
            return
        unasked: Counter[Stranger] = Counter()
        now_ms = self._clock.now_ms()
        with self._people.write() as connection:
            for move in moved:
                moves.move_card(connection, move, now_ms)
            for reader, message, received_at_ms in heard.unknown_cards:
                triage.take(connection, reader.name, reader.place.name, message, received_at_ms)
            for reader, answer in heard.answers:
                if not desk_wait.hear(connection, reader.name, answer, patience_ms(self._clock)):
                    unasked[Stranger(reader.name, Leaf.COMMAND_RESULT, "not-asked")] += 1
        if unasked:
            with self._fleet.write() as connection:
                intake.refuse(connection, unasked, now_ms)

    def note_lag(self, process: str, figures: Mapping[Figure, int]) -> None:
        """Write down how this worker keeps up."""
        with self._fleet.write() as connection:
            lag.note(connection, process, figures, self._clock.now_ms())

    def _ack(self, taken: Taken, now_ms: int) -> tuple[str, Ack]:
        epoch, journal, through = self._roll.epoch, taken.journal, taken.through
        return taken.reader, Ack(v=1, epoch=epoch, journal=journal, through=through, at_ms=now_ms)

    def letters(self, done: Done) -> list[Letter]:
        """Return the acknowledgements of a group, signed; in any thread."""
        return [
            Letter(_ack_topic(reader), self._signer.seal(Purpose.ACK, reader, ack))
            for reader, ack in done.acks
        ]


def _last_of_each(taken: Iterable[Taken]) -> list[Taken]:
    """Of several batches of one journal in a group only the last mark needs saying."""
    last = {(one.reader, one.journal): one for one in taken}
    return list(last.values())
