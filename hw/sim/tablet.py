"""A driver's tablet, as a driver sees and touches it: the forms of the reader's own page.

The reader takes the driver's number, the meter's fare and a press on «完了» by plain forms, just as
from a browser without a script.
"""

import re
from typing import Final

import aiohttp

ACT_S_MAX: Final = 5.0
"""For one form: the reader answers when its card half has kept what was asked."""
PIN: Final = "2580"
"""The staff's number of this town's taxis; the first who types one sets it."""
Fields = dict[str, str | list[str]]
"""Of a form."""
_RIDER: Final = re.compile(r'name="rider" value="([0-9a-f]{32}:[0-9]+)"')


class Tablet:
    """One taxi's driver's screen."""

    def __init__(self, address: str) -> None:
        """`address` is the reader's own page, ending in a slash; nothing is opened yet."""
        self.address: Final = f"{address}tablet"
        self._origin = address.rstrip("/")

    async def begin_shift(self, driver: str) -> None:
        """Type the driver's number. Raises OSError when the page does not answer or refuses."""
        await self._send("/shift", {"driver": driver})

    async def riders(self) -> list[str]:
        """Return who is on the list, as the forms name them. Raises OSError."""
        return _RIDER.findall(await self._send("", None))

    async def take_off(self, rider: str) -> None:
        """Take a rider off the list. Raises OSError."""
        await self._send("/off", {"off": rider})

    async def settle(self, riders: list[str], fare_yen: int) -> None:
        """Type the fare, look at what it comes to, and finish the ride. Raises OSError."""
        typed: Fields = {"rider": riders, "fare": str(fare_yen)}
        await self._send("/fare", typed)
        await self._send("/done", typed)

    async def go_on(self) -> None:
        """Take what was settled off the screen. Raises OSError."""
        await self._send("/next", {})

    async def take_back(self, ride: str, why: str) -> None:
        """Take a settled ride back, behind the staff's number. Raises OSError."""
        await self._send("/pin", {"pin": PIN, "to": "/tablet/list"})
        await self._send("/cancel", {"ride": ride, "why": why})
        await self._send("/lock", {})

    async def _send(self, path: str, fields: Fields | None) -> str:
        """Send a form, or look at the page when there are no `fields`; return what it shows."""
        timeout = aiohttp.ClientTimeout(total=ACT_S_MAX)
        data = [
            (name, one)
            for name, values in (fields or {}).items()
            for one in ([values] if isinstance(values, str) else values)
        ]
        method = "GET" if fields is None else "POST"
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers={"Origin": self._origin}) as session,
                session.request(
                    method, self.address + path, data=aiohttp.FormData(data)
                ) as response,
            ):
                page = await response.text()
                if response.status >= 400:
                    raise OSError(f"{path}: {response.status}")
                return page
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OSError(f"{path}: {error}") from error
