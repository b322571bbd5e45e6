"""What other systems are told of changed enrolments, written down with the change itself.

Rules: whatever is noted of a member or a card in the audit of persons is an event, unless it stands
in UNTOLD; so no way to change a member can be forgotten, and a new one is told as `member.changed`
until it is named here. The row is written in the transaction of the change: both are there, or
neither. It names a programme and a registration number, never a person.
"""

import datetime
import enum
import secrets
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
import sqlalchemy as sa

from fleet.schema import webhook, webhook_delivery

ROWS_AT_ONCE: Final = 5_000
"""In one statement, as members_import has it."""


class Kind(enum.StrEnum):
    """What has become of a member."""

    ENROLLED = "member.enrolled"
    CHANGED = "member.changed"
    ENDED = "member.ended"
    STOPPED = "member.stopped"
    CARD_ADDED = "card.added"
    CARD_STOPPED = "card.stopped"


TOLD: Final[Mapping[str, Kind]] = {
    "member.enrolled": Kind.ENROLLED,
    "member.corrected": Kind.CHANGED,
    "member.unstopped": Kind.CHANGED,
    "member.reopened": Kind.CHANGED,
    "member.undone": Kind.CHANGED,
    "member.stopped": Kind.STOPPED,
    "member.ended": Kind.ENDED,
    "member.withdrawn": Kind.ENDED,
    "member.erased": Kind.ENDED,
    "card.assigned": Kind.CARD_ADDED,
    "card.replaced": Kind.CHANGED,
    "card.unstopped": Kind.CARD_ADDED,
    "card.exchanged": Kind.CHANGED,
    "card.stopped": Kind.CARD_STOPPED,
    "card.taken-back": Kind.CARD_STOPPED,
}
"""By the audit's word."""
UNTOLD: Final = frozenset(
    {
        *("member.seen", "member.ground-seen", "member.asked", "member.asked-nobody"),
        *("card.re-keyed", "card.moved"),
    }
)
"""Looks, what was seen at a counter, and what only changes how readers know a card: nothing of it
is for others."""
_SUBJECTS: Final = ("member.", "card.")


class Data(msgspec.Struct, frozen=True):
    """Whom an event is about."""

    programme: str
    registration_number: str


class Event(msgspec.Struct, frozen=True):
    """The body of one delivery; the shape is Standard Webhooks' (type, timestamp, data)."""

    id: str
    """The same at each try, so that a receiver sees what it has already."""
    type: Kind
    timestamp: datetime.datetime
    data: Data


def kind_of(what: str) -> Kind | None:
    """Return what other systems are told of a line in the audit of persons; None: nothing."""
    if what in UNTOLD or not what.startswith(_SUBJECTS):
        return None
    return TOLD.get(what, Kind.CHANGED)


def write(connection: sa.Connection, at_ms: int, what: str, subject: str) -> None:
    """Keep the event of one line of the audit for each webhook of its programme.

    `subject`: programme, blank, registration number.
    """
    kind = kind_of(what)
    programme, _, number = subject.partition(" ")
    if kind is not None and number:
        write_all(connection, at_ms, kind, programme, [number])


def write_all(
    connection: sa.Connection, at_ms: int, kind: Kind, programme: str, numbers: Iterable[str]
) -> None:
    """Keep one event a member, in this order, for each webhook of the programme."""
    in_use = (webhook.c.programme == programme, webhook.c.ended_at_ms.is_(None))
    hooks = connection.scalars(sa.select(webhook.c.id).where(*in_use).order_by(webhook.c.id)).all()
    if not hooks:
        return
    moment = datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)
    rows = [
        {"webhook_id": hook, "body": body, "next_at_ms": at_ms, "at_ms": at_ms}
        for number in numbers
        for body in (_body(kind, moment, programme, number),)
        for hook in hooks
    ]
    for start in range(0, len(rows), ROWS_AT_ONCE):
        connection.execute(webhook_delivery.insert(), rows[start : start + ROWS_AT_ONCE])


def _body(kind: Kind, moment: datetime.datetime, programme: str, number: str) -> bytes:
    event = Event(f"evt_{secrets.token_hex(16)}", kind, moment, Data(programme, number))
    return msgspec.json.encode(event)
