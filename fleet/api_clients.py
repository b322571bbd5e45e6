"""The city's other systems that use the HTTP API: each for one programme, each with its own token.

Rules: a token is 256 random bits, shown once and kept as its SHA-256 alone; a client reaches one
programme and does there what its scopes name; one that was ended never comes back, and a name is
used once, since the audit names clients; a token is renewed by adding a second client and ending
the first when the other system has changed over.
"""

import enum
import hashlib
import re
import secrets
from collections.abc import Collection
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit
from fleet.schema import api_client
from programmes.register import RULEBOOKS
from wire.individual_number import refuse_individual_number

TOKEN_PREFIX: Final = "kzs_"  # noqa: S105  what finds a token that was left in a file
TOKEN_BYTES: Final = 32
"""256 bits: nobody finds one by trying, so no wrong one locks anything."""
TOKEN_MAX: Final = 100
"""Characters that are looked at; a whole token has 47."""
CLIENTS_MAX: Final = 100
"""That may be used at a time: a handful of systems in each of eighteen programmes."""
NAME_MAX: Final = 40
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class Scope(enum.StrEnum):
    """What a client may do in its programme."""

    MEMBERS_READ = "members.read"
    """See members, their cards (never a credential), uses and consent."""
    MEMBERS_WRITE = "members.write"
    """Enrol, correct and end members."""
    REPORTS_READ = "reports.read"
    """The figures of a month, with the same suppression as the page."""
    RIDES_READ = "rides.read"
    """The rides of a month, without persons."""
    WEBHOOKS = "webhooks"
    """Say where changes of enrolment are to be told."""


class ClientRefused(ValueError):
    """This client cannot be added or ended; the sentence says why. `reason` is a stable word."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason: Final = reason


class Client(NamedTuple):
    """One system that may ask now."""

    name: str
    programme: str
    scopes: frozenset[Scope]

    @property
    def who(self) -> str:
        """Its name in the audit, which no account of a person has."""
        return f"api:{self.name}"


class Line(NamedTuple):
    """A client in the list, ended ones too."""

    name: str
    programme: str
    scopes: tuple[Scope, ...]
    added_at_ms: int
    added_by: str
    ended_at_ms: int | None


def add(
    connection: sa.Connection,
    name: str,
    programme: str,
    scopes: Collection[Scope],
    who: str,
    at_ms: int,
) -> str:
    """Add a client to the fleet's database; return its token, which is shown only now.

    Raises ClientRefused, IndividualNumberRefused.
    """
    refuse_individual_number("name", name)
    if not _NAME.fullmatch(name):
        raise ClientRefused(
            "name", f"a name has 1 to {NAME_MAX} of a-z, 0-9 and hyphens, such as library-1"
        )
    if programme not in RULEBOOKS:
        raise ClientRefused("programme", f"{programme!r} is no programme: {', '.join(RULEBOOKS)}")
    if not scopes:
        raise ClientRefused("scopes", "a client that may do nothing is not added: name a scope")
    if connection.scalar(sa.select(api_client.c.name).where(api_client.c.name == name)):
        raise ClientRefused("taken", f"{name!r} was used before: the audit names it, take another")
    if _in_use(connection) >= CLIENTS_MAX:
        raise ClientRefused("full", f"at most {CLIENTS_MAX} clients: end one that is not used")
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    named = [scope.value for scope in Scope if scope in scopes]
    connection.execute(
        api_client.insert().values(
            name=name,
            token_sha256=_digest(token),
            programme=programme,
            scopes=named,
            added_at_ms=at_ms,
            added_by=who,
        )
    )
    audit.note(connection, at_ms, who, "api-client.added", name, f"{programme} {' '.join(named)}")
    return token


def _in_use(connection: sa.Connection) -> int:
    counted = sa.select(sa.func.count()).select_from(api_client)
    return connection.scalar(counted.where(api_client.c.ended_at_ms.is_(None))) or 0


def end(connection: sa.Connection, name: str, who: str, at_ms: int) -> None:
    """Let a token open nothing from now on. Raises ClientRefused when it is none, or ended."""
    ended = connection.execute(
        api_client.update()
        .where(api_client.c.name == name, api_client.c.ended_at_ms.is_(None))
        .values(ended_at_ms=at_ms)
    )
    if not ended.rowcount:
        raise ClientRefused("none", f"no client in use is called {name!r}")
    audit.note(connection, at_ms, who, "api-client.ended", name)


def everyone(connection: sa.Connection, programmes: Collection[str]) -> list[Line]:
    """Return the clients of these programmes, those in use first, by name."""
    columns = [api_client.c[name] for name in Line._fields]
    rows = connection.execute(
        sa.select(*columns)
        .where(api_client.c.programme.in_(programmes))
        .order_by(api_client.c.ended_at_ms.is_not(None), api_client.c.name)
    )
    return [
        Line(*row)._replace(scopes=tuple(scope for scope in Scope if scope.value in row.scopes))
        for row in rows
    ]


def by_token(connection: sa.Connection, token: str) -> Client | None:
    """Return whose token this is; None for one that is not known, or ended."""
    if len(token) > TOKEN_MAX:
        return None
    row = connection.execute(
        sa.select(api_client.c.name, api_client.c.programme, api_client.c.scopes).where(
            api_client.c.token_sha256 == _digest(token), api_client.c.ended_at_ms.is_(None)
        )
    ).one_or_none()
    if row is None:
        return None
    named = frozenset(scope for scope in Scope if scope.value in row.scopes)
    return Client(row.name, row.programme, named)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
