"""By which grain a place may be counted: by the hour where a programme of it has few members.

A lone teacher's taps would show as minutes when somebody came and went. Rules: a place is counted
by the hour as long as any of its programmes has fewer than FEW members who can use it, and until
that is known; this is judged where members are, and only the judgement leaves that database.
"""

import datetime
from typing import Final

import sqlalchemy as sa

from fleet.registry import bump, load_places
from fleet.schema import card, member, place
from fleet.store import Store

FEW: Final = 20
"""Members of a programme from which a count by the minute tells nothing of one of them."""


def judge(fleet: Store, people: Store, today: datetime.date) -> list[str]:
    """Write down by which grain each place is counted; return the places that changed.

    Ingest hears of a change at its next group of messages, as of any change of the registry.
    """
    with fleet.read() as connection:
        places = load_places(connection)
    programmes = {name for one in places.values() for name in one.programmes}
    with people.read() as connection:
        few = {name for name in programmes if has_few(connection, name, today)}
    judged = {name: not few.isdisjoint(one.programmes) for name, one in places.items()}
    changed = [name for name, by_hour in judged.items() if places[name].by_hour != by_hour]
    if changed:
        with fleet.write() as connection:
            for name in changed:
                here = place.update().where(place.c.name == name)
                connection.execute(here.values(by_hour=judged[name]))
            bump(connection, "registry")
    return changed


def has_few(people: sa.Connection, programme: str, today: datetime.date) -> bool:
    """True when fewer than FEW members of a programme can use a card of it today.

    Stops counting at FEW, so that a million members take no longer than a hundred.
    """
    columns, cards = member.c, card.c
    usable = (
        sa.select(cards.id)
        .where(
            cards.member_id == columns.id,
            cards.stopped_from_ms.is_(None),
            cards.superseded_at_ms.is_(None),
        )
        .exists()
    )
    found = people.execute(
        sa.select(columns.id)
        .where(
            columns.programme == programme,
            columns.stopped_from_ms.is_(None),
            sa.or_(columns.valid_from.is_(None), columns.valid_from <= today),
            sa.or_(columns.valid_to.is_(None), columns.valid_to >= today),
            usable,
        )
        .limit(FEW)
    ).all()
    return len(found) < FEW
