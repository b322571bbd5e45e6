"""Who stands at the counter: what was typed, whether it meets the conditions, who is there already.

Rules: a name keeps its own characters, a reading is katakana; conditions are those of the rule
table in force on the first day; whoever is shown because he may be the same person has been looked
at, which is on record.
"""

import re
import unicodedata
from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit
from fleet.schema import member, person
from programmes.enrolment import Applicant, Condition
from programmes.register import RULEBOOKS
from programmes.rulebook import NoRuleInForce, rule_in_force
from wire.individual_number import looks_like_individual_number
from wire.roster import RuleTable

TWINS_MAX: Final = 5
"""People with the same name and birth date that are shown; two are rare, five are one mistake."""
_NUMBERED: Final = re.compile(r"(.*?)(\d{1,18})\Z", re.ASCII | re.DOTALL)
"""A registration number and the counter at its end."""
_TRIED_MAX: Final = 1_000
"""Numbers looked through for a free one: whoever numbers by hand leaves no larger holes."""
_KANA: Final = re.compile(r"[ァ-ヺー・]+(?: [ァ-ヺー・]+)*\Z")


class Judged(NamedTuple):
    """Whether somebody may be enrolled on a day, under the table that is in force then."""

    table: RuleTable | None
    """None: no table is in force, and nothing could be judged."""
    conditions: tuple[Condition, ...]
    ends: date | None
    """The last day that the programme's rule proposes; None: it stays open."""

    @property
    def by_ground(self) -> bool:
        """True when another ground than age, which a clerk has seen, lets somebody in."""
        return any(one.ground == "does" for one in self.conditions)


class Twin(NamedTuple):
    """Somebody who is enrolled already and may be the same person."""

    id: int
    registration_number: str
    name: str
    kana: str
    birth_date: date | None
    valid_from: date | None
    valid_to: date | None


# --- what is typed -------------------------------------------------------------------------------


def tidy_name(text: str) -> str:
    """Return a name with one plain blank between its parts; no character is turned into another.

    Variants of 渡辺 are different names: NFKC would make some of them one.
    """
    return " ".join(text.split())


def tidy_kana(text: str) -> str:
    """Return a reading in katakana, whatever kana it was typed in; "" when it is no kana."""
    plain = " ".join(unicodedata.normalize("NFKC", text).split())
    kana = "".join(chr(ord(one) + 0x60) if "ぁ" <= one <= "ゖ" else one for one in plain)
    kana = re.sub(r"(?<=[ァ-ヺー])[-‐−–—](?=[ァ-ヺ]|\Z| )", "ー", kana)
    return kana if _KANA.match(kana) else ""


def judge(programme: str, tables: Sequence[RuleTable], applicant: Applicant, day: date) -> Judged:
    """Return whether somebody may be enrolled from a day on. Raises RuleTableRefused."""
    rules = RULEBOOKS[programme].enrolment
    try:
        table = rule_in_force(tables, day)
    except NoRuleInForce:
        return Judged(None, (), None)
    if rules is None:
        return Judged(table, (), None)
    return Judged(table, rules.conditions(table, applicant, day), rules.ends(table, day))


def propose_number(connection: sa.Connection, programme: str) -> str:
    """Return the next free registration number after the programme's own pattern, "" for the first.

    It counts on from the newest member's: T-0041 is followed by T-0042, skipping what is taken and
    what would look like an individual number.
    """
    newest = (
        sa.select(member.c.registration_number)
        .where(member.c.programme == programme, member.c.erased_at_ms.is_(None))
        .order_by(member.c.id.desc())
        .limit(1)
    )
    found = _NUMBERED.match(connection.scalar(newest) or "")
    if found is None:
        return ""
    before, counter = found.groups()
    for n in range(int(counter) + 1, int(counter) + 1 + _TRIED_MAX):
        number = f"{before}{n:0{len(counter)}}"
        if not looks_like_individual_number(number) and not is_taken(connection, programme, number):
            return number
    return ""


def is_taken(connection: sa.Connection, programme: str, number: str) -> bool:
    """True when a member of the programme has this number."""
    same = (member.c.programme == programme, member.c.registration_number == number)
    return connection.scalar(sa.select(member.c.id).where(*same)) is not None


def categories(connection: sa.Connection, programme: str) -> list[str]:
    """Return the categories that members of a programme are in, for a list to choose from."""
    used = sa.select(member.c.category).where(
        member.c.programme == programme, member.c.category != ""
    )
    return sorted(connection.scalars(used.distinct()))


# --- who is there already ------------------------------------------------------------------------

_BLANK: Final = sa.func.replace


def _plain(column: sa.Column[str]) -> sa.ColumnElement[str]:
    return _BLANK(_BLANK(column, " ", ""), "　", "")


def twins(
    connection: sa.Connection,
    programme: str,
    number: str,
    name: str,
    kana: str,
    born: date | None,
    who: str,
    at_ms: int,
) -> list[Twin]:
    """Return members with this number, or with this name or reading and birth date, TWINS_MAX.

    Without a birth date the name alone counts. Writes one line in the audit when anyone is shown;
    needs a writing connection.
    """
    same = [_plain(person.c.name) == "".join(name.split())] if name else []
    same += [_plain(person.c.kana) == "".join(kana.split())] if kana and born else []
    alike = sa.or_(sa.false(), *same)
    if born is not None:
        alike &= sa.or_(person.c.birth_date == born, person.c.birth_date.is_(None))
    found = sa.or_(member.c.registration_number == number, alike)
    return _shown(connection, programme, found, who, at_ms)


def housemates(
    connection: sa.Connection, programme: str, asked: str, who: str, at_ms: int
) -> list[Twin]:
    """Return the member with this number, or else those with this name or reading.

    Writes one line in the audit when anyone is shown; needs a writing connection.
    """
    plain = "".join(asked.split())
    which = member.c.registration_number == asked
    if not is_taken(connection, programme, asked):
        reading = "".join(tidy_kana(asked).split())
        which = sa.or_(
            _plain(person.c.name) == plain,
            sa.and_(sa.literal(reading) != "", _plain(person.c.kana) == reading),
        )
    return _shown(connection, programme, which, who, at_ms)


def _shown(
    connection: sa.Connection, programme: str, which: sa.ColumnElement[bool], who: str, at_ms: int
) -> list[Twin]:
    rows = connection.execute(
        sa.select(
            member.c.id,
            member.c.registration_number,
            person.c.name,
            person.c.kana,
            person.c.birth_date,
            member.c.valid_from,
            member.c.valid_to,
        )
        .select_from(member.join(person, person.c.id == member.c.person_id))
        .where(member.c.programme == programme, member.c.erased_at_ms.is_(None), which)
        .order_by(member.c.registration_number)
        .limit(TWINS_MAX)
    )
    found = [Twin(*row) for row in rows]
    if found:
        numbers = " ".join(one.registration_number for one in found)
        audit.note_person(connection, at_ms, who, "members.listed", programme, numbers)
    return found
