"""Where other systems hear of changed enrolments, and what is waiting to be told them.

Rules: at least once, and in order: the first delivery of a webhook that is not done holds back all
behind it; whoever sends takes it for LEASE_MS first, so two office processes never send one at the
same time and one that dies leaves it to be sent again; after GIVE_UP_MS of failures the webhook
stands still, nothing is dropped, and a person lets it go on; after WAITS_MS it ends; what was told
is forgotten after KEPT_MS.
"""

import base64
import secrets
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, store
from fleet.schema import webhook, webhook_delivery
from fleet.webhook_addresses import WebhookRefused, check_url
from programmes.register import RULEBOOKS

SECRET_BYTES: Final = 32
"""Standard Webhooks asks for 24 to 64."""
WEBHOOKS_MAX: Final = 10
"""In use in one programme: each change is written once for each of them."""
SECOND_MS: Final = 1_000
HOUR_MS: Final = 3_600 * SECOND_MS
DAY_MS: Final = 24 * HOUR_MS
LEASE_MS: Final = 60 * SECOND_MS
"""Six times the longest try (webhook_sender.TRY_S)."""
BACK_OFF_S: Final = (5, 30, 120, 600, 1_800, 3_600, 3 * 3_600, 6 * 3_600)
"""After the first, second, … failure; a restart of the other system takes a minute, a patch of it
an hour. With the last taken three times the sum is 22 h 42 min, and the eleventh try the last."""
GIVE_UP_MS: Final = DAY_MS
"""From the first try on: somebody has looked at the other system in a day, or nobody will."""
KEPT_MS: Final = 7 * DAY_MS
"""What was told, for whoever asks whether it was."""
WAITS_MS: Final = 30 * DAY_MS
"""An address that has not answered for so long is told nothing more: the other system must read the
whole list of members anyway."""
TRIES_SHOWN: Final = 20
"""Newest deliveries on the page."""
ERROR_MAX: Final = 200
"""Characters kept of what went wrong."""


class Webhook(NamedTuple):
    """One of the list."""

    id: int
    programme: str
    url: str
    added_at_ms: int
    added_by: str
    ended_at_ms: int | None
    waiting: int
    """Deliveries that are not done."""
    tries: int
    """Of the first one that waits; 0: it has not been tried, or none waits."""
    next_at_ms: int | None
    """When that is tried again; None: nothing waits, or the webhook stands still."""
    last_error: str

    @property
    def state(self) -> str:
        """One of ended, idle, sending, failing and given-up."""
        if self.ended_at_ms is not None:
            return "ended"
        if not self.waiting:
            return "idle"
        if self.next_at_ms is None:
            return "given-up"
        return "failing" if self.last_error else "sending"


class Delivery(NamedTuple):
    """One event on its way to one webhook."""

    id: int
    webhook_id: int
    url: str
    secret: bytes
    body: bytes
    tries: int
    """With this one."""
    at_ms: int


class Told(NamedTuple):
    """A delivery on the page."""

    id: int
    body: bytes
    tries: int
    next_at_ms: int | None
    done_at_ms: int | None
    last_error: str
    at_ms: int


# --- webhooks ------------------------------------------------------------------------------------


def add(
    connection: sa.Connection,
    programme: str,
    url: str,
    who: str,
    at_ms: int,
    *,
    this_machine: bool = False,
) -> tuple[int, bytes]:
    """Tell this address of all changes from now on; return its number and secret.

    Whoever adds it shows the secret, once. Raises WebhookRefused.
    """
    if programme not in RULEBOOKS:
        raise WebhookRefused("programme", f"{programme!r} is no programme")
    check_url(url, this_machine=this_machine)
    here = (webhook.c.programme == programme, webhook.c.ended_at_ms.is_(None))
    urls = connection.scalars(sa.select(webhook.c.url).where(*here)).all()
    if url in urls:
        raise WebhookRefused("twice", "this address is told of this programme already")
    if len(urls) >= WEBHOOKS_MAX:
        raise WebhookRefused("full", f"at most {WEBHOOKS_MAX} addresses: end one first")
    secret = secrets.token_bytes(SECRET_BYTES)
    added = connection.execute(
        webhook.insert().values(
            programme=programme, url=url, secret=secret, added_at_ms=at_ms, added_by=who
        )
    )
    number = store.new_id(added)
    audit.note_person(connection, at_ms, who, "webhook.added", f"{programme} {number}", url)
    return number, secret


