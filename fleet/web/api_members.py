"""The API's members, as other systems may see them: with cards, uses and consent.

Rules: each look at a person leaves a line in the audit in its own transaction; a card is its scheme
and days, never a credential; who was erased is not found.
"""

import datetime
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
import sqlalchemy as sa
from aiohttp import web
from msgspec import Meta

from fleet import audit, consent, usage
from fleet.api_clients import Scope
from fleet.desk import PEOPLE, Standing, is_good, standing_at
from fleet.schema import card, member, person
from fleet.store import AnyRow
from fleet.web.api_base import (
    Asked,
    Number,
    Operation,
    Plain,
    Refused,
    answer,
    tag_of,
)
from fleet.web.data import change, read
from wire.credential import Scheme
from wire.entries import Period, Used

PAGE_MAX: Final = 100
"""Members in one answer: all of them are named in one line of the audit."""


class Member(msgspec.Struct, frozen=True):
    """One member of the programme."""

    registration_number: Number
    name: str
    kana: str
    birth_date: datetime.date | None
    category: str
    valid_from: datetime.date | None
    valid_to: datetime.date | None
    """The last day, included."""
    state: Literal["valid", "not-yet", "expired", "stopped"]
    """Whether the member may use the programme now; whether a card can be used stands there."""
    stopped_since: datetime.datetime | None
    ended: Literal["", "moved-away", "deceased", "wrong", "other", "withdrawn"]
    """Why the last day was set; empty: it was not ended."""


class Members(msgspec.Struct, frozen=True):
    """Some members, by registration number."""

    members: list[Member]
    next: str | None
    """Ask again with after=<this>; null: there are no more."""


class MembersQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which members."""

    after: Annotated[str, Meta(max_length=32, pattern=Plain)] = ""
    """The registration number behind which to begin."""
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_MAX


class Card(msgspec.Struct, frozen=True):
    """A card of a member. Under what readers know it is told to nobody."""

    scheme: Scheme
    since: datetime.datetime
    stopped_since: datetime.datetime | None
    is_usable: bool
    """It opens what the programme has, if the member may use it now."""


class Cards(msgspec.Struct, frozen=True):
    """A member's cards, the newest first."""

    cards: list[Card]


class Use(msgspec.Struct, frozen=True):
    """What was used in one period of the programme's calendar."""

    period: str
    times: int
    yen: int
    """What the member paid."""


class Uses(msgspec.Struct, frozen=True):
    """A member's uses, over all cards."""

    uses: list[Use]


class UsesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In which period; left out: those of now."""

    period: Period | None = None


class Consent(msgspec.Struct, frozen=True):
    """What a member's newest word is."""

    state: Literal["given", "withdrawn", "none"]
    at: datetime.datetime | None
    medium: str
    ordinance: str
    article: str
    ordinance_date: datetime.date | None


def moment(at_ms: int | None) -> datetime.datetime | None:
    """Return an instant as the API writes it, in UTC."""
    if at_ms is None:
        return None
    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)


# --- reading -------------------------------------------------------------------------------------

_STATES: Final[Mapping[Standing, Any]] = {
    Standing.STOPPED: "stopped",
    Standing.NOT_YET: "not-yet",
    Standing.EXPIRED: "expired",
    Standing.USABLE: "valid",
}
_ROW: Final = sa.select(
    member.c.id,
    member.c.registration_number,
    person.c.name,
    person.c.kana,
    person.c.birth_date,
    member.c.category,
    member.c.valid_from,
    member.c.valid_to,
    member.c.stopped_from_ms,
    member.c.ended_kind,
).select_from(PEOPLE)


def _here(programme: str) -> sa.Select[Any]:
    return _ROW.where(member.c.programme == programme, member.c.erased_at_ms.is_(None))


def member_of(row: AnyRow, at_ms: int) -> Member:
    """Return a member as the API shows it at an instant."""
    standing = standing_at(at_ms, row.stopped_from_ms, row.valid_from, row.valid_to)
    stopped = moment(row.stopped_from_ms)
    values: tuple[Any, ...] = (*row[1:8], _STATES[standing], stopped, row.ended_kind)
    return Member(*values)


def find(connection: sa.Connection, asked: Asked) -> AnyRow | None:
    """Return the member in the path; the caller notes the look."""
    number = asked.path["number"]
    wanted = _here(asked.programme).where(member.c.registration_number == number)
    return connection.execute(wanted).one_or_none()


def see(connection: sa.Connection, asked: Asked, detail: str = "") -> AnyRow:
    """Return the member in the path, and write the look down. Raises Refused."""
    row = find(connection, asked)
    if row is None:
        raise Refused("not-found")
    subject = f"{asked.programme} {row.registration_number}"
    audit.note_person(connection, asked.now_ms, asked.client.who, "member.seen", subject, detail)
    return row


