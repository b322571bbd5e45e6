"""The socket between the two halves: whatever one says, the other goes on."""

import asyncio
import contextlib
import socket
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.panel import (
    SOCKET_NAME,
    Condition,
    FromTap,
    Vehicle,
)
from edge.show import Panel
from edge.tapline import TapLine
from tests.fuzz.hostile import GARBAGE, JSON, PIECES, changed, examples, twisted, written
from wire.clock import ClockState

GOOD = msgspec.json.encode(Vehicle(duty="1", stop="2", line="3"))
DEEP = b'{"a":' * 1_500
"""Brackets without end that still are one line."""
CONDITION = Condition(
    ready=True, trouble=None, front_end="udp", clock=ClockState.SYNCHRONISED, rosters={}
)
LINES = (
    GARBAGE
    | changed(GOOD)
    | JSON.map(written)
    | twisted({"say": "vehicle", "duty": "", "stop": "", "line": ""})
    | twisted({"say": "acknowledged", "journal": "0" * 32, "through": 1})
    | twisted({"say": "fleet-time", "at_ms": 1})
)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("socket")


def heard(panel: Panel) -> list[object]:
    """Listen as `tap` does, until there is nothing more."""
    found: list[object] = []
    for _ in range(8):
        panel.newcomer()
        found += panel.heard()
    return found


def test_no_line_of_the_network_half_makes_the_card_half_fall(state: Path) -> None:
    panel = Panel(state)

    @examples(150)
    @given(st.lists(LINES, min_size=1, max_size=4), st.booleans())
    def run(lines: list[bytes], ended: bool) -> None:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(1)
            link.connect(str(state / SOCKET_NAME))
            with contextlib.suppress(OSError):
                link.sendall(b"\n".join(lines) + (b"\n" if ended else b""))
                heard(panel)
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(state / SOCKET_NAME))
            link.sendall(GOOD + b"\n")
            assert heard(panel)[-1] == Vehicle(duty="1", stop="2", line="3")

    run()
    panel.close()


def test_brackets_without_end_are_a_line_that_is_not_of_the_contract(state: Path) -> None:
    """Apart: hypothesis raises the limit of recursion, which is what such a line reaches."""
    panel = Panel(state)
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(state / SOCKET_NAME))
        link.sendall(DEEP + b"\n")
        assert heard(panel) == []
        assert link.recv(1) == b""
    panel.close()


@pytest.mark.parametrize("piece", PIECES, ids=repr)
def test_nothing_hides_a_text_that_the_ledger_cannot_keep(piece: bytes) -> None:
    line = b'{"say":"vehicle","duty":"' + piece + b'","stop":"","line":""}'
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        assert "\0" not in msgspec.json.decode(line, type=Vehicle).duty


async def test_no_line_of_the_card_half_makes_the_network_half_fall(tmp_path: Path) -> None:
    told: list[FromTap | None] = []
    calls: list[bytes] = [b"[" * 6_000, b'{"a":' * 1_500, b"\xff\n", b"\0\n", b'{"say":1}\n', b""]

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = calls.pop(0) if calls else msgspec.json.encode(CONDITION)
        writer.write(line + b"\n")
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(greet, tmp_path / SOCKET_NAME)
    line = TapLine(tmp_path, told.append)
    task = asyncio.create_task(line.run())
    async with asyncio.timeout(20):
        while CONDITION not in told:
            assert not task.done(), task.exception()
            await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    server.close()
