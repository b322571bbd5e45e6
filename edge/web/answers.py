"""How the local page answers what was pressed: JSON for its script, its page for a bare form."""

from typing import Final

import msgspec
from aiohttp import web

from edge.board import Board
from programmes.texts import say

BOARD: Final = web.AppKey("board", Board)


def done(request: web.Request, back: str, result: object) -> web.Response:
    """Answer a script with JSON, a bare form by going back to its page."""
    if "application/json" in request.headers.get("Accept", ""):
        return web.Response(body=msgspec.json.encode(result), content_type="application/json")
    return web.Response(status=303, headers={"Location": back})


def both(message: str) -> dict[str, str]:
    """Return a sentence in both languages, as a script shows it."""
    return {"ja": say(message), "en": say(message, "en")}


def refuse(status: int, code: str, hint: str) -> web.Response:
    """Refuse with a sentence for whoever wrote what called."""
    return web.json_response({"error": code, "hint": hint}, status=status)


def sorry(status: int, code: str, message: str = "") -> web.Response:
    """Refuse with a sentence for people, in both languages; by default `page.` and the code."""
    said = both(message or f"page.{code}")
    hints = {"hint": said["ja"], "hint_en": said["en"]}
    return web.json_response({"error": code, **hints}, status=status)
