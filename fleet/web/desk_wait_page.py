"""The waiting part of a page: a card is held at the desk's reader while the form stays as it is.

Any form of the office can hold it (`_desk_wait.html`): the form carries the wait's id in `wait`,
and who handles the form takes the cards with `fleet.desk_wait.take`. With a script the part looks
after itself; without one its buttons send the form to its own page, which asks `handle` first.
Which desk a browser stands at is remembered in a cookie, so that it is chosen once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from fleet import desk_wait
from fleet.desk_wait import Desk, DeskBusy, DeskRefused, State, Wait
from fleet.web.data import FLEET, PERSONS, change, read, reading
from fleet.web.forms import Form, read_form
from fleet.web.headers import CHOSEN_DESK, DESK_COOKIE
from fleet.web.live import stream
from fleet.web.pages import CLOCK, render
from fleet.web.reach import require
from fleet.web.session import account_of
from fleet.web.words import language_of
from wire.clock import patience_ms
from wire.topics import parse_name

WAIT: Final = 32
"""Characters of a wait's id."""
FIELDS: Final = {"wait": WAIT, "desk": 10, "desk_reader": 64}
"""What a form that holds the part has beside its own fields (fleet.web.forms.read_form)."""
_OWN: Final = FIELDS | {"desk_programme": 32, "desk_purpose": 32, "desk_submit": 3}
routes = web.RouteTableDef()


