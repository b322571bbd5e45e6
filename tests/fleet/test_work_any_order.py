"""Whatever happens in a month, hours are what the pure rules say of all that happened, and no more.

Drawn: taps at two gates, weeks without a network, restarts with a clock that is wrong and perhaps
put right, directions corrected at the gate, corrections, objections and entries by people, lists
signed in between, the month closed and reopened. A plain model keeps what is true; the programme's
rules over the model say what hours there must be.
"""

import datetime
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet import schema, work_closing, work_corrections, work_entries, work_lists, work_records
from fleet.config import Databases
from fleet.work_acts import WorkRefused
from fleet.work_entries import NewEntry
from fleet.work_list_file import OwnDay, Receipt, check
from fleet.work_records import Record, Span
from fleet.work_wishes import AddMark, TurnMark, VoidMark, Wish
from programmes.work_day import UNSURE_MS_MAX, WorkDay, derive_days
from programmes.work_hours import Entry, Given, month_hours
from programmes.work_marks import Add, Correction, Mark, Redirect
from tests.fleet.work_kit import (
    HOUR_MS,
    JUNE,
    KEY,
    MINUTE_MS,
    NORTH,
    NOW_MS,
    RULES,
    Gate,
    Schools,
    at,
    open_schools,
)
from wire.clock import ClockState

FIRST_MS = at(1, "06:30")
SPAN = Span(JUNE, datetime.date(2026, 7, 2))
FROM_APRIL = Span(datetime.date(2026, 4, 1), SPAN.last)
"""With the days that clocks which stand still say: a mark that cannot be dated is on such a day."""
ARRIVED_MS = at(2, "20:00", month=7)
"""When gates without a network are heard at last."""
NAMES = itertools.count()
KINDS = (
    *("tap",) * 8,
    *("redirect", "offline", "online", "restart", "wrong-clock", "right", "list"),
    *("void", "turn", "add", "contest", "home", "withdraw"),
)
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 29 * 1_440),
        st.sampled_from(KINDS),
        st.sampled_from(("north-front", "north-back")),
        st.sampled_from(("", "", "in", "out", "away", "back")),
        st.integers(0, 1_000),
    ),
    min_size=4,
    max_size=40,
).map(sorted)


@dataclass
class Model:
    """What is true of one member, kept as plainly as can be."""

    member_id: int
    number: str
    marks: dict[str, Mark] = field(default_factory=dict)
    journal: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Of each tap, the gate and its journal's number."""
    unsure: set[tuple[str, int]] = field(default_factory=set)
    """Journals whose clock nobody has put right."""
    redirects: list[Redirect] = field(default_factory=list)
    corrections: dict[int, tuple[Correction, datetime.date]] = field(default_factory=dict)
    entries: dict[int, NewEntry] = field(default_factory=dict)

    @property
    def known(self) -> list[Mark]:
        """Return the marks as they are known when all has arrived."""
        return [
            Mark(
                one.identity,
                one.at_ms,
                one.declared,
                one.place,
                one.reader,
                UNSURE_MS_MAX + 1 if self.journal[one.identity] in self.unsure else 0,
            )
            for one in self.marks.values()
        ]


