"""Whose own account it is: a teacher's account opens his own days, and nothing else.

Rules: an account is one member's and a member has one account; who binds it is in the audit, and
nobody binds his own; the newest row holds. It gives no right in the office. With the binding end
the PIN and the secret address of the member's calendar.
"""

from typing import Final

import sqlalchemy as sa

from fleet import work_feeds
from fleet.schema import card_pin, work_account
from fleet.work_acts import Act, WorkRefused, member_of, note

ACCOUNT_MAX: Final = 64
"""As `accounts.add` has it."""


def bind(connection: sa.Connection, act: Act, account: str) -> None:
    """Let an account be this member's own. Raises WorkRefused.

    Whether there is such an account stands in the other database: whoever calls this looks.
    """
    number = check(connection, act, account)
    _write(connection, act, account, "bound", number)


def check(connection: sa.Connection, act: Act, account: str) -> str:
    """Return the member's number when an account can be his own. Raises WorkRefused."""
    row = member_of(connection, act.member_id)
    if not 1 <= len(account) <= ACCOUNT_MAX or not account.isprintable():
        raise WorkRefused("account")
    if account == act.who:
        raise WorkRefused("own-account")
    if member_of_account(connection, account) is not None:
        raise WorkRefused("account-bound")
    if account_of(connection, act.member_id):
        raise WorkRefused("member-bound")
    return str(row.registration_number)


def unbind(connection: sa.Connection, act: Act, account: str) -> None:
    """Let an account be this member's no more. Raises WorkRefused."""
    row = member_of(connection, act.member_id)
    if member_of_account(connection, account) != act.member_id:
        raise WorkRefused("not-bound")
    connection.execute(card_pin.delete().where(card_pin.c.member_id == act.member_id))
    _write(connection, act, account, "unbound", row.registration_number)
    work_feeds.end_of_member(connection, act.member_id, act.who, act.at_ms)


def _write(connection: sa.Connection, act: Act, account: str, kind: str, number: str) -> None:
    values: dict[str, object] = {"account": account, "member_id": act.member_id, "kind": kind}
    connection.execute(work_account.insert().values(values | {"at_ms": act.at_ms, "who": act.who}))
    note(connection, act, number, f"work.account-{kind}")


def member_of_account(connection: sa.Connection, account: str) -> int | None:
    """Return whose own account this is; None when it is nobody's."""
    newest = sa.select(work_account.c.kind, work_account.c.member_id).where(
        work_account.c.account == account
    )
    row = connection.execute(newest.order_by(work_account.c.id.desc()).limit(1)).one_or_none()
    return row.member_id if row is not None and row.kind == "bound" else None


def account_of(connection: sa.Connection, member_id: int) -> str:
    """Return a member's own account; empty without one."""
    newest = sa.select(work_account.c.kind, work_account.c.account).where(
        work_account.c.member_id == member_id
    )
    row = connection.execute(newest.order_by(work_account.c.id.desc()).limit(1)).one_or_none()
    return str(row.account) if row is not None and row.kind == "bound" else ""
