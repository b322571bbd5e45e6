"""The page of an audit that somebody files: one HTML file for A4, Japanese with English beside it.

It stands alone: no server, no script, no picture from elsewhere.
"""

import functools
from pathlib import Path
from typing import Final

import jinja2
from babel.numbers import format_decimal
from markupsafe import Markup

from fleet.verdict import AuditLine, Proof
from programmes.calendar import local, local_day
from programmes.texts import say

_BESIDE: Final = Path(__file__).parent
READERS_SHOWN_MAX: Final = 200
"""Readers on the page; all of them are in the result as JSON."""
NOTED_SHOWN_MAX: Final = 200
"""Exceptions and faults on the page, each; all are counted."""


@functools.cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_BESIDE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(t=_both, number=_number, moment=moment, day=_day)
    return made


def render(proof: Proof, line: AuditLine, *, machine: str, source: str, took_ms: int) -> str:
    """Return the page. `source` is what was read: a database or a bundle's name."""
    return (
        _environment()
        .get_template("audit_page.html")
        .render(
            proof=proof,
            line=line,
            machine=machine,
            source=source,
            took_ms=took_ms,
            readers_max=READERS_SHOWN_MAX,
            noted_max=NOTED_SHOWN_MAX,
        )
    )


def _both(message: str, **arguments: str | int) -> Markup:
    """Return a sentence in Japanese, and in English below it."""
    texts = {
        name: _number(value) if isinstance(value, int) else value
        for name, value in arguments.items()
    }
    japanese, english = say(message, "ja", **texts), say(message, "en", **texts)
    return Markup('{} <small lang="en">{}</small>').format(japanese, english)


def _number(value: int) -> str:
    return str(format_decimal(value, locale="ja"))


def moment(at_ms: int) -> str:
    """Return an instant on the town's wall clock, with its zone."""
    return local(at_ms).strftime("%Y-%m-%d %H:%M:%S %Z")


def _day(at_ms: int) -> str:
    return local_day(at_ms).isoformat()
