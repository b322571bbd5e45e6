"""The API's writes: members enrolled, corrected and ended, through the same functions as the pages.

Rules: what is put twice is done once: a body that says what is there already changes nothing; what
is there is overwritten only by whoever names the state that he saw (If-Match); an answer says no
more of a person than the asking system has just shown to know.
"""

import datetime
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
import sqlalchemy as sa
from aiohttp import web
from msgspec import Meta

from fleet import applicants, consent, enrolment, member_life, rules
from fleet.api_clients import Scope
from fleet.consent import ConsentRefused
from fleet.enrolment import EnrolmentRefused
from fleet.member_events import WHY_MAX, LifeRefused, Step
from fleet.member_life import Ended
from fleet.members import NewMember
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
from fleet.web.api_members import Member, find, member_of, see
from fleet.web.data import change, read
from programmes.calendar import local_day
from programmes.enrolment import Applicant
from programmes.register import RULEBOOKS
from programmes.rulebook import RuleTableRefused

FIRST_DAY: Final = datetime.date(1868, 1, 25)
"""Of the first era of programmes.calendar."""
LAST_DAY: Final = datetime.date(2179, 6, 5)
"""That a roster can carry."""

Name = Annotated[str, Meta(min_length=1, max_length=60, pattern=Plain)]
Kana = Annotated[str, Meta(max_length=60, pattern=Plain)]
Category = Annotated[str, Meta(max_length=40, pattern=Plain)]
Why = Annotated[str, Meta(max_length=WHY_MAX, pattern=Plain)]


class NewConsent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That the member has consented, on the ground that the office has written down."""

    medium: consent.Medium
    """Said at a counter, or signed on paper."""


class PutMember(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member as it is to be. Enrolling alone looks at `consent`, `is_resident`, `has_ground`."""

    name: Name
    kana: Kana = ""
    birth_date: datetime.date | None = None
    category: Category = ""
    valid_from: datetime.date | None = None
    valid_to: datetime.date | None = None
    consent: NewConsent | None = None
    is_resident: bool = False
    """The asking system has found that the person lives in the city."""
    has_ground: bool = False
    """It has found another ground than age, where a programme knows one; never which."""
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
    row = find(connection, asked)
    if row is None:
        if asked.request.headers.get("If-Match"):
            raise Refused("changed-meanwhile")
        _enrol(connection, asked, new, tables)
        return _Put(member_of(see(connection, asked), asked.now_ms), True)
    values = {field: getattr(new, field) for field in _SET}
    if any(getattr(row, field) != value for field, value in values.items()):
        require_tag(asked, tag_of(member_of(row, asked.now_ms)))
        _correct(connection, asked, row, values)
    return _Put(member_of(see(connection, asked), asked.now_ms), False)


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
    applicant = Applicant(new.birth_date, new.is_resident, new.has_ground)
    judged = applicants.judge(asked.programme, tables, applicant, begins)
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
    enrolment.enrol(
        connection, asked.programme, somebody, given, (), *who, by_ground=judged.by_ground
    )


def _end(connection: sa.Connection, asked: Asked) -> tuple[Ending, str]:
    body: EndMember = asked.body
    row = find(connection, asked)
    if row is None:
        raise Refused("not-found")
    if not FIRST_DAY <= body.last_day <= LAST_DAY:
        raise Refused("invalid", "last_day")
    if (row.ended_kind, row.valid_to) != (body.kind, body.last_day):
        require_tag(asked, tag_of(member_of(row, asked.now_ms)))
        step = _step(asked, row, body.why)
        member_life.end(connection, step, Ended(body.kind), body.last_day)
    ended = member_of(see(connection, asked), asked.now_ms)
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
)
