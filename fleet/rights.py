"""What an account may do in the office: a role in one programme, perhaps of one organisation only.

Rules: nobody has a right that is not written down; rights are looked up again at each request, so
one that is taken away ends at once; a role allows what it names and nothing else (an approver does
not enrol, a clerk does not approve, an administrator sees no member); giving and taking are in the
audit. Operators have none: they work in the console.
"""

import enum
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit
from fleet.schema import account, account_right
from programmes.register import RULEBOOKS
from wire.topics import parse_name

EVERY: Final = "*"
"""In the place of a programme: each one, also those that are yet to come."""
RIGHTS_MAX: Final = 100
"""Of one account: a few roles in each of the eighteen programmes."""


class OfficeRole(enum.StrEnum):
    """What somebody does in the office."""

    CLERK = "clerk"
    """Members, cards, enrolment, proposals of rules, reports of the programme."""
    APPROVER = "approver"
    """Looks through what a clerk proposes and lets it count; with a second factor only."""
    AUDITOR = "auditor"
    """Reads reports and who looked at whom; changes nothing."""
    COMPANY = "company"
    """A transport company's office: its own vehicles, rides and claims."""
    SCHOOL = "school"
    """A school's office: its own staff's days."""
    ADMIN = "admin"
    """Accounts, rights, second factors, other systems; sees no member."""


ALONE: Final = frozenset({OfficeRole.COMPANY, OfficeRole.SCHOOL})
"""Roles that are held for one organisation, which is named."""


class Right(NamedTuple):
    """One role of one account."""

    programme: str
    role: OfficeRole
    organisation: str = ""


EVERYWHERE: Final = Right(EVERY, OfficeRole.CLERK)


class Rights(frozenset[Right]):
    """All rights of one account."""

    def may(self, programme: str, *roles: OfficeRole) -> bool:
        """True with one of these roles in this programme."""
        return any(one.programme in (programme, EVERY) and one.role in roles for one in self)

    def programmes(self, *roles: OfficeRole) -> tuple[str, ...]:
        """Return the programmes in which one of these roles is held, in the register's order."""
        return tuple(name for name in RULEBOOKS if self.may(name, *roles))

    @property
    def roles(self) -> frozenset[OfficeRole]:
        """Every role that is held in any programme."""
        return frozenset(one.role for one in self)


class RightRefused(ValueError):
    """This right cannot be given; the sentence says why."""


def parse(text: str) -> Right:
    """Return `programme:role` or `programme:role:organisation` as a right. Raises RightRefused."""
    programme, _, rest = text.partition(":")
    role, _, organisation = rest.partition(":")
    if role not in set(OfficeRole):
        raise RightRefused(f"{text!r}: a right is programme:role, with one of {list(OfficeRole)}")
    right = Right(programme, OfficeRole(role), organisation)
    check(right)
    return right


def check(right: Right) -> None:
    """Raise RightRefused when nobody can have this right."""
    if right.programme != EVERY and right.programme not in RULEBOOKS:
        raise RightRefused(f"{right.programme!r} is no programme: {', '.join(RULEBOOKS)}, or *")
    if (right.role in ALONE) != bool(right.organisation):
        raise RightRefused(f"{right.role} is held for one organisation, and no other role is")
    if right.organisation:
        try:
            parse_name(right.organisation)
        except ValueError as error:
            raise RightRefused(str(error)) from error


def of(connection: sa.Connection, name: str) -> Rights:
    """Return the rights of an account."""
    columns = (account_right.c.programme, account_right.c.role, account_right.c.organisation)
    rows = connection.execute(sa.select(*columns).where(account_right.c.account == name))
    return Rights(Right(row.programme, OfficeRole(row.role), row.organisation) for row in rows)


def give(
    connection: sa.Connection, name: str, rights: Collection[Right], who: str, at_ms: int
) -> None:
    """Let an account have just these rights from now on. Raises RightRefused.

    What it had and has still is left as it is; each change leaves a line in the audit.
    """
    known = connection.scalar(sa.select(account.c.role).where(account.c.name == name))
    if known != "clerk":
        raise RightRefused(f"{name!r} does not work in the office")
    if len(rights) > RIGHTS_MAX:
        raise RightRefused(f"an account has at most {RIGHTS_MAX} rights")
    for right in rights:
        check(right)
    had = of(connection, name)
    for right in sorted(had - set(rights)):
        connection.execute(account_right.delete().where(*_is(name, right)))
        audit.note(connection, at_ms, who, "right.taken", name, written(right))
    for right in sorted(set(rights) - had):
        connection.execute(
            account_right.insert().values(
                account=name, since_ms=at_ms, given_by=who, **right._asdict()
            )
        )
        audit.note(connection, at_ms, who, "right.given", name, written(right))


def _is(name: str, right: Right) -> Iterable[sa.ColumnElement[bool]]:
    return (
        account_right.c.account == name,
        account_right.c.programme == right.programme,
        account_right.c.role == right.role,
        account_right.c.organisation == right.organisation,
    )


def written(right: Right) -> str:
    """Return a right as `parse` reads it."""
    return ":".join(part for part in right if part)
