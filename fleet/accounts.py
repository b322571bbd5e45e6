"""Local accounts of operators and clerks, and their sessions.

Rules: passwords rest as argon2id alone; a wrong name takes as long as a wrong password; ten
failures lock an account for a while; a session's token is only in the browser, here only its hash;
role and account are looked up again at each request.
"""

import enum
import hashlib
import secrets
from collections.abc import Collection
from typing import Final, NamedTuple

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fleet import audit, rights
from fleet.rights import EVERYWHERE, Right, Rights
from fleet.schema import account, account_right, session
from fleet.store import Store
from wire.clock import Clock

PASSWORD_MIN: Final = 12
"""Characters; NIST SP 800-63B-4 asks for 15 where the password is the only factor, 8 at least."""
PASSWORD_MAX: Final = 256
"""So that nobody makes the server hash megabytes."""
FAILURES_MAX: Final = 10
LOCK_MS: Final = 5 * 60_000
"""Ten guesses in five minutes are 10^6 in a year: hopeless against 12 characters."""
SESSIONS_MAX: Final = 20
"""Open sessions of one account; the oldest ends."""
_HASHER: Final = PasswordHasher()
"""argon2id with RFC 9106's second recommended parameters (64 MiB, 3 passes, 4 lanes)."""
_NOBODY: Final = _HASHER.hash(secrets.token_hex(16))


class AccountRefused(ValueError):
    """This account cannot be made; the sentence says why."""


class AccountRole(enum.StrEnum):
    """What an account may open."""

    OPERATOR = "operator"
    CLERK = "clerk"
    """The office; what may be done there stands in `fleet.rights`."""


class Account(NamedTuple):
    """Who is signed in."""

    name: str
    role: str
    rights: Rights = Rights()


def add(
    connection: sa.Connection,
    name: str,
    role: AccountRole,
    password: str,
    who: str,
    at_ms: int,
    may: Collection[Right] = (EVERYWHERE,),
) -> None:
    """Add an account, or give one a new role and password. Raises AccountRefused, RightRefused.

    `may`: what one who works in the office may do there; others have no rights.
    """
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise AccountRefused("a name has 1 to 64 printable characters")
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise AccountRefused(f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters")
    row = {
        "name": name,
        "role": role.value,
        "password": _HASHER.hash(password),
        "added_at_ms": at_ms,
        "failures": 0,
        "locked_until_ms": 0,
    }
    known = connection.scalar(sa.select(account.c.name).where(account.c.name == name))
    if known is None:
        connection.execute(account.insert(), row)
    else:
        connection.execute(account.update().where(account.c.name == name), row)
        connection.execute(session.delete().where(session.c.account == name))
    audit.note(connection, at_ms, who, "account.added", name, role.value)
    if role is AccountRole.CLERK:
        rights.give(connection, name, may, who, at_ms)
    else:
        connection.execute(account_right.delete().where(account_right.c.account == name))


def everyone(connection: sa.Connection) -> list[tuple[str, str, int, int]]:
    """Return name, role, when added or renewed, and until when locked, of each; by name."""
    columns = (account.c.name, account.c.role, account.c.added_at_ms, account.c.locked_until_ms)
    rows = connection.execute(sa.select(*columns).order_by(account.c.name))
    return [(row.name, row.role, row.added_at_ms, row.locked_until_ms) for row in rows]


class Accounts:
    """Signing in and out, for the pages. Every call may take a while: use a thread."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def sign_in(self, name: str, password: str) -> Account | None:
        """Return the account when the password is right; None when not, or while it is locked."""
        now_ms = self._clock.now_ms()
        with self._store.read() as connection:
            row = connection.execute(sa.select(account).where(account.c.name == name)).one_or_none()
        right = _right(row.password if row else _NOBODY, password)
        if row is None:
            return None
        with self._store.write() as connection:
            until_ms = sa.select(account.c.locked_until_ms).where(account.c.name == name)
            if (connection.scalar(until_ms) or 0) > now_ms:
                return None  # perhaps locked by others while this one was hashed
            if right:
                _unlock(connection, name)
                audit.note(connection, now_ms, name, "signed-in", name)
                return Account(row.name, row.role)
            _count_failure(connection, name, now_ms)
        return None

    def begin(self, who: Account, seconds: int) -> str:
        """Begin a session of so many seconds; return its token."""
        token = secrets.token_urlsafe(32)
        now_ms = self._clock.now_ms()
        with self._store.write() as connection:
            connection.execute(session.delete().where(session.c.ends_at_ms <= now_ms))
            _end_oldest(connection, who.name)
            connection.execute(
                session.insert(),
                {
                    "token_sha256": _digest(token),
                    "account": who.name,
                    "begun_at_ms": now_ms,
                    "ends_at_ms": now_ms + seconds * 1000,
                },
            )
        return token

    def account(self, token: str) -> Account | None:
        """Return whose session this is; None when it has ended, or the account is gone."""
        with self._store.read() as connection:
            row = connection.execute(
                sa.select(account.c.name, account.c.role)
                .join(session, session.c.account == account.c.name)
                .where(
                    session.c.token_sha256 == _digest(token),
                    session.c.ends_at_ms > self._clock.now_ms(),
                )
            ).one_or_none()
            may = rights.of(connection, row.name) if row else Rights()
        return Account(row.name, row.role, may) if row else None

    def end(self, token: str) -> None:
        """End a session; one that is unknown is no error."""
        with self._store.write() as connection:
            connection.execute(session.delete().where(session.c.token_sha256 == _digest(token)))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _right(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password[: PASSWORD_MAX + 1])
    except (VerificationError, InvalidHashError):
        return False


def _unlock(connection: sa.Connection, name: str) -> None:
    here = account.update().where(account.c.name == name)
    connection.execute(here.values(failures=0, locked_until_ms=0))


def _count_failure(connection: sa.Connection, name: str, now_ms: int) -> None:
    """Count in the database, so that failures at the same moment are all counted; lock when due."""
    here = account.update().where(account.c.name == name)
    connection.execute(here.values(failures=account.c.failures + 1))
    many = here.where(account.c.failures >= FAILURES_MAX)
    if connection.execute(many.values(failures=0, locked_until_ms=now_ms + LOCK_MS)).rowcount:
        audit.note(connection, now_ms, name, "account.locked", name)


def _end_oldest(connection: sa.Connection, name: str) -> None:
    begun = sa.select(session.c.token_sha256).where(session.c.account == name)
    tokens = connection.scalars(
        begun.order_by(session.c.begun_at_ms.desc()).offset(SESSIONS_MAX - 1)
    ).all()
    if tokens:
        connection.execute(session.delete().where(session.c.token_sha256.in_(tokens)))
