"""All that dispatch does with the databases but building: plain calls, no network, no waiting.

One `DispatchBooks` belongs to one thread. Everything here happens once per fleet, so each call
first makes sure that this process is still the only one (`Holding.require`).
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import structlog

from fleet import (
    desk_wait,
    gaps,
    gate_names,
    grain,
    ingest,
    intake,
    journals,
    lag,
    ledger,
    ledger_months,
    months,
    quarantine,
    rosters,
    store,
    telemetry,
    triage,
    usage_files,
    work_visitors,
)
from fleet.alarms import AlarmKind, sound
from fleet.books import Letter, Roll, read_signing_key
from fleet.config import Config
from fleet.desk_wait import ASK_AGAIN_MS, Asked
from fleet.grants import Role
from fleet.intake import Said, Stranger
from fleet.lag import Figure
from fleet.store import open_fleet, open_persons
from fleet.workers import Holding
from programmes.calendar import local_day
from wire.clock import Clock, patience_ms
from wire.envelope import Purpose, Signer
from wire.messages import Ack, TwinDesired
from wire.mqtt import Message
from wire.topics import Leaf, parse_reader, topic

log: Final = structlog.get_logger("fleet.dispatch")

BROKER: Final = "broker"
"""The subject of an alarm about the broker: there is one."""


class DispatchBooks:
    """The databases as dispatch uses them."""

    def __init__(self, config: Config, clock: Clock, holding: Holding) -> None:
        """Raises StoreUnusable when `kazasu-fleet init` is due, ConfigRefused for a bad key."""
        self._clock = clock
        self._holding = holding
        self._signer = Signer(read_signing_key(config.signing_key))
        self._fleet = open_fleet(config.databases, Role.DISPATCH)
        self._roll = Roll(self._fleet)
        self._people = open_persons(config.databases, Role.DISPATCH)
        self._telemetry = telemetry.open_telemetry(config, self._fleet, clock)
        self._holes = gaps.HoleClock()
        self._commit_us: Mapping[Figure, int] = {}
        self._asking: dict[str, tuple[Asked, int]] = {}
        self._asked_ms = 0

    def close(self) -> None:
        """Close the databases."""
        self._telemetry.close()
        self._fleet.close()
        self._people.close()

    def take(self, messages: Sequence[Message]) -> set[str]:
        """Take a group of statuses and twins in; return the readers that came online, or still are.

        Raises sqlalchemy.exc.OperationalError when the database cannot (away, disk full): nothing
        of the group is in then.
        """
        self._holding.require()
        now_ms = self._clock.now_ms()
        while (came_online := self._take(messages, now_ms)) is None:
            self._roll.read_again()
        return came_online

    def _take(self, messages: Sequence[Message], now_ms: int) -> set[str] | None:
        group = [self._roll.present.whose(message, now_ms) for message in messages]
        said = [one for one in group if isinstance(one, Said)]
        strangers = Counter(one for one in group if isinstance(one, Stranger))
        with self._fleet.write() as connection:
            if not self._roll.is_current(connection):
                return None
            store.lock(connection, "reader", {one.reader.name for one in said})
            heard = intake.take(connection, said)
            intake.refuse(connection, strangers, now_ms)
        return heard.came_online

    # --- what readers are told -------------------------------------------------------------------

    def in_service(self) -> list[str]:
        """Return the readers that are told something, by full name."""
        self._refresh()
        return [name for name, reader in self._roll.present.readers.items() if not reader.revoked]

    def twins(self, only: Iterable[str]) -> list[Letter]:
        """Return the desired state of those of these readers that are in service, signed now."""
        self._holding.require()
        self._refresh()
        with self._fleet.read() as connection:
            wanted = rosters.wanted(connection)
            fed = usage_files.wanted(connection)
            named = gate_names.wanted(connection)
        letters = []
        for name in only:
            reader = self._roll.present.readers.get(name)
            if reader is None or reader.revoked:
                continue
            desired = TwinDesired(
                v=1,
                at_ms=self._clock.now_ms(),
                rosters=wanted.get(reader.place.name, []),
                keys=reader.keys_sha256,
                usage=fed.get(reader.place.name, []),
                names=named.get(name),
            )
            payload = self._signer.seal(Purpose.TWIN_DESIRED, name, desired)
            letters.append(Letter(topic(parse_reader(name), Leaf.TWIN_DESIRED), payload, True))
        return letters

    def marks(self, only: Iterable[str]) -> list[Letter]:
        """Return what the ledger has of the journal that each of these readers last named.

        A reader with nothing to send would hear of a new epoch only when its next card is held,
        and what a restore lost would wait for that.
        """
        self._holding.require()
        with self._fleet.read() as connection:
            epoch = ledger.epoch(connection)
            through = journals.through_of_present(connection, list(only))
        if epoch is None:
            return []
        letters = []
        for name, (journal, n) in through.items():
            ack = Ack(v=1, epoch=epoch, journal=journal, through=n, at_ms=self._clock.now_ms())
            payload = self._signer.seal(Purpose.ACK, name, ack)
            letters.append(Letter(topic(parse_reader(name), Leaf.ACK), payload))
        return letters

    def desk_requests(self) -> list[Letter]:
        """Return what desks ask of their readers now: new requests, and again those that go on.

        Those for which nobody waits any more are taken back, first.
        """
        self._holding.require()
        self._refresh()
        now_ms = patience_ms(self._clock)
        with self._people.read() as connection:
            asked = {one.id: one for one in desk_wait.asked(connection, now_ms)}
        over = [one for name, (one, _) in self._asking.items() if name not in asked]
        due = [one for name, one in asked.items() if self._is_due(name, now_ms)]
        self._asking = {name: self._asking.get(name, (one, 0)) for name, one in asked.items()}
        self._asking |= {one.id: (one, now_ms) for one in due}
        if due:
            with self._people.write() as connection:
                desk_wait.note_sent(connection, [one.id for one in due], now_ms)
        letters = [self._request(one, now_ms, over=True) for one in over]
        letters += [self._request(one, now_ms) for one in due]
        return [letter for letter in letters if letter is not None]

    def _is_due(self, name: str, now_ms: int) -> bool:
        return name not in self._asking or now_ms - self._asking[name][1] >= ASK_AGAIN_MS

    def _request(self, asked: Asked, now_ms: int, *, over: bool = False) -> Letter | None:
        """Return one request, signed; each is newer than the last, or its reader leaves it."""
        reader = self._roll.present.readers.get(asked.reader)
        if reader is None or reader.revoked:
            return None
        self._asked_ms = max(now_ms, self._asked_ms + 1)
        request = asked.request(self._asked_ms, over=over)
        payload = self._signer.seal(Purpose.DESK_REQUEST, asked.reader, request)
        return Letter(topic(parse_reader(asked.reader), Leaf.COMMAND), payload)

    def _refresh(self) -> None:
        with self._fleet.read() as connection:
            if self._roll.is_current(connection):
                return
        self._roll.read_again()

    # --- what happens once per fleet -------------------------------------------------------------

    def sweep(self) -> None:
        """Turn holes that have stood long enough into gaps."""
        self._holding.require()
        now_ms, now_ns = self._clock.now_ms(), self._clock.monotonic_ns()
        with self._fleet.read() as connection:
            due = self._holes.due(gaps.open_holes(connection), now_ns)
        if not due:
            return
        with self._fleet.write() as connection:
            found = ingest.sweep(connection, self._holes, now_ns, now_ms)
        for journal_id, (first, last) in found:
            log.warning("gap", journal=journal_id, first=first, last=last)

    def tidy(self) -> None:
        """Forget what is past its time, down-sample, and make room for the months to come."""
        self._holding.require()
        now_ms = self._clock.now_ms()
        with self._fleet.write() as connection:
            for month in (now_ms, months.bounds_ms(months.month_of(now_ms))[1]):
                months.ensure(connection, month)
            quarantine.forget_hours(connection, now_ms)
            self._telemetry.tidy(connection, now_ms)
            ledger_months.count(connection)
            lag.forget(connection, now_ms)
        with self._people.write() as connection:
            triage.erase_old(connection, now_ms)
            work_visitors.forget(connection, now_ms)
            desk_wait.tidy(connection, patience_ms(self._clock))
        grain.judge(self._fleet, self._people, local_day(now_ms))

    def measure(self, process: str, figures: Mapping[Figure, int], newly_dropped: int) -> None:
        """Write down how database and broker keep up; an alarm when the broker dropped something.

        What this very transaction takes stands in the next one.
        """
        self._holding.require()
        now_ms, began_ns = self._clock.now_ms(), time.monotonic_ns()
        with self._fleet.write() as connection:
            oldest_ms = lag.oldest_transaction_ms(connection)
            known = {**figures, **self._commit_us}
            if oldest_ms is not None:
                known[Figure.DATABASE_OLDEST_MS] = oldest_ms
            lag.note(connection, process, known, now_ms)
            if newly_dropped:
                detail = str(newly_dropped)
                sound(connection, AlarmKind.BROKER_DROPPED, BROKER, None, detail, now_ms)
        self._commit_us = {Figure.DATABASE_COMMIT_US: (time.monotonic_ns() - began_ns) // 1000}
