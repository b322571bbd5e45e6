"""All that ingest does with the databases, in one thread: plain calls, no network, no waiting.

`groups` hands groups of messages over and sends what comes back; what `dispatch` does with the
databases stands in `dispatch_books`. One `Books` belongs to one thread.
"""

import functools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fleet import ingest, intake, lag, members, registry, rules, telemetry, triage, usage
from fleet.config import Config, ConfigRefused
from fleet.grants import Role
from fleet.ingest import Arrived, Ingest
from fleet.intake import Said
from fleet.known import Cards
from fleet.lag import Figure
from fleet.months import Months
from fleet.reconcile import Known
from fleet.registry import Reader
from fleet.roster_files import RosterArchive
from fleet.schema import ledger_epoch, revision
from fleet.store import Store, StoreUnready, open_fleet, open_persons
from programmes.register import RULEBOOKS
from wire.clock import Clock
from wire.envelope import Purpose, Signer
from wire.messages import Ack
from wire.mqtt import Message
from wire.roster import RuleTable
from wire.topics import UP, Leaf, ReaderName, parse_reader, parse_topic, topic

TOPICS_MAX: Final = 8_192
"""Topics that a worker has read or written out before: 2,000 readers with all their leaves."""


class Letter(NamedTuple):
    """Something to be published."""

    topic: str
    payload: bytes
    retain: bool = False


class Done(NamedTuple):
    """What came of a group, after its commit."""

    acks: list[Letter]
    created: int


class Sorted(NamedTuple):
    """A group by what it carries; refused messages are counted by reader, leaf and reason."""

    batches: list[Arrived]
    said: list[Said]
    refused: Counter[tuple[str, str, str]]