@dataclass
class DeskPart:
    """What the template shows of a wait, and what the form it stands in is to know."""

    programme: str
    purpose: str
    submits: bool
    """The form is sent by itself as soon as a card was read."""
    desks: Sequence[tuple[Desk, str]]
    """Each with its name in the page's language."""
    chosen: str
    """The reader that is proposed."""
    wait: Wait | None = None
    is_fresh: bool = False
    """What just came in while the page was open: a page that is loaded again sends nothing."""
    pressed: bool = False
    """One of the part's own buttons was pressed: the page is shown again, nothing else is done."""
    refused: str = ""
    """Why it did not begin, as a message id; its arguments beside it."""
    arguments: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name of the reader that is waited at, or would be."""
        at = self.wait.reader if self.wait else self.chosen
        return next((label for desk, label in self.desks if desk.reader == at), at)

    @property
    def is_read(self) -> bool:
        """A card was read, and the form may be sent."""
        return self.wait is not None and self.wait.state is State.ANSWERED


async def handle(
    request: web.Request,
    programme: str,
    purpose: str,
    form: Form,
    *,
    submits: bool = False,
    at_once: bool = False,
) -> DeskPart:
    """Do what the part's own buttons ask, and return the part to be shown.

    `form` was read with FIELDS among its own, for a programme in the clerk's reach; its `wait` is
    the id from now on. `at_once` begins to wait where no desk has to be chosen; for a POST alone.
    """
    part = await _part(request, programme, purpose, form["desk_reader"], submits=submits)
    pressed = form["desk"]
    form.values["desk"] = ""
    part.pressed = bool(pressed)
    if pressed == "cancel":
        await _cancel(request, form["wait"])
    if form["wait"] and pressed != "begin":
        await _look(request, part, form["wait"])
    elif pressed == "begin" or (at_once and _is_ready(part)):
        await _begin(request, part)
    form.values["wait"] = part.wait.id if part.wait else ""
    return part


def _is_ready(part: DeskPart) -> bool:
    return any(one.reader == part.chosen and one.online and one.hears for one, _ in part.desks)


async def _part(
    request: web.Request, programme: str, purpose: str, wish: str, *, submits: bool
) -> DeskPart:
    desks = await read(request.app[FLEET], desk_wait.desks, programme)
    english = language_of(request) == "en"
    named = [(one, one.label_en if english else one.label_ja) for one in desks]
    readers = [one.reader for one in desks]
    known = [one for one in (wish, request.cookies.get(DESK_COOKIE)) if one in readers]
    chosen = known[0] if known else readers[0] if len(readers) == 1 else ""
    return DeskPart(programme, purpose, submits, named, chosen or "")


async def _begin(request: web.Request, part: DeskPart) -> None:
    """Begin to wait, or say why not."""
    desk = next((one for one, _ in part.desks if one.reader == part.chosen), None)
    if desk is None:
        part.refused = "choose"
        return
    request[CHOSEN_DESK] = desk.reader
    if not desk.online or not desk.hears:
        part.refused = "old" if desk.online else "offline"
        return
    who, clock = account_of(request).name, request.app[CLOCK]
    times = patience_ms(clock), clock.now_ms()
    what = (desk.reader, part.programme, part.purpose, who, *times)
    try:
        wait_id = await change(request.app[PERSONS], desk_wait.begin, *what)
    except DeskBusy as busy:
        part.refused, part.arguments = "busy", {"who": busy.who}
        if busy.who.startswith(desk_wait.SIGN_IN):
            part.refused, part.arguments = "signs-in", {}
        return
    await _look(request, part, wait_id)


async def _look(request: web.Request, part: DeskPart, wait_id: str) -> None:
    who, at_ms = account_of(request).name, patience_ms(request.app[CLOCK])
    try:
        found = await read(request.app[PERSONS], desk_wait.look, wait_id, who, at_ms)
    except DeskRefused:
        part.refused = "gone"
        return
    if found.programme == part.programme:
        part.wait = found
    else:
        part.refused = "gone"


async def _cancel(request: web.Request, wait_id: str) -> None:
    await change(request.app[PERSONS], desk_wait.cancel, wait_id, account_of(request).name)


# --- with a script: the part alone ---------------------------------------------------------------


@routes.post("/desk/begin")
@routes.post("/desk/cancel")
async def press(request: web.Request) -> web.Response:
    """Begin, begin again or stop, from within any form."""
    form = await read_form(request, _OWN)
    programme = require(request, form["desk_programme"])
    form.values["desk"] = request.path.rpartition("/")[2]
    submits = form["desk_submit"] == "yes"
    try:
        purpose = parse_name(form["desk_purpose"] or "look-up")
    except ValueError:  # no page of ours: it would stand in the audit, and no reader would take it
        raise web.HTTPBadRequest from None
    part = await handle(request, programme, purpose, form, submits=submits)
    return await render(request, "_desk_part.html", desk=part)


async def _own(request: web.Request) -> tuple[DeskPart, Wait]:
    """Return a wait of this account and how it is shown. Raises HTTPNotFound."""
    who, at_ms = account_of(request).name, patience_ms(request.app[CLOCK])
    store, wait_id = request.app[PERSONS], request.match_info["wait"]
    try:
        wait = await read(store, desk_wait.look, wait_id, who, at_ms)
    except DeskRefused:
        raise web.HTTPNotFound from None
    programme = require(request, wait.programme)
    submits = request.query.get("submit") == "yes"
    part = await _part(request, programme, wait.purpose, wait.reader, submits=submits)
    part.wait = wait
    return part, wait


@routes.get(r"/desk/{wait:[0-9a-f]{32}}")
async def show(request: web.Request) -> web.Response:
    """The part as it is now; when nobody waits any more it takes the place of the live one."""
    part, wait = await _own(request)
    if wait.state is State.WAITING:
        return await render(request, "_desk_now.html", desk=part)
    part.is_fresh = True
    response = await render(request, "_desk_part.html", desk=part)
    response.headers["HX-Retarget"], response.headers["HX-Reswap"] = "#desk-wait", "outerHTML"
    return response


@routes.get(r"/desk/{wait:[0-9a-f]{32}}/live")
async def live(request: web.Request) -> web.StreamResponse:
    """Say when the wait stands otherwise, by the second."""
    _, wait = await _own(request)
    clock, who = request.app[CLOCK], account_of(request).name
    look = reading(request.app[PERSONS], desk_wait.look)

    def stands() -> object:
        try:
            now = look(wait.id, who, patience_ms(clock))
        except DeskRefused:
            return None
        return now.state, now.outcome

    return await stream(request, f"desk {wait.id}", stands)
