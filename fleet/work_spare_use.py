"""A spare card that is lost or broken is out of use; one that was found again is in use.

Rules: a card out of use is lent to nobody, and whoever has it has it no more: readers refuse it as
soon as they have the next roster, as they refuse every one that was given back; rows are only
added, and the newest holds; why is one of a few words, so that nobody stands in what is never
erased.
"""

from typing import Final, Literal, get_args

import sqlalchemy as sa

from fleet import audit, work_spares
from fleet.schema import work_spare_use
from fleet.work_acts import WorkRefused
from fleet.work_spares import Spare
from programmes import attendance

Why = Literal["lost", "broken", "other"]
WHYS: Final = get_args(Why)


def retire(
    people: sa.Connection, organisation: str, spare_id: int, why: str, who: str, at_ms: int
) -> None:
    """Let a school's spare card be out of use from now on, and end its loan. Raises WorkRefused."""
    if why not in WHYS:
        raise WorkRefused("spare-why")
    one = _spare(people, organisation, spare_id, at_ms)
    if one.out:
        raise WorkRefused("spare-out")
    if one.loan_id is not None:
        work_spares.give_back(people, organisation, one.loan_id, who, at_ms)
    _write(people, organisation, one, ("out", why), who, at_ms)


def restore(people: sa.Connection, organisation: str, spare_id: int, who: str, at_ms: int) -> None:
    """Let a card that was out of use be lent again. Raises WorkRefused."""
    one = _spare(people, organisation, spare_id, at_ms)
    if not one.out:
        raise WorkRefused("spare-in")
    _write(people, organisation, one, ("in", ""), who, at_ms)


def _spare(people: sa.Connection, organisation: str, spare_id: int, at_ms: int) -> Spare:
    spares = {one.id: one for one in work_spares.of_school(people, organisation, at_ms)}
    if spare_id not in spares:
        raise WorkRefused("no-spare")
    return spares[spare_id]


def _write(
    people: sa.Connection,
    organisation: str,
    one: Spare,
    step: tuple[str, str],
    who: str,
    at_ms: int,
) -> None:
    kind, why = step
    row = {"spare_id": one.id, "kind": kind, "why": why, "at_ms": at_ms, "who": who}
    people.execute(work_spare_use.insert().values(row))
    said = f"{organisation} {one.number} {why}".strip()
    audit.note_person(people, at_ms, who, f"work.spare-{kind}", attendance.NAME, said)
