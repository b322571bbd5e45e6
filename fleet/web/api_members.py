"""The API's members: read, enrolled, corrected, ended, through the same functions as the pages.

Rules: what is put twice is done once: a body that says what is there already changes nothing; what
is there is overwritten only by whoever names the state that he saw (If-Match); each look at a
person leaves a line in the audit in its own transaction; a card is its scheme and days, never a
credential; who was erased is not found.
"""

import datetime
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
import sqlalchemy as sa
from aiohttp import web
from msgspec import Meta

from fleet import applicants, audit, consent, enrolment, member_life, rules, usage
from fleet.api_clients import Scope
from fleet.consent import ConsentRefused
from fleet.desk import PEOPLE, Standing, is_good, standing_at
from fleet.enrolment import EnrolmentRefused
from fleet.member_events import WHY_MAX, LifeRefused, Step
from fleet.member_life import Ended
from fleet.members import NewMember
from fleet.schema import card, member, person
from fleet.store import AnyRow
from fleet.web.api_base import (
    Asked,
    Number,
    Operation,
    Plain,
    Refused,
    answer,
    require_tag,
    tag_of,
)
from fleet.web.data import change, read
from programmes.calendar import local_day
from programmes.enrolment import Applicant
from programmes.register import RULEBOOKS
from programmes.rulebook import RuleTableRefused
from wire.credential import Scheme
from wire.entries import Period, Used

PAGE_MAX: Final = 100
"""Members in one answer: all of them are named in one line of the audit."""
FIRST_DAY: Final = datetime.date(1868, 1, 25)
"""Of the first era of programmes.calendar."""
LAST_DAY: Final = datetime.date(2179, 6, 5)
"""That a roster can carry."""

Name = Annotated[str, Meta(min_length=1, max_length=60, pattern=Plain)]
Kana = Annotated[str, Meta(max_length=60, pattern=Plain)]
Category = Annotated[str, Meta(max_length=40, pattern=Plain)]
Why = Annotated[str, Meta(max_length=WHY_MAX, pattern=Plain)]


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


class NewConsent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That the member has consented, on the ground that the office has written down."""

    medium: consent.Medium
    """Said at a counter, or signed on paper."""


class PutMember(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member as it is to be. `consent` and `is_resident` are looked at when one is enrolled."""

    name: Name
    kana: Kana = ""
    birth_date: datetime.date | None = None
    category: Category = ""
    valid_from: datetime.date | None = None
    valid_to: datetime.date | None = None
    consent: NewConsent | None = None
    is_resident: bool = False
    """The asking system has found that the person lives in the city."""
    why: Why = ""
    """Why it is corrected, kept in the member's history."""


