"""A month of taxis in one process: real readers but for card and network, a real fleet and ledger.

Every card is decided by the reader's own list, usage and journal (`tests.soak.cab`); every batch is
signed, taken in by `fleet.books.Books` and acknowledged, in groups as a worker takes them. Two
tablets die: one's card is read and the ledger takes in what it never sent; the other's is lost, and
its tail written off.
"""

import datetime
import heapq
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from edge.config import read_config
from fleet.books import read_signing_key
from fleet.usage_files import UsageBuilder
from fleet.usage_rows import file_of
from programmes.calendar import start_of_day_ms
from tests.fleet.virtual import pinned_key
from tests.soak.agent import Ref
from tests.soak.cab import TAXI, Cab
from tests.soak.month import DAY_MS, HOUR_MS, MINUTE_MS, Planned, Size, Zone, dead_zones, plan
from tests.soak.taxi_town import company_of, make, quietly, roster_of, serial_of
from wire.codes import Outcome
from wire.envelope import Purpose, Signer, open_envelope
from wire.messages import Ack
from wire.registry import Registry

FIRST: Final = datetime.date(2026, 7, 1)
TICK_MS: Final = 5 * MINUTE_MS
"""How often what waits is sent: a group is what some taxis of forty companies have by then."""
BEGINS_MS, NOON_MS, ENDS_MS = 6 * HOUR_MS, 12 * HOUR_MS + 30 * MINUTE_MS, 22 * HOUR_MS
"""From midnight: tablets on, fresh usage files at noon, tablets off."""
RESTARTS_SHARE: Final = 0.3
"""Of tablets that start anew in the morning; the others have run through the night."""
LOOKS_EVERY: Final = 3
"""Days after which the cards are read for the truth; what was delivered stays there for seven."""
RECOVERED, LOST = 0, 1
"""The taxis whose tablets die."""
SILENT_MS, DIES_MS = 9 * HOUR_MS, 17 * HOUR_MS
"""From midnight: they have no network, and are dead."""


class Told(NamedTuple):
    """What a driver and his riders were told of a ride when it was settled."""

    ride: Ref
    company: str
    subsidy_yen: int


@dataclass
class Counted:
    """What happened, and how long it took."""

    taps: Counter[str] = field(default_factory=Counter)
    """By outcome, or code of a refusal."""
    not_ridden: int = 0
    """Planned rides on which nobody was let."""
    cancelled: int = 0
    taken_off: int = 0
    offline: int = 0
    """Rides that were settled without a network."""
    groups: int = 0
    reader_us: list[float] = field(default_factory=list)
    """By ride: all its taps, the fare and the settling, decided and on the disk."""
    ingest_us: dict[int, float] = field(default_factory=dict)
    """By place in `reader_us`: its share of the group with which it was acknowledged."""
    usage_bytes: int = 0
    """Of the last usage file of one taxi."""


