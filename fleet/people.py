"""Who works in the office: accounts made, rights given and taken, closed, helped when locked out.

Rules, held in the transaction that changes: only an administrator of a programme gives and takes
its rights; only who administers all that an account may do closes it, gives it a password or takes
its second factors, so that nobody becomes another by way of a new password; an account without any
right belongs to who administers every programme; nobody changes himself;
the last administrator stays; a right that was taken ends at once, and each change is in the audit.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import accounts, audit, rights, second_factor, sessions
from fleet.accounts import AccountRole
from fleet.rights import EVERY, OfficeRole, Right, Rights
from fleet.schema import account, account_right
from fleet.store import AnyRow

SUBJECT_MAX: Final = 255
"""Characters of `sub` (OpenID Connect Core 1.0, 2)."""


class PeopleRefused(ValueError):
    """This may not be done; the reason is a word of `locale/` (web.people.refused.…)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Person(NamedTuple):
    """One account as an administrator sees it."""

    name: str
    seen: tuple[Right, ...]
    """Its rights in programmes that the administrator has."""
    others: int
    """How many rights it has elsewhere; which ones is not his affair."""
    signed_in_ms: int | None
    once_until_ms: int | None
    """It still has the password that it was given, good until then."""
    closed_ms: int | None
    locked_until_ms: int
    has_password: bool
    subject: str
    """At the provider of OpenID Connect, without the issuer."""
    factors: int
    """Confirmed second factors."""
    open: int
    """Open sessions."""


def reaches(admin: Rights, programme: str) -> bool:
    """True for an administrator of this programme (`*`: of all)."""
    return admin.may(programme, OfficeRole.ADMIN)


def _reaches_all(admin: Rights, of: Collection[Right]) -> bool:
    return all(reaches(admin, right.programme) for right in of)


def _reaches_whole(admin: Rights, of: Collection[Right]) -> bool:
    """True when nothing that an account may do is another's; without any right it is the city's."""
    return _reaches_all(admin, of) if of else reaches(admin, EVERY)


def listed(connection: sa.Connection, admin: Rights, now_ms: int, idle_ms: int) -> list[Person]:
    """Return the office's accounts, as far as the administrator may see them, by name."""
    rows = connection.execute(
        sa.select(account).where(account.c.role == AccountRole.CLERK).order_by(account.c.name)
    ).all()
    everyone = [_person(connection, admin, row, now_ms, idle_ms) for row in rows]
    return [one for one in everyone if one.seen or reaches(admin, EVERY)]


def one(
    connection: sa.Connection, admin: Rights, name: str, now_ms: int, idle_ms: int
) -> Person | None:
    """Return one account as an administrator sees it; None when it is none of his."""
    row = connection.execute(
        sa.select(account).where(account.c.role == AccountRole.CLERK, account.c.name == name)
    ).one_or_none()
    found = None if row is None else _person(connection, admin, row, now_ms, idle_ms)
    return found if found and (found.seen or reaches(admin, EVERY)) else None


def _person(
    connection: sa.Connection, admin: Rights, row: AnyRow, now_ms: int, idle_ms: int
) -> Person:
    has = rights.of(connection, row.name)
    seen = tuple(sorted(right for right in has if reaches(admin, right.programme)))
    return Person(
        name=row.name,
        seen=seen,
        others=len(has) - len(seen),
        signed_in_ms=row.signed_in_at_ms,
        once_until_ms=row.once_until_ms,
        closed_ms=row.closed_at_ms,
        locked_until_ms=row.locked_until_ms,
        has_password=bool(row.password),
        subject=(row.oidc_subject or "").partition(" ")[2],
        factors=len(second_factor.listed(connection, row.name)),
        open=len(sessions.open_ones(connection, row.name, now_ms, idle_ms)),
    )


# --- changes -------------------------------------------------------------------------------------


def add(connection: sa.Connection, name: str, first: Right, who: str, at_ms: int) -> str:
    """Make an account with its first right; return the password that is good once.

    Raises PeopleRefused, AccountRefused, RightRefused.
    """
    _require_reach(connection, who, [first])
    known = connection.scalar(sa.select(account.c.name).where(account.c.name == name))
    if known is not None:
        raise PeopleRefused("known")
    return _new(connection, name, [first], who, at_ms)


def add_own(connection: sa.Connection, name: str, who: str, at_ms: int) -> str:
    """Make an account that may do nothing in the office, to be bound to a member's own days.

    Return the password that is good once; empty when there is such an account of the office
    already, which stays as it is. Raises PeopleRefused, AccountRefused.
    """
    known = connection.execute(
        sa.select(account.c.role, account.c.closed_at_ms).where(account.c.name == name)
    ).one_or_none()
    if known is not None:
        if known.role != AccountRole.CLERK or known.closed_at_ms is not None:
            raise PeopleRefused("known")
        return ""
    return _new(connection, name, [], who, at_ms)


def _new(connection: sa.Connection, name: str, may: Collection[Right], who: str, at_ms: int) -> str:
    """Make an account; return the password that is good once."""
    if not all(one.isalnum() or one in "._-@" for one in name):
        raise PeopleRefused("name")
    password = accounts.password_once()
    accounts.add(connection, name, AccountRole.CLERK, password, who, at_ms, may)
    accounts.set_password(connection, name, password, at_ms + accounts.ONCE_MS)
    return password


