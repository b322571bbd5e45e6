"""All that ingest does with the databases, in one thread: plain calls, no network, no waiting.

`broker` hands groups of messages over and sends what comes back. One `Books` belongs to one
thread.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fleet import (
    gaps,
    grain,
    ingest,
    intake,
    ledger,
    members,
    quarantine,
    registry,
    rosters,
    rules,
    telemetry,
    triage,
)
from fleet.config import Config, ConfigRefused
from fleet.grants import Role
from fleet.ingest import Arrived, Ingest
from fleet.intake import Said
from fleet.reconcile import Known, RosterArchive
from fleet.registry import Reader
from fleet.store import StoreUnusable, open_fleet, open_persons
from programmes.register import RULEBOOKS
from programmes.calendar import local_day
from wire.clock import Clock
from wire.envelope import Purpose, Signer
from wire.messages import Ack, TwinDesired
from wire.mqtt import Message
from wire.roster import RuleTable
from wire.topics import Leaf, parse_reader, parse_topic, topic

log: Final = structlog.get_logger("fleet.ingest")


class Letter(NamedTuple):
    """Something to be published."""

    topic: str
    payload: bytes
    retain: bool = False


class Done(NamedTuple):
    """What came of a group, after its commit."""

    acks: list[Letter]
    came_online: set[str]
    created: int


class Sorted(NamedTuple):
    """A group by what it carries."""

    batches: list[Arrived]
    said: list[Said]
    refused: list[tuple[str, str, str]]


def read_signing_key(path: str) -> ed25519.Ed25519PrivateKey:
    """Return the fleet's signing key. Raises ConfigRefused."""
    try:
        key = load_pem_private_key(Path(path).read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigRefused(f"{path}: {error}") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ConfigRefused(f"{path}: the signing key is an Ed25519 key")
    return key


class Books:
    """The databases as ingest uses them."""

    def __init__(self, config: Config, clock: Clock) -> None:
        """Raises StoreUnusable when `kazasu-fleet init` is due, ConfigRefused for a bad key."""
        key = read_signing_key(config.signing_key)
        self._clock = clock
        self._signer = Signer(key)
        self._fleet = open_fleet(config.databases, Role.INGEST)
        self._people = open_persons(config.databases, Role.INGEST)
        self._archive = RosterArchive(config.state_folder, config.tenant, key.public_key())
        self._telemetry = telemetry.open_telemetry(config, self._fleet, clock)
        self._ingest = Ingest(self._archive)
        self._holes = gaps.HoleClock()
        self._readers: dict[str, Reader] = {}
        self._rules: dict[str, Sequence[RuleTable]] = {}
        self._revisions: dict[str, int] | None = None
        with self._fleet.read() as connection:
            epoch = ledger.epoch(connection)
        if epoch is None:
            raise StoreUnusable("the ledger has no epoch: run `kazasu-fleet init` first")
        self._epoch = epoch

    def close(self) -> None:
        """Close files and databases."""
        self._archive.close()
        self._fleet.close()
        self._telemetry.close()
        self._people.close()

    def take(self, messages: Sequence[Message]) -> Done:
        """Take a group of messages in; when this returns, it is committed.

        Raises sqlalchemy.exc.OperationalError when the database cannot (disk full): nothing of
        the group is in then, and it may be tried again.
        """
        now_ms = self._clock.now_ms()
        self._refresh()
        group = self._sort(messages, now_ms)
        opened = [ingest.open_batch(one) for one in group.batches]
        known = self._known(opened)
        with self._fleet.write() as connection:
            self._epoch = ledger.epoch(connection) or self._epoch
            tally = self._ingest.take(connection, opened, known)
            heard = intake.take(connection, group.said)
            for reader, leaf, reason in group.refused:
                intake.refuse(connection, reader, leaf, reason, now_ms)
        self._tell_persons(tally.moves, heard.unknown_cards)
            self._telemetry.keep(connection, heard.minutes, now_ms)
        acks = [self._ack(one, now_ms) for one in _last_of_each(tally.taken)]
        return Done(acks, heard.came_online, tally.created)

    def _refresh(self) -> None:
        """Read the registry and the rules again when they have changed."""
        with self._fleet.read() as connection:
            revisions = registry.revisions(connection)
            if revisions == self._revisions:
                return
            self._readers = dict(registry.load_readers(connection))
            self._rules = {name: rules.load(connection, name) for name in RULEBOOKS}
            self._revisions = revisions

    def _sort(self, messages: Iterable[Message], now_ms: int) -> Sorted:
        group = Sorted([], [], [])
        for message in messages:
            try:
                name, leaf = parse_topic(message.topic)
            except ValueError:
                group.refused.append((intake.UNKNOWN_READER, "?", "topic"))
                continue
            reader = self._readers.get(str(name))
            if reader is None or reader.revoked:
                known = str(name) if reader else intake.UNKNOWN_READER
                group.refused.append((known, leaf, "revoked" if reader else "not-enrolled"))
            elif leaf is Leaf.ENTRIES:
                group.batches.append(Arrived(reader, message.topic, message.payload, now_ms))
            else:
                group.said.append(Said(reader, leaf, message.payload, now_ms))
        return group

    def _known(self, opened: Sequence[ingest.Signed | ingest.Refused]) -> Known:
        named = ingest.credentials(opened)
        if not named:
            return Known({}, self._rules)
        with self._people.read() as connection:
            return Known(members.known_cards(connection, named), self._rules)

    def _tell_persons(self, moves: Sequence[ingest.Move], unknown: Sequence[Any]) -> None:
        if not moves and not unknown:
            return
        now_ms = self._clock.now_ms()
        with self._people.write() as connection:
            for move in moves:
                members.move_card(connection, *move, at_ms=now_ms)
            for reader, message, received_at_ms in unknown:
                triage.take(connection, reader.name, reader.place.name, message, received_at_ms)

    def _ack(self, taken: ingest.Taken, now_ms: int) -> Letter:
        ack = Ack(
            v=1, epoch=self._epoch, journal=taken.journal, through=taken.through, at_ms=now_ms
        )
        return Letter(
            topic(parse_reader(taken.reader), Leaf.ACK),
            self._signer.seal(Purpose.ACK, taken.reader, ack),
        )

    def sweep(self) -> None:
        """Turn old holes into gaps, and forget what is past its time."""
        now_ms, now_ns = self._clock.now_ms(), self._clock.monotonic_ns()
        with self._fleet.write() as connection:
            found = ingest.sweep(connection, self._holes, now_ns, now_ms)
            quarantine.forget_hours(connection, now_ms)
            self._telemetry.tidy(connection, now_ms)
        grain.judge(self._fleet, self._people, local_day(now_ms))
        for journal_id, (first, last) in found:
            log.warning("gap", journal=journal_id, first=first, last=last)
        with self._people.write() as connection:
            triage.erase_old(connection, now_ms)

    def twins(self, only: Iterable[str] | None = None) -> list[Letter]:
        """Return the desired state of these readers, or of all that are in service, signed now."""
        self._refresh()
        with self._fleet.read() as connection:
            wanted = rosters.wanted(connection)
        names = self._readers if only is None else [name for name in only if name in self._readers]
        letters = []
        for name in names:
            reader = self._readers[name]
            if reader.revoked:
                continue
            desired = TwinDesired(
                v=1,
                at_ms=self._clock.now_ms(),
                rosters=wanted.get(reader.place.name, []),
                keys=reader.keys_sha256,
            )
            payload = self._signer.seal(Purpose.TWIN_DESIRED, name, desired)
            letters.append(Letter(topic(parse_reader(name), Leaf.TWIN_DESIRED), payload, True))
        return letters


def _last_of_each(taken: Iterable[ingest.Taken]) -> list[ingest.Taken]:
    """Of several batches of one journal in a group only the last mark needs saying."""
    last = {(one.reader, one.journal): one for one in taken}
    return list(last.values())
