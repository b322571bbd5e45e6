"""A reader's busiest minute around its card half: a backlog drains, a list is built, pages watch.

`busy_reader` runs the real network half against a real broker and a fleet that acknowledges, three
listeners on its page, and a process that builds one roster after the other. What the card half
says passes through here on its way to the network half, so that it can be measured.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from edge.journal import FOLDER
from edge.journal_writer import Journal
from edge.link import NICE
from edge.panel import SOCKET_NAME, FromTap
from tests.bench.disk import TAP, _now
from tests.edge.link_kit import Fleet, Reader
from tests.edge.reader_kit import OPEN_ROW, PASS, ReaderKit, make_reader
from tests.edge.rig import Authority, Broker

BACKLOG: Final = 10_000
PAGES: Final = 3
START_S: Final = 20.0


def fill(kit: ReaderKit) -> None:
    """Leave a backlog in the journal."""
    book = Journal(kit.state / FOLDER, kit.config.reader, "boot", "bench", _now)
    for _ in range(BACKLOG):
        book.append(TAP)
    book.close()


def build_for_ever() -> None:
    """Build a roster of 50,000 rows, again and again, with the network half's priority."""
    os.nice(NICE)
    with tempfile.TemporaryDirectory(prefix="kazasu-bench-") as name:
        kit = make_reader(Path(name), "udp:127.0.0.1:1")
        rows = [OPEN_ROW._replace(credential=f"{n:032x}") for n in range(50_000)]  # type: ignore[arg-type]
        while True:
            kit.give_roster(PASS, rows)


BUILD: Final = f"from {__name__} import {build_for_ever.__name__} as build; build()"


class _FleetThread:
    """A fleet that commits and acknowledges, in an event loop of its own."""

    def __init__(self, reader: Reader) -> None:
        self.fleet = Fleet(reader)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.fleet.open(), self._loop).result(10)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.fleet.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def taken(self) -> int:
        """How many entries have been acknowledged."""
        return len(self.fleet.order)


class _Watcher:
    """An open page: reads its stream and does nothing with it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while self._socket.recv(65536):
                pass

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


class Busy:
    """What goes on around a card half. `forward` hands on what it said since the last call."""

    def __init__(self, fleet: _FleetThread, line: socket.socket) -> None:
        self._fleet, self._line, self._said = fleet, line, 0

    def forward(self, heard: Sequence[FromTap]) -> None:
        """Let the network half hear it too."""
        lines = (msgspec.json.encode(said) + b"\n" for said in heard[self._said :])
        self._line.sendall(b"".join(lines))
        self._said = len(heard)

    @property
    def taken(self) -> int:
        """How many entries of the journal the fleet has."""
        return self._fleet.taken


@contextlib.contextmanager
def busy_reader(kit: ReaderKit, folder: Path) -> Iterator[Busy]:
    """Run it all beside a card half whose state folder is `kit.state`."""
    with contextlib.ExitStack() as stack:
        (folder / "broker").mkdir(parents=True)
        broker = Broker(folder / "broker", Authority(folder / "broker"))
        broker._spawn()
        stack.callback(broker.stop)
        reader = Reader(folder / "link", broker, fleet=kit.fleet)
        _wait_for(broker.fleet_port)
        reader.state.mkdir()
        (reader.state / FOLDER).symlink_to(kit.state / FOLDER)
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(reader.state / SOCKET_NAME))
        listener.listen(1)
        fleet = _FleetThread(reader)
        stack.callback(fleet.close)
        for command in (["-m", "edge.cli", "link", str(reader.file)], ["-c", BUILD]):
            stack.enter_context(_ended(subprocess.Popen([sys.executable, *command])))
        line = stack.enter_context(listener.accept()[0])
        _wait_for(reader.page_port)
        for _ in range(PAGES):
            stack.callback(_Watcher(reader.page_port).close)
        yield Busy(fleet, line)


@contextlib.contextmanager
def _ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    end_s = time.monotonic() + START_S
    while True:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        assert time.monotonic() < end_s, f"nobody listens on {port}"
        time.sleep(0.01)