def _list(connection: sa.Connection, asked: Asked) -> Members:
    query: MembersQuery = asked.query
    rows = connection.execute(
        _here(asked.programme)
        .where(member.c.registration_number > query.after)
        .order_by(member.c.registration_number)
        .limit(query.limit + 1)
    ).all()
    shown = [member_of(row, asked.now_ms) for row in rows[: query.limit]]
    if shown:
        numbers = " ".join(one.registration_number for one in shown)
        audit.note_person(
            connection, asked.now_ms, asked.client.who, "members.listed", asked.programme, numbers
        )
    more = len(rows) > query.limit
    return Members(shown, shown[-1].registration_number if more else None)


async def list_members(asked: Asked) -> web.Response:
    """Members by registration number."""
    return answer(await change(asked.persons, _list, asked))


async def get_member(asked: Asked) -> web.Response:
    """One member."""
    row = await change(asked.persons, see, asked)
    found = member_of(row, asked.now_ms)
    return answer(found, tag=tag_of(found))


def _cards(connection: sa.Connection, asked: Asked) -> Cards:
    row = see(connection, asked, "cards")
    good = is_good(connection, asked.programme, asked.now_ms)
    columns = (card.c.scheme, card.c.assigned_at_ms, card.c.stopped_from_ms)
    rows = connection.execute(
        sa.select(*columns, good & card.c.stopped_from_ms.is_(None))
        .where(card.c.member_id == row.id, card.c.superseded_at_ms.is_(None))
        .order_by(card.c.id.desc())
    )
    return Cards(
        [
            Card(Scheme(scheme), _instant(since), moment(stopped), bool(is_usable))
            for scheme, since, stopped, is_usable in rows
        ]
    )


def _instant(at_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)


async def get_cards(asked: Asked) -> web.Response:
    """A member's cards."""
    return answer(await change(asked.persons, _cards, asked))


def _credentials(connection: sa.Connection, asked: Asked) -> list[str]:
    return usage.cards_of(connection, see(connection, asked, "uses").id)


def _in_period(
    connection: sa.Connection, programme: str, cards: list[str], period: str
) -> dict[str, Used]:
    """Return the sum over all cards of a member; nothing where nothing was counted."""
    total = Used()
    for one in usage.load(connection, programme, [period], cards).values():
        total = usage.add(total, one)
    return {period: total}


async def get_uses(asked: Asked) -> web.Response:
    """What a member has used in a period."""
    query: UsesQuery = asked.query
    cards = await change(asked.persons, _credentials, asked)
    if query.period is None:
        found = await read(asked.fleet, usage.of_member, asked.programme, cards, asked.now_ms)
    else:
        found = await read(asked.fleet, _in_period, asked.programme, cards, query.period)
    return answer(Uses([Use(period, one.times, one.yen) for period, one in found.items()]))


def _consent(connection: sa.Connection, asked: Asked) -> Consent:
    told = consent.of_member(connection, see(connection, asked, "consent").id)
    if not told:
        return Consent("none", None, "", "", "", None)
    one = told[0]
    basis = next((of for of in told if of.kind == "given"), one)
    state: Literal["given", "withdrawn"] = "given" if one.kind == "given" else "withdrawn"
    ground = basis.ordinance or "", basis.article or "", basis.ordinance_date
    return Consent(state, moment(one.at_ms), basis.medium, *ground)


async def get_consent(asked: Asked) -> web.Response:
    """A member's consent."""
    return answer(await change(asked.persons, _consent, asked))


OPERATIONS: Final = (
    Operation(
        "listMembers",
        "GET",
        "/members",
        Scope.MEMBERS_READ,
        "Members of the programme, by registration number",
        list_members,
        {200: Members},
        query=MembersQuery,
    ),
    Operation(
        "getMember",
        "GET",
        "/members/{number}",
        Scope.MEMBERS_READ,
        "One member",
        get_member,
        {200: Member},
        tagged=True,
    ),
    Operation(
        "getCards",
        "GET",
        "/members/{number}/cards",
        Scope.MEMBERS_READ,
        "A member’s cards: scheme and days, never a credential",
        get_cards,
        {200: Cards},
    ),
    Operation(
        "getUses",
        "GET",
        "/members/{number}/uses",
        Scope.MEMBERS_READ,
        "What a member has used in a period, over all cards",
        get_uses,
        {200: Uses},
        query=UsesQuery,
    ),
    Operation(
        "getConsent",
        "GET",
        "/members/{number}/consent",
        Scope.MEMBERS_READ,
        "Whether a member consents, and on what ground",
        get_consent,
        {200: Consent},
    ),
)
