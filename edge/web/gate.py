"""A school's gate: the clock, four directions, and the question that a forgotten leaving leaves.

Rules: a tap waits for nothing that is here · what is pressed names the tap that was on the screen,
so nobody says anything of somebody else's · a name is on the page alone, while
its holder's direction can be corrected, and only where the place shows names · every press is a
form and works without a script, which adds sound, haste and news.
"""

import re
from typing import Any, Final

from aiohttp import web

from edge.asks import NoAnswer
from edge.panel import (
    DECLARED_FOR_S,
    AnswerGiven,
    AtGate,
    Declared,
    GateAct,
    GateLeft,
    GateStays,
    NotDone,
    Redirected,
)
from edge.web.answers import BOARD, both, done, sorry
from edge.web.gate_times import MINUTE_MS, MINUTES, choices, hours
from edge.web.guard import same_origin
from edge.web.rendering import render
from programmes.calendar import local
from programmes.texts import LANGUAGES, say
from wire.entries import Heading

DIRECTIONS: Final[tuple[Heading, ...]] = ("in", "out", "away", "back")
NOON_H: Final = 12
"""Before it most people come, after it most people go: the guess while nobody stands there."""
STANDS_S: Final = 10
"""How long a result stands, as long as its direction can be corrected (edge.gate)."""
SAID: Final[dict[NotDone, str]] = {"changed": "gate.changed", "not-kept": "refused.journal-full"}
_REF: Final = r"/gate/{journal:[0-9a-f]{32}}/{n:[1-9][0-9]{0,14}}"
_MS: Final = re.compile(r"[0-9]{1,14}\Z", re.ASCII)

gate_routes = web.RouteTableDef()


def values(request: web.Request) -> dict[str, Any]:
    """Return what the part of the page shows that follows the person."""
    board = request.app[BOARD]
    person = board.gate.person
    asked = person.question
    return {
        "person": person,
        "directions": DIRECTIONS,
        "guess": "in" if local(board.now_ms()).hour < NOON_H else "out",
        "choices": choices(asked) if asked else [],
        "hours": hours(asked) if asked else [],
        "minutes": MINUTES,
        "told": {language: line(person, language) for language in LANGUAGES},
        "declared_for_s": DECLARED_FOR_S,
        "stands_s": STANDS_S,
    }


def line(person: AtGate, language: Any) -> str:
    """Return the line under the sentence: the question, or that a wrong direction can be put right.

    Empty while nobody stands there.
    """
    if asked := person.question:
        weekday = say(f"gate.weekday-{asked.day.weekday()}", language)
        told: dict[str, str | int] = {
            "weekday": weekday,
            "month": asked.day.month,
            "date": asked.day.day,
        }
        return say(f"gate.ask-{asked.missing}", language, **told)
    if person.heading:
        return say("gate.correct", language, time=f"{local(person.at_ms):%H:%M}")
    return ""


@gate_routes.get("/gate")
async def part(request: web.Request) -> web.StreamResponse:
    """The part of the page that follows the person, for its script."""
    return render(request, "_gate.html", **values(request))


@gate_routes.post("/declare/{direction:in|out|away|back}")
async def declare(request: web.Request) -> web.StreamResponse:
    """Choose the direction of the next tap."""
    same_origin(request)
    direction: Any = request.match_info["direction"]
    if not request.app[BOARD].say(Declared(direction=direction)):
        return sorry(503, "no-answer")
    result = {"direction": direction, "for_s": DECLARED_FOR_S} | both(f"gate.chosen-{direction}")
    return done(request, "/", result)


@gate_routes.post(_REF + "/{direction:in|out|away|back}")
async def redirect(request: web.Request) -> web.StreamResponse:
    """Give the tap on the screen another direction; answers when that is on the disk."""
    same_origin(request)
    journal, n = _ref(request)
    direction: Any = request.match_info["direction"]
    return await _act(request, Redirected(0, journal, n, direction))


@gate_routes.post(_REF + "/answer")
async def answer(request: web.Request) -> web.StreamResponse:
    """Answer the question on the screen; answers when that is on the disk.

    A form of `at`, or of `hour` and `minute`; of none: he does not know.
    """
    same_origin(request)
    journal, n = _ref(request)
    form = await request.post()
    at, hour = (_number(form.get(name)) for name in ("at", "hour"))
    if hour is not None:
        at = hour + (_number(form.get("minute")) or 0) * MINUTE_MS
    if at is None and "unknown" not in form:
        return sorry(422, "no-time", "gate.no-time")
    return await _act(request, AnswerGiven(0, journal, n, at))


@gate_routes.post(_REF + "/stay")
async def stay(request: web.Request) -> web.StreamResponse:
    """Somebody is about to answer: the question waits."""
    same_origin(request)
    return _said(request, GateStays(*_ref(request)))


@gate_routes.post("/gate/left")
async def left(request: web.Request) -> web.StreamResponse:
    """Nobody stands there any more: «あとで», or the next person."""
    same_origin(request)
    return _said(request, GateLeft())


def _said(request: web.Request, word: GateStays | GateLeft) -> web.StreamResponse:
    if not request.app[BOARD].say(word):
        return sorry(503, "no-answer")
    return done(request, "/", {"ja": "", "en": ""})


async def _act(request: web.Request, act: GateAct) -> web.StreamResponse:
    try:
        refused = await request.app[BOARD].gate.act(act)
    except NoAnswer:
        return sorry(503, "no-answer", "gate.no-answer")
    if refused:
        return sorry(409 if refused == "changed" else 503, refused, SAID[refused])
    return done(request, "/", both("gate.written"))


def _ref(request: web.Request) -> tuple[str, int]:
    return request.match_info["journal"], int(request.match_info["n"])


def _number(typed: Any) -> int | None:
    return int(typed) if isinstance(typed, str) and _MS.match(typed) else None
