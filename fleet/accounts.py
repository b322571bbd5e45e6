"""Accounts of operators and clerks: passwords, signing in, and who a session belongs to.

Rules: passwords rest as argon2id alone; a wrong name takes as long as a wrong password; ten
failures lock an account for a while; a password that an administrator gave is good once, for a
week, and only to choose another; role, rights and whether the account is closed are looked up again
at each request (`fleet.sessions` says when a session ends).
"""

import enum
import functools
import secrets
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fleet import audit, rights, sessions
from fleet.rights import EVERYWHERE, Right, Rights
from fleet.schema import account, account_right, second_factor, session
from fleet.store import AnyRow, Store
from wire.clock import Clock

PASSWORD_MIN: Final = 12
"""Characters; NIST SP 800-63B-4 asks for 15 where the password is the only factor, 8 at least."""
PASSWORD_MAX: Final = 256
"""So that nobody makes the server hash megabytes."""
FAILURES_MAX: Final = 10
LOCK_MS: Final = 5 * 60_000
"""Ten guesses in five minutes are 10^6 in a year: hopeless against 12 characters."""
ONCE_MS: Final = 7 * 24 * 3600_000
"""How long a password that an administrator gave is good: over a weekend and some leave."""
ONCE_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without i, l, o, 0 and 1, which are misread on paper."""
ONCE_GROUPS: Final = 4
"""Of four letters each: 31^16 are 79 bits."""
_HASHER: Final = PasswordHasher()
"""argon2id with RFC 9106's second recommended parameters (64 MiB, 3 passes, 4 lanes)."""


@functools.cache
def _nobody() -> str:
    """Return the hash that a name which nobody has is tried against, so that it takes as long."""
    return hashed(secrets.token_hex(16))


class AccountRefused(ValueError):
    """This account cannot be made; the sentence says why."""


class AccountRole(enum.StrEnum):
    """What an account may open."""

    OPERATOR = "operator"
    CLERK = "clerk"
    """The office; what may be done there stands in `fleet.rights`."""