def written(secret: bytes) -> str:
    """Return a secret as receivers' libraries take it."""
    return "whsec_" + base64.b64encode(secret).decode()


def end(connection: sa.Connection, webhook_id: int, who: str, at_ms: int) -> None:
    """Tell this address nothing more; what waits for it is dropped. Raises WebhookRefused."""
    programme = _programme_of(connection, webhook_id)
    connection.execute(webhook.update().where(webhook.c.id == webhook_id).values(ended_at_ms=at_ms))
    waits = (webhook_delivery.c.webhook_id == webhook_id, webhook_delivery.c.done_at_ms.is_(None))
    connection.execute(webhook_delivery.delete().where(*waits))
    audit.note_person(connection, at_ms, who, "webhook.ended", f"{programme} {webhook_id}")


def go_on(connection: sa.Connection, webhook_id: int, who: str, at_ms: int) -> None:
    """Try at once what waits first, as if for the first time. Raises WebhookRefused."""
    programme = _programme_of(connection, webhook_id)
    first = _first_of(connection, webhook_id)
    if first is None:
        raise WebhookRefused("nothing", "nothing waits to be told")
    connection.execute(
        webhook_delivery.update()
        .where(webhook_delivery.c.id == first)
        .values(tries=0, next_at_ms=at_ms)
    )
    audit.note_person(connection, at_ms, who, "webhook.resumed", f"{programme} {webhook_id}")


def _programme_of(connection: sa.Connection, webhook_id: int) -> str:
    here = (webhook.c.id == webhook_id, webhook.c.ended_at_ms.is_(None))
    found: str | None = connection.scalar(sa.select(webhook.c.programme).where(*here))
    if found is None:
        raise WebhookRefused("none", "this address is not told anything, or not any more")
    return found


def _first_of(connection: sa.Connection, webhook_id: int) -> int | None:
    undone = (webhook_delivery.c.webhook_id == webhook_id, webhook_delivery.c.done_at_ms.is_(None))
    first = sa.select(sa.func.min(webhook_delivery.c.id)).where(*undone)
    found: int | None = connection.scalar(first)
    return found


_UNDONE: Final = (
    webhook_delivery.c.webhook_id == webhook.c.id,
    webhook_delivery.c.done_at_ms.is_(None),
)
_FIRST: Final = webhook_delivery.alias("first")
_WITH_FIRST: Final = webhook.outerjoin(
    _FIRST,
    _FIRST.c.id
    == sa.select(sa.func.min(webhook_delivery.c.id))
    .where(*_UNDONE)
    .correlate(webhook)
    .scalar_subquery(),
)
"""Each webhook beside what it is to be told first: a look in an index, however much waits."""


def everyone(connection: sa.Connection, programmes: Collection[str]) -> list[Webhook]:
    """Return the webhooks of these programmes, those in use first, the newest before others."""
    rows = connection.execute(
        sa.select(
            webhook.c.id,
            webhook.c.programme,
            webhook.c.url,
            webhook.c.added_at_ms,
            webhook.c.added_by,
            webhook.c.ended_at_ms,
            sa.select(sa.func.count()).where(*_UNDONE).correlate(webhook).scalar_subquery(),
            sa.func.coalesce(_FIRST.c.tries, 0),
            _FIRST.c.next_at_ms,
            sa.func.coalesce(_FIRST.c.last_error, ""),
        )
        .select_from(_WITH_FIRST)
        .where(webhook.c.programme.in_(programmes))
        .order_by(webhook.c.ended_at_ms.is_not(None), webhook.c.id.desc())
    )
    every: Iterable[tuple[Any, ...]] = rows
    return [Webhook(*row) for row in every]