class Play:
    """Lets a month happen, to the fleet and to the model."""

    def __init__(self, town: Schools) -> None:
        number = f"T-{next(NAMES)}"
        self.town = town
        self.model = Model(town.teacher(number), number)
        self.offline: set[str] = set()
        self.behind_ms = dict.fromkeys(town.gates, 0)
        self.last: dict[str, tuple[str, int]] = {}
        self.now_ms = FIRST_MS
        for gate in town.gates.values():
            gate.begin(FIRST_MS)

    def gate(self, name: str) -> Gate:
        return self.town.gates[name]

    def run(self, event: tuple[int, str, str, str, int]) -> None:
        minute, kind, name, declared, pick = event
        self.now_ms = max(self.now_ms + 1_000, FIRST_MS + minute * MINUTE_MS)
        self.town.now_ms = self.now_ms
        getattr(self, f"do_{kind.replace('-', '_')}")(name, declared, pick)
        if name not in self.offline:
            self.gate(name).send(self.now_ms)

    def reading(self, name: str) -> tuple[int, ClockState]:
        """Return what a gate's clock shows, and whether the gate trusts it."""
        clock = ClockState.UNKNOWN if self.behind_ms[name] else ClockState.SYNCHRONISED
        return self.now_ms - self.behind_ms[name], clock

    # --- at the gate -----------------------------------------------------------------------------

    def do_tap(self, name: str, declared: str, _: int) -> None:
        gate = self.gate(name)
        raw_ms, clock = self.reading(name)
        mark = gate.tap(self.model.number, raw_ms, declared, clock=clock)
        self.model.marks[mark] = Mark(
            mark, self.now_ms, declared, name, gate.reader  # type: ignore[arg-type]
        )  # fmt: skip
        self.model.journal[mark] = (name, len(gate.journals))
        self.last[name] = (mark, len(gate.journals))

    def do_redirect(self, name: str, declared: str, _: int) -> None:
        if name in self.last and declared:
            mark = self.last[name][0]
            self.gate(name).redirect(self.model.number, mark, declared, *self.reading(name))
            number = -1_000 + len(self.model.redirects)
            told = {"number": number, "who": "gate", "at_ms": 0, "why": ""}
            one = Redirect(**told, mark=mark, declared=declared)  # type: ignore[arg-type]
            self.model.redirects.append(one)

    def do_offline(self, name: str, _: str, __: int) -> None:
        self.offline.add(name)

    def do_online(self, name: str, _: str, __: int) -> None:
        self.offline.discard(name)

    def do_restart(self, name: str, _: str, __: int) -> None:
        self.behind_ms[name] = 0
        self.gate(name).begin(self.now_ms)

    def do_wrong_clock(self, name: str, _: str, pick: int) -> None:
        gate = self.gate(name)
        self.behind_ms[name] = (pick + 1) * HOUR_MS
        gate.begin(self.now_ms - self.behind_ms[name], ClockState.UNKNOWN)
        self.model.unsure.add((name, len(gate.journals)))

    def do_right(self, name: str, _: str, __: int) -> None:
        if behind_ms := self.behind_ms[name]:
            gate = self.gate(name)
            gate.step(self.now_ms, behind_ms)
            self.behind_ms[name] = 0
            self.model.unsure.discard((name, len(gate.journals)))

    # --- people ----------------------------------------------------------------------------------

    def do_list(self, _: str, __: str, ___: int) -> None:
        self.town.maker.make_due(self.now_ms)

    def correct(self, wish: Wish, day: datetime.date) -> None:
        act = self.town.act(self.model.member_id)
        with self.town.office.write() as people:
            (number,) = work_corrections.correct(people, act, day, [wish], RULES)
        mine = schema.work_correction.select().where(schema.work_correction.c.id == number)
        (row,) = self.town.ask(mine)
        one = work_records.read_correction(row.body, number)
        if isinstance(wish, AddMark):  # the name of the mark alone is the fleet's to choose
            assert isinstance(one, Add)
            assert (one.added.at_ms, one.added.declared) == (wish.at_ms, wish.declared)
        self.model.corrections[number] = (one, day)

    def some_mark(self, pick: int) -> tuple[str, datetime.date] | None:
        if not self.model.marks:
            return None
        mark = list(self.model.marks.values())[pick % len(self.model.marks)]
        return mark.identity, RULES.day_of(mark.at_ms)

    def do_void(self, _: str, __: str, pick: int) -> None:
        if (of := self.some_mark(pick)) is not None:
            self.correct(VoidMark(of[0]), of[1])

    def do_turn(self, _: str, declared: str, pick: int) -> None:
        if (of := self.some_mark(pick)) is not None:
            self.correct(TurnMark(of[0], declared), of[1])  # type: ignore[arg-type]

    def do_add(self, _: str, declared: str, pick: int) -> None:
        if declared:
            at_ms = max(FIRST_MS, self.now_ms - pick * MINUTE_MS)
            self.correct(AddMark(at_ms, declared), RULES.day_of(at_ms))  # type: ignore[arg-type]

    def do_contest(self, _: str, __: str, pick: int) -> None:
        made = [number for number, (one, _) in self.model.corrections.items() if one.who != "own"]
        if made:
            number = made[pick % len(made)]
            act = self.town.act(self.model.member_id, "違います", who="own")
            with self.town.office.write() as people:
                added = work_corrections.contest(people, act, number)
            mine = schema.work_correction.select().where(schema.work_correction.c.id == added)
            (row,) = self.town.ask(mine)
            one = work_records.read_correction(row.body, added)
            self.model.corrections[added] = (one, self.model.corrections[number][1])

    def do_home(self, _: str, __: str, pick: int) -> None:
        new = NewEntry("home", self.now_ms, self.now_ms + (pick % 200 + 1) * MINUTE_MS)
        act = self.town.act(self.model.member_id)
        with self.town.office.write() as people:
            if any(one.to_ms > new.from_ms for one in self.model.entries.values()):
                with pytest.raises(WorkRefused, match="lies over another"):
                    work_entries.declare(people, act, new, RULES)
            else:
                number = work_entries.declare(people, act, new, RULES)
                self.model.entries[number] = new

    def do_withdraw(self, _: str, __: str, pick: int) -> None:
        if self.model.entries:
            number = sorted(self.model.entries)[pick % len(self.model.entries)]
            with self.town.office.write() as people:
                work_entries.withdraw(people, self.town.act(self.model.member_id), number)
            del self.model.entries[number]

    # --- the end ---------------------------------------------------------------------------------

    def end(self) -> None:
        """Let everything arrive; close the month, see it refuse a change, and reopen it."""
        for gate in self.town.gates.values():
            gate.send(ARRIVED_MS)
        self.town.now_ms = NOW_MS
        with self.town.office_fleet.read() as fleet, self.town.office.write() as people:
            work_closing.close(fleet, people, NORTH, JUNE, "kyoto", NOW_MS)
        day = datetime.date(2026, 6, 30)
        with pytest.raises(WorkRefused, match="closed"):
            self.correct(AddMark(at(30, "12:00"), "in"), day)
        with self.town.office.write() as people:
            work_closing.reopen(people, NORTH, JUNE, "確かめる", "kyoto", NOW_MS)
        self.correct(AddMark(at(30, "12:00"), "in"), day)
        self.town.maker.make_due(NOW_MS)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Schools]:
    with open_schools(Databases(tmp_path)) as made:
        yield made


