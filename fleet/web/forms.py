"""What a form may hand in: bounded text, and never an individual number.

Every field is looked at as a whole before anything else is done with it; what is refused comes
back as one sentence beside its field, without the value when it must not be repeated.
"""

import asyncio
import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.web import RequestPayloadError

from fleet.web.uploads import UPLOAD_S, limit_of, read_upload
from fleet.web.words import language_of
from programmes.calendar import read_day
from programmes.texts import Language, say
from wire.individual_number import looks_like_individual_number

BODY_BYTES_MAX: Final = 64 * 1024
"""One form: the longest has ten fields of some hundred characters, with room for UTF-8."""
BODY_S: Final = 20.0
"""For a form to arrive: at 4 kB/s the largest one; then its connection is closed."""
BORN_FIRST: Final = datetime.date(1900, 1, 1)
"""Nobody who lives was born before (the oldest person of 2025 was born in 1909)."""


@dataclass
class Form:
    """The values of one form, by field name, and what is wrong with them."""

    language: Language
    values: dict[str, str]
    errors: dict[str, str] = field(default_factory=dict)

    def refuse(self, name: str, message: str, **arguments: str | int) -> None:
        """Put one sentence beside a field; the first one stays."""
        self.errors.setdefault(name, say(message, self.language, **arguments))

    def require(self, *names: str) -> None:
        """Refuse these fields when they are empty."""
        for name in names:
            if not self.values.get(name):
                label = say(f"web.field.{name}", self.language)
                self.refuse(name, "web.form.required", field=label)

    def day(self, name: str) -> datetime.date | None:
        """Return a field as a day; None when it is empty, or is none and refused for that."""
        try:
            return datetime.date.fromisoformat(self[name]) if self[name] else None
        except ValueError:
            self.refuse(name, "web.form.no-day")
            return None

    def born(self, name: str, today: datetime.date) -> datetime.date | None:
        """Return a field as a birth date, in any way of writing; None when empty or refused."""
        try:
            born = read_day(self[name]) if self[name] else None
        except ValueError:
            self.refuse(name, "web.form.no-birth-date")
            return None
        if born and not BORN_FIRST <= born <= today:
            self.refuse(name, "web.form.born-outside", first=BORN_FIRST.isoformat())
            return None
        return born

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")


def empty_form(request: web.Request, **values: str) -> Form:
    """Return a form as it is first shown."""
    return Form(language_of(request), values)


def check_fields(
    language: Language,
    sent: Mapping[str, object],
    limits: Mapping[str, int],
    labels: Mapping[str, str] | None = None,
) -> Form:
    """Return the named fields of what was sent, trimmed, each at most so many characters.

    `labels`: what fields are called whose label does not stand under `web.field.`.

    A value in the form of an individual number is not kept: its field comes back empty, with the
    sentence that says why. The same for a value that is too long, or no text (a file, U+0000).
    """
    form = Form(language, {})
    for name, limit in limits.items():
        value = sent.get(name, "")
        text = value.strip() if isinstance(value, str) else ""
        form.values[name] = ""
        label = (labels or {}).get(name) or say(f"web.field.{name}", language)
        if not isinstance(value, str) or "\0" in text:
            form.refuse(name, "web.form.text-only", field=label)
        elif looks_like_individual_number(text):
            form.refuse(name, "refused.individual-number")
        elif len(text) > limit:
            form.refuse(name, "web.form.too-long", field=label, limit=limit)
        else:
            form.values[name] = text
    return form


async def read_post(request: web.Request) -> Mapping[str, object]:
    """Return what was posted. Raises HTTPBadRequest when it cannot be read as a form at all."""
    limit = limit_of(request)
    try:
        async with asyncio.timeout(UPLOAD_S if limit else BODY_S):
            sent: Mapping[str, object] = await (
                read_upload(request, limit) if limit else request.post()
            )
    except TimeoutError as error:
        raise web.HTTPRequestTimeout from error
    except (
        ValueError,
        LookupError,
        RuntimeError,
        ConnectionError,
        RequestPayloadError,
        BadHttpMessage,
    ) as error:
        # no boundary, an unknown charset or transfer encoding, a body that is cut or not packed so
        raise web.HTTPBadRequest from error
    for value in (*sent, *sent.values()):
        if isinstance(value, str) and not is_text(value):
            raise web.HTTPBadRequest
    return sent


def is_text(text: str) -> bool:
    """True when it can be written as UTF-8: some charsets of a body bring lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


async def read_form(
    request: web.Request, limits: Mapping[str, int], labels: Mapping[str, str] | None = None
) -> Form:
    """Return the fields of a POST; see check_fields. At most BODY_BYTES_MAX bytes are read."""
    return check_fields(language_of(request), await read_post(request), limits, labels)
