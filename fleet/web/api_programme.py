"""The API's programme: the figures of a month, its rides, and where changes are to be told."""

import asyncio
import datetime
import io
import tempfile
from typing import IO, Annotated, Final

import msgspec
import sqlalchemy as sa
from aiohttp import web
from msgspec import Meta

from fleet import audit, report_rows, reports, tides, webhooks
from fleet.api_clients import Scope
from fleet.report_counts import Counting
from fleet.reports import Period
from fleet.store import Store
from fleet.tides import NoRides
from fleet.web import reports_page
from fleet.web.api_base import Asked, Operation, Refused, answer
from fleet.web.api_members import moment
from fleet.web.data import change, read
from fleet.webhook_addresses import URL_MAX, WebhookRefused
from programmes.calendar import fiscal_year, local_day

# --- reports -------------------------------------------------------------------------------------

Figures = dict[str, int | None]
"""By name: users, uses, card, without, refused, share (tenths of a per cent), rider_yen, city_yen,
as far as the programme has them; null: fewer than five people, or what would tell them."""


class Line(msgspec.Struct, frozen=True):
    """The figures of one place, hour, category, button or reason."""

    key: str
    figures: Figures


class Table(msgspec.Struct, frozen=True):
    """The figures of a month, apart by one thing."""

    by: str
    """place, hour, category, press or code."""
    lines: list[Line]


class MonthReport(msgspec.Struct, frozen=True):
    """What the programme came to in a month: the same figures as on the office's page."""

    month: str
    is_running: bool
    """The month is not over."""
    as_of: datetime.datetime | None
    """What was received until then is counted."""
    figures: Figures
    tables: list[Table]


async def _period(asked: Asked) -> Period:
    """Return the month in the path. Raises Refused when it has not begun or is before all."""
    try:
        month = tides.month_of(asked.path["month"])
    except NoRides:
        raise Refused("not-found") from None
    first = await read(asked.fleet, report_rows.first_year, asked.now_ms)
    year = fiscal_year(month)
    if year < first or month > local_day(asked.now_ms):
        raise Refused("not-found")
    return Period(year, reports.name_of(month))


async def get_report(asked: Asked) -> web.Response:
    """The figures of a month."""
    period = await _period(asked)
    try:
        report = await reports_page.report_of(asked.request, asked.programme, period)
    except Counting:
        raise Refused("busy") from None
    found = MonthReport(
        period.month,
        report.total.running,
        moment(report.as_of_ms),
        dict(report.total.values),
        [
            Table(table.name, [Line(line.key, dict(line.values)) for line in table.lines])
            for table in report.apart
        ],
    )
    return answer(found)


# --- rides ---------------------------------------------------------------------------------------


def write_month(
    store: Store, programme: str, month: datetime.date, who: str, at_ms: int
) -> IO[bytes]:
    """Return the rides of a month as a file; the export stands in the fleet's audit.

    Raises NoRides.
    """
    kept = tempfile.TemporaryFile()  # noqa: SIM115  whoever sends it closes it
    try:
        text = io.TextIOWrapper(kept, "utf-8", newline="", write_through=True)
        with store.read() as connection:
            count = tides.write(connection, programme, month, text)
        text.detach()
        with store.write() as connection:
            told = f"{programme} {month:%Y-%m}"
            audit.note(connection, at_ms, who, "rides.exported", told, f"{count} rides")
        kept.seek(0)
    except BaseException:
        kept.close()
        raise
    return kept