def read_signing_key(path: str) -> ed25519.Ed25519PrivateKey:
    """Return the fleet's signing key. Raises ConfigRefused."""
    try:
        key = load_pem_private_key(Path(path).read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigRefused(f"{path}: {error}") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ConfigRefused(f"{path}: the signing key is an Ed25519 key")
    return key


_LATEST: Final = (
    sa.select(ledger_epoch.c.epoch).order_by(ledger_epoch.c.id.desc()).limit(1).subquery()
)
_STATE: Final = sa.union_all(
    sa.select(revision.c.name, sa.cast(revision.c.revision, sa.Text).label("revision")),
    sa.select(sa.literal_column("'epoch'"), _LATEST.c.epoch),
)
"""One statement for all that is asked at each group: it costs as much as a single row."""


class Roll:
    """Who is enrolled, which rules hold, which life the ledger is in; read again on a change."""

    def __init__(self, store: Store, programmes: Collection[str] = ()) -> None:
        """Raises StoreUnready when the ledger has no epoch."""
        self.readers: dict[str, Reader] = {}
        self.rules: dict[str, Sequence[RuleTable]] = {}
        self._store = store
        self._programmes = programmes
        self._state: dict[str, str] = {}
        self.read_again()

    @property
    def epoch(self) -> str:
        """The ledger's present life."""
        return self._state["epoch"]

    def is_current(self, connection: sa.Connection) -> bool:
        """True when nothing of it has changed since it was read."""
        return _state(connection) == self._state

    def read_again(self) -> None:
        """Read everything. Raises StoreUnready when the ledger has no epoch."""
        with self._store.read() as connection:
            state = _state(connection)
            if "epoch" not in state:
                raise StoreUnready("the ledger has no epoch: run `kazasu-fleet init` first")
            self.readers = dict(registry.load_readers(connection))
            self.rules = {name: rules.load(connection, name) for name in self._programmes}
            self._state = state

    def sort(self, messages: Iterable[Message], now_ms: int) -> Sorted:
        """Sort messages by what they carry and who sent them."""
        group = Sorted([], [], Counter())
        for message in messages:
            try:
                name, leaf = _from_reader(message.topic)
            except ValueError:
                group.refused[intake.UNKNOWN_READER, "?", "topic"] += 1
                continue
            reader = self.readers.get(str(name))
            if reader is None or reader.revoked:
                known = str(name) if reader else intake.UNKNOWN_READER
                group.refused[known, leaf, "revoked" if reader else "not-enrolled"] += 1
            elif leaf is Leaf.ENTRIES:
                group.batches.append(Arrived(reader, message.topic, message.payload, now_ms))
            else:
                group.said.append(Said(reader, leaf, message.payload, now_ms))
        return group


@functools.lru_cache(TOPICS_MAX)
def _from_reader(text: str) -> tuple[ReaderName, Leaf]:
    """Return reader and leaf of a topic that readers write. Raises ValueError for any other."""
    name, leaf = parse_topic(text)
    if leaf not in UP:
        raise ValueError(f"{text!r} is not written by readers")
    return name, leaf


@functools.lru_cache(TOPICS_MAX)
def _ack_topic(reader: str) -> str:
    return topic(parse_reader(reader), Leaf.ACK)


def _state(connection: sa.Connection) -> dict[str, str]:
    return {row.name: row.revision for row in connection.execute(_STATE)}


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

    def take(self, messages: Sequence[Message]) -> Done:
        """Take a group of messages in; when this returns, it is committed.

        Raises sqlalchemy.exc.OperationalError when the database cannot (away, disk full): nothing
        of the group is in then, and it may be tried again.
        """
        now_ms = self._clock.now_ms()
        self._months.ensure(now_ms)
        while (done := self._take(messages, now_ms)) is None:
            self._roll.read_again()
        return done

    def _take(self, messages: Sequence[Message], now_ms: int) -> Done | None:
        """Take a group in; None when registry, rules or epoch have changed, and nothing is in.

        That is looked at inside the transaction: so it costs no transaction of its own, and a
        revocation that was committed before this group holds for it.
        """
        group = self._roll.sort(messages, now_ms)
        opened = [ingest.open_batch(one) for one in group.batches]
        known = self._known(opened, now_ms)
        with self._fleet.write() as connection:
            if not self._roll.is_current(connection):
                return None
            tally = self._ingest.take(connection, opened, known)
            heard = intake.take(connection, group.said)
            self._telemetry.keep(connection, heard.minutes, now_ms)
            intake.refuse(connection, group.refused, now_ms)
        self._tell_persons(tally.moves, heard.unknown_cards)
        acks = [self._ack(one, now_ms) for one in _last_of_each(tally.taken)]
        return Done(acks, tally.created)

    def _known(self, opened: Sequence[ingest.Opened | ingest.Refused], now_ms: int) -> Known:
        named, rules = ingest.credentials(opened), self._roll.rules
        if not named:
            return Known({}, rules)
        with self._people.read() as connection:
            limited = usage.is_limited(rules, now_ms)
            known = self._cards.rows(connection, named)
            cards = self._cards.of_same_member(connection, named) if limited else {}
            former = self._cards.former(connection, named)
        return Known(known, rules, former, usage.Running(rules, cards))

    def _tell_persons(self, moves: Sequence[ingest.Move], unknown: Sequence[Any]) -> None:
        if not moves and not unknown:
            return
        now_ms = self._clock.now_ms()
        with self._people.write() as connection:
            for move in moves:
                members.move_card(connection, *move, at_ms=now_ms)
            for reader, message, received_at_ms in unknown:
                triage.take(connection, reader.name, reader.place.name, message, received_at_ms)

    def note_lag(self, process: str, figures: Mapping[Figure, int]) -> None:
        """Write down how this worker keeps up."""
        with self._fleet.write() as connection:
            lag.note(connection, process, figures, self._clock.now_ms())

    def _ack(self, taken: ingest.Taken, now_ms: int) -> Letter:
        epoch = self._roll.epoch
        ack = Ack(v=1, epoch=epoch, journal=taken.journal, through=taken.through, at_ms=now_ms)
        return Letter(
            _ack_topic(taken.reader),
            self._signer.seal(Purpose.ACK, taken.reader, ack),
        )


def _last_of_each(taken: Iterable[ingest.Taken]) -> list[ingest.Taken]:
    """Of several batches of one journal in a group only the last mark needs saying."""
    last = {(one.reader, one.journal): one for one in taken}
    return list(last.values())
