"""What a morning at schools came to: what was done, shown, kept, taken in and reckoned is one.

The truth is what people know themselves: when they held a card, what they pressed and what the
screen said. The programme's pure rules over it say who is in and how long days were.
"""

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from fleet import work_now, work_records
from fleet.config import read_config
from fleet.grants import Role
from fleet.store import open_fleet, open_persons
from fleet.work_records import Record, Span
from programmes.calendar import local_day
from programmes.work_day import State, WorkDay, derive_days
from programmes.work_day_rules import DayRules
from programmes.work_hours import DayHours, Given, month_hours
from programmes.work_marks import Add, Correction, Mark, Redirect
from tests.soak.agent import Ref
from tests.soak.school_door import Met, Said
from tests.soak.school_morning import Morning, organisation_of
from wire.codes import Code, Outcome
from wire.entries import Answer, ClockStep, Entry, Tap, decode
from wire.entries import Redirect as RedirectEntry

Steps = Sequence[tuple[Ref, int]]
"""Entries that say that a reader's clock was put right, and by how many ms."""
RULES: Final = DayRules()
CLOCKS_MS: Final = 3_000
"""By how much a reader's clock may differ from that of the machine that it stands on."""


class Found(NamedTuple):
    """What all agree on."""

    entries: int
    """In journals and ledger, none lost and none twice."""
    shown: int
    """Sentences, each of which is kept as it was shown."""
    steps: int
    """Of readers' clocks, which the ledger counts in: what was shown before stood so far off."""
    states: Counter[State]
    """Of people, at the end."""
    minutes: int
    """Of work, in all days."""
    missing: int
    """Marks of the day before that nobody made, told as such."""


def judge(made: Morning) -> Found:
    """Compare everything. Raises AssertionError where something is not right."""
    entries = _same_entries(made)
    shown = _same_words(made, entries)
    _booked_once(made)
    today = RULES.day_of(made.ended_ms)
    steps = [(ref, one.step_ms) for ref, one in entries.items() if isinstance(one, ClockStep)]
    days = {person: _days(made, person, steps) for person in range(len(made.members))}
    states = {made.members[person]: _state(days[person], today) for person in days}
    minutes, missing = _same_days(made, days, today)
    _same_presence(made, states)
    return Found(len(entries), shown, len(steps), Counter(states.values()), minutes, missing)


# --- shown, kept, taken in ------------------------------------------------------------------------


def _same_entries(made: Morning) -> dict[Ref, Entry]:
    """The ledger is the journals, entry by entry."""
    found: dict[Ref, Entry] = {}
    for school in made.schools:
        written = school.agent.written()
        ledger = made.whole.ledger(school.agent)
        assert ledger == written, (school.agent.name, ledger.keys() ^ written.keys())
        assert not made.whole.gaps(school.agent)
        found |= {ref: decode(body) for ref, body in written.items()}
    return found


def _same_words(made: Morning, entries: Mapping[Ref, Entry]) -> int:
    """What was shown was kept as it was shown; what was kept was shown, once."""
    said = [one for school in made.schools for one in school.screen.said]
    said += made.yesterday.values()
    refs = Counter(one.ref for one in said)
    kept = {ref for ref, one in entries.items() if isinstance(one, Tap | RedirectEntry | Answer)}
    assert refs == Counter(kept), (refs.keys() ^ kept, refs.most_common(3))
    for one in said:
        assert _as_kept(entries[one.ref]) == one[1:], one
    return len(said)


def _as_kept(entry: Entry) -> tuple[int, Outcome, Code, str]:
    match entry:
        case Tap():
            return entry.at_ms, entry.outcome, entry.code, entry.shown
        case RedirectEntry():
            message = f"attendance.redirected-{entry.declared}"
        case _:
            message = "attendance.answered"
    return entry.at_ms, Outcome.ACCEPTED, Code.OK, message


def _booked_once(made: Morning) -> None:
    """Each card booked once, unless it came again later or with another direction."""
    booked: dict[tuple[int, int], Met] = {}
    for one in sorted(made.met, key=lambda one: one.to_ms):
        early_ms, late_ms = one.from_ms - CLOCKS_MS, one.to_ms + CLOCKS_MS
        assert early_ms <= one.said.at_ms <= late_ms, f"{one} was told another time"
        last = booked.get((one.person, one.gate))
        is_repeat = (
            last is not None
            and one.said.at_ms - last.said.at_ms < RULES.repeat_window_s * 1000
            and one.before in ("", last.before)
        )
        outcome = (Outcome.REPEAT, Code.REPEAT) if is_repeat else (Outcome.ACCEPTED, Code.OK)
        assert (one.said.outcome, one.said.code) == outcome, one
        if not is_repeat:
            booked[one.person, one.gate] = one


# --- days and presence ----------------------------------------------------------------------------


