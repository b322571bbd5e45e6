"""A reader's local page, as people at the place see and touch it.

The sentences come as server-sent events (WHATWG HTML, 9.2), just as a browser gets them. The page
dies with its agent; then it is dialled again until it is there.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp

from hw.sim.report import Identity, Sighting
from hw.sim.timetable import Call
from wire.codes import Code, Outcome

REDIAL_S: Final = 0.2
ACT_S_MAX: Final = 3.0
"""For a button: the page answers at once, or it is not there."""
LINE_BYTES_MAX: Final = 64 * 1024


class Page:
    """Keeps watching one page from `watch` on. See hw.sim.town.Screen."""

    def __init__(self, reader: str, port: int) -> None:
        """`reader` is the full name; nothing is opened yet."""
        self.address: Final = f"http://127.0.0.1:{port}/"
        self.sightings: list[Sighting] = []
        self.sentence = ""
        self.waiting: int | None = None
        """Entries that the fleet has not acknowledged; None while the page is dark."""
        self._reader = reader
        self._ready = False
        self._changed = asyncio.Condition()

    @property
    def state(self) -> str:
        """A word: ready, not ready, dark."""
        if self.waiting is None:
            return "dark"
        return "ready" if self._ready else "not ready"

    async def watch(self) -> None:
        """Watch until cancelled."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=ACT_S_MAX)
        async with aiohttp.ClientSession(timeout=timeout, read_bufsize=LINE_BYTES_MAX) as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError, OSError, ValueError):
                    async with session.get(f"{self.address}events") as response:
                        response.raise_for_status()
                        async for name, data in _events(response.content):
                            await self._take(name, data)
                await self._take("dark", {})
                await asyncio.sleep(REDIAL_S)

    async def _take(self, name: str, data: dict[str, Any]) -> None:
        async with self._changed:
            if name == "shown":
                self.sentence = data["ja"]
                if data["n"]:
                    self.sightings.append(self._sighting(data))
            elif name == "condition":
                self._ready, self.waiting = data["ready"], data["waiting"]
            elif name == "dark":
                self._ready, self.waiting = False, None
            self._changed.notify_all()

    def _sighting(self, data: dict[str, Any]) -> Sighting:
        return Sighting(
            Identity(self._reader, data["journal"], data["n"]),
            Outcome(data["outcome"]),
            Code(data["code"]),
            stages_us=data["stages_us"],
        )

    async def next_sighting(self, seen: int, timeout_s: float) -> Sighting | None:
        """See hw.sim.town.Screen."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: len(self.sightings) > seen)
                return self.sightings[seen]
        return None

    async def until_ready(self, timeout_s: float) -> bool:
        """See hw.sim.town.Screen."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._changed:
                return await self._changed.wait_for(lambda: self._ready)
        return False

    async def press(self, button: str) -> None:
        """See hw.sim.town.Screen."""
        await self._post(f"press/{button}", {})

    async def stand_at(self, call: Call) -> None:
        """See hw.sim.town.Screen."""
        await self._post("vehicle", {"duty": call.duty, "stop": call.stop, "line": call.line})

    async def _post(self, path: str, fields: dict[str, str]) -> None:
        """Raises OSError when the page does not answer or refuses."""
        timeout = aiohttp.ClientTimeout(total=ACT_S_MAX)
        headers = {"Origin": self.address.rstrip("/"), "Accept": "application/json"}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
                session.post(f"{self.address}{path}", json=fields) as response,
            ):
                if response.status >= 400:
                    raise OSError(f"{path}: {response.status} {await response.text()}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OSError(f"{path}: {error}") from error


async def _events(lines: aiohttp.StreamReader) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the data of each event. Raises ValueError for data that is not JSON."""
    name, data = "message", ""
    async for line in lines:
        field, _, value = line.decode().rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data += value
        elif not line.strip():
            if data:
                yield name, json.loads(data)
            name, data = "message", ""
