"""Cards that no roster knew, where a programme's triage is on: seven days, then nothing.

«The card tapped at this desk just now»: a clerk assigns it to a member, the rosters are built
again, and the next tap is accepted. Or he ignores it, and it is listed no more however often it is
held; or he notes whom he asks, so that no second clerk does.
"""

from typing import Final, Literal

import sqlalchemy as sa

from fleet import audit, enrolment, lent_cards, store, terms
from fleet.members import TRIAGE_KEPT_MS, TRIAGE_MAX, MemberRefused, Waiting
from fleet.schema import card, member, triage
from programmes.calendar import local_day
from wire.individual_number import refuse_individual_number
from wire.messages import Triage

Decided = Literal["", "asked", "ignored"]
NOTE_MAX: Final = 60
"""Characters: whom one asks."""
_COLUMNS = tuple(triage.c[name] for name in Waiting._fields)


def take(
    connection: sa.Connection, reader: str, place: str, message: Triage, received_at_ms: int
) -> bool:
    """Keep one unknown card, its last presentation only.

    False when the table is full, a member has the card by now, it is a school's spare one, or the
    programme does not use its scheme (any more).
    """
    stated = terms.of(connection, message.programme)
    if not stated.is_in_force(message.scheme, local_day(received_at_ms)):
        return False
    same = (
        card.c.programme == message.programme,
        card.c.credential == message.credential,
    )
    if connection.scalar(sa.select(card.c.id).where(*same)):
        return False
    if lent_cards.is_spare(connection, message.programme, [message.credential]):
        return False
    if (connection.scalar(sa.select(sa.func.count(triage.c.id))) or 0) >= TRIAGE_MAX:
        return False
    row = {
        "programme": message.programme,
        "credential": message.credential,
        "scheme": message.scheme.value,
        "key_epoch": message.key_epoch,
        "reader": reader,
        "place": place,
        "journal": message.journal,
        "n": message.n,
        "at_ms": message.at_ms,
        "received_at_ms": received_at_ms,
    }
    last = [name for name in row if name not in ("programme", "credential")]
    store.upsert(connection, triage, [row], key=["programme", "credential"], replace=last)
    return True


def waiting(
    connection: sa.Connection, now_ms: int, limit: int = 50, *, ignored: bool = False
) -> list[Waiting]:
    """Return the unknown cards, the one held last first; none older than seven days.

    Those that are ignored, or all others.
    """
    is_ignored = triage.c.state == "ignored"
    rows = connection.execute(
        sa.select(*_COLUMNS)
        .where(triage.c.received_at_ms > now_ms - TRIAGE_KEPT_MS)
        .where(is_ignored if ignored else ~is_ignored)
        .order_by(triage.c.received_at_ms.desc())
        .limit(limit)
    )
    return [Waiting(*row) for row in rows]


def decide(
    connection: sa.Connection,
    triage_id: int,
    state: Decided,
    who: str,
    at_ms: int,
    note: str = "",
) -> None:
    """Ignore an unknown card, note whom one asks about it, or let it wait as before.

    Raises MemberRefused when it is listed no more, IndividualNumberRefused.
    """
    refuse_individual_number("note", note)
    row = {"state": state, "note": note[:NOTE_MAX], "decided_by": who if state else ""}
    changed = triage.update().where(triage.c.id == triage_id).values(row)
    found = connection.execute(changed.returning(triage.c.programme, triage.c.place)).one_or_none()
    if found is None:
        raise MemberRefused("this card is no longer listed")
    what = f"card.{state or 'listed-again'}"
    audit.note_person(connection, at_ms, who, what, found.programme, found.place)


def erase_old(connection: sa.Connection, now_ms: int) -> int:
    """Erase what is seven days old; return how many."""
    old = triage.c.received_at_ms <= now_ms - TRIAGE_KEPT_MS
    return connection.execute(triage.delete().where(old)).rowcount


def assign(connection: sa.Connection, triage_id: int, number: str, who: str, at_ms: int) -> int:
    """Give an unknown card to a member, by registration number; return the card's row.

    While members move to the card's scheme, it takes the place of the member's former ones.
    Raises EnrolmentRefused when the card has been assigned or erased meanwhile, MemberRefused when
    there is no such member, SchemeRefused when no card may be enrolled by its scheme.
    """
    programme = connection.scalar(sa.select(triage.c.programme).where(triage.c.id == triage_id))
    cards = enrolment.stranger(connection, programme or "", triage_id)
    member_id = connection.scalar(
        sa.select(member.c.id).where(
            member.c.programme == programme, member.c.registration_number == number
        )
    )
    if programme is None or member_id is None:
        raise MemberRefused(f"no member of {programme} has the number {number!r}")
    return enrolment.give_card(connection, programme, member_id, cards, who, at_ms)