class EndMember(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The end of a membership."""

    kind: Literal["moved-away", "deceased", "wrong", "other"]
    last_day: datetime.date
    """Included."""
    why: Why = ""


class Ending(msgspec.Struct, frozen=True):
    """The end that a membership has; no more of the person than was asked with."""

    registration_number: Number
    kind: str
    last_day: datetime.date


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


def _member(row: AnyRow, at_ms: int) -> Member:
    standing = standing_at(at_ms, row.stopped_from_ms, row.valid_from, row.valid_to)
    stopped = moment(row.stopped_from_ms)
    values: tuple[Any, ...] = (*row[1:8], _STATES[standing], stopped, row.ended_kind)
    return Member(*values)


def _find(connection: sa.Connection, asked: Asked) -> AnyRow | None:
    number = asked.path["number"]
    wanted = _here(asked.programme).where(member.c.registration_number == number)
    return connection.execute(wanted).one_or_none()


def _see(connection: sa.Connection, asked: Asked, detail: str = "") -> AnyRow:
    """Return the member in the path, and write the look down. Raises Refused."""
    row = _find(connection, asked)
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
    shown = [_member(row, asked.now_ms) for row in rows[: query.limit]]
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
    row = await change(asked.persons, _see, asked)
    found = _member(row, asked.now_ms)
    return answer(found, tag=tag_of(found))


def _cards(connection: sa.Connection, asked: Asked) -> Cards:
    row = _see(connection, asked, "cards")
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
    return usage.cards_of(connection, _see(connection, asked, "uses").id)


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
    told = consent.of_member(connection, _see(connection, asked, "consent").id)
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


# --- writing -------------------------------------------------------------------------------------


class _Put(NamedTuple):
    """A member as it was put, and whether that enrolled somebody."""

    member: Member
    is_new: bool


async def put_member(asked: Asked) -> web.Response:
    """Enrol a member, or correct one."""
    new = _tidied(asked.body)
    tables = await read(asked.fleet, rules.load, asked.programme)
    try:
        put = await change(asked.persons, _put, asked, new, tables)
    except (EnrolmentRefused, ConsentRefused, LifeRefused) as error:
        raise _refused(error) from error
    except RuleTableRefused as error:
        raise Refused("refused", **_NO_RULES) from error
    return answer(put.member, 201 if put.is_new else 200, tag=tag_of(put.member))


def _refused(error: EnrolmentRefused | ConsentRefused | LifeRefused) -> Refused:
    page = "member" if isinstance(error, LifeRefused) else "enrol"
    sentence = f"web.{page}.refused.{error.reason}"
    if isinstance(error, ConsentRefused):
        sentence = f"web.api.problem.{error.reason}"
    return Refused("refused", reason=error.reason, sentence=sentence)


_NO_RULES: Final = {"reason": "rules", "sentence": "web.api.problem.rules"}


def _tidied(body: PutMember) -> PutMember:
    """Return it as the pages would keep it. Raises Refused, naming the field."""
    name, kana = applicants.tidy_name(body.name), applicants.tidy_kana(body.kana)
    if not name:
        raise Refused("invalid", "name")
    if body.kana.strip() and not kana:
        raise Refused("invalid", "kana")
    for field in ("birth_date", "valid_from", "valid_to"):
        day = getattr(body, field)
        if day is not None and not FIRST_DAY <= day <= LAST_DAY:
            raise Refused("invalid", field)
    if body.valid_from and body.valid_to and body.valid_to < body.valid_from:
        raise Refused("invalid", "valid_to")
    return msgspec.structs.replace(body, name=name, kana=kana, category=body.category.strip())


_SET: Final = (*member_life.OF_PERSON, *member_life.OF_MEMBER)


def _put(connection: sa.Connection, asked: Asked, new: PutMember, tables: Any) -> _Put:
    row = _find(connection, asked)
    if row is None:
        if asked.request.headers.get("If-Match"):
            raise Refused("changed-meanwhile")
        _enrol(connection, asked, new, tables)
        return _Put(_member(_see(connection, asked), asked.now_ms), True)
    values = {field: getattr(new, field) for field in _SET}
    if any(getattr(row, field) != value for field, value in values.items()):
        require_tag(asked, tag_of(_member(row, asked.now_ms)))
        _correct(connection, asked, row, values)
    return _Put(_member(_see(connection, asked), asked.now_ms), False)


def _correct(
    connection: sa.Connection, asked: Asked, row: AnyRow, values: Mapping[str, Any]
) -> None:
    if row.ended_kind and row.valid_to != values["valid_to"]:
        raise LifeRefused("ended", "this membership has an end: its last day is not corrected")
    member_life.correct(connection, _step(asked, row, asked.body.why), values)


def _step(asked: Asked, row: AnyRow, why: str) -> Step:
    return Step(row.id, why.strip() or f"API {asked.client.name}", asked.client.who, asked.now_ms)


def _enrol(connection: sa.Connection, asked: Asked, new: PutMember, tables: Any) -> None:
    day = local_day(asked.now_ms)
    begins = new.valid_from or day
    judged = applicants.judge(
        asked.programme, tables, Applicant(new.birth_date, new.is_resident), begins
    )
    if judged.table is None and RULEBOOKS[asked.programme].enrolment is not None:
        raise Refused("refused", **_NO_RULES)
    for condition in judged.conditions:
        if not condition.is_met:
            field = {"resident": "is_resident"}.get(condition.field, condition.field)
            raise Refused("not-eligible", field)
    if new.consent is None:
        raise Refused("refused", "consent", reason="consent-missing",
                      sentence="web.api.problem.consent-missing")  # fmt: skip
    basis = consent.basis_on(connection, asked.programme, day)
    if basis is None:
        raise ConsentRefused("no-basis", "no basis of consent is in force")
    values = {field: getattr(new, field) for field in _SET}
    somebody = NewMember(asked.path["number"], **values)
    given = enrolment.Given(basis.id, new.consent.medium)
    who = (asked.client.who, asked.now_ms)
    enrolment.enrol(connection, asked.programme, somebody, given, (), *who)


def _end(connection: sa.Connection, asked: Asked) -> tuple[Ending, str]:
    body: EndMember = asked.body
    row = _find(connection, asked)
    if row is None:
        raise Refused("not-found")
    if not FIRST_DAY <= body.last_day <= LAST_DAY:
        raise Refused("invalid", "last_day")
    if (row.ended_kind, row.valid_to) != (body.kind, body.last_day):
        require_tag(asked, tag_of(_member(row, asked.now_ms)))
        step = _step(asked, row, body.why)
        member_life.end(connection, step, Ended(body.kind), body.last_day)
    ended = _member(_see(connection, asked), asked.now_ms)
    return Ending(ended.registration_number, body.kind, body.last_day), tag_of(ended)


async def end_member(asked: Asked) -> web.Response:
    """Let a membership end with a day."""
    try:
        ending, tag = await change(asked.persons, _end, asked)
    except LifeRefused as error:
        raise _refused(error) from error
    return answer(ending, tag=tag)


_WRITING: Final = ("refused", "changed-meanwhile", "tag-missing")
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
        "putMember",
        "PUT",
        "/members/{number}",
        Scope.MEMBERS_WRITE,
        "Enrol a member who has consented, or correct one",
        put_member,
        {200: Member, 201: Member},
        body=PutMember,
        tagged=True,
        problems=(*_WRITING, "not-eligible"),
    ),
    Operation(
        "endMember",
        "PUT",
        "/members/{number}/end",
        Scope.MEMBERS_WRITE,
        "Let a membership end with a day",
        end_member,
        {200: Ending},
        body=EndMember,
        tagged=True,
        problems=_WRITING,
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
