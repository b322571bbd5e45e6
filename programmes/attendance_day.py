"""What one reader's own marks say of a person's day, while he stands before it.

Rules: the day is derived as the ledger derives it (`programmes.work_day`), from what this reader
has seen; a greeting is what that makes of the mark, so the ledger, with the same marks, says the
same · a time is told only when nothing lacks and every clock was known · what lacks of an earlier
day is asked about, the latest first; what was answered is not asked again.
"""

import datetime
from collections.abc import Iterable, Sequence
from typing import Final

from programmes.calendar import start_of_day_ms
from programmes.rulebook import Answered, Direction, Facts, Question, Seen
from programmes.work_day import WorkDay, derive_days, questions
from programmes.work_day_rules import DayRules
from programmes.work_marks import Mark
from wire.entries import Heading

ASKED_MS: Final = 7 * 24 * 3_600_000
"""How far back days are asked about: what a reader remembers. The first of them may be cut, so a
day counts that begins within it."""
MARKED: Final[dict[str, Heading]] = {"in": "in", "out": "out", "away": "away", "back": "back"}
_READER: Final = "here"
_NOW: Final = "now"
_ONE_DAY: Final = datetime.timedelta(days=1)
_MINUTE_MS: Final = 60_000


def see(facts: Facts, rules: DayRules, *, is_new: bool = True) -> Seen:
    """Return what the day comes to with this presentation; a repeat is not `is_new`."""
    marks = list(_marks(facts))
    if is_new:
        marks.append(_mark(_NOW, facts.at_ms, facts.declared, facts.place.name))
    days = derive_days(marks, (), rules).days
    today = rules.day_of(facts.at_ms, facts.place.name)
    if not facts.clock_known:
        return Seen(_heading(facts, days))
    worked = next((one for one in days if one.day == today), None)
    return Seen(
        _heading(facts, days),
        worked.intervals[0].from_ms if worked and worked.intervals else None,
        _minutes(worked, facts) if worked else None,
        _question(facts, days, today, rules),
    )


def _marks(facts: Facts) -> Iterable[Mark]:
    place = facts.place.name
    for number, booked in enumerate(facts.booked):
        said = booked.redirected or booked.declared
        yield _mark(f"tap-{number}", booked.at_ms, said, place)
    for number, answer in enumerate(facts.answered):
        if answer.claimed_at_ms is not None:
            yield Mark(
                f"answer-{number}", answer.claimed_at_ms, answer.missing, place, origin="answer"
            )


def _mark(identity: str, at_ms: int, declared: Direction, place: str) -> Mark:
    return Mark(identity, at_ms, declared, place, _READER)


def _heading(facts: Facts, days: Sequence[WorkDay]) -> Heading:
    """Return as what the latest mark is taken; one that counts for nothing, as it was declared."""
    readings = {one.standing.mark.identity: one for day in days for one in day.readings}
    latest = readings.get(_NOW) or readings.get(f"tap-{len(facts.booked) - 1}")
    first = readings.get(latest.of, latest) if latest else None
    declared = latest.standing.declared if latest else ""
    return declared or (MARKED.get(first.became, "in") if first else "in")


def _minutes(day: WorkDay, facts: Facts) -> int | None:
    """Return the time of presence until now; None when it is not certain."""
    lacks = [one for one in day.missing if one.before_ms is not None]
    earliest = min(one.standing.mark.at_ms for one in day.readings)
    clocks = [one.clock_known for one in facts.booked if one.at_ms >= earliest]
    if lacks or day.contradictory or not all(clocks):
        return None
    ends = ((one.from_ms, facts.at_ms if one.to_ms is None else one.to_ms) for one in day.intervals)
    return sum(end // _MINUTE_MS - first // _MINUTE_MS for first, end in ends)


def _question(
    facts: Facts, days: Sequence[WorkDay], today: datetime.date, rules: DayRules
) -> Question | None:
    place = facts.place.name
    for one in questions(days, today):
        begins_ms = start_of_day_ms(one.day, rules.hour_at(place))
        what = MARKED[one.missing.what]
        if begins_ms >= facts.at_ms - ASKED_MS and not _settled(what, one.day, facts, days):
            after_ms, before_ms = one.missing.after_ms, one.missing.before_ms
            ends_ms = start_of_day_ms(one.day + _ONE_DAY, rules.hour_at(place))
            from_ms = max(begins_ms - 1, after_ms or 0)
            to_ms = min(ends_ms, before_ms or ends_ms, facts.at_ms)
            return Question(what, one.day, after_ms, before_ms, from_ms, to_ms)
    return None


def _settled(what: Heading, day: datetime.date, facts: Facts, days: Sequence[WorkDay]) -> bool:
    """True when he has said that he does not know, or what counts for nothing."""
    nothing = {one.standing.mark.identity for each in days for one in each.contradictory}
    return any(
        (answer.missing, answer.day) == (what, day) and _counts_nothing(number, answer, nothing)
        for number, answer in enumerate(facts.answered)
    )


def _counts_nothing(number: int, answer: Answered, nothing: set[str]) -> bool:
    return answer.claimed_at_ms is None or f"answer-{number}" in nothing
