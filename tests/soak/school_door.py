"""One gate of a school, and whoever stands before it: presses, holds a card, reads, corrects.

What somebody was told is kept as `Met`. The reader is real, but for its antenna and its network.
"""

import asyncio
import random
import re
import time
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import aiohttp

from hw.sim.cards import APDU_MS
from hw.sim.network import Network
from hw.sim.page import Page
from programmes.rulebook import Direction
from tests.edge.reader_kit import lift, my_number_card
from tests.soak.agent import Ref
from tests.soak.school_people import Size, Visit
from tests.whole.kit import Agent
from wire.clock import SystemClock
from wire.codes import Code, Outcome

PATIENCE_S: Final = 60.0
"""A deadline for what takes half a second, on a machine with much other work."""
READING_S, LYING_S, AGAIN_S = 0.12, 1.2, 0.8
"""From the sentence to the card's leaving, also of one that is left too long; to the same card,
when the reader asks for it again."""
TRIES_MAX: Final = 8
OFFERED: Final = re.compile(r'name="at" value="([0-9]+)"')
Kind = Literal["there", "cut", "came back", "went"]
"""How the network was while a card was held; the last two: it changed meanwhile."""


class Said(NamedTuple):
    """One sentence on the screen, of an entry."""

    ref: Ref
    at_ms: int
    outcome: Outcome
    code: Code
    message: str


class Met(NamedTuple):
    """Somebody was there, and what he was told of his card."""

    person: int
    gate: int
    said: Said
    from_ms: int
    to_ms: int
    """Between these moments, by his own clock, he was told."""
    waited_s: float
    """From the card in the field to the sentence on the screen."""
    network: Kind
    before: Direction = ""
    after: Direction = ""
    """Of which the screen said that it was kept."""
    replied: Said | None = None
    claimed_ms: int | None = None


class Screen(Page):
    """A gate's page, as whoever stands before it sees and touches it."""

    def __init__(self, reader: str, port: int) -> None:
        super().__init__(reader, port)
        self.said: list[Said] = []
        self.stands = 0

    async def _take(self, name: str, data: dict[str, Any]) -> None:
        if name == "shown" and data["n"]:
            ref, told = (data["journal"], data["n"]), (Outcome(data["outcome"]), Code(data["code"]))
            self.said.append(Said(ref, data["at_ms"], *told, data["message"]))
        elif name == "gate":
            self.stands = data["n"]
        await super()._take(name, data)

    async def next_said(self, seen: int) -> Said:
        """Wait for the sentence after the first `seen`. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: len(self.said) > seen)
            return self.said[seen]

    async def until_told(self) -> None:
        """Wait until the fleet has all that was written. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: self.waiting == 0)

    async def touch(self, path: str, **form: str) -> int:
        """Press a button; return the status of the answer."""
        headers = {"Origin": self.address.rstrip("/"), "Accept": "application/json"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{self.address}{path}", data=form) as response,
        ):
            return response.status

    async def part(self) -> str:
        """Return the part of the page that follows the person."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.address}gate") as response,
        ):
            return await response.text()


@dataclass
class School:
    """One gate with all that is there."""

    number: int
    agent: Agent
    network: Network
    screen: Screen
    met: list[Met] = field(default_factory=list)
    again: int = 0
    """Cards that the reader asked to be held again."""
    late: int = 0
    """Corrections that came too late, as the screen said."""
    served: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody has held a card and had his answer in this cut of the network."""

    async def meet(self, visit: Visit) -> None:
        """Let somebody come, when it is his turn."""
        async with self.agent.antenna.turn:
            if visit.before:
                await self._press_before(visit.before)
            met = await self._hold(visit)
            if visit.after:
                met = await self._correct(met, visit.after)
            elif visit.reply and visit.reply != "later":
                met = await self._reply(met, visit.reply)
            self.met.append(met)

    async def _press_before(self, direction: Direction) -> None:
        if self.screen.stands:
            assert await self.screen.touch("gate/left") == 200
        assert await self.screen.touch(f"declare/{direction}") == 200

    async def _hold(self, visit: Visit) -> Met:
        for _ in range(TRIES_MAX):
            met = await self._hold_once(visit)
            if met.said.code is not Code.HOLD_AGAIN:
                return met
            self.again += 1
            await asyncio.sleep(AGAIN_S)
        raise AssertionError(f"{visit} was not read")

    async def _hold_once(self, visit: Visit) -> Met:
        antenna, seen = self.agent.antenna, len(self.screen.said)
        cut = self.network.cuts if self.network.silent else 0
        from_ms, began_s = SystemClock().now_ms(), time.monotonic()
        antenna.place(my_number_card(visit.person + 1, apdu_ms=APDU_MS))
        try:
            said = await self.screen.next_said(seen)
            waited_s, to_ms = time.monotonic() - began_s, SystemClock().now_ms()
            network = self._network(cut)
            await asyncio.sleep(LYING_S if visit.lies else READING_S)
        finally:
            antenna.remove()
        await asyncio.to_thread(lift, antenna)
        assert len(self.screen.said) == seen + 1, f"{visit} was answered twice"
        if network == "cut":
            self.served.set()
        person = (visit.person, self.number)
        return Met(*person, said, from_ms, to_ms, waited_s, network, visit.before)

    def _network(self, cut: int) -> Kind:
        """Return how the network was while a card was held; `cut`: its number then, or 0."""
        if cut:
            return "cut" if self.network.silent and self.network.cuts == cut else "came back"
        return "went" if self.network.silent else "there"

    async def _correct(self, met: Met, direction: Direction) -> Met:
        seen, (journal, n) = len(self.screen.said), met.said.ref
        status = await self.screen.touch(f"gate/{journal}/{n}/{direction}")
        if status == 409:
            self.late += 1
            return met
        assert status == 200, status
        return met._replace(after=direction, replied=await self.screen.next_said(seen))

    async def _reply(self, met: Met, reply: str) -> Met:
        seen, (journal, n) = len(self.screen.said), met.said.ref
        offered = OFFERED.findall(await self.screen.part())
        form = {"at": offered[0]} if reply == "time" and offered else {"unknown": "1"}
        status = await self.screen.touch(f"gate/{journal}/{n}/answer", **form)
        if status == 409:
            self.late += 1
            return met
        assert status == 200, status
        claimed_ms = int(form["at"]) if "at" in form else None
        return met._replace(replied=await self.screen.next_said(seen), claimed_ms=claimed_ms)

    async def flap(self, size: Size, rng: random.Random) -> None:
        """Let the network come and go until cancelled; somebody is served in each cut."""
        while True:
            await asyncio.sleep(rng.uniform(*size.up_s))
            self.served.clear()
            cut = asyncio.create_task(self.network.cut_for(PATIENCE_S * 60))
            try:
                await asyncio.sleep(rng.uniform(*size.cut_s))
                await self.served.wait()
            finally:
                cut.cancel()
                self.network.mend()
