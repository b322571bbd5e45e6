"""A member's PIN beside his card: what he knows and what he has, to see his own days.

Rules: the member sets it himself; it rests as argon2id, sealed under the office's key, for a few
digits are tried out in a day by whoever has the hash alone; a try is counted before it is judged;
after FAILURES_MAX wrong ones none is taken until another PIN is set, which takes the password; a
card that is not the member's own, and now good at a gate, opens nothing: not a lent one, a stopped
one or one that was replaced. docs/adr/0028-own-pages-by-card.md.
"""

import datetime
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import accounts, audit, lent_cards
from fleet.desk import UNSTOPPED, Standing, is_good, standing_at
from fleet.schema import card, card_pin, member, person
from fleet.sealing import Sealer, Unsealable
from fleet.store import AnyRow
from fleet.work_accounts import account_of
from programmes import attendance

PIN_MIN: Final = 6
PIN_MAX: Final = 12
"""Digits. Of six there are 10^6; nobody remembers more than twelve."""
FAILURES_MAX: Final = 5
"""Wrong ones in a row: who finds or copies one card guesses six digits drawn at random with 5 in
10^6. People choose worse, so what most of them choose is refused."""
_PERIOD_MAX: Final = 3
"""Digits that come again and again: 777777, 121212, 123123."""


class PinRefused(ValueError):
    """This PIN cannot be set; the reason is a word of `locale/` (web.card-pin.refused.…)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason: Final = reason


class Kept(NamedTuple):
    """What a member is told of his own PIN."""

    set_at_ms: int
    is_locked: bool


class Try(NamedTuple):
    """One try that was counted: whose it is, and what it is held against."""

    member_id: int
    account: str
    sealed: bytes
    n: int
    """Which try it is since the PIN was last right."""


# --- the member's own hand -----------------------------------------------------------------------


def plain(text: str) -> str:
    """Return what was typed as it is compared: digits of an input method are digits."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def check(people: sa.Connection, member_id: int, pin: str) -> None:
    """Raise PinRefused unless this can be the member's PIN."""
    if not (PIN_MIN <= len(pin) <= PIN_MAX and pin.isascii() and pin.isdecimal()):
        raise PinRefused("form")
    if _is_simple(pin):
        raise PinRefused("simple")
    if pin in set(_known(people, member_id)):
        raise PinRefused("known")


def _is_simple(pin: str) -> bool:
    """True for one digit or a few that repeat, and for digits in order, up or down, past 9 too."""
    for period in range(1, _PERIOD_MAX + 1):
        if all(one == pin[at % period] for at, one in enumerate(pin)):
            return True
    steps = {(int(after) - int(one)) % 10 for one, after in pairwise(pin)}
    return steps in ({1}, {9})


def _known(people: sa.Connection, member_id: int) -> Iterator[str]:
    """Yield digits that stand on a paper about this member: his number, the day of his birth."""
    row = people.execute(
        sa.select(member.c.registration_number, person.c.birth_date)
        .join(person, person.c.id == member.c.person_id)
        .where(member.c.id == member_id)
    ).one()
    yield "".join(one for one in row.registration_number if one.isdecimal())
    if row.birth_date is not None:
        yield from _written(row.birth_date)


def _written(day: datetime.date) -> Iterator[str]:
    yield from (f"{day:{form}}" for form in ("%Y%m%d", "%y%m%d", "%d%m%Y", "%d%m%y", "%m%d%Y"))
    yield from (f"{day:{form}}" for form in ("%m%d%y", "%Y%m"))
    for first in (1867, 1911, 1925, 1988, 2018):  # the years before the first of each era
        if 0 < day.year - first < 100:
            yield f"{day.year - first:02}{day:%m%d}"


def seal(sealer: Sealer, member_id: int, pin: str) -> bytes:
    """Return what rests of a PIN; takes as long as a password."""
    return sealer.seal(accounts.hashed(pin).encode(), _purpose(member_id))


def keep(people: sa.Connection, member_id: int, account: str, sealed: bytes, at_ms: int) -> None:
    """Let this be the PIN of the member whose own account this is; tries begin anew.

    Raises PinRefused when it is his no more.
    """
    if account_of(people, member_id) != account:
        raise PinRefused("not-bound")
    gone = people.execute(card_pin.delete().where(card_pin.c.member_id == member_id)).rowcount
    row = {"member_id": member_id, "account": account, "sealed": sealed, "set_at_ms": at_ms}
    people.execute(card_pin.insert().values(row))
    _note(people, member_id, account, "card-pin.changed" if gone else "card-pin.set", at_ms)


