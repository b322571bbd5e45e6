"""A browser that stands at a desk: at its reader members sign in by card, and at no other browser.

Rules: a clerk binds it, sitting at it; the browser keeps a random token for a year, here rests its
hash alone; whoever ends it in the list ends it at once. Nobody who only reaches the sign-in page
makes a reader ask for a card. docs/adr/0028-own-pages-by-card.md.
"""

import hashlib
import secrets
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit
from fleet.desk_wait import SIGN_IN
from fleet.schema import desk_browser
from programmes import attendance

BOUND_S: Final = 365 * 24 * 3600
"""Then a clerk comes by again: once a school year, with the new staff."""
BROWSERS_MAX: Final = 500
"""Ten shared computers at each of 50 schools."""
LABEL_MAX: Final = 40
"""Characters, such as «職員室 入口側のパソコン»."""
_TOKEN_MAX: Final = 64
"""Characters of a token that is looked for; ours has 43."""


class BrowserRefused(ValueError):
    """No more browsers; the reason is a word of `locale/` (web.browsers.refused.…)."""


class Browser(NamedTuple):
    """A computer at which members sign in by card."""

    id: int
    token_sha256: bytes
    reader: str
    label: str
    bound_at_ms: int
    bound_by: str
    ends_at_ms: int

    @property
    def waits_as(self) -> str:
        """Who waits when somebody holds a card here (fleet.desk_wait): no account's name."""
        return f"{SIGN_IN}{self.token_sha256.hex()}"

    @property
    def noted_as(self) -> str:
        """Who it is in the audit."""
        return f"browser {self.id}"


_COLUMNS: Final = [desk_browser.c[name] for name in Browser._fields]


def bind(people: sa.Connection, reader: str, label: str, who: str, at_ms: int) -> str:
    """Bind the browser that somebody sits at to a desk's reader; return its token.

    Raises BrowserRefused when there are too many.
    """
    people.execute(desk_browser.delete().where(desk_browser.c.ends_at_ms <= at_ms))
    count = sa.select(sa.func.count()).select_from(desk_browser)
    if (people.scalar(count) or 0) >= BROWSERS_MAX:
        raise BrowserRefused("many")
    token = secrets.token_urlsafe(32)
    people.execute(
        desk_browser.insert().values(
            token_sha256=_digest(token),
            reader=reader,
            label=label,
            bound_at_ms=at_ms,
            bound_by=who,
            ends_at_ms=at_ms + BOUND_S * 1000,
        )
    )
    subject = f"{attendance.NAME} {reader}"
    audit.note_person(people, at_ms, who, "desk.browser-bound", subject, label)
    return token


def of_token(people: sa.Connection, token: str, at_ms: int) -> Browser | None:
    """Return the browser that has this token; None when it is bound to no desk."""
    if not 0 < len(token) <= _TOKEN_MAX:
        return None
    mine = (desk_browser.c.token_sha256 == _digest(token), desk_browser.c.ends_at_ms > at_ms)
    row = people.execute(sa.select(*_COLUMNS).where(*mine)).one_or_none()
    return None if row is None else Browser(*row)


def listed(people: sa.Connection, at_ms: int) -> list[Browser]:
    """Return those that are bound now, by reader and label."""
    wanted = sa.select(*_COLUMNS).where(desk_browser.c.ends_at_ms > at_ms)
    rows = people.execute(wanted.order_by(desk_browser.c.reader, desk_browser.c.label))
    return [Browser(*row) for row in rows]


def end(people: sa.Connection, browser: int, who: str, at_ms: int) -> bool:
    """Let nobody sign in by card there any more; False when it was bound to no desk."""
    mine = desk_browser.c.id == browser
    row = people.execute(sa.select(*_COLUMNS).where(mine)).one_or_none()
    if row is None:
        return False
    people.execute(desk_browser.delete().where(mine))
    subject = f"{attendance.NAME} {row.reader}"
    audit.note_person(people, at_ms, who, "desk.browser-ended", subject, row.label)
    return True


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
