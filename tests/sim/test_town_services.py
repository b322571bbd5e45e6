"""Processes of a demo: started again when they die, ended when asked, their last words shown."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hw.sim.services import (
    RESTART_S,
    CommandFailed,
    Service,
    ServiceDied,
    Services,
    listens,
    run_command,
    system_program,
)
from hw.sim.site import free_ports

DEADLINE_S = 10.0
SLEEPER = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.02)


def pids(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def ready(log: Path) -> Callable[[], Awaitable[bool]]:
    async def said_something() -> bool:
        return bool(pids(log))

    return said_something


async def test_what_is_killed_is_started_again_and_what_is_stopped_is_not(tmp_path: Path) -> None:
    log = tmp_path / "sleeper.log"
    services = Services()
    service = services.add(Service("sleeper", SLEEPER, log), "all")
    await service.start()
    await service.until(ready(log))
    assert services.kill("all") == [service]
    await until(lambda: len(pids(log)) == 2)
    first, second = pids(log)
    assert not runs(first)
    await services.stop()
    assert not runs(second)
    await asyncio.sleep(RESTART_S / 10)
    assert len(pids(log)) == 2
    assert not service.alive


async def test_a_process_that_dies_at_its_start_is_reported_with_its_last_words(
    tmp_path: Path,
) -> None:
    broken = [sys.executable, "-c", "raise SystemExit('no configuration')"]
    service = Service("broken", broken, tmp_path / "broken.log")
    await service.start()
    with pytest.raises(ServiceDied, match="no configuration"):
        await service.until(lambda: listens(1))
    await service.stop()


async def test_a_command_that_fails_is_reported_with_what_it_said(tmp_path: Path) -> None:
    script = "import sys; sys.exit(f'cannot read {sys.stdin.read()}')"
    command = (sys.executable, "-c", script)
    with pytest.raises(CommandFailed, match="cannot read typed"):
        await run_command(*command, log=tmp_path / "log", typed=b"typed")
    assert await run_command(*command, log=tmp_path / "log", statuses=(1,)) == b""


def test_free_ports_are_different_and_below_those_of_outgoing_connections() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(1024 < port < max(lowest, 32_000) for port in ports)


def test_a_missing_server_program_is_named_with_what_to_install() -> None:
    with pytest.raises(FileNotFoundError, match="apt-get install no-such-broker"):
        system_program("no-such-broker")
    assert Path(system_program("mosquitto")).exists()
