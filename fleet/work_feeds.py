"""Secret addresses by which a calendar reads what waits: of one's own days, or of a school.

Rules: an address is 256 random bits, shown once and kept as its SHA-256 alone; somebody has one of
his own days and one of each school for which he works, a new one ends the old; it ends with the
right to what it shows, at the next reading at the latest, and with the binding of an account at
once; an ended one is no row, so that it is as unknown as one that never was. Making and ending is
in the audit, the address never is.
"""

import hashlib
import secrets
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, rights
from fleet.accounts import Account, AccountRole
from fleet.rights import EVERY, OfficeRole
from fleet.schema import account, work_feed
from fleet.work_acts import WorkRefused, member_of
from programmes import attendance
from programmes.texts import Language

TOKEN_BYTES: Final = 32
"""256 bits: nobody finds one by trying."""
READ_STEP_MS: Final = 3_600_000
"""When an address was read last is told to the hour: calendars ask every few minutes."""


class Feed(NamedTuple):
    """One address; what it is of is `organisation`, or `member_id` when that is empty."""

    id: int
    account: str
    organisation: str
    member_id: int | None
    language: Language
    at_ms: int
    read_at_ms: int | None
    token_sha256: bytes

    @property
    def name(self) -> str:
        """What tells its events from those of another address, and nothing of either."""
        return hashlib.sha256(b"uid " + self.token_sha256).hexdigest()[:24]


_COLUMNS: Final = [work_feed.c[name] for name in Feed._fields]


def open_to(who: Account) -> tuple[str, ...]:
    """Return of what somebody may have an address: '' is his own days, others are schools."""
    schools = {
        one.organisation
        for one in who.rights
        if one.role is OfficeRole.SCHOOL and one.programme in (attendance.NAME, EVERY)
    }
    return (*([""] if who.member_id is not None else []), *sorted(schools))


def make(
    connection: sa.Connection, who: Account, organisation: str, language: Language, at_ms: int
) -> str:
    """Make an address and return its secret, which is shown only now; the old one ends.

    Raises WorkRefused when the account has no right to what it would show, or has just made one.
    """
    if organisation not in open_to(who):
        raise WorkRefused("feed")
    end(connection, who.name, organisation, at_ms)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    member_id = None if organisation else who.member_id
    values: dict[str, Any] = {"account": who.name, "organisation": organisation}
    values |= {"member_id": member_id, "token_sha256": digest(token), "language": language}
    try:
        connection.execute(work_feed.insert().values(values | {"at_ms": at_ms}))
    except sa.exc.IntegrityError as error:  # two at once, of which the other was first
        raise WorkRefused("feed-meanwhile") from error
    _note(connection, "made", member_id, organisation, who.name, at_ms)
    return token


def end(connection: sa.Connection, who: str, organisation: str, at_ms: int) -> None:
    """Let an account's address open nothing from now on; none is no error."""
    for one in of_account(connection, who):
        if one.organisation == organisation:
            end_one(connection, one, who, at_ms)


def end_of_member(connection: sa.Connection, member_id: int, who: str, at_ms: int) -> None:
    """Let no address open this member's days any more."""
    for one in _found(connection, work_feed.c.member_id == member_id):
        end_one(connection, one, who, at_ms)


def end_one(connection: sa.Connection, one: Feed, who: str, at_ms: int) -> None:
    """End an address; one that has ended already is no error."""
    gone = connection.execute(work_feed.delete().where(work_feed.c.id == one.id))
    if gone.rowcount:
        _note(connection, "ended", one.member_id, one.organisation, who, at_ms)


def _note(
    connection: sa.Connection,
    step: str,
    member_id: int | None,
    organisation: str,
    who: str,
    at_ms: int,
) -> None:
    subject = attendance.NAME
    if member_id is not None:
        subject += f" {member_of(connection, member_id).registration_number}"
    audit.note_person(connection, at_ms, who, f"work.feed-{step}", subject, organisation)


# --- reading -------------------------------------------------------------------------------------


def of_account(connection: sa.Connection, name: str) -> list[Feed]:
    """Return the addresses that an account has."""
    return _found(connection, work_feed.c.account == name)


def by_token(connection: sa.Connection, token: str) -> Feed | None:
    """Return whose secret this is; None for one that is not known, or ended: the same work."""
    found = _found(connection, work_feed.c.token_sha256 == digest(token))
    return found[0] if found else None


def _found(connection: sa.Connection, where: sa.ColumnElement[bool]) -> list[Feed]:
    rows = connection.execute(sa.select(*_COLUMNS).where(where).order_by(work_feed.c.id))
    return [Feed(*row) for row in rows]


def owner_of(fleet: sa.Connection, one: Feed) -> Account | None:
    """Return whose address this is, without what he is bound to; None when he may do nothing now.

    Whoever was given a password and has chosen none yet opens nothing.
    """
    wanted = sa.select(account.c.name, account.c.role).where(
        account.c.name == one.account,
        account.c.role == AccountRole.CLERK,
        account.c.closed_at_ms.is_(None),
        account.c.once_until_ms.is_(None),
    )
    row = fleet.execute(wanted).one_or_none()
    return row and Account(row.name, row.role, rights.of(fleet, row.name))


def is_allowed(one: Feed, owner: Account | None) -> bool:
    """True while its owner, with what he is bound to, may see what an address shows."""
    if owner is None or one.organisation not in open_to(owner):
        return False
    return bool(one.organisation) or one.member_id == owner.member_id


def note_read(connection: sa.Connection, one: Feed, at_ms: int) -> None:
    """Keep that it was read, to the hour."""
    here = work_feed.update().where(work_feed.c.id == one.id)
    connection.execute(here.values(read_at_ms=at_ms))


def digest(token: str) -> bytes:
    """Return what is kept of a secret."""
    return hashlib.sha256(token.encode()).digest()
