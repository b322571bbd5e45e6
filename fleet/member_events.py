"""A member's history: each step with its reason and what it changed, and the way back.

Rules: a step changes members, cards and person in one transaction, writes down what was there
before and after (`member_event`), and leaves a line in the audit that names registration numbers
and nothing else: names, dates and reasons in free words stand where they are erased with the
member (`fleet.erasure`), never in tables that only grow; a step is undone as long as all that it
changed is still as it left it.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, member_steps, store
from fleet.member_steps import Change
from fleet.members import MemberRefused, bump
from fleet.schema import member, member_event, person
from wire.individual_number import refuse_individual_number

WHY_MAX: Final = 200
"""Characters of a reason: one sentence."""
UNDO_CARD_MS: Final = 10 * 60_000
"""How long a card that was given can be taken back: later it has ridden, and is stopped instead."""
HISTORY_MAX: Final = 200
"""Events of one member on the page: four a year for half a century."""


class Kind(enum.StrEnum):
    """What happened; also its word in the audit."""

    CARD_STOPPED = "card.stopped"
    CARD_UNSTOPPED = "card.unstopped"
    CARD_REPLACED = "card.replaced"
    CARDS_EXCHANGED = "card.exchanged"
    STOPPED = "member.stopped"
    UNSTOPPED = "member.unstopped"
    ENDED = "member.ended"
    REOPENED = "member.reopened"
    CORRECTED = "member.corrected"
    HOUSEHOLD_JOINED = "household.joined"
    HOUSEHOLD_LEFT = "household.left"
    CONSENT_WITHDRAWN = "member.withdrawn"
    CORRECTION_ASKED = "correction.asked"
    CORRECTION_ANSWERED = "correction.answered"
    UNDONE = "member.undone"


class LifeRefused(MemberRefused):
    """This step cannot be taken; nothing was changed.

    `reason` is a stable word, with a sentence for clerks under `web.member.refused.<reason>`.
    """

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason: Final = reason


@dataclass(frozen=True, slots=True)
class Step:
    """Who does something to a member, why and when."""

    member_id: int
    why: str
    who: str
    at_ms: int


class Event(NamedTuple):
    """One line of a member's history."""

    id: int
    at_ms: int
    who: str
    kind: Kind
    why: str
    changed: tuple[Change, ...]
    other: str
    """Registration number of the other member of an exchange; empty: there is none."""
    undone: bool
    undoable: bool


class Other(NamedTuple):
    """The other member of a step, and which event of that one it takes back."""

    id: int
    undoes: int | None = None


# --- one step -------------------------------------------------------------------------------------


def row_of(connection: sa.Connection, member_id: int) -> store.AnyRow:
    """Return a member with the person. Raises LifeRefused when there is none, or it was erased."""
    row = connection.execute(
        sa.select(member, person.c.name, person.c.kana, person.c.birth_date)
        .join(person, person.c.id == member.c.person_id)
        .where(member.c.id == member_id)
    ).one_or_none()
    if row is None or row.erased_at_ms is not None:
        raise LifeRefused("erased", "this member was erased, or never was")
    return row


def take(
    connection: sa.Connection,
    step: Step,
    kind: Kind,
    changes: Sequence[Change],
    other: Other | None = None,
    *,
    detail: str = "",
    undoes: int | None = None,
) -> int:
    """Change what is to be changed, and write it down: for the member, the other one, the audit.

    Return the number of the member's event. Raises LifeRefused, IndividualNumberRefused.
    """
    if not step.why.strip() or len(step.why) > WHY_MAX:
        raise LifeRefused("why", f"say why, in 1 to {WHY_MAX} characters")
    refuse_individual_number("why", step.why)
    row = row_of(connection, step.member_id)
    member_steps.apply(connection, changes, step.at_ms)
    told = {"at_ms": step.at_ms, "who": step.who, "kind": kind.value, "why": step.why}
    told["changed"] = [change.plain() for change in changes]
    sides = [(row, None if other is None else other.id, undoes)]
    if other is not None:
        sides.append((row_of(connection, other.id), row.id, other.undoes))
    events: list[int] = []
    for one, partner, taken_back in sides:
        of = {"member_id": one.id, "other_id": partner, "undoes": taken_back}
        added = connection.execute(member_event.insert().values(told | of))
        events.append(store.new_id(added))
        subject = f"{one.programme} {one.registration_number}"
        audit.note_person(connection, step.at_ms, step.who, kind.value, subject, detail)
    bump(connection, row.programme)
    return events[0]


# --- history and undo -----------------------------------------------------------------------------


def history(connection: sa.Connection, member_id: int, at_ms: int) -> list[Event]:
    """Return what happened to a member, the newest first, HISTORY_MAX at most.

    `undone`: taken back, or, of a request, answered. `undoable`: at this instant.
    """
    other = member.alias("other")
    rows = connection.execute(
        sa.select(member_event, other.c.registration_number.label("number"))
        .select_from(member_event.outerjoin(other, other.c.id == member_event.c.other_id))
        .where(member_event.c.member_id == member_id)
        .order_by(member_event.c.id.desc())
        .limit(HISTORY_MAX)
    ).all()
    undone = {row.undoes for row in rows}
    return [_event(connection, row, at_ms, is_undone=row.id in undone) for row in rows]


def _event(connection: sa.Connection, row: store.AnyRow, at_ms: int, *, is_undone: bool) -> Event:
    kind, changed = Kind(row.kind), member_steps.read(row.changed)
    event = Event(row.id, row.at_ms, row.who, kind, row.why, changed, row.number or "", is_undone,
                  undoable=False)  # fmt: skip
    return event._replace(undoable=_is_undoable(connection, event, at_ms))


def _is_undoable(connection: sa.Connection, event: Event, at_ms: int) -> bool:
    if event.undone or not event.changed or event.kind in (Kind.CONSENT_WITHDRAWN, Kind.UNDONE):
        return False
    late = at_ms - event.at_ms > UNDO_CARD_MS
    if event.kind is Kind.CARD_REPLACED and late:
        return False
    return member_steps.stand(connection, event.changed)


def undo(connection: sa.Connection, step: Step, event_id: int) -> Kind:
    """Take one event back: all is as it was before; return what it was. Raises LifeRefused."""
    told = history(connection, step.member_id, step.at_ms)
    event = next((one for one in told if one.id == event_id), None)
    if event is None or not event.undoable:
        raise LifeRefused("not-undone", "something has changed since: mend it by a new step")
    back = [change.back() for change in reversed(event.changed)]
    twin = _twin(connection, step.member_id, event)
    take(connection, step, Kind.UNDONE, back, twin, undoes=event_id)
    return event.kind


def _twin(connection: sa.Connection, member_id: int, event: Event) -> Other | None:
    row = connection.execute(
        sa.select(member_event.c.member_id, member_event.c.id).where(
            member_event.c.other_id == member_id,
            member_event.c.at_ms == event.at_ms,
            member_event.c.kind == event.kind.value,
        )
    ).first()
    return None if row is None else Other(*row)
