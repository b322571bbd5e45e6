"""The two questions of the first screen and what needs a person: pure judgement of an Overview.

Riders can tap where a reader said so; a reader out of reach goes on deciding by itself, so it is
«probably», never «no». Entries are safe when the ledger misses nothing and nothing contradicts
itself; what still waits on a reader rests on its disk. Each finding says what to do.
"""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from fleet.alarms import AlarmKind
from fleet.overview import Alarm, Gap, Overview
from fleet.readers import ReaderRow, ReaderState

OFFLINE_PATIENCE_MS: Final = 10 * 60_000
"""A bus in a tunnel or a restart is back sooner; after ten minutes somebody should look."""
NEVER_PATIENCE_MS: Final = 10 * 60_000
"""From enrolment to the first connection when a person stands beside the reader."""
WAITING_MANY: Final = 2_000
"""Entries of one busy day of a reader; more means that its way to the fleet is broken."""


class Urgency(enum.IntEnum):
    """How soon somebody should act; the list is sorted by it."""

    NOW = 1
    TODAY = 2
    LOOK = 3


class Answer(enum.StrEnum):
    """An answer in one word; its shape and colour follow from it."""

    YES = "yes"
    PROBABLY = "probably"
    PARTLY = "partly"
    CHECK = "check"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer and its reason: a message id and what it names."""

    answer: Answer
    reason: str
    arguments: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that asks for a person: what, where, since when; ids of `locale/`."""

    urgency: Urgency
    kind: str
    subject: str
    """What distinguishes it from others of its kind; unique with `kind`."""
    reader: str = ""
    since_ms: int | None = None
    arguments: dict[str, str | int] = field(default_factory=dict)
    alarm: int | None = None
    gap: int | None = None


_CONTRADICTIONS: Final = frozenset(
    {AlarmKind.CONFLICT.value, AlarmKind.FORK.value, AlarmKind.OLD_JOURNAL.value}
)
"""Alarms after which «are entries safe?» is not «yes»: something contradicts the ledger."""


def can_tap(overview: Overview) -> Verdict:
    """Answer 「乗客はかざせますか？」."""
    unready = overview.by_state[ReaderState.NOT_READY]
    ready = overview.by_state[ReaderState.READY]
    away = overview.by_state[ReaderState.OFFLINE] + overview.by_state[ReaderState.NEVER]
    if not overview.active:
        return Verdict(Answer.CHECK, "no-readers")
    if unready:
        answer = Answer.PARTLY if ready or away else Answer.NO
        return Verdict(answer, "not-ready", {"n": unready, "all": overview.active})
    if away == overview.active:
        return Verdict(Answer.CHECK, "all-away", {"n": away})
    if away:
        return Verdict(Answer.PROBABLY, "away", {"n": away, "ready": ready})
    return Verdict(Answer.YES, "all-ready", {"n": ready})


def entries_safe(overview: Overview) -> Verdict:
    """Answer 「記録は安全ですか？」."""
    contradicting = sum(alarm.kind in _CONTRADICTIONS for alarm in overview.alarms)
    if contradicting:
        return Verdict(Answer.NO, "contradiction", {"n": contradicting})
    if overview.gaps_open:
        return Verdict(Answer.NO, "gaps", {"gaps": overview.gaps_open, "missing": overview.missing})
    if overview.alarms:
        return Verdict(Answer.CHECK, "alarms", {"n": len(overview.alarms)})
    if overview.waiting:
        return Verdict(Answer.YES, "waiting", {"n": overview.waiting})
    return Verdict(Answer.YES, "all-here")


def tasks(overview: Overview, now_ms: int) -> list[Task]:
    """Return what needs a person, most urgent first, the oldest first among equals."""
    found = [task for row in overview.troubled for task in _of_reader(row, now_ms)]
    return _sorted([*found, *map(task_of_gap, overview.gaps), *map(task_of_alarm, overview.alarms)])


def tasks_of_reader(
    row: ReaderRow, gaps: Sequence[Gap], alarms: Sequence[Alarm], now_ms: int
) -> list[Task]:
    """Return what one reader asks for; closed gaps ask for nothing."""
    still_open = [gap for gap in gaps if gap.closed_ms is None]
    return _sorted(
        [*_of_reader(row, now_ms), *map(task_of_gap, still_open), *map(task_of_alarm, alarms)]
    )


def _sorted(found: list[Task]) -> list[Task]:
    return sorted(found, key=lambda task: (task.urgency, task.since_ms or 0, task.subject))


def _of_reader(row: ReaderRow, now_ms: int) -> Iterator[Task]:
    if row.state is ReaderState.NOT_READY:
        kind = f"not-ready.{row.trouble_kind}"
        yield Task(
            Urgency.NOW, kind, row.name, row.name, row.heard_ms, {"code": row.trouble or "-"}
        )
    if row.state is ReaderState.OFFLINE and _older(row.heard_ms, OFFLINE_PATIENCE_MS, now_ms):
        yield Task(
            Urgency.TODAY, "offline", row.name, row.name, row.heard_ms, {"waiting": row.waiting}
        )
    if row.state is ReaderState.NEVER and _older(row.enrolled_ms, NEVER_PATIENCE_MS, now_ms):
        yield Task(Urgency.LOOK, "never", row.name, row.name, row.enrolled_ms)
    if row.waiting > WAITING_MANY:
        yield Task(
            Urgency.TODAY, "waiting", row.name, row.name, row.heard_ms, {"waiting": row.waiting}
        )
    if row.reported_trouble:
        arguments: dict[str, str | int] = {"trouble": row.reported_trouble}
        yield Task(Urgency.LOOK, "reported", row.name, row.name, row.heard_ms, arguments)


def _older(at_ms: int | None, patience_ms: int, now_ms: int) -> bool:
    return at_ms is not None and now_ms - at_ms > patience_ms


def task_of_gap(gap: Gap) -> Task:
    """Return what a gap asks for."""
    arguments: dict[str, str | int] = {
        "first": str(gap.first),  # an entry's name, so without separators
        "last": str(gap.last),
        "missing": gap.missing,
    }
    return Task(
        Urgency.NOW if gap.cause == "declared-lost" else Urgency.TODAY,
        f"gap.{gap.cause}",
        str(gap.id),
        gap.reader,
        gap.opened_ms,
        arguments,
        gap=gap.id,
    )


def task_of_alarm(alarm: Alarm) -> Task:
    """Return what an alarm asks for."""
    urgency = Urgency.NOW if alarm.kind in _CONTRADICTIONS else Urgency.TODAY
    return Task(
        urgency,
        f"alarm.{alarm.kind}",
        str(alarm.id),
        alarm.reader,
        alarm.last_ms,
        {"subject": alarm.subject, "count": alarm.count, "detail": alarm.detail},
        alarm=alarm.id,
    )