@pytest.mark.parametrize("town_of", range(5))  # each list is of a whole school, which grows
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=EVENTS)
def test_hours_are_what_the_rules_say_of_all_that_happened(
    town: Schools, town_of: int, events: list[tuple[int, str, str, str, int]]
) -> None:
    play = Play(town)
    for event in events:
        play.run(event)
    play.end()
    record = town.record(play.model.member_id, SPAN)
    _compare(record, play.model)
    _nothing_has_vanished(town.record(play.model.member_id, FROM_APRIL), play.model)
    for number, (one, day) in play.model.corrections.items():
        assert (one, day) in {(held.correction, held.day) for held in record.corrections}
        assert number in {held.number for held in _own(town, play.model, day).corrections}


def _compare(record: Record, model: Model) -> None:
    """Compare days and hours with what the rules make of the model."""
    given_ = [*(one for one, _ in model.corrections.values()), *model.redirects]
    known = derive_days(model.known, given_, RULES)
    must = [one for one in known.days if one.day <= SPAN.last]
    assert [_plain(one) for one in record.days] == [_plain(one) for one in must]
    entries = tuple(Entry("home", one.from_ms, one.to_ms) for one in model.entries.values())
    of = Given(tuple(must), entries, rules=RULES)
    for first in (JUNE, datetime.date(2026, 7, 1)):
        months = month_hours(first, of, SPAN.last)
        assert record.month(first) == months


def _plain(day: WorkDay) -> tuple[object, ...]:
    """Return a day without the numbers that only the ledger can give."""
    readings = [
        (one.standing.mark, one.standing.declared, one.became, one.doubt, one.of)
        for one in day.readings
    ]
    return day.day, readings, day.intervals, day.missing, day.is_contested


def _nothing_has_vanished(record: Record, model: Model) -> None:
    seen = [one.standing.mark.identity for day in record.days for one in day.readings]
    undated = [one.standing.mark.identity for some in record.undated.values() for one in some]
    added = [one.added.identity for one, _ in model.corrections.values() if isinstance(one, Add)]
    assert sorted([*seen, *undated]) == sorted([*model.marks, *added])


def _own(town: Schools, model: Model, day: datetime.date) -> OwnDay:
    with town.office.read() as people:
        file = work_lists.receipt(people, model.member_id, day)
        listed = work_lists.file_of(people, NORTH, day)
    assert file is not None
    assert listed is not None
    found = check(file, KEY.public_key())
    newest: Receipt = check(listed, KEY.public_key())
    assert found.own is not None
    assert found.sha256 == newest.sha256
    return found.own
