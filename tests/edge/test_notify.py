"""A half tells systemd that it works, from the loop that works."""

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.notify import Notify
from hw.sim.antenna import Antenna
from tests.edge.link_kit import Reader
from tests.edge.reader_kit import ReaderKit
from tests.edge.rig import running_broker, until
from tests.edge.systemd_kit import Listener, half

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
PTRACE_CONT = 7
WALL = 0x40000000
SELECTS = (b"23 ", b"270 ", b"72 ")
# linux/ptrace.h, wait.h; select and pselect6 of x86-64 and arm64.


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path)
    yield listener
    listener.close()


def test_the_card_half_says_that_it_is_ready_works_and_ends(
    kit: ReaderKit, antenna: Antenna, systemd: Listener
) -> None:
    with half("tap", kit.folder / "edge.toml", systemd) as process:
        assert systemd.next() == "READY=1\nWATCHDOG=1"
        assert [systemd.next() for _ in range(3)] == ["WATCHDOG=1"] * 3
        process.send_signal(signal.SIGTERM)
        said = [systemd.next()]
        while said[-1] == "WATCHDOG=1":
            said.append(systemd.next())
        assert said[-1] == "STOPPING=1"
        assert process.wait() == 0


def test_a_card_half_whose_loop_stands_still_says_nothing_more(
    kit: ReaderKit, antenna: Antenna, systemd: Listener
) -> None:
    """Its process lives, and so would a timer beside the loop: only this thread is held."""
    with half("tap", kit.folder / "edge.toml", systemd) as process:
        assert systemd.next().startswith("READY=1")
        with held(process.pid):
            assert systemd.fell_silent()
        assert systemd.next() == "WATCHDOG=1"


@contextlib.contextmanager
def held(thread: int) -> Iterator[None]:
    """Hold one thread of a child still where it waits, as a driver does that does not return.

    There it has let go of Python's lock, so that the process's other threads could run.
    """
    _ptrace(PTRACE_SEIZE, thread)
    while True:
        _ptrace(PTRACE_INTERRUPT, thread)
        os.waitpid(thread, WALL)
        if Path(f"/proc/{thread}/syscall").read_bytes().startswith(SELECTS):
            break
        _ptrace(PTRACE_CONT, thread)
    yield
    _ptrace(PTRACE_DETACH, thread)


def _ptrace(request: int, thread: int) -> None:
    if LIBC.ptrace(request, thread, None, None):
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")


async def test_the_network_half_says_so_while_it_talks_and_while_it_tries(
    tmp_path: Path, systemd: Listener
) -> None:
    async def says(words: str) -> None:
        await until(lambda: systemd.next(0.01) == words, words, 20.0)

    async with running_broker(tmp_path / "broker") as broker:
        reader = Reader(tmp_path / "bus-1", broker)
        with half("link", reader.file, systemd) as process:
            await says("READY=1\nWATCHDOG=1")
            await says("WATCHDOG=1")
            broker.stop()
            for _ in range(2):
                await says("WATCHDOG=1")
            process.send_signal(signal.SIGTERM)
            await says("STOPPING=1")


class At:
    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def test_it_is_said_at_most_three_times_in_a_period(systemd: Listener) -> None:
    at = At()
    notify = Notify({"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "3000000"}, at)
    for ms in range(0, 3000, 10):
        at.ns = ms * 1_000_000
        notify.alive()
    notify.stopping()
    said = []
    while words := systemd.next(0.05):
        said.append(words)
    assert said == ["READY=1\nWATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@kazasu-nobody-listens"])
def test_without_systemd_nothing_is_said_and_nothing_breaks(address: str) -> None:
    notify = Notify({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "soon"})
    notify.alive()
    notify.alive()
    notify.stopping()


def test_nobody_who_does_not_listen_is_waited_for(systemd: Listener) -> None:
    at = At()
    notify = Notify({"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "3"}, at)
    for _ in range(10_000):  # many times what a socket's queue takes
        at.ns += 1_000_000
        notify.alive()
    notify.stopping()