class World:
    """All of it; `play`, then let `tests.soak.taxi_judge` judge."""

    def __init__(self, folder: Path, size: Size, seed: int, database: str = "") -> None:
        """`database` is the URL of an empty PostgreSQL; without: SQLite."""
        self.size: Final = size
        self.count = Counted()
        self.told: dict[Ref, Told] = {}
        """Rides that were settled, and not taken back by the driver."""
        self.written: dict[Ref, bytes] = {}
        self.gone: set[Ref] = set()
        """Entries that were destroyed before they arrived."""
        self.recovered: set[Ref] = set()
        """Entries that the ledger has from a dead tablet's card, and does not decide again."""
        self._rng = random.Random(f"world {seed}")
        self._order = itertools.count()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._dirty: set[int] = set()
        self._dead: set[int] = set()
        self._unsent: defaultdict[int, list[int]] = defaultdict(list)
        """Rides of a taxi that the ledger has not acknowledged, by place in `count.reader_us`."""
        self._zones = dead_zones(size, FIRST, seed)
        self.fleet = make(folder, size, database)
        self._clock = self.fleet.clock
        self._clock.pass_s((self._day_ms(0) - HOUR_MS - self._clock.at_ms) / 1000)
        by = Signer(read_signing_key(self.fleet.config.signing_key))
        self._usage = UsageBuilder(
            self.fleet.store, self.fleet.people, self.fleet.config.tenant, by, self._clock
        )
        registry = self.fleet.town.folder / "fleet" / "registry.json"
        readers = msgspec.json.decode(registry.read_bytes(), type=Registry).readers
        self.cabs = [self._cab(one.place, one.keys_sealed) for one in readers]
        for ride in plan(size, FIRST, seed):
            self._at(ride.at_ms, lambda ride=ride: self._board(ride))  # type: ignore[misc]
        for day in range(size.days):
            self._plan_day(day)

    # --- a day -----------------------------------------------------------------------------------

    def _day_ms(self, day: int) -> int:
        return start_of_day_ms(FIRST + datetime.timedelta(day))

    def _plan_day(self, day: int) -> None:
        midnight_ms = self._day_ms(day)
        self._at(midnight_ms + BEGINS_MS, self._morning)
        self._at(midnight_ms + NOON_MS, self._bring_usage)
        for at_ms in range(midnight_ms + BEGINS_MS, midnight_ms + ENDS_MS, TICK_MS):
            self._at(at_ms, self._deliver)
        self._at(midnight_ms + ENDS_MS, self._evening)
        if day % LOOKS_EVERY == 0:
            self._at(midnight_ms + ENDS_MS, self._look_at_cards)
        if day == self.size.days // 3:
            for taxi in (RECOVERED, LOST):  # so that rides lie there unsent
                silent = Zone(midnight_ms + SILENT_MS, midnight_ms + ENDS_MS)
                self._zones[taxi].append(silent)
            self._at(midnight_ms + DIES_MS, self._die)
        if day == self.size.days // 3 + 1:
            self._at(midnight_ms + ENDS_MS - HOUR_MS, self._replace)

    def _at(self, at_ms: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at_ms, next(self._order), act))

    def play(self, tell: Callable[[int], None] = lambda _: None) -> None:
        """Let everything happen; `tell` hears each day's number when it is over."""
        day = 0
        while self._events:
            at_ms, _, act = heapq.heappop(self._events)
            self._clock.pass_s((at_ms - self._clock.at_ms) / 1000)
            act()
            if at_ms >= self._day_ms(day) + ENDS_MS:
                day += 1
                tell(day)
        self._drain()

    def _morning(self) -> None:
        for taxi, cab in self._alive():
            if self._rng.random() < RESTARTS_SHARE:
                cab.end()
                cab.begin()
            cab.shift(f"{taxi + 1:04}", began=True)
            self._dirty.add(taxi)
        self._bring_usage()

    def _bring_usage(self) -> None:
        self._usage.build_due()
        for taxi, cab in self._alive():
            if not self._is_online(taxi):
                continue
            with self.fleet.store.read() as connection:
                file = file_of(connection, TAXI, cab.name)
            cab.meet()
            if file is not None:
                cab.take_usage(file)
            self.count.usage_bytes = len(file or b"")

    def _evening(self) -> None:
        for taxi, cab in self._alive():
            cab.shift(f"{taxi + 1:04}", began=False)
            self._dirty.add(taxi)
        self._deliver()
        self.fleet.dispatch.tidy()

    def _look_at_cards(self) -> None:
        """Remember what is written there, before it is removed."""
        for _, cab in self._alive():
            self.written |= cab.written()

    def _alive(self) -> Iterator[tuple[int, Cab]]:
        return ((taxi, cab) for taxi, cab in enumerate(self.cabs) if taxi not in self._dead)

    def _is_online(self, taxi: int) -> bool:
        now_ms = self._clock.at_ms
        return not any(zone.from_ms <= now_ms < zone.to_ms for zone in self._zones[taxi])

    # --- a ride ----------------------------------------------------------------------------------

    def _board(self, ride: Planned) -> None:
        if ride.taxi in self._dead:
            return
        cab = self.cabs[ride.taxi]
        cab.reader_us = 0.0
        for rider in ride.riders:
            tap = cab.tap(serial_of(rider), ride.on)
            refused = tap.outcome is Outcome.REFUSED
            self.count.taps[tap.code if refused else tap.outcome] += 1
        self._dirty.add(ride.taxi)
        aboard = cab.aboard()
        if ride.taken_off and len(aboard) > 1:
            cab.take_off(aboard[-1])
            self.count.taken_off += 1
        if not aboard:
            self.count.not_ridden += 1
            return
        began_us = cab.reader_us
        settled_ms = self._clock.at_ms + ride.minutes * MINUTE_MS
        self._at(settled_ms, lambda: self._settle(ride, began_us))

    def _settle(self, ride: Planned, began_us: float) -> None:
        cab = self.cabs[ride.taxi]
        if ride.taxi in self._dead or not cab.aboard():
            return
        cab.reader_us = began_us
        answer = cab.settle(ride.fare_yen, ride.discount, ride.off)
        self._unsent[ride.taxi].append(len(self.count.reader_us))
        self.count.reader_us.append(cab.reader_us)
        self.count.offline += not self._is_online(ride.taxi)
        self._dirty.add(ride.taxi)
        told = Told(
            (answer.journal, answer.n),
            company_of(self.size, ride.taxi),
            sum(answer.subsidies_yen),
        )
        self.told[told.ride] = told
        if ride.cancelled_after_ms:
            later_ms = self._clock.at_ms + ride.cancelled_after_ms
            self._at(later_ms, lambda: self._cancel(ride, told))

    def _cancel(self, ride: Planned, told: Told) -> None:
        if ride.taxi in self._dead or told.ride in self.gone:
            return
        self.cabs[ride.taxi].cancel(told.ride, ride.why)
        del self.told[told.ride]
        self.count.cancelled += 1
        self._dirty.add(ride.taxi)

    # --- what waits is sent ----------------------------------------------------------------------

    def _deliver(self) -> None:
        """Let every taxi with a network send what waits there, until nothing does."""
        while sending := [
            taxi for taxi in sorted(self._dirty - self._dead) if self._is_online(taxi)
        ]:
            batches = {taxi: self.cabs[taxi].send() for taxi in sending}
            self._dirty -= {taxi for taxi, batch in batches.items() if batch is None}
            group = [batch for batch in batches.values() if batch is not None]
            if not group:
                continue
            began_ns = time.perf_counter_ns()
            letters = self.fleet.books.letters(self.fleet.take(*group))
            took_us = (time.perf_counter_ns() - began_ns) / 1000
            self.count.groups += 1
            self._heard(letters)
            done = [taxi for taxi in sending if not self.cabs[taxi].waits()]
            rides = [ride for taxi in done for ride in self._unsent.pop(taxi, [])]
            self.count.ingest_us |= dict.fromkeys(rides, took_us / max(1, len(rides)))

    def _heard(self, letters: list[Any]) -> None:
        key = pinned_key(self.fleet.town)
        for letter in letters:
            name = "/".join(letter.topic.split("/")[2:4])
            ack = open_envelope(letter.payload, Purpose.ACK, name, key, Ack)
            self.cabs[int(name.rpartition("-")[2]) - 1].hear(ack)

    def _drain(self) -> None:
        """Bring everybody's network back, and let everything arrive."""
        for zones in self._zones:
            zones.clear()
        self._dirty = set(range(self.size.taxis))
        self._clock.pass_s(DAY_MS / 1000)
        self._deliver()
        for cab in self.cabs:
            assert not cab.waits()
            self.written |= cab.written()

    # --- two tablets die -------------------------------------------------------------------------

    def _die(self) -> None:
        """Both lie broken; one had told of entries that it never sent."""
        for taxi in (RECOVERED, LOST):
            cab = self.cabs[taxi]
            cab.shift("9999", began=True)  # something at least that it never sends
            if taxi == LOST:
                self.fleet.hear(cab.status())
                self.gone = self._not_stored(cab)
            self._dead.add(taxi)
            cab.end()

    def _not_stored(self, cab: Cab) -> set[Ref]:
        there = self.fleet.stored()
        self.written |= cab.written()
        return {ref for ref in cab.written() if ref not in there}

    def _replace(self) -> None:
        """Both get new tablets; one's old card is read, the other's tail is written off."""
        self._recover(self.cabs[RECOVERED])
        self._unsent.pop(RECOVERED, None)
        for taxi in (RECOVERED, LOST):
            self.cabs[taxi].lose_card()
        for ref in self.gone:
            self.told.pop(ref, None)
        self._unsent.pop(LOST, None)
        for taxi in (RECOVERED, LOST):
            self.cabs[taxi].begin()
            self.cabs[taxi].meet()
            self.cabs[taxi].shift(f"{taxi + 1:04}", began=True)
            self._zones[taxi].clear()
        self._dead.clear()
        self._dirty |= {RECOVERED, LOST}
        self._deliver()
        self._write_off()

    def _recover(self, cab: Cab) -> None:
        """Read a dead tablet's card, and let the ledger take in what it never sent."""
        before, listed = self.fleet.stored(), self.fleet.town.folder / "unsent.jsonl"
        self.written |= cab.written()
        listed.write_bytes(b"".join(line + b"\n" for line in cab.unsent()))
        recover = (
            "ledger",
            "recover",
            str(listed),
            "水没、SDカードから",
            "--reader",
            cab.virtual.name,
        )
        assert quietly(self.fleet, *recover) == 0
        self.recovered = self.fleet.stored().keys() - before.keys()

    def _write_off(self) -> None:
        self.fleet.dispatch.sweep()
        self._clock.pass_s(120)
        self.fleet.dispatch.sweep()
        ((gap, missing),) = self.fleet.rows(
            "select id, missing from gap where closed_at_ms is null"
        )
        assert missing == len(self.gone), (missing, len(self.gone))
        assert quietly(self.fleet, "gaps", "write-off", str(gap), "端末の全損") == 0

    def _cab(self, name: str, keys: bytes) -> Cab:
        home = self.fleet.town.folder / "readers" / name
        cab = Cab(self.fleet.reader(name), read_config(home / "edge.toml"), self._clock)
        cab.provide(roster_of(self.fleet, name), keys)
        cab.begin()
        return cab

    def close(self) -> None:
        """Stop everything."""
        for taxi, cab in enumerate(self.cabs):
            if taxi not in self._dead:
                cab.end()
        self.fleet.close()
