"""A week of a town's schools in one process: real readers but for card and network, a real fleet.

Every card is decided by the reader's own list, memory and journal (`tests.soak.school_gate`); every
batch is signed, taken in by `fleet.books.Books` and acknowledged. What people do is kept as plainly
as can be: when somebody was there, and what he forgot.
"""

import datetime
import heapq
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from edge.config import read_config
from edge.web.gate_times import choices
from fleet.books import read_signing_key
from fleet.grants import Role
from fleet.roster_files import by_version, rows_path
from fleet.store import open_fleet, open_persons
from fleet.work_changes import SETTLED_MS
from fleet.work_lists import ListMaker
from programmes.calendar import local_day
from tests.fleet.test_reconcile import build
from tests.fleet.virtual import VirtualFleet, make_fleet, pinned_key
from tests.soak.agent import Ref
from tests.soak.school_gate import SchoolGate
from tests.soak.school_town import SCHOOL, employ, gate_place, serial_of
from tests.soak.school_week import (
    DAYS,
    HOUR_MS,
    MINUTE_MS,
    Planned,
    Size,
    Trouble,
    day_ms,
    offline_gate,
    plan,
    school_of,
    troubles,
)
from tests.soak.taxi_town import quietly
from wire.codes import Code
from wire.envelope import Purpose, Signer, open_envelope
from wire.messages import Ack
from wire.registry import Registry

TICK_MS: Final = 15 * MINUTE_MS
"""How often what waits is sent."""
BEGINS_MS, ENDS_MS, LISTS_MS = 6 * HOUR_MS, 26 * HOUR_MS, 5 * HOUR_MS
"""From midnight: readers on, the last tick of its day, lists of the days before."""
RESTARTS_SHARE: Final = 0.2
"""Of readers that start anew in the morning."""


@dataclass
class Day:
    """What somebody did on a day, as he knows it himself."""

    spans: list[tuple[int, int | None]] = field(default_factory=list)
    """When he was there; None: nobody knows until when."""
    marks: int = 0
    """Cards that booked, and times that he told."""
    doubles: int = 0

    def do(self, act: str, at_ms: int) -> None:
        """Come or go."""
        if act in ("in", "back"):
            self.spans.append((at_ms, None))
        else:
            self.spans[-1] = (self.spans[-1][0], at_ms)

    @property
    def lacks(self) -> list[str]:
        """Return what he did not mark: nothing but a leaving at the end."""
        return ["out"] if self.spans and self.spans[-1][1] is None else []


@dataclass
class Counted:
    """What happened."""

    marks: int = 0
    repeats: int = 0
    pressed: int = 0
    turned: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    """By what people answered; `in vain`: nothing lacked, but for that gate."""
    steps: int = 0
    restarts: int = 0
    groups: int = 0
    lists: int = 0
    ingest_s: float = 0.0
    lists_s: float = 0.0