def told(connection: sa.Connection, webhook_id: int) -> list[Told]:
    """Return what was told last, and what waits, the newest first; at most TRIES_SHOWN."""
    columns = [webhook_delivery.c[name] for name in Told._fields]
    rows = connection.execute(
        sa.select(*columns)
        .where(webhook_delivery.c.webhook_id == webhook_id)
        .order_by(webhook_delivery.c.id.desc())
        .limit(TRIES_SHOWN)
    )
    return [Told(*row) for row in rows]


# --- delivering ----------------------------------------------------------------------------------


def due(connection: sa.Connection, now_ms: int) -> list[int]:
    """Return the webhooks whose first delivery may be tried now."""
    return list(
        connection.scalars(
            sa.select(webhook.c.id)
            .select_from(_WITH_FIRST)
            .where(webhook.c.ended_at_ms.is_(None), _FIRST.c.next_at_ms <= now_ms)
            .order_by(_FIRST.c.next_at_ms)
        )
    )


def take(connection: sa.Connection, webhook_id: int, now_ms: int) -> Delivery | None:
    """Take what a webhook is to be told first, for LEASE_MS; None when that is not due.

    Needs a writing connection: nobody else takes it meanwhile.
    """
    first = _first_of(connection, webhook_id)
    mine = (webhook_delivery.c.id == first, webhook_delivery.c.next_at_ms <= now_ms)
    taken = connection.execute(
        webhook_delivery.update()
        .where(*mine)
        .values(next_at_ms=now_ms + LEASE_MS, tries=webhook_delivery.c.tries + 1)
    )
    if not taken.rowcount:
        return None
    joined = webhook_delivery.join(webhook, webhook.c.id == webhook_delivery.c.webhook_id)
    named = (webhook.c.url, webhook.c.secret)
    rest = ("body", "tries", "at_ms")
    row = connection.execute(
        sa.select(
            webhook_delivery.c.id,
            webhook.c.id,
            *named,
            *(webhook_delivery.c[name] for name in rest),
        )
        .select_from(joined)
        .where(webhook_delivery.c.id == first, webhook.c.ended_at_ms.is_(None))
    ).one_or_none()
    return None if row is None else Delivery(*row)


def done(connection: sa.Connection, one: Delivery, now_ms: int) -> None:
    """Write down that it was told."""
    _write(connection, one, next_at_ms=None, done_at_ms=now_ms, last_error="")


def failed(connection: sa.Connection, one: Delivery, error: str, now_ms: int) -> None:
    """Write down that it was not told: it is tried again later, or a person must let it go on."""
    wait_ms = BACK_OFF_S[min(one.tries, len(BACK_OFF_S)) - 1] * SECOND_MS
    given_up = _tried_for_ms(one.tries) + wait_ms > GIVE_UP_MS
    again = None if given_up else now_ms + wait_ms
    _write(connection, one, next_at_ms=again, last_error=error[:ERROR_MAX])


def _tried_for_ms(tries: int) -> int:
    """Return how long so many tries have taken, by the waits between them."""
    waits = (BACK_OFF_S[min(index, len(BACK_OFF_S) - 1)] for index in range(tries - 1))
    return sum(waits) * SECOND_MS


def _write(connection: sa.Connection, one: Delivery, **values: int | str | None) -> None:
    connection.execute(
        webhook_delivery.update().where(webhook_delivery.c.id == one.id).values(**values)
    )


def forget(connection: sa.Connection, who: str, now_ms: int) -> int:
    """Erase what was told KEPT_MS ago, end what has waited for WAITS_MS; return how many in all."""
    old = webhook_delivery.c.done_at_ms < now_ms - KEPT_MS
    erased = connection.execute(webhook_delivery.delete().where(old)).rowcount
    still = connection.scalars(
        sa.select(webhook.c.id)
        .select_from(_WITH_FIRST)
        .where(webhook.c.ended_at_ms.is_(None), _FIRST.c.at_ms < now_ms - WAITS_MS)
    ).all()
    for one in still:
        end(connection, one, who, now_ms)
    return erased + len(still)
