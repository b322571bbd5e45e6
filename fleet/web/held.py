"""What somebody had typed when his session had ended: held until he has signed in again.

Only in memory, the last form of an account for HELD_MS, and shown to that account alone, who looks
at it and sends it, or does not. A file is never held: a browser gives it once, and it is chosen
again; nor is what looks like an individual number, nor what no page of ours takes.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from fleet.web.forms import read_post
from wire.clock import Clock
from wire.individual_number import looks_like_individual_number

HELD_MS: Final = 60 * 60_000
"""A lunch break."""
ACCOUNTS_MAX: Final = 200
"""Accounts with a form held, each at most BODY_BYTES_MAX; beyond it the oldest is forgotten."""
FIELDS_MAX: Final = 100
"""Of a form that goes on afterwards; the longest of ours has some twenty."""
HELD_PATH: Final = "/held"
TOLD: Final = ("registration_number", "name", "kana", "account", "client", "url", "why")
"""Fields that tell a person which form it is: two may have been open."""

Fields = list[tuple[str, str]]


@dataclass(frozen=True)
class HeldForm:
    """Where a form was going, its fields without the session's token, and when it is forgotten."""

    path: str
    fields: Fields
    until_ns: int

    @property
    def told(self) -> Fields:
        """By what its owner knows it again."""
        return [(name, value) for name, value in self.fields if name in TOLD and value]


class HeldForms:
    """The forms of one process, by account; durations by the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._forms: OrderedDict[str, HeldForm] = OrderedDict()

    def hold(self, account: str, path: str, fields: Fields) -> None:
        """Keep what this account was sending; an older form of it is forgotten."""
        until_ns = self._clock.monotonic_ns() + HELD_MS * 1_000_000
        self._forms[account] = HeldForm(path, fields, until_ns)
        self._forms.move_to_end(account)
        if len(self._forms) > ACCOUNTS_MAX:
            self._forms.popitem(last=False)

    def of(self, account: str) -> HeldForm | None:
        """Return what is held for this account."""
        form = self._forms.get(account)
        if form is not None and form.until_ns <= self._clock.monotonic_ns():
            self.forget(account)
            return None
        return form

    def forget(self, account: str) -> None:
        """Hold nothing of this account any more."""
        self._forms.pop(account, None)

    async def sent(self, account: str, request: web.Request) -> None:
        """Forget a form that has come after all; another one for the same page is another one."""
        form = self._forms.get(account)
        if form is None or form.path != str(request.rel_url):
            return
        if await fields_of(request) == form.fields:
            self.forget(account)


HELD: Final = web.AppKey("held_forms", HeldForms)


async def fields_of(request: web.Request, *without: str) -> Fields | None:
    """Return what a form sent, without these fields.

    None when it has a file, too much, or what looks like an individual number.
    """
    sent = await read_post(request)
    fields = [(name, value) for name, value in sent.items() if isinstance(value, str)]
    if len(fields) != len(sent) or len(fields) > FIELDS_MAX:
        return None
    if any(looks_like_individual_number(value) for _, value in fields):
        return None
    return [(name, value) for name, value in fields if name not in (*without, "csrf")]