class World:
    """All of it; `play`, then let `tests.soak.school_week_judge` judge."""

    def __init__(self, folder: Path, size: Size, seed: int, database: str = "") -> None:
        """`database` is the URL of an empty PostgreSQL; without: SQLite."""
        self.size: Final = size
        self.count = Counted()
        self.did: defaultdict[tuple[int, datetime.date], Day] = defaultdict(Day)
        """By person and day of work."""
        self.written: dict[Ref, bytes] = {}
        self._rng = random.Random(f"world {seed}")
        self._order = itertools.count()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._dirty: set[int] = set()
        self._silent = {offline_gate(size)}
        places = [gate_place(name, self.school(school)) for name, school in size.gates]
        self.fleet: VirtualFleet = make_fleet(folder, places, database)
        self._clock = self.fleet.clock
        self._clock.pass_s((day_ms(0) - self._clock.at_ms) / 1000)
        of = [self.school(school_of(size, person)) for person in range(size.staff)]
        self.members = employ(partial(quietly, self.fleet), self.fleet.town, self.fleet.people, of)
        build(self.fleet)
        self.gates = self._gates()
        self._lists = self._list_maker()
        self._plan(seed)

    def school(self, number: int) -> str:
        """Return the name of a school."""
        return f"school-{number + 1}"

    def _gates(self) -> list[SchoolGate]:
        registry = self.fleet.town.folder / "fleet" / "registry.json"
        readers = msgspec.json.decode(registry.read_bytes(), type=Registry).readers
        keys = {one.place: one.keys_sealed for one in readers}
        return [self._gate(name, keys[name]) for name, _ in self.size.gates]

    def _gate(self, name: str, keys: bytes) -> SchoolGate:
        fleet, home = self.fleet, self.fleet.town.folder / "readers" / name
        gate = SchoolGate(fleet.reader(name), read_config(home / "edge.toml"), self._clock)
        with fleet.store.read() as connection:
            kept = by_version(connection, SCHOOL, name, 1)
        assert kept
        rows = rows_path(fleet.config.state_folder, SCHOOL, kept.rows_sha256).read_bytes()
        gate.provide(kept.head + rows, keys)
        gate.begin()
        gate.meet()
        return gate

    def _list_maker(self) -> ListMaker:
        databases, tenant = self.fleet.config.databases, self.fleet.config.tenant
        self._stores = (
            open_fleet(databases, Role.DISPATCH),
            open_persons(databases, Role.DISPATCH),
        )
        return ListMaker(
            *self._stores, tenant, Signer(read_signing_key(self.fleet.config.signing_key))
        )

    def _plan(self, seed: int) -> None:
        for one in plan(self.size, seed):
            self._at(one.at_ms, lambda one=one: self._come(one))  # type: ignore[misc]
        for off in troubles(self.size, seed):
            self._at(off.at_ms, lambda off=off: self._wrong_clock(off))  # type: ignore[misc]
            self._at(off.until_ms, lambda off=off: self._right_clock(off))  # type: ignore[misc]
        for day in range(DAYS):
            self._at(day_ms(day) + LISTS_MS, self._make_lists)
            self._at(day_ms(day) + BEGINS_MS, self._morning)
            for at_ms in range(day_ms(day) + BEGINS_MS, day_ms(day) + ENDS_MS, TICK_MS):
                self._at(at_ms, self._deliver)

    def _at(self, at_ms: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at_ms, next(self._order), act))

    # --- a day -----------------------------------------------------------------------------------

    def play(self, tell: Callable[[], None] = lambda: None) -> None:
        """Let everything happen; `tell` is called when a day is over."""
        over_ms = day_ms(1)
        while self._events:
            at_ms, _, act = heapq.heappop(self._events)
            self._clock.pass_s((at_ms - self._clock.at_ms) / 1000)
            act()
            if at_ms >= over_ms:
                over_ms += day_ms(1) - day_ms(0)
                tell()
        self._drain()

    def _morning(self) -> None:
        for number, gate in enumerate(self.gates):
            if number in self._silent:
                continue
            if self._rng.random() < RESTARTS_SHARE:
                self._restart(gate, 0)
            gate.meet()
            self._dirty.add(number)

    def _restart(self, gate: SchoolGate, ahead_ms: int) -> None:
        gate.end()
        gate.clock.ahead_ms = ahead_ms
        gate.begin()
        self.count.restarts += 1

    def _wrong_clock(self, off: Trouble) -> None:
        self._silent.add(off.gate)
        self._restart(self.gates[off.gate], off.ahead_ms)

    def _right_clock(self, off: Trouble) -> None:
        self._silent.discard(off.gate)
        self.gates[off.gate].meet()
        self._dirty.add(off.gate)
        self.count.steps += 1

    def _make_lists(self) -> None:
        began_s = time.perf_counter()
        self.count.lists += len(self._lists.make_due(self._clock.at_ms))
        self.count.lists_s += time.perf_counter() - began_s

    # --- at a gate -------------------------------------------------------------------------------

    def _come(self, one: Planned) -> None:
        gate, at_ms = self.gates[one.gate], self._clock.at_ms
        day = self.did[one.person, local_day(at_ms, 4)]
        is_again = one.act == "again"
        declares = one.act if one.presses == "before" and one.act != "again" else ""
        tap = gate.tap(serial_of(one.person), declares)
        assert tap.code is (Code.REPEAT if is_again else Code.OK), (one, tap)
        self._dirty.add(one.gate)
        if is_again:
            self.count.repeats += 1
        else:
            day.do(one.act, at_ms)
            day.marks += 1
            self.count.marks += 1
            self.count.pressed += bool(declares)
        if one.presses == "after" and one.act != "again":
            gate.turn(one.act)
            self.count.turned += 1
        self._reply(one, gate)
        gate.leave()

    def _reply(self, one: Planned, gate: SchoolGate) -> None:
        asked = gate.stands.question
        if asked is None:
            return
        day = self.did[one.person, asked.day]
        if asked.missing not in day.lacks:
            self.count.asked["in vain"] += 1
            return
        self.count.asked[one.reply] += 1
        if one.reply == "time":
            claimed_ms = self._rng.choice(choices(asked)[:4]).at_ms
            gate.answer(claimed_ms)
            day.do("out", claimed_ms)
            day.marks += 1
        elif one.reply == "unknown":
            gate.answer(None)

    # --- what waits is sent ----------------------------------------------------------------------

    def _deliver(self) -> None:
        """Let every gate with a network send what waits there, until nothing does."""
        while sending := sorted(self._dirty - self._silent):
            batches = {number: self.gates[number].send() for number in sending}
            self._dirty -= {number for number, batch in batches.items() if batch is None}
            group = [batch for batch in batches.values() if batch is not None]
            if not group:
                continue
            began_s = time.perf_counter()
            letters = self.fleet.books.letters(self.fleet.take(*group))
            self.count.ingest_s += time.perf_counter() - began_s
            self.count.groups += 1
            self._heard(letters)

    def _heard(self, letters: list[Any]) -> None:
        key = pinned_key(self.fleet.town)
        by_name = {gate.virtual.name: gate for gate in self.gates}
        for letter in letters:
            name = "/".join(letter.topic.split("/")[2:4])
            by_name[name].hear(open_envelope(letter.payload, Purpose.ACK, name, key, Ack))

    def _drain(self) -> None:
        """Bring all networks back, let everything arrive, and make the lists that are due."""
        self._silent.clear()
        self._dirty = set(range(len(self.gates)))
        self._clock.pass_s((day_ms(DAYS) + 12 * HOUR_MS - self._clock.at_ms) / 1000)
        for gate in self.gates:
            gate.meet()
        self._deliver()
        for gate in self.gates:
            assert not gate.waits(), gate.name
            self.written |= gate.written()
        self._clock.pass_s(2 * SETTLED_MS / 1000)
        self._make_lists()

    def close(self) -> None:
        """Stop everything."""
        for gate in self.gates:
            gate.end()
        for store in self._stores:
            store.close()
        self.fleet.close()
