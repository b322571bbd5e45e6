"""Cards that become known by another credential: a newer key epoch, or another scheme.

Rules: a member's card keeps its row, with its history; what it was known as stands beside it,
superseded, and stays the member's; entries may arrive in any order, so a credential that is older
than the present one takes nothing back, and is kept as a former one; a scheme is changed only as
the programme's campaign says (`fleet.campaigns`).
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, terms
from fleet.members import PRESENT, ROWS_AT_ONCE, bump
from fleet.schema import card, member, person
from fleet.terms import Campaign

_ROW: Final = (
    card.c.id,
    card.c.member_id,
    card.c.credential,
    card.c.scheme,
    card.c.key_epoch,
    card.c.stopped_from_ms,
    card.c.assigned_at_ms,
    card.c.assigned_by,
    card.c.superseded_at_ms,
    card.c.successor,
)
_AnyRow = sa.Row[*tuple[Any, ...]]


class Move(NamedTuple):
    """A card that was found under one credential, and is to be known by another."""

    programme: str
    older: str
    newer: str
    scheme: str
    """Of the newer credential; empty: the same."""
    key_epoch: int


def move_card(connection: sa.Connection, move: Move, at_ms: int) -> bool:
    """Let a card be known by its newer credential; False when nothing is to be changed.

    What is not newer than the present one is kept as a former credential: its taps are the
    member's too.
    """
    programme = move.programme
    found = connection.execute(
        sa.select(*_ROW).where(
            card.c.programme == programme, card.c.credential.in_([move.older, move.newer])
        )
    )
    rows = {row.credential: row for row in found}
    was = rows.get(move.older)
    if was is None:
        return False
    move = move._replace(scheme=move.scheme or was.scheme)
    now, moving = _present(connection, was), terms.latest(connection).get(programme)
    new = rows.get(move.newer)
    if new is not None:
        other = _present(connection, new)
        if _takes_the_place(now, other, moving):
            _supersede(connection, now.id, other.id, at_ms)
        elif new.id != now.id == other.id and _goes_forward(now, new, moving):
            _swap(connection, now, new)
        else:
            return False
    elif _is_another_card(connection, now, move):
        return False
    elif _goes_forward(now, move, moving):
        connection.execute(
            card.update()
            .where(card.c.id == now.id)
            .values(credential=move.newer, scheme=move.scheme, key_epoch=move.key_epoch)
        )
        _former(connection, programme, now, now.credential, now.scheme, now.key_epoch, at_ms)
    else:
        _former(connection, programme, now, move.newer, move.scheme, move.key_epoch, at_ms)
    bump(connection, programme)
    what = "card.re-keyed" if move.scheme == was.scheme else "card.moved"
    detail = str(move.key_epoch) if move.scheme == was.scheme else f"{was.scheme} {move.scheme}"
    audit.note_person(connection, at_ms, "ingest", what, programme, detail)
    return True


def _present(connection: sa.Connection, row: _AnyRow) -> _AnyRow:
    """Return the row of what a card is known as now; a card that was replaced, of its successor."""
    seen = {row.id}
    while row.successor is not None and row.successor not in seen:
        after = connection.execute(sa.select(*_ROW).where(card.c.id == row.successor)).one_or_none()
        if after is None:
            break
        row = after
        seen.add(row.id)
    return row


def _goes_forward(now: _AnyRow, new: Move | _AnyRow, moving: Campaign | None) -> bool:
    if new.scheme == now.scheme:
        return bool(new.key_epoch > now.key_epoch)
    return _is_on_its_way(now.scheme, new.scheme, moving)


def _is_another_card(connection: sa.Connection, now: _AnyRow, move: Move) -> bool:
    """True when the card has another credential by this scheme and key: then this is not its own.

    No honest reader says so.
    """
    own = sa.or_(card.c.id == now.id, card.c.successor == now.id)
    same = (card.c.scheme == move.scheme, card.c.key_epoch == move.key_epoch)
    return connection.scalar(sa.select(card.c.id).where(own, *same).limit(1)) is not None


def _is_on_its_way(leaves: str, joins: str, moving: Campaign | None) -> bool:
    """True when that is the way of the programme's campaign, which nobody has stopped."""
    return bool(
        moving and moving.is_running and (moving.from_scheme, moving.to_scheme) == (leaves, joins)
    )


