"""The command: both halves under one roof, and the journal read again."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge import cli
from edge.journal import FOLDER, journals
from edge.lock import LINK_LOCK, hold
from tests.edge.link_kit import Reader, fill
from tests.edge.rig import running_broker, until
from wire.entries import chain, genesis


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    async with running_broker(tmp_path / "broker") as broker:
        yield Reader(tmp_path / "bus-1", broker)


HALVES = {"tap", "link"}
START_S = 60
"""Two interpreters on a machine whose cores are all taken; one alone starts in half a second."""


def children(pid: int) -> dict[str, int]:
    """Return the halves that a supervisor has started, by name.

    A child is named like its supervisor until it runs its own command, and may be gone by now.
    """
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except FileNotFoundError:
            continue
        half = words[words.index(b"edge.cli") + 1].decode() if b"edge.cli" in words else ""
        if half in HALVES:
            found[half] = int(child)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def start(reader: Reader) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "edge.cli", "run", str(reader.file)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


async def test_run_starts_both_halves_again_and_ends_them_with_itself(reader: Reader) -> None:
    supervisor = start(reader)
    try:
        await until(lambda: children(supervisor.pid).keys() == HALVES, "both run", START_S)
        first = children(supervisor.pid)
        os.kill(first["link"], signal.SIGKILL)
        await until(
            lambda: children(supervisor.pid).get("link", first["link"]) != first["link"],
            "link is started again",
            START_S,
        )
        last = children(supervisor.pid)
        supervisor.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(supervisor.wait, START_S) == 0
        assert not any(alive(pid) for pid in last.values())
    finally:
        supervisor.kill()
        supervisor.wait()


async def test_no_half_outlives_a_killed_supervisor(reader: Reader) -> None:
    supervisor = start(reader)
    try:
        await until(lambda: children(supervisor.pid).keys() == HALVES, "both run", START_S)
        halves = children(supervisor.pid)
        await until(
            lambda: all(_looks_after(pid) for pid in halves.values()), "they are ready", START_S
        )
    finally:
        supervisor.kill()
        supervisor.wait()
    await until(lambda: not any(alive(pid) for pid in halves.values()), "both have ended", START_S)


@pytest.mark.parametrize("half", ["tap", "link"])
async def test_run_gives_way_to_an_agent_that_has_the_state_folder(
    reader: Reader, half: str
) -> None:
    first = await begin(half, reader)
    try:
        await until(lambda: _looks_after(first.pid), "it runs", 20)
        second = await begin("run", reader)
        _, error = await asyncio.wait_for(second.communicate(), 30)
        assert second.returncode == 2
        assert b"in use by another agent: stop that one first" in error.splitlines()[-1]
        assert first.returncode is None
    finally:
        first.kill()
        await first.wait()


async def begin(command: str, reader: Reader) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge.cli", command, str(reader.file)), stderr=subprocess.PIPE
    )


async def test_run_waits_for_the_halves_of_a_killed_one(reader: Reader) -> None:
    lock = reader.state / LINK_LOCK
    reader.state.mkdir(parents=True)
    with hold(lock):
        supervisor = start(reader)
        try:
            await until(lambda: "link" in children(supervisor.pid), "link is tried", 20)
            refused = children(supervisor.pid)["link"]
            await until(
                lambda: children(supervisor.pid).get("link", refused) != refused, "and again", 20
            )
        except BaseException:
            supervisor.kill()
            raise
    try:
        await until(
            lambda: (
                "link" in children(supervisor.pid)
                and _looks_after(children(supervisor.pid)["link"])
            ),
            "link runs",
            20,
        )
        await until(lambda: _is_held(lock), "link holds its lock", 20)
    finally:
        supervisor.terminate()
        assert await asyncio.to_thread(supervisor.wait, START_S) == 0


def _is_held(lock: Path) -> bool:
    """Ask the kernel, and take the lock from nobody (proc(5), /proc/locks)."""
    locks = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    inode = str(lock.stat().st_ino)
    return any(one[1] == "FLOCK" and one[5].rpartition(":")[2] == inode for one in locks)


def _looks_after(pid: int) -> bool:
    """A half is past its imports when it handles SIGTERM itself."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def test_a_wrong_configuration_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "edge.toml").write_text("colour = 1")
    for command in ("run", "journal"):
        assert cli.main([command, str(tmp_path / "edge.toml")]) == 2
        assert "edge.toml" in capsys.readouterr().err


async def test_journal_prints_each_entry_and_its_chain(
    reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = reader.journal()
    fill(journal, 3)
    journal.close()
    assert cli.main(["journal", str(reader.file), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["journal"], line["n"]) for line in lines] == [
        (journal.id, n) for n in (1, 2, 3, 4)
    ]
    assert lines[0]["body"]["kind"] == "start"
    tip = genesis(reader.config.reader, journal.id)
    for line in lines:  # whoever has the file can follow the chain with nothing of ours
        tip = chain(tip, json.dumps(line["body"], separators=(",", ":")).encode())
        assert line["hash"] == tip.hex()
    assert cli.main(["journal", str(reader.file)]) == 0
    assert "start" in capsys.readouterr().out


async def test_journal_says_what_is_missing(
    reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    first = reader.journal()
    fill(first, 9)
    first.close()
    second = reader.journal()
    fill(second, 1)
    second.close()
    path = journals(reader.state / FOLDER)[0].path
    data = bytearray(path.read_bytes())
    frame = len(data) // 10
    for number in (3, 9):
        data[number * frame + frame // 2] ^= 1
    path.write_bytes(data)
    assert cli.main(["journal", str(reader.file), "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    missing = [(one["journal"], *one["missing"]) for one in lines if "missing" in one]
    assert missing == [(first.id, 4, 4), (first.id, 10, 10)]
    assert len(lines) == 8 + 2 + 2
    assert cli.main(["journal", str(reader.file)]) == 1
    assert "4 to 4 MISSING: damaged" in capsys.readouterr().out
