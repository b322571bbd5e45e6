"""What happens to a member after enrolment, but for cards: stops, ends, household, corrections.

Rules: what is done in one programme touches no other; whoever has left is not let go on by lifting
a stop; a registration number never changes. Each step is one of `fleet.member_events`.
"""

import datetime
import enum
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import consent, store
from fleet.member_events import Event, Kind, LifeRefused, Other, Step, history, row_of, take
from fleet.member_steps import to as changes_to
from fleet.schema import member, person
from programmes.calendar import local_day
from wire.individual_number import refuse_individual_number

DAYS: Final = (datetime.date(2000, 1, 2), datetime.date(2179, 6, 5))
"""The first and the last day that a roster can carry (wire.roster)."""
HOUSEHOLD_MAX: Final = 50
"""Members shown of one household: a home for the aged may have more, and is searched for."""


class Ended(enum.StrEnum):
    """Why a membership ends: `member.ended_kind`."""

    MOVED_AWAY = "moved-away"
    DECEASED = "deceased"
    WRONG = "wrong"
    """Enrolled by mistake: it never should have been."""
    OTHER = "other"
    """No longer wanted, or the conditions are no longer met."""
    WITHDRAWN = "withdrawn"
    """The consent was taken back."""
    ERASED = "erased"


# --- stopping and letting go on -------------------------------------------------------------------


def stop(connection: sa.Connection, step: Step) -> int:
    """Stop a member with all cards until that is lifted. Raises LifeRefused."""
    if row_of(connection, step.member_id).stopped_from_ms is not None:
        raise LifeRefused("stopped", "this member is stopped already")
    stopped = {"stopped_from_ms": step.at_ms, "stopped_why": step.why}
    return take(
        connection, step, Kind.STOPPED, changes_to(connection, member, [step.member_id], stopped)
    )


def unstop(connection: sa.Connection, step: Step) -> int:
    """Let a stopped member go on. Raises LifeRefused."""
    row = row_of(connection, step.member_id)
    if row.stopped_from_ms is None or row.ended_kind:
        raise LifeRefused(
            "goes-on", "this member is not stopped, or has left: take that back first"
        )
    free = {"stopped_from_ms": None, "stopped_why": ""}
    return take(
        connection, step, Kind.UNSTOPPED, changes_to(connection, member, [step.member_id], free)
    )


# --- the end --------------------------------------------------------------------------------------


def end(connection: sa.Connection, step: Step, kind: Ended, last_day: datetime.date) -> int:
    """Let a membership end with a day, which is included. Raises LifeRefused.

    A wrong enrolment is also stopped at once, whatever the day.
    """
    _require_days(last_day)
    row = row_of(connection, step.member_id)
    if row.ended_kind:
        raise LifeRefused("ended", "this membership has an end already: take that back first")
    if row.valid_from and last_day < row.valid_from and kind is not Ended.WRONG:
        raise LifeRefused("before-start", f"it began on {row.valid_from}: no end before that")
    values: dict[str, Any] = {"valid_to": last_day, "ended_kind": kind.value}
    if kind is Ended.WRONG and row.stopped_from_ms is None:
        values |= {"stopped_from_ms": step.at_ms, "stopped_why": step.why}
    return take(
        connection, step, Kind.ENDED, changes_to(connection, member, [step.member_id], values)
    )


def _require_days(*days: datetime.date | None) -> None:
    for day in days:
        if day is not None and not DAYS[0] <= day <= DAYS[1]:
            raise LifeRefused("day", f"{day} cannot stand on a roster: use {DAYS[0]} to {DAYS[1]}")


def reopen(connection: sa.Connection, step: Step, last_day: datetime.date | None) -> int:
    """Let a membership that ended go on until a day, None: without an end. Raises LifeRefused."""
    _require_days(last_day)
    row = row_of(connection, step.member_id)
    if not row.ended_kind:
        raise LifeRefused("not-ended", "this membership has no end that could be taken back")
    if row.ended_kind == Ended.WITHDRAWN:
        raise LifeRefused("withdrawn", "the consent was taken back: enrol this person anew")
    values: dict[str, Any] = {"valid_to": last_day, "ended_kind": ""}
    if row.ended_kind == Ended.WRONG:
        values |= {"stopped_from_ms": None, "stopped_why": ""}
    return take(
        connection, step, Kind.REOPENED, changes_to(connection, member, [step.member_id], values)
    )


def withdraw(connection: sa.Connection, step: Step) -> int:
    """Take back the consent in this programme, which ends the membership at once, and no other.

    It is not undone: who consents again is enrolled again. Raises LifeRefused.
    """
    row = row_of(connection, step.member_id)
    if row.ended_kind == Ended.WITHDRAWN:
        raise LifeRefused("withdrawn", "the consent was taken back already")
    if consent.is_given(connection, step.member_id):
        # the free words stay in the event: a consent's row outlives the person
        told = (row.programme, step.member_id, Ended.WITHDRAWN.value, step.who, step.at_ms)
        consent.withdraw(connection, *told)
    values: dict[str, Any] = {"ended_kind": Ended.WITHDRAWN.value}
    values |= {"valid_to": local_day(step.at_ms), "stopped_from_ms": step.at_ms}
    values |= {"stopped_why": step.why}
    changes = changes_to(connection, member, [step.member_id], values)
    return take(connection, step, Kind.CONSENT_WITHDRAWN, changes)


