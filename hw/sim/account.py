"""The account of a demo: wait until the readers have delivered everything, then compare the books.

The books are what the product's own commands print: `kazasu-edge journal --json` of each reader
and `kazasu-fleet ledger export`; beside them, the gaps that the fleet says are open.
"""

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Final

from hw.sim.latency import Latency, latencies
from hw.sim.papers import GATES, REPEAT_WINDOW_S
from hw.sim.people import TAXIS
from hw.sim.report import Findings, Seen, Sighting, judge
from hw.sim.site import Site
from hw.sim.town import Town

DRAIN_S_MAX: Final = 60.0
"""How long the readers may take to deliver what waits: an uplink that was cut tries again after at
most 30 s, and a backlog of thousands goes in a few seconds."""
DRAIN_POLL_S: Final = 1.0


@dataclass(frozen=True)
class Account:
    """What a demo came to. The books balance when there are no `faults`."""

    seen: Seen
    found: Findings
    latencies: list[Latency]
    faults: list[str]


async def give_account(site: Site, town: Town) -> Account:
    """Mend every network, wait for what is on its way, and compare. Raises CommandFailed."""
    site.mend_networks()
    deadline_s = time.monotonic() + DRAIN_S_MAX
    while True:
        waiting = {place: page.waiting for place, page in site.pages.items()}
        late = time.monotonic() > deadline_s
        if late or not any(value is None or value for value in waiting.values()):
            account = await _compare(site, town)
            if late or not account.found.lost:
                break
        await asyncio.sleep(DRAIN_POLL_S)
    undelivered = [f"{place} {value}" for place, value in waiting.items() if value]
    if late and undelivered:
        said = f"entries still wait on readers after {DRAIN_S_MAX:.0f} s: {', '.join(undelivered)}"
        account = replace(account, faults=[*account.faults, said])
    return account


async def _compare(site: Site, town: Town) -> Account:
    journals = await site.journals()  # first: what the ledger has must be in them
    ledger = await site.ledger()
    sightings = [sighting for gate in town.gates.values() for sighting in gate.sightings()]
    asked = await site.open_gaps(), await site.owed_yen()
    found = judge(journals, ledger, sightings, REPEAT_WINDOW_S, *asked)
    return Account(_seen(site, town, sightings), found, latencies(sightings), found.faults())


def _seen(site: Site, town: Town, sightings: list[Sighting]) -> Seen:
    tallies = [gate.tally for gate in town.gates.values()]
    queuing = sum(gate.queue for gate in town.gates.values())
    late = [f"{queuing} people still queued at the end and went home"] if queuing else []
    return Seen(
        people=sum(town.gates[place].people for place in GATES),
        riders=sum(town.gates[place].people for place in TAXIS),
        presentations=sum(tally.presentations for tally in tallies),
        sightings=sightings,
        without_answer=sum(tally.without_answer for tally in tallies),
        unexpected=[sentence for tally in tallies for sentence in tally.unexpected],
        events=[*site.events, *late],
    )
