"""The driver's screen of a taxi: who is aboard, the meter's fare, who pays what, done.

Rules: every step is a form and works without a script, which adds haste, sound and news · nothing
is settled before «完了», and «もどる» leads back until then · what was settled stands until the
next tap or press · what is refused says what to do, and keeps what was typed.
"""

import unicodedata
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import MultiDictProxy

from edge.asks import NoAnswer
from edge.panel import FareAnswer, NotDone, RiderRef, TakeOff, TurnShift
from edge.web.cab import CAB, OWN_SCREEN, Cab, device
from edge.web.guard import same_origin
from edge.web.rendering import render
from wire.individual_number import IndividualNumberRefused, refuse_individual_number
from wire.limits import RIDERS_MAX

FARE_DIGITS_MAX: Final = 5
"""99,999 yen: a taxi across three prefectures; one digit more is a slip of the finger."""
TYPED_MAX: Final = 12
"""Characters that are looked at in a fare's field."""
DRIVER_MAX: Final = 12
"""Characters of a driver's number, as companies write it on the name plate."""
HOME: Final = "/tablet"
SAID: Final[dict[NotDone, str]] = {
    "changed": "tablet.changed",
    "not-ready": "tablet.not-ready",
    "not-kept": "refused.journal-full",
}
"""Why something was not done, by the message that says what to do."""

Form = MultiDictProxy[Any]

tablet_routes = web.RouteTableDef()


def show(request: web.Request, name: str, stage: str, **values: Any) -> web.Response:
    """Return one of the driver's pages; `stage` is what a script goes by."""
    cab = request.app[CAB]
    common: dict[str, Any] = {
        "said": "",
        "fare": "",
        "discount": "",
        "aboard": cab.board.drives.aboard,
        "state": cab.board.state(),
        "own_screen": device(request) == OWN_SCREEN,
        "stage": stage,
        "fare_digits_max": FARE_DIGITS_MAX,
    }
    return render(request, f"tablet_{name}.html", **common | values)


def stage_of(cab: Cab) -> str:
    """Return what the driver has before him now."""
    drives = cab.board.drives
    if drives.aboard is None:
        return "closed"
    if drives.settled:
        return "result"
    if not drives.aboard.driver:
        return "shift"
    return "ride" if drives.aboard.riders else "waiting"


