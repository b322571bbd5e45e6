"""Whose approval counts: somebody whose account nobody else has had a hand in since yesterday.

An administrator can make an account, give it a right, a password or a binding at the provider, and
take its second factors. Each of these could make him the second person to his own proposal, so an
approval waits after each of them, and again after the first factor that follows a reset. Somebody
who exchanges a factor of his own waits for nothing.
"""

from typing import Final

import sqlalchemy as sa

from fleet.rights import EVERY, OfficeRole
from fleet.schema import account_right, audit

WAIT_MS: Final = 24 * 3600_000
"""A working day: who cannot sign in any more, or reads the audit, notices within it."""
_BY_ANOTHER: Final = ("account.added", "account.password-given", "account.bound", "second.reset")
"""What the audit says of an account when another person could have become its owner."""


def counts_from_ms(connection: sa.Connection, name: str, programme: str) -> int:
    """Return from when on what this account approves in a programme counts.

    Whether it has the right at all is for `fleet.web.reach` to say.
    """
    since = (
        _right_since_ms(connection, name, programme),
        _one(connection, sa.func.max(audit.c.at_ms), *_of(name, *_BY_ANOTHER)),
        _factor_since_ms(connection, name),
    )
    return max(at_ms or 0 for at_ms in since) + WAIT_MS


def _right_since_ms(connection: sa.Connection, name: str, programme: str) -> int | None:
    return _one(
        connection,
        sa.func.min(account_right.c.since_ms),
        account_right.c.account == name,
        account_right.c.role == OfficeRole.APPROVER,
        account_right.c.programme.in_([programme, EVERY]),
    )


def _factor_since_ms(connection: sa.Connection, name: str) -> int | None:
    """Return when the first factor after the last reset was added; None without a reset."""
    reset = _one(connection, sa.func.max(audit.c.id), *_of(name, "second.reset"))
    if reset is None:
        return None
    later = (*_of(name, "second.added"), audit.c.id > reset)
    return _one(connection, sa.func.min(audit.c.at_ms), *later)


def _of(name: str, *what: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (audit.c.subject == name, audit.c.what.in_(what))


def _one(
    connection: sa.Connection, number: sa.ColumnElement[int], *where: sa.ColumnElement[bool]
) -> int | None:
    """Return the greatest or least number of these rows; None without any."""
    found: int | None = connection.execute(sa.select(number).where(*where)).scalar_one()
    return found