# --- household ------------------------------------------------------------------------------------


def join_household(connection: sa.Connection, step: Step, other_id: int) -> int:
    """Let a member live with another one of the programme. Raises LifeRefused."""
    row, other = row_of(connection, step.member_id), row_of(connection, other_id)
    if row.id == other.id or row.programme != other.programme:
        raise LifeRefused("not-two", "choose another member of the same programme")
    if row.household and row.household == other.household:
        raise LifeRefused("together", "these two live together already")
    name = other.household or f"h{other.id}"
    changes = changes_to(connection, member, [row.id], {"household": name})
    if not other.household:
        changes += changes_to(connection, member, [other.id], {"household": name})
    return take(connection, step, Kind.HOUSEHOLD_JOINED, changes, Other(other.id))


def leave_household(connection: sa.Connection, step: Step) -> int:
    """Let a member live in no known household. Raises LifeRefused."""
    if not row_of(connection, step.member_id).household:
        raise LifeRefused("alone", "this member is in no household")
    changes = changes_to(connection, member, [step.member_id], {"household": ""})
    return take(connection, step, Kind.HOUSEHOLD_LEFT, changes)


class Housemate(NamedTuple):
    """Somebody of a household."""

    id: int
    registration_number: str
    name: str


def household_of(connection: sa.Connection, programme: str, household: str) -> list[Housemate]:
    """Return who lives in a household, by number; the caller notes the look at them."""
    if not household:
        return []
    rows = connection.execute(
        sa.select(member.c.id, member.c.registration_number, person.c.name)
        .join(person, person.c.id == member.c.person_id)
        .where(member.c.programme == programme, member.c.household == household)
        .order_by(member.c.registration_number)
        .limit(HOUSEHOLD_MAX)
    )
    return [Housemate(*row) for row in rows]


# --- what is known of a member --------------------------------------------------------------------


OF_PERSON: Final = ("name", "kana", "birth_date")
OF_MEMBER: Final = ("category", "valid_from", "valid_to")


def correct(connection: sa.Connection, step: Step, values: Mapping[str, Any]) -> int:
    """Set what was wrong: OF_PERSON and OF_MEMBER, by name. Raises LifeRefused when nothing is.

    A registration number is never changed: papers, lists and the audit name it.
    """
    _require_days(values.get("valid_from"), values.get("valid_to"))
    row = row_of(connection, step.member_id)
    for field in ("name", "kana", "category"):
        refuse_individual_number(field, values.get(field, ""))
    wrong = {name: value for name, value in values.items() if getattr(row, name) != value}
    if row.ended_kind:
        wrong.pop("valid_to", None)
    if not wrong:
        raise LifeRefused("nothing-changed", "all of this is what is written already")
    person_id = own_person(connection, row, step.at_ms) if set(wrong) & set(OF_PERSON) else 0
    changes = changes_to(connection, person, [person_id], _only(wrong, OF_PERSON))
    changes += changes_to(connection, member, [row.id], _only(wrong, OF_MEMBER))
    return take(connection, step, Kind.CORRECTED, changes, detail=" ".join(wrong))


def own_person(connection: sa.Connection, row: store.AnyRow, at_ms: int) -> int:
    """Return the person of a member whom no other membership shares, made anew when one does.

    What is corrected or erased in one programme stays as it is in another.
    """
    shared = sa.select(sa.func.count()).where(member.c.person_id == row.person_id)
    if (connection.scalar(shared) or 0) < 2:
        return int(row.person_id)
    apart = person.insert().values(
        name=row.name, kana=row.kana, birth_date=row.birth_date, updated_at_ms=at_ms
    )
    person_id = store.new_id(connection.execute(apart))
    connection.execute(member.update().where(member.c.id == row.id).values(person_id=person_id))
    return person_id


def ask_correction(connection: sa.Connection, step: Step) -> int:
    """Write down that a member asks for a correction, in the member's words (訂正請求)."""
    return take(connection, step, Kind.CORRECTION_ASKED, [])


def answer_correction(connection: sa.Connection, step: Step, event_id: int) -> int:
    """Write down what became of a request, in one sentence. Raises LifeRefused."""
    asked = [one for one in open_requests(connection, step.member_id) if one.id == event_id]
    if not asked:
        raise LifeRefused("answered", "this request has been answered")
    return take(connection, step, Kind.CORRECTION_ANSWERED, [], undoes=event_id)


def open_requests(connection: sa.Connection, member_id: int) -> list[Event]:
    """Return the corrections that a member asked for and nobody has answered, the newest first."""
    told = history(connection, member_id, 0)
    return [one for one in told if one.kind is Kind.CORRECTION_ASKED and not one.undone]


def _only(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}