def csv_answer(file: IO[bytes], name: str) -> web.Response:
    """Return a file of rides as a download."""
    return web.Response(
        body=file,
        content_type="text/csv",
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def get_rides(asked: Asked) -> web.StreamResponse:
    """The rides of a month."""
    try:
        month = tides.month_of(asked.path["month"])
        file = await asyncio.to_thread(
            write_month, asked.fleet, asked.programme, month, asked.client.who, asked.now_ms
        )
    except NoRides:
        raise Refused("not-found") from None
    return csv_answer(file, tides.file_name(month))


# --- webhooks ------------------------------------------------------------------------------------


class Webhook(msgspec.Struct, frozen=True):
    """An address that is told of changed enrolments."""

    id: int
    url: str
    since: datetime.datetime | None
    state: str
    """idle, sending, failing, given-up or ended."""
    waiting: int
    """Events that are not told yet."""


class Webhooks(msgspec.Struct, frozen=True):
    """Those of the programme."""

    webhooks: list[Webhook]


class NewWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where changes are to be told."""

    url: Annotated[str, Meta(min_length=1, max_length=URL_MAX)]
    """Such as https://library.example.jp/kazasu."""


class AddedWebhook(msgspec.Struct, frozen=True):
    """The address, with the secret under which what is told is signed: it is shown only now."""

    id: int
    url: str
    secret: str
    """whsec_ and base64, as libraries of Standard Webhooks take it."""


def _number(asked: Asked) -> int:
    text = asked.path["webhook"]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Refused("not-found")
    return int(text)


async def list_webhooks(asked: Asked) -> web.Response:
    """The addresses of the programme that are told."""
    found = await read(asked.persons, webhooks.everyone, [asked.programme])
    shown = [
        Webhook(one.id, one.url, moment(one.added_at_ms), one.state, one.waiting)
        for one in found
        if one.state != "ended"
    ]
    return answer(Webhooks(shown))


async def add_webhook(asked: Asked) -> web.Response:
    """Tell an address from now on."""
    url = asked.body.url
    try:
        number, secret = await change(
            asked.persons, webhooks.add, asked.programme, url, asked.client.who, asked.now_ms
        )
    except WebhookRefused as error:
        raise _refused(error) from error
    return answer(AddedWebhook(number, url, webhooks.written(secret)), 201)


def _refused(error: WebhookRefused) -> Refused:
    sentence = f"web.links.refused.{error.reason}"
    if error.reason in ("url", "https", "this-machine", "address"):
        return Refused("invalid", "url", reason=error.reason, sentence=sentence)
    return Refused("refused", reason=error.reason, sentence=sentence)


def _end(connection: sa.Connection, asked: Asked, number: int) -> None:
    mine = webhooks.everyone(connection, [asked.programme])
    if number not in [one.id for one in mine if one.state != "ended"]:
        raise Refused("not-found")
    webhooks.end(connection, number, asked.client.who, asked.now_ms)


async def end_webhook(asked: Asked) -> web.Response:
    """Tell an address nothing more."""
    await change(asked.persons, _end, asked, _number(asked))
    return answer(None, 204)


OPERATIONS: Final = (
    Operation(
        "getReport",
        "GET",
        "/reports/{month}",
        Scope.REPORTS_READ,
        "The figures of a month, without those that tell of fewer than five people",
        get_report,
        {200: MonthReport},
    ),
    Operation(
        "getRides",
        "GET",
        "/rides/{month}",
        Scope.RIDES_READ,
        "The rides of a month as TIDES fare transactions, without persons",
        get_rides,
        {200: bytes},
    ),
    Operation(
        "listWebhooks",
        "GET",
        "/webhooks",
        Scope.WEBHOOKS,
        "The addresses that are told of changed enrolments",
        list_webhooks,
        {200: Webhooks},
    ),
    Operation(
        "addWebhook",
        "POST",
        "/webhooks",
        Scope.WEBHOOKS,
        "Tell an address of changed enrolments from now on",
        add_webhook,
        {201: AddedWebhook},
        body=NewWebhook,
        problems=("refused",),
    ),
    Operation(
        "endWebhook",
        "DELETE",
        "/webhooks/{webhook}",
        Scope.WEBHOOKS,
        "Tell an address nothing more",
        end_webhook,
        {204: None},
    ),
)
