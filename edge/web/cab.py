"""What the driver's pages share, on the reader's own screen and on tablets."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, Self

from aiohttp import web

from edge.board import Board
from edge.config import Config
from edge.pin import Pin, Tried
from edge.tablets import Tablets

OWN_SCREEN: Final = 0
"""The number of the reader's own screen, beside those of tablets."""


class Cab(NamedTuple):
    """One taxi's reader, as its driver uses it."""

    board: Board
    config: Config
    tablets: Tablets
    pin: Pin
    one_try: asyncio.Lock

    @classmethod
    def of(
        cls, board: Board, config: Config, now_s: Callable[[], float] = time.monotonic
    ) -> Self | None:
        """Return it where there is a driver in the loop; `now_s` is a clock that nobody sets."""
        if config.place_kind != "taxi":
            return None
        state = Path(config.state)
        tablets = Tablets(state, now_s, board.now_ms)
        return cls(board, config, tablets, Pin(state, now_s), asyncio.Lock())

    async def try_pin(self, pin: str, device: int) -> Tried:
        """Try the staff's number, one try after the other, beside the loop. Raises OSError."""
        async with self.one_try:
            return await asyncio.to_thread(self.pin.try_open, pin, device)

    async def choose_pin(self, pin: str) -> None:
        """Keep a new number. Raises OSError."""
        async with self.one_try:
            await asyncio.to_thread(self.pin.choose, pin)

    def revoke(self, number: int) -> None:
        """Let a tablet be a stranger again, and end what it listens to. Raises OSError."""
        self.tablets.revoke(number)
        self.pin.close(number)
        self.board.close()


CAB: Final = web.AppKey("cab", Cab)
DEVICE: Final = web.RequestKey("device", int)


def device(request: web.Request) -> int:
    """Return which screen asks: OWN_SCREEN, or a paired tablet's number."""
    number: int = request.get(DEVICE, OWN_SCREEN)
    return number
