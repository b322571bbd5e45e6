"""How a page is made of a template and the catalogue, for every listener of the reader.

A text may carry readings for words that are hard, as `漢字《かんじ》`; `ruby` writes them above.
"""

import re
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from edge.looks import look
from edge.voice import clips
from programmes.calendar import local
from programmes.texts import say

HERE: Final = Path(__file__).parent
PAGES: Final = web.AppKey("pages", Environment)
_READING: Final = re.compile(r"([\u3005\u4e00-\u9fff]+)《([^》]+)》")


def environment() -> Environment:
    """Return what makes pages of the templates beside this module."""
    pages = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.globals.update(say=say, local=local, look=look, clips=clips)
    pages.filters.update(ruby=ruby, yen=yen)
    return pages


def render(request: web.Request, name: str, status: int = 200, **values: Any) -> web.Response:
    """Return a page."""
    html = request.app[PAGES].get_template(name).render(**values)
    return web.Response(text=html, content_type="text/html", status=status)


def ruby(text: str) -> Markup:
    """Return a text with the readings above their words."""
    marked = _READING.sub(r"<ruby>\1<rp>(</rp><rt>\2</rt><rp>)</rp></ruby>", str(escape(text)))
    return Markup(marked)  # noqa: S704  # escaped above


def yen(amount: int) -> str:
    """Return an amount with thousands set off."""
    return f"{amount:,}"