@web.middleware
async def say_unsaved(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say so when what was to be kept beside the journal could not be."""
    try:
        return await handler(request)
    except ConnectionError:
        raise
    except OSError:
        if CAB not in request.app:
            raise
        return show(request, "unsaved", "unsaved", said="tablet.unsaved")


def now(request: web.Request, **values: Any) -> web.Response:
    """Return the page of the present stage."""
    cab = request.app[CAB]
    stage = stage_of(cab)
    if stage == "result":
        values["answer"] = cab.board.drives.settled
    return show(request, stage, stage, **values)


@tablet_routes.get(HOME)
async def home(request: web.Request) -> web.Response:
    """The present stage; `fare` and `discount` are what was typed before.

    `changed`: who is aboard is not any more whom the driver was told the amounts for.
    """
    typed = digits(request.query.get("fare", ""))
    said = SAID["changed"] if "changed" in request.query else ""
    return now(request, fare=typed, discount=_discount(request, request.query), said=said)


@tablet_routes.post("/tablet/key")
async def key(request: web.Request) -> web.Response:
    """A key of the pad, where no script puts the digit in."""
    same_origin(request)
    form = await request.post()
    typed, pressed = digits(text_of(form, "fare")), text_of(form, "key")
    longer = "" if pressed == "clear" else digits(typed + pressed)
    typed = longer if len(longer) <= FARE_DIGITS_MAX else typed
    return now(request, fare=typed, discount=_discount(request, form))


@tablet_routes.post("/tablet/fare")
async def fare(request: web.Request) -> web.StreamResponse:
    """Say what a fare comes to; nothing is kept."""
    return await _settle(request, keep=False)


@tablet_routes.post("/tablet/done")
async def done(request: web.Request) -> web.StreamResponse:
    """Settle the ride."""
    return await _settle(request, keep=True)


@tablet_routes.post("/tablet/off")
async def take_off(request: web.Request) -> web.StreamResponse:
    """Take one rider off the list."""
    same_origin(request)
    form = await request.post()
    rider = read_ref(text_of(form, "off"))
    typed = {"fare": digits(text_of(form, "fare")), "discount": _discount(request, form)}
    said = await act(request, TakeOff(0, rider.journal, rider.n))
    return now(request, said=said, **typed)


@tablet_routes.post("/tablet/next")
async def go_on(request: web.Request) -> web.StreamResponse:
    """Take what was settled off the screen."""
    same_origin(request)
    request.app[CAB].board.drives.go_on()
    return _home()


@tablet_routes.post("/tablet/shift")
async def begin_shift(request: web.Request) -> web.StreamResponse:
    """A driver begins."""
    same_origin(request)
    typed = unicodedata.normalize("NFKC", text_of(await request.post(), "driver")).strip()
    try:
        refuse_individual_number("driver", typed)
    except IndividualNumberRefused as error:
        return now(request, said=error.message_id)
    if not (0 < len(typed) <= DRIVER_MAX and typed.isprintable()):
        return now(request, said="tablet.driver-refused")
    said = await act(request, TurnShift(0, True, typed))
    return now(request, said=said) if said else _home()


@tablet_routes.get("/tablet/end")
async def ask_end(request: web.Request) -> web.Response:
    """Make sure that the shift is to end."""
    return show(request, "end", "end")


@tablet_routes.post("/tablet/end")
async def end_shift(request: web.Request) -> web.StreamResponse:
    """The driver has finished."""
    same_origin(request)
    cab = request.app[CAB]
    aboard = cab.board.drives.aboard
    said = ""
    if aboard and aboard.driver:
        said = await act(request, TurnShift(0, False, aboard.driver))
        cab.pin.close(device(request))
    return show(request, "end", "end", said=said) if said else _home()


async def act(request: web.Request, asked: Any) -> str:
    """Have the card half do something; return the message that says why not, empty when done."""
    try:
        return SAID.get(await request.app[CAB].board.drives.act(asked), "")
    except NoAnswer:
        return "tablet.no-answer"


def digits(typed: str) -> str:
    """Return the digits that somebody typed, full-width or not, without zeros before them."""
    plain = unicodedata.normalize("NFKC", typed[:TYPED_MAX])
    return "".join(one for one in plain if one in "0123456789").lstrip("0")


def read_ref(text: str) -> RiderRef:
    """Return which entry a form names, as `journal:number`. Raises HTTPBadRequest."""
    journal, _, number = text.partition(":")
    if len(journal) != 32 or not number.isascii() or not number.isdigit() or len(number) > 15:
        raise web.HTTPBadRequest
    return RiderRef(journal, int(number))


async def _settle(request: web.Request, *, keep: bool) -> web.StreamResponse:
    same_origin(request)
    form, drives = await request.post(), request.app[CAB].board.drives
    typed, discount = digits(text_of(form, "fare")), _discount(request, form)
    if not 0 < len(typed) <= FARE_DIGITS_MAX:
        said = "tablet.fare-too-high" if typed else "tablet.no-fare"
        return now(request, said=said, fare=typed, discount=discount)
    riders = [read_ref(str(one)) for one in form.getall("rider", [])[:RIDERS_MAX]]
    try:
        answer = await drives.fare(riders, int(typed), discount, keep=keep)
    except NoAnswer:
        return now(request, said="tablet.no-answer", fare=typed, discount=discount)
    if answer.refused:
        said = "" if drives.settled else SAID[answer.refused]
        return now(request, said=said, fare=typed, discount=discount)
    if keep:
        return _home()
    return _quote(request, answer, riders, typed, discount)


def _quote(
    request: web.Request, answer: FareAnswer, riders: list[RiderRef], fare: str, discount: str
) -> web.Response:
    named = [f"{one.journal}:{one.n}" for one in riders]
    return show(
        request, "quote", "quote", answer=answer, riders=named, fare=fare, discount=discount
    )


def _home() -> web.Response:
    return web.Response(status=303, headers={"Location": HOME})


def text_of(form: Any, name: str) -> str:
    """Return one field of a form; empty when it is not there, or is a file."""
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def _discount(request: web.Request, form: Any) -> str:
    """Return the discount that was chosen, if there is such a one."""
    aboard = request.app[CAB].board.drives.aboard
    chosen = text_of(form, "discount")
    return chosen if aboard and chosen in aboard.discounts else ""
