"""入口: a school's gates, how each does, and whether it shows the name of who stands there.

Rules: whoever may change something of the school chooses for its own gates; the choice holds at
once, and names that are to be hidden are served to no reader from then on. The office seals what
gates show (`fleet.gate_names`); here is the task that does it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import sqlalchemy as sa
import structlog
from aiohttp import web

from fleet import gate_names, work_gates
from fleet.gate_names import NameSealer
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.forms import read_form
from fleet.web.pages import CLOCK, render
from fleet.web.school_page import PATH as SCHOOL_PATH
from fleet.web.school_reach import school_of, school_to_write
from fleet.web.second_factor import SEALER
from fleet.web.session import Flash, account_of, flash
from fleet.web.triage_page import place_labels
from fleet.work_gates import Gate

PATH: Final = f"{SCHOOL_PATH}/gates"
SEAL_EVERY_S: Final = 5.0
"""How soon a name is where it is to be shown, or gone; a hundred gates are looked at in 0.1 s."""
PLACE_MAX: Final = 32
log: Final = structlog.get_logger("fleet.office")
routes = web.RouteTableDef()


def _ask(fleet: sa.Connection, school: str) -> tuple[list[Gate], frozenset[str]]:
    return work_gates.of_school(fleet, school), gate_names.places_shown(fleet)


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """A school's gates."""
    school = await school_of(request)
    gates, shown = await read(request.app[FLEET], _ask, school.organisation)
    return await render(
        request,
        "school_gates.html",
        section=PATH,
        school=school,
        gates=gates,
        shown=shown,
        places=await place_labels(request),
    )


@routes.post(f"{PATH}/names")
async def choose(request: web.Request) -> web.Response:
    """Let a gate of this school show names, or hide them."""
    school = await school_to_write(request)
    form = await read_form(request, {"place": PLACE_MAX, "shown": 3})
    gates = await read(request.app[FLEET], work_gates.of_school, school.organisation)
    if form["place"] not in {one.place for one in gates} or form["shown"] not in ("yes", "no"):
        raise web.HTTPNotFound
    shown = form["shown"] == "yes"
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    at = form["place"]
    await change(request.app[FLEET], gate_names.choose, at, shown=shown, who=who, at_ms=now_ms)
    await flash(request, Flash("ok", f"web.school.gates.done.{form['shown']}"))
    raise web.HTTPSeeOther(f"{PATH}?school={school.code}")


async def keep_sealed(app: web.Application) -> AsyncIterator[None]:
    """Seal names for as long as the office lives (a cleanup context)."""
    sealer = NameSealer(app[FLEET], app[PERSONS], app[SEALER])
    task = asyncio.create_task(_seal(sealer, app))
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _seal(sealer: NameSealer, app: web.Application) -> None:
    while True:
        try:
            for name in await asyncio.to_thread(sealer.seal_due, app[CLOCK].now_ms()):
                log.info("names sealed", reader=name)
        except Exception:
            # nobody waits for this task, and without it no name is ever taken away
            log.exception("names not sealed, will try again")
        await asyncio.sleep(SEAL_EVERY_S)
