"""The live picture of a town: drawn over itself on a terminal, else a line now and then."""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from rich.console import Console
from rich.live import Live

from hw.sim import summary
from hw.sim.site import Site
from hw.sim.summary import Picture, ReaderLine
from hw.sim.town import Gate, Town
from hw.sim.warp import TownClock
from wire.codes import Outcome

PICTURE_S: Final = 0.5
"""Twice a second a person can follow; drawing takes some 5 ms."""
LINE_S: Final = 10.0
"""Between two lines when the output is no terminal."""


@contextlib.asynccontextmanager
async def shown(out: Console, town: Town, site: Site, clock: TownClock) -> AsyncIterator[None]:
    """Show the picture while the block runs."""
    task = asyncio.create_task(_show(out, town, site, clock))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _show(out: Console, town: Town, site: Site, clock: TownClock) -> None:
    if not out.is_terminal:
        while True:
            await asyncio.sleep(LINE_S)
            out.print(summary.head(await _picture(town, site, clock)), markup=False)
    with Live(console=out, auto_refresh=False) as live:
        while True:
            live.update(summary.live(await _picture(town, site, clock)), refresh=True)
            await asyncio.sleep(PICTURE_S)


async def _picture(town: Town, site: Site, clock: TownClock) -> Picture:
    return Picture(
        at_ms=clock.now_ms(),
        people=sum(gate.people for gate in town.gates.values()),
        still_to_come=town.still_to_come,
        in_ledger=await asyncio.to_thread(site.entries_in_ledger),
        readers=[_line(place, gate, site) for place, gate in town.gates.items()],
        events=site.events,
    )


def _line(place: str, gate: Gate, site: Site) -> ReaderLine:
    page = site.pages[place]
    outcomes = collections.Counter(sighting.outcome for sighting in page.sightings)
    return ReaderLine(
        place=place,
        state="cut" if site.networks[place].silent else page.state,
        people=gate.people,
        queue=gate.queue,
        accepted=outcomes[Outcome.ACCEPTED],
        refused=outcomes[Outcome.REFUSED],
        repeats=outcomes[Outcome.REPEAT],
        waiting=page.waiting,
        sentence=page.sentence,
    )
