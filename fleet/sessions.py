"""When a session begins and ends, and which ones of an account are open.

Rules: its token is only in the browser, here only its hash; it ends at sign-out, after its seconds,
when nobody was there for a while, with a new password, and when the account is closed; one that was
begun by a card at a shared computer is short; whoever is signed in sees where else he is, and ends
that.
"""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from fleet.schema import account, session
from fleet.store import AnyRow

SEEN_STEP_MS: Final = 60_000
"""How exactly it is kept when somebody was last there: one write a minute, whatever is clicked."""
SESSIONS_MAX: Final = 20
"""Open sessions of one account; the oldest ends."""
BY_CARD: Final = "card-pin"
"""How a session was begun: by a card and its PIN (fleet.card_pin). Empty: by what proves more."""
BY_CARD_S: Final = 30 * 60
"""To look at a month and ask for a mark takes minutes; the computer is the next one's."""
BY_CARD_IDLE_MS: Final = 5 * 60_000
"""Who is called away from a shared computer leaves no more than this to whoever sits down."""
AGENT_MAX: Final = 60
"""Characters of a browser's name, such as «Firefox · Windows»."""


def begin(
    connection: sa.Connection, name: str, now_ms: int, seconds: int, agent: str, how: str = ""
) -> str:
    """Begin a session; return its token. What is over is cleared away, of everyone."""
    token = secrets.token_urlsafe(32)
    connection.execute(session.delete().where(session.c.ends_at_ms <= now_ms))
    _end_oldest(connection, name)
    connection.execute(
        session.insert().values(
            token_sha256=_digest(token),
            account=name,
            begun_at_ms=now_ms,
            ends_at_ms=now_ms + seconds * 1000,
            seen_at_ms=now_ms,
            agent=agent[:AGENT_MAX],
            how=how,
        )
    )
    return token


def find(connection: sa.Connection, token: str, now_ms: int) -> AnyRow | None:
    """Return a session that has not ended, with its account, unless that is closed."""
    columns = (
        account.c.name,
        account.c.role,
        account.c.once_until_ms,
        session.c.begun_at_ms,
        session.c.seen_at_ms,
        session.c.second_at_ms,
        session.c.how,
    )
    return connection.execute(
        sa.select(*columns)
        .join(session, session.c.account == account.c.name)
        .where(
            _is(token),
            session.c.ends_at_ms > now_ms,
            account.c.closed_at_ms.is_(None),
        )
    ).one_or_none()


def see(connection: sa.Connection, token: str, now_ms: int) -> None:
    """Write down that somebody is there."""
    connection.execute(session.update().where(_is(token)).values(seen_at_ms=now_ms))


def second_shown(connection: sa.Connection, token: str, now_ms: int) -> None:
    """Write down that the second factor was shown in this session."""
    connection.execute(session.update().where(_is(token)).values(second_at_ms=now_ms))


def end(connection: sa.Connection, token: str) -> None:
    """End a session; one that is unknown is no error."""
    connection.execute(session.delete().where(_is(token)))


def end_all(connection: sa.Connection, name: str, but: str = "") -> int:
    """End an account's sessions, all but the one with this token; return how many ended."""
    others = session.delete().where(session.c.account == name, ~_is(but))
    return connection.execute(others).rowcount


def open_ones(connection: sa.Connection, name: str, now_ms: int, idle_ms: int) -> Sequence[AnyRow]:
    """Return an account's open sessions, the one last used first (token_sha256 is its key)."""
    seen = sa.func.coalesce(session.c.seen_at_ms, session.c.begun_at_ms)
    wanted = sa.select(session).where(
        session.c.account == name,
        session.c.ends_at_ms > now_ms,
        seen >= now_ms - idle_ms,
        sa.or_(session.c.how != BY_CARD, seen >= now_ms - BY_CARD_IDLE_MS),
    )
    return connection.execute(wanted.order_by(seen.desc())).all()


def is_key(token: str, token_sha256: bytes) -> bool:
    """True when a row is of the session with this token."""
    return _digest(token) == token_sha256


def _is(token: str) -> sa.ColumnElement[bool]:
    return session.c.token_sha256 == _digest(token)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _end_oldest(connection: sa.Connection, name: str) -> None:
    begun = sa.select(session.c.token_sha256).where(session.c.account == name)
    tokens = connection.scalars(
        begun.order_by(session.c.begun_at_ms.desc()).offset(SESSIONS_MAX - 1)
    ).all()
    if tokens:
        connection.execute(session.delete().where(session.c.token_sha256.in_(tokens)))
