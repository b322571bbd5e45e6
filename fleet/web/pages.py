"""How a page is made: one environment of templates, and what every template may use."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiohttp_jinja2
import jinja2
from aiohttp import web

from fleet.attention import Task
from fleet.web import words
from fleet.web.session import ACCOUNT, SITE, csrf_token, take_flashes
from programmes.texts import Language, say
from wire.clock import Clock

HERE: Final = Path(__file__).parent
CLOCK: Final = web.AppKey("clock", Clock)


def set_up(app: web.Application) -> None:
    """Give an application its templates."""
    app[aiohttp_jinja2.APP_KEY] = _environment()


@functools.cache
def _environment() -> jinja2.Environment:
    """Return the templates, compiled once; a name that a template misspells is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        ms=words.milliseconds,
        hour_minute=words.hour_minute,
        step_label=words.step_label,
        hours=words.hours,
    )
    return made


async def render(
    request: web.Request, template: str, status: int = 200, **context: Any
) -> web.Response:
    """Return a page or a part of one, in the language of the request."""
    language = words.language_of(request)
    now_ms = request.app[CLOCK].now_ms()
    part = "HX-Request" in request.headers
    context |= {
        "request": request,
        "site": request.app[SITE],
        "section": context.get("section", ""),
        "account": request.get(ACCOUNT),
        "csrf": await csrf_token(request),
        "flashes": [] if part else await take_flashes(request),
        "language": language,
        "now_ms": now_ms,
        "t": functools.partial(_text, language),
        "moment": functools.partial(words.moment, language=language, now_ms=now_ms),
        "day": functools.partial(words.day, language=language),
        "moment_of_step": functools.partial(words.step, language=language),
        "span": functools.partial(words.span, language=language),
        "number": functools.partial(words.number, language=language),
        "counter": functools.partial(words.counter, language=language),
        "address": words.address,
        "task_text": task_text,
    }
    return aiohttp_jinja2.render_template(template, request, context, status=status)


def _text(language: Language, message: str, **arguments: str | int) -> str:
    """Return a sentence whose numbers are grouped; journal numbers and spans are short of that."""
    written = {
        name: words.number(value, language) if isinstance(value, int) else value
        for name, value in arguments.items()
    }
    return say(message, language, **written)


def task_text(text: Callable[..., str], task: Task, part: str) -> str:
    """Return what a task is (`what`) or what to do about it (`do`)."""
    return text(f"web.task.{task.kind}.{part}", **task.arguments)