def _takes_the_place(now: _AnyRow, other: _AnyRow, moving: Campaign | None) -> bool:
    """True when two cards of one member are the same one: a desk enrolled it by the new scheme."""
    return (
        now.id != other.id
        and now.member_id == other.member_id
        and now.stopped_from_ms is None
        and _is_on_its_way(now.scheme, other.scheme, moving)
    )


def _swap(connection: sa.Connection, now: _AnyRow, former: _AnyRow) -> None:
    """Let a card be known again by a former credential, and the present one be a former one."""
    for row, name, as_of in (
        (former, "", former),  # out of the way: a credential stands once
        (now, former.credential, former),
        (former, now.credential, now),
    ):
        connection.execute(
            card.update()
            .where(card.c.id == row.id)
            .values(credential=name, scheme=as_of.scheme, key_epoch=as_of.key_epoch)
        )


def _supersede(connection: sa.Connection, older: int, newer: int, at_ms: int) -> None:
    connection.execute(
        card.update().where(card.c.id == older).values(superseded_at_ms=at_ms, successor=newer)
    )


def _former(
    connection: sa.Connection,
    programme: str,
    of: _AnyRow,
    credential: str,
    scheme: str,
    key_epoch: int,
    at_ms: int,
) -> None:
    """Keep a credential beside its card, superseded."""
    connection.execute(
        card.insert(),
        {
            "member_id": of.member_id,
            "programme": programme,
            "credential": credential,
            "scheme": scheme,
            "key_epoch": key_epoch,
            "stopped_from_ms": of.stopped_from_ms,
            "assigned_at_ms": of.assigned_at_ms,
            "assigned_by": of.assigned_by,
            "superseded_at_ms": at_ms,
            "successor": of.id,
        },
    )


# --- who has not moved to a key epoch ------------------------------------------------------------


class Unmoved(NamedTuple):
    """A member with a card that is still known by an older key epoch."""

    registration_number: str
    name: str
    kana: str
    key_epoch: int
    lost: bool
    """No reader finds the card any more: it is to be assigned anew at a desk."""


def _unmoved(programme: str, present: int) -> sa.Select[Any]:
    return (
        sa.select(
            member.c.registration_number,
            person.c.name,
            person.c.kana,
            sa.func.min(card.c.key_epoch).label("key_epoch"),
        )
        .select_from(
            card.join(member, card.c.member_id == member.c.id).join(
                person, member.c.person_id == person.c.id
            )
        )
        .where(card.c.programme == programme, PRESENT, card.c.key_epoch < present)
        .group_by(member.c.id, member.c.registration_number, person.c.name, person.c.kana)
        .order_by(member.c.registration_number)
    )


def unmoved(connection: sa.Connection, programme: str, present: int) -> Iterator[Unmoved]:
    """Yield members not seen since the programme's present key epoch began, by number.

    Readers hold the present epoch and the one before; cards of still older ones are lost to them.
    """
    listed = _unmoved(programme, present)
    rows = connection.execute(listed, execution_options={"yield_per": ROWS_AT_ONCE})
    for row in rows:
        lost = row.key_epoch < present - 1
        yield Unmoved(row.registration_number, row.name, row.kana, row.key_epoch, lost)


def count_unmoved(connection: sa.Connection, programme: str, present: int) -> int:
    """Return how many members `unmoved` would name."""
    listed = _unmoved(programme, present).order_by(None).subquery()
    return connection.scalar(sa.select(sa.func.count()).select_from(listed)) or 0