def give(connection: sa.Connection, name: str, right: Right, who: str, at_ms: int) -> None:
    """Give one right. Raises PeopleRefused, RightRefused."""
    _require_other(connection, name, who)
    _require_reach(connection, who, [right])
    has = rights.of(connection, name)
    if not has:  # else who gives the first right would reach the whole account
        _require_whole(connection, name, who)
    if right in has:
        raise PeopleRefused("has")
    rights.give(connection, name, [*has, right], who, at_ms)


def take(connection: sa.Connection, name: str, right: Right, who: str, at_ms: int) -> None:
    """Take one right away, at once. Raises PeopleRefused."""
    _require_other(connection, name, who)
    _require_reach(connection, who, [right])
    has = rights.of(connection, name)
    if right not in has:
        raise PeopleRefused("has-not")
    _require_another_admin(connection, name, [right])
    rights.give(connection, name, has - {right}, who, at_ms)


def close(connection: sa.Connection, name: str, why: str, who: str, at_ms: int) -> None:
    """Close an account, and end all its sessions. Raises PeopleRefused."""
    _require_whole(connection, name, who)
    _require_another_admin(connection, name, rights.of(connection, name))
    open_one = account.update().where(account.c.name == name, account.c.closed_at_ms.is_(None))
    if connection.execute(open_one.values(closed_at_ms=at_ms)).rowcount == 0:
        raise PeopleRefused("closed")
    sessions.end_all(connection, name)
    audit.note(connection, at_ms, who, "account.closed", name, why)


def reopen(connection: sa.Connection, name: str, why: str, who: str, at_ms: int) -> None:
    """Let an account sign in again, also after many failures. Raises PeopleRefused."""
    _require_whole(connection, name, who)
    here = account.update().where(account.c.name == name)
    connection.execute(here.values(closed_at_ms=None, failures=0, locked_until_ms=0))
    audit.note(connection, at_ms, who, "account.opened", name, why)


def give_password(connection: sa.Connection, name: str, who: str, at_ms: int) -> str:
    """Return a new password that is good once; all sessions end. Raises PeopleRefused."""
    _require_whole(connection, name, who)
    password = accounts.password_once()
    accounts.set_password(connection, name, password, at_ms + accounts.ONCE_MS)
    sessions.end_all(connection, name)
    audit.note(connection, at_ms, who, "account.password-given", name)
    return password


def end_sessions(connection: sa.Connection, name: str, who: str, at_ms: int) -> int:
    """End all sessions of an account; return how many. Raises PeopleRefused."""
    _require_whole(connection, name, who)
    ended = sessions.end_all(connection, name)
    audit.note(connection, at_ms, who, "account.sessions-ended", name, str(ended))
    return ended


def reset_second(connection: sa.Connection, name: str, who: str, at_ms: int) -> int:
    """Take all second factors and sessions of an account; return how many factors.

    Raises PeopleRefused.
    """
    _require_whole(connection, name, who)
    sessions.end_all(connection, name)
    return second_factor.reset(connection, name, who, at_ms)


def bind(
    connection: sa.Connection, name: str, issuer: str, subject: str, who: str, at_ms: int
) -> None:
    """Let a subject of the provider sign in as this account; empty: nobody.

    Raises PeopleRefused.
    """
    _require_whole(connection, name, who)
    if len(subject) > SUBJECT_MAX or not subject.isprintable() or " " in subject:
        raise PeopleRefused("subject")
    bound = f"{issuer} {subject}" if subject else None
    other = sa.select(account.c.name).where(account.c.oidc_subject == bound, account.c.name != name)
    if bound and connection.execute(other).first() is not None:
        raise PeopleRefused("subject-known")
    connection.execute(account.update().where(account.c.name == name).values(oidc_subject=bound))
    audit.note(connection, at_ms, who, "account.bound", name, bound or "")


def _require_other(connection: sa.Connection, name: str, who: str) -> None:
    if name == who:
        raise PeopleRefused("self")
    role = connection.scalar(sa.select(account.c.role).where(account.c.name == name))
    if role != AccountRole.CLERK:
        raise PeopleRefused("unknown")


def _require_reach(connection: sa.Connection, who: str, over: Collection[Right]) -> None:
    """Look the administrator's own rights up in this transaction: perhaps they were just taken."""
    if not _reaches_all(rights.of(connection, who), over):
        raise PeopleRefused("reach")


def _require_whole(connection: sa.Connection, name: str, who: str) -> None:
    _require_other(connection, name, who)
    has = rights.of(connection, name)
    admin = rights.of(connection, who)
    if not _reaches_whole(admin, has):
        raise PeopleRefused("whole" if has else "no-right")


def _require_another_admin(connection: sa.Connection, name: str, going: Collection[Right]) -> None:
    """Refuse when nobody would administer any more what these rights do."""
    for right in going:
        if right.role is not OfficeRole.ADMIN:
            continue
        others = (
            sa.select(account_right.c.account)
            .join(account, account.c.name == account_right.c.account)
            .where(
                account_right.c.role == OfficeRole.ADMIN,
                account_right.c.programme.in_([right.programme, EVERY]),
                account_right.c.account != name,
                account.c.closed_at_ms.is_(None),
            )
        )
        if connection.execute(others.limit(1)).first() is None:
            raise PeopleRefused("last")