class Account(NamedTuple):
    """Who is signed in, as it stands at this request."""

    name: str
    role: str
    rights: Rights = Rights()
    must_change: bool = False
    """The password is an administrator's: nothing opens before another was chosen."""
    has_second: bool = False
    """A second factor was confirmed: it is asked for after the password."""
    second_at_ms: int | None = None
    """When it was last shown in this session."""
    member_id: int | None = None
    """Whose own account it is (`fleet.work_accounts`); only the office asks."""
    by_card: bool = False
    """Signed in by card and PIN (`fleet.card_pin`): his own days open, and nothing else."""

    @property
    def is_own_only(self) -> bool:
        """True for a member who sees his own days and does nothing else in the office."""
        return self.member_id is not None and not self.rights


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
    check_password(password)
    row = {
        "name": name,
        "role": role.value,
        "password": hashed(password),
        "added_at_ms": at_ms,
        "failures": 0,
        "locked_until_ms": 0,
        "once_until_ms": None,
        "closed_at_ms": None,
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


def check_password(password: str) -> None:
    """Raise AccountRefused unless a password may look like this."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise AccountRefused(f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters")


def password_once() -> str:
    """Return a new password that can be read aloud, such as `k3fp-9xwt-hq7d-mz4c`."""
    groups = ("".join(secrets.choice(ONCE_LETTERS) for _ in range(4)) for _ in range(ONCE_GROUPS))
    return "-".join(groups)


def set_password(
    connection: sa.Connection, name: str, password: str, once_until_ms: int | None = None
) -> None:
    """Let an account have this password from now on, until an instant when it is good once."""
    check_password(password)
    here = account.update().where(account.c.name == name)
    connection.execute(here.values(password=hashed(password), once_until_ms=once_until_ms))
    _unlock(connection, name)


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
        _nobody()  # made before anybody asks, and in no process that lets nobody in

    def sign_in(self, name: str, password: str) -> Account | None:
        """Return the account when the password is right; None when not, or while it is locked."""
        now_ms = self._clock.now_ms()
        with self._store.read() as connection:
            row = connection.execute(_row(name)).one_or_none()
        right = _right(row.password if row else _nobody(), password)
        if row is None:
            return None
        with self._store.write() as connection:
            again = connection.execute(_row(name)).one_or_none()
            if again is None or again.locked_until_ms > now_ms or again.password != row.password:
                return None  # by others, while this one was hashed
            if not right:
                _count_failure(connection, name, now_ms)
                return None
            late = again.once_until_ms is not None and again.once_until_ms <= now_ms
            if again.closed_at_ms is not None or late:
                return None
            _signed_in(connection, name, now_ms)
        return Account(row.name, row.role)

    def sign_in_by(self, oidc_subject: str) -> Account | None:
        """Return the open account that this subject (issuer, blank, subject) is bound to."""
        now_ms = self._clock.now_ms()
        with self._store.write() as connection:
            row = connection.execute(
                sa.select(account.c.name, account.c.role).where(
                    account.c.oidc_subject == oidc_subject, account.c.closed_at_ms.is_(None)
                )
            ).one_or_none()
            if row is None:
                return None
            _signed_in(connection, row.name, now_ms)
        return Account(row.name, row.role)

    def sign_in_by_card(self, name: str) -> Account | None:
        """Return the open account of somebody whose card and PIN were right.

        None for one that may do anything in the office, or whose password is to be changed first.
        """
        now_ms = self._clock.now_ms()
        with self._store.write() as connection:
            row = connection.execute(_row(name)).one_or_none()
            closed = row is None or row.closed_at_ms is not None or row.once_until_ms is not None
            if row is None or closed or row.role != AccountRole.CLERK:
                return None
            if rights.of(connection, name):
                return None
            here = account.update().where(account.c.name == name)
            connection.execute(here.values(signed_in_at_ms=now_ms))
            audit.note(connection, now_ms, name, "signed-in", name, sessions.BY_CARD)
        return Account(row.name, row.role)

    def has_password(self, name: str, password: str) -> bool:
        """Tell whether this is the account's password: who changes it proves that he knows it."""
        with self._store.read() as connection:
            hashed = connection.scalar(sa.select(account.c.password).where(account.c.name == name))
        return matches(hashed, password)

    def begin(self, who: Account, seconds: int, agent: str = "", how: str = "") -> str:
        """Begin a session of so many seconds in this browser; return its token."""
        with self._store.write() as connection:
            return sessions.begin(connection, who.name, self._clock.now_ms(), seconds, agent, how)

    def account(
        self, token: str, idle_ms: int | None = None, *, present: bool = True
    ) -> Account | None:
        """Return whose session this is; None when it has ended, or the account is gone or closed.

        `idle_ms`: it has ended too when nobody was there for so long. `present`: somebody is now.
        """
        now_ms = self._clock.now_ms()
        with self._store.read() as connection:
            row = sessions.find(connection, token, now_ms)
            if row is None:
                return None
            seen_ms = row.seen_at_ms or row.begun_at_ms
            if row.how == sessions.BY_CARD:
                idle_ms = min(idle_ms or sessions.BY_CARD_IDLE_MS, sessions.BY_CARD_IDLE_MS)
            idle = idle_ms is not None and now_ms - seen_ms > idle_ms
            found = None if idle else _found(connection, row)
        if idle:
            self._keep(sessions.end, token)
        elif present and now_ms - seen_ms >= sessions.SEEN_STEP_MS:
            self._keep(sessions.see, token, now_ms)
        return found

    def _keep(self, do: Callable[..., None], *args: str | int) -> None:
        """Write down what a page can be read without: while nothing can be kept, pages are."""
        try:
            with self._store.write() as connection:
                do(connection, *args)
        except sa.exc.OperationalError as error:
            structlog.get_logger().warning("session.not-kept", error=str(error.orig))

    def end(self, token: str) -> None:
        """End a session; one that is unknown is no error."""
        with self._store.write() as connection:
            sessions.end(connection, token)


def _row(name: str) -> sa.Select[Any]:
    return sa.select(account).where(account.c.name == name)


def _found(connection: sa.Connection, row: AnyRow) -> Account | None:
    """Return the account of a session. Second factors are the office's alone.

    None for one that was begun by card, and to which more was given since than its own days.
    """
    clerk, may = row.role == AccountRole.CLERK, rights.of(connection, row.name)
    by_card = row.how == sessions.BY_CARD
    if by_card and (may or row.once_until_ms is not None):
        return None
    return Account(
        row.name,
        row.role,
        may,
        row.once_until_ms is not None,
        clerk and has_second(connection, row.name),
        row.second_at_ms,
        by_card=by_card,
    )


def has_second(connection: sa.Connection, name: str) -> bool:
    """True for an account with a second factor that was confirmed."""
    confirmed = second_factor.c.confirmed_at_ms.is_not(None)
    wanted = sa.select(second_factor.c.id).where(second_factor.c.account == name, confirmed)
    return connection.execute(wanted.limit(1)).first() is not None


def _signed_in(connection: sa.Connection, name: str, now_ms: int) -> None:
    _unlock(connection, name)
    here = account.update().where(account.c.name == name)
    connection.execute(here.values(signed_in_at_ms=now_ms))
    audit.note(connection, now_ms, name, "signed-in", name)


def hashed(secret: str) -> str:
    """Return what may rest of a secret that somebody remembers."""
    return _HASHER.hash(secret)


def matches(kept: str | None, secret: str) -> bool:
    """Tell whether this is the secret; without one that is kept it is none, after as long."""
    return _right(kept or _nobody(), secret)


def _right(kept: str, password: str) -> bool:
    try:
        return _HASHER.verify(kept, password[: PASSWORD_MAX + 1])
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