def kept(people: sa.Connection, member_id: int) -> Kept | None:
    """Return what is kept of a member's PIN; None without one."""
    row = people.execute(_row(member_id)).one_or_none()
    return None if row is None else Kept(row.set_at_ms, row.failures >= FAILURES_MAX)


def remove(people: sa.Connection, member_id: int, who: str, at_ms: int) -> None:
    """Let a member's card open nothing, whether he had a PIN or not."""
    people.execute(card_pin.delete().where(card_pin.c.member_id == member_id))
    _note(people, member_id, who, "card-pin.removed", at_ms)


# --- at the desk ---------------------------------------------------------------------------------


def holder(people: sa.Connection, credentials: Sequence[str], at_ms: int) -> int | None:
    """Return the member whose own card this is, good at this moment; None for any other card."""
    if lent_cards.is_spare(people, attendance.NAME, credentials):
        return None
    found = people.execute(
        sa.select(
            *(member.c.id, member.c.stopped_from_ms, member.c.valid_from, member.c.valid_to),
        )
        .join(card, sa.and_(*UNSTOPPED))
        .where(
            card.c.programme == attendance.NAME,
            card.c.credential.in_(credentials),
            member.c.erased_at_ms.is_(None),
            is_good(people, attendance.NAME, at_ms),
        )
        .distinct()
    ).all()
    if len(found) != 1:  # nobody's; or two people's, by two schemes
        return None
    member_id, *standing = found[0]
    usable = standing_at(at_ms, *standing) is Standing.USABLE
    return int(member_id) if usable else None


def begin_try(people: sa.Connection, credentials: Sequence[str], at_ms: int) -> Try | None:
    """Count a try of the card's holder; None where none is to be taken.

    It is counted before it is judged, so that tries at one moment are no more than FAILURES_MAX.
    """
    member_id = holder(people, credentials, at_ms)
    mine = card_pin.update().where(
        card_pin.c.member_id == member_id, card_pin.c.failures < FAILURES_MAX
    )
    counted = people.execute(mine.values(failures=card_pin.c.failures + 1)).rowcount
    if member_id is None or not counted:
        return None
    row = people.execute(_row(member_id)).one()
    if account_of(people, member_id) != row.account:
        return None
    return Try(member_id, row.account, row.sealed, row.failures)


def is_right(sealer: Sealer, tried: Try | None, pin: str) -> bool:
    """Tell whether this is the PIN; as slow where there is none to be right."""
    return accounts.matches(_opened(sealer, tried), pin)


def _opened(sealer: Sealer, tried: Try | None) -> str | None:
    if tried is None:
        return None
    try:
        return sealer.open(tried.sealed, _purpose(tried.member_id)).decode()
    except Unsealable:
        return None


def settle(people: sa.Connection, tried: Try | None, at_ms: int, *, right: bool) -> str:
    """Write down how a try went; return whose account it opens, empty for nobody's."""
    member_id, sealed = (tried.member_id, tried.sealed) if tried else (None, b"")
    mine = (card_pin.c.member_id == member_id, card_pin.c.sealed == sealed)
    if right:  # unless it was changed, or taken away, meanwhile
        again = people.execute(card_pin.update().where(*mine).values(failures=0)).rowcount
        return tried.account if tried and again else ""
    locked = sa.select(card_pin.c.member_id).where(*mine, card_pin.c.failures >= FAILURES_MAX)
    found = people.execute(locked).first() is not None
    if tried and found and tried.n == FAILURES_MAX:
        _note(people, tried.member_id, tried.account, "card-pin.locked", at_ms)
    return ""


def _row(member_id: int) -> sa.Select[tuple[AnyRow]]:
    return sa.select(card_pin).where(card_pin.c.member_id == member_id)


def _purpose(member_id: int) -> str:
    return f"card-pin {member_id}"


def _note(people: sa.Connection, member_id: int, who: str, what: str, at_ms: int) -> None:
    number = people.scalar(sa.select(member.c.registration_number).where(member.c.id == member_id))
    audit.note_person(people, at_ms, who, what, f"{attendance.NAME} {number}")