def _days(made: Morning, person: int, steps: Steps) -> tuple[WorkDay, ...]:
    """Return what the rules make of all that somebody did."""
    met = sorted((one for one in made.met if one.person == person), key=lambda one: one.to_ms)
    marks, said = [], list[Correction]()
    if met and (came := made.yesterday.get(person)):
        marks.append(_mark(made, met[0].gate, _moved(came, steps), ""))
    for number, one in enumerate(met):
        if one.said.outcome is Outcome.ACCEPTED:
            marks.append(_mark(made, one.gate, _moved(one.said, steps), one.before))
        told = {"number": number, "who": "gate", "at_ms": one.to_ms, "why": ""}
        if one.replied and one.after:
            mark = _mark(made, one.gate, one.said, "").identity
            said.append(Redirect(**told, mark=mark, declared=one.after))  # type: ignore[arg-type]
        elif one.replied and one.claimed_ms:
            answer = _mark(made, one.gate, one.replied, "out", one.claimed_ms)
            said.append(Add(**told, added=answer))  # type: ignore[arg-type]
    return derive_days(marks, said, RULES).days


def _moved(said: Said, steps: Steps) -> Said:
    """Return what was said, at the time at which it was by the clock as it was put right later."""
    journal, n = said.ref
    late_ms = sum(ms for (of, at_n), ms in steps if of == journal and at_n > n)
    return said._replace(at_ms=said.at_ms + late_ms)


def _mark(made: Morning, gate: int, said: Said, declared: str, claimed_ms: int = 0) -> Mark:
    agent = made.schools[gate].agent
    identity = f"{agent.name}/{said.ref[0]}/{said.ref[1]}"
    if claimed_ms:
        return Mark(identity, claimed_ms, "out", agent.config.place, origin="answer")
    return Mark(identity, said.at_ms, declared, agent.config.place, agent.name)  # type: ignore[arg-type]


def _state(days: Sequence[WorkDay], today: datetime.date) -> State:
    here = [one for one in days if one.day == today]
    return here[0].ends if here else "absent"


def _same_days(
    made: Morning, days: Mapping[int, Sequence[WorkDay]], today: datetime.date
) -> tuple[int, int]:
    """Compare days and hours; return the minutes of work, and what is missing of the day before."""
    span = Span(local_day(made.began_ms) - datetime.timedelta(days=2), today)
    records = _records(made, span)
    minutes = missing = 0
    for person, member in enumerate(made.members):
        record, must = records[member], [one for one in days[person] if one.day <= today]
        assert [_plain(one) for one in record.days] == [_plain(one) for one in must], person
        hours = [_sum(one) for one in _hours(must, span)]
        assert [_sum(one) for one in record.hours] == hours, person
        minutes += sum(one.worked_min for one in record.hours)
        missing += sum(len(one.missing) for one in must if one.day < today)
    return minutes, missing


def _records(made: Morning, span: Span) -> dict[int, Record]:
    databases = read_config(made.whole.fleet_toml).databases
    fleet, people = open_fleet(databases, Role.OFFICE), open_persons(databases, Role.OFFICE)
    found: dict[int, Record] = {}
    try:
        with fleet.read() as ledger, people.read() as persons:
            for school in made.schools:
                of = (organisation_of(school.number), span, span.last)
                found |= work_records.of_school(ledger, persons, *of)
    finally:
        fleet.close()
        people.close()
    return found


def _hours(days: Sequence[WorkDay], span: Span) -> list[DayHours]:
    months = sorted({day.replace(day=1) for day in span.days})
    given = Given(tuple(days), rules=RULES)
    every = [one for first in months for one in month_hours(first, given, span.last).days]
    return [one for one in every if one.day >= span.first]


def _sum(one: DayHours) -> tuple[object, ...]:
    return one.day, one.worked, one.outside, one.missing


def _plain(day: WorkDay) -> tuple[object, ...]:
    """Return a day without how sure its clocks were."""
    readings = [
        (one.standing.mark.identity, one.standing.mark.at_ms, one.standing.declared, one.became)
        for one in day.readings
    ]
    return day.day, readings, [one[:2] for one in day.intervals], day.missing, day.ends


def _same_presence(made: Morning, states: Mapping[int, State]) -> None:
    databases = read_config(made.whole.fleet_toml).databases
    fleet, people = open_fleet(databases, Role.OFFICE), open_persons(databases, Role.OFFICE)
    found: dict[int, State] = {}
    try:
        for school in made.schools:
            of = (organisation_of(school.number), "soak", made.ended_ms)
            with fleet.read() as ledger, people.write() as persons:
                now = work_now.school_now(ledger, persons, *of)
            found |= {one.who.member_id: one.state for one in now.people}
    finally:
        fleet.close()
        people.close()
    wrong = {
        one: (found.get(one), state) for one, state in states.items() if found.get(one) != state
    }
    assert not wrong, wrong
    assert found.keys() == states.keys()
