"""Updates over the link into a head that runs under MicroPython: tried, kept, left, and killed."""

from __future__ import annotations

import functools
import hashlib
import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge import head as agent
from hw import head_firmware
from hw.head_firmware import compiler
from hw.sim.head import Head
from hw.sim.pn532 import PN532
from tests.conftest import Eventually
from wire import headbundle, headlink

PIECE = 256
FLASH_S = 5.0
"""A moment here; on the board, BEGIN and END take up to a second."""
KILLS = 6


@functools.cache
def bundle() -> bytes:
    """This firmware, made once."""
    return head_firmware.bundle()


class Site:
    """A head in its place, and the agent that speaks with it."""

    def __init__(self, head: Head, link: agent.Head, eventually: Eventually) -> None:
        self.head, self.link, self.eventually = head, link, eventually

    def ask(self, op: headlink.Op, *values: object, tail: bytes = b"") -> tuple[object, ...]:
        """Ask until the head is there."""

        def answered() -> list[tuple[object, ...]]:
            try:
                return [self.link.ask(op, *values, tail=tail, within_s=FLASH_S)]
            except agent.HeadGone:
                return []

        return self.eventually(answered, that=f"the head answers to {op.name}")[0]

    def firmware(self) -> tuple[int, int, int]:
        self.ask(headlink.PING)
        assert self.link.hello
        return self.link.hello.firmware

    def update(self, update: bytes) -> None:
        self.ask(headlink.UPDATE_BEGIN, len(update), hashlib.sha256(update).digest())
        for offset in range(0, len(update), PIECE):
            self.ask(headlink.UPDATE_DATA, offset, tail=update[offset : offset + PIECE])
        starts = self.head.starts
        self.ask(headlink.UPDATE_END)
        self.restarted(starts)

    def restarted(self, starts: int) -> None:
        self.eventually(lambda: self.head.starts > starts, that="the head restarts")

    def reset(self) -> None:
        starts = self.head.starts
        self.head.reset()
        self.restarted(starts)


@pytest.fixture
def site(tmp_path: Path, eventually: Eventually) -> Iterator[Site]:
    line = tmp_path / "head0"
    with PN532(paced=False) as chip, Head(chip, tmp_path / "flash", link=line, paced=False) as head:
        link = agent.Head(str(line))
        yield Site(head, link, eventually)
        link.close()


def changed(module: str, change: Callable[[str], str]) -> bytes:
    """A bundle of this firmware with one module changed."""
    files = headbundle.unpack(bundle())
    source = (Path(__file__).parents[2] / "firmware" / f"{module}.py").read_text()
    assert change(source) != source
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{module}.py"
        path.write_text(change(source))
        subprocess.run([compiler(), path], check=True)
        files[f"{module}.mpy"] = path.with_suffix(".mpy").read_bytes()
    return headbundle.pack(files)


def newer(number: int) -> bytes:
    """A bundle that says another version of itself."""
    return changed(
        "board", lambda text: text.replace("FIRMWARE = (0, 1, 0)", f"FIRMWARE = (9, 9, {number})")
    )


def test_a_healthy_update_stays_and_another_goes_back_into_the_first_slot(site: Site) -> None:
    former = site.firmware()
    site.update(newer(1))
    assert site.firmware() == (9, 9, 1)
    site.ask(headlink.HEALTHY)
    site.reset()
    assert site.firmware() == (9, 9, 1)
    site.update(bundle())
    assert site.firmware() == former
    site.ask(headlink.HEALTHY)
    site.reset()
    assert site.firmware() == former


def test_an_update_that_nobody_calls_healthy_is_gone_after_a_restart_and_told(site: Site) -> None:
    former = site.firmware()
    site.update(newer(1))
    assert site.firmware() == (9, 9, 1)
    site.reset()
    assert site.firmware() == former
    fell_back = 1 << headlink.FAULTS.index("fell-back")
    assert site.ask(headlink.SENSE)[4] == fell_back


@pytest.mark.parametrize(
    "broken", ["raise MemoryError\n", "while True:\n    pass\n", "import nowhere\n"]
)
def test_an_update_that_cannot_begin_leads_back_by_itself(site: Site, broken: str) -> None:
    former = site.firmware()
    site.update(changed("head", lambda text: broken + text))
    back = "the former firmware begins"  # a slot that hangs is left by the watchdog after 8.4 s
    site.eventually(lambda: site.head.starts >= 3, within_s=60, that=back)
    assert site.firmware() == former
    site.update(newer(1))
    assert site.firmware() == (9, 9, 1)


def test_a_head_killed_anywhere_in_an_update_comes_back_whole(site: Site) -> None:
    former = site.firmware()
    update = newer(1)
    draw = random.Random(29)
    for _ in range(KILLS):
        pieces = draw.randrange(0, len(update), PIECE)
        site.ask(headlink.UPDATE_BEGIN, len(update), hashlib.sha256(update).digest())
        for offset in range(0, pieces, PIECE):
            site.ask(headlink.UPDATE_DATA, offset, tail=update[offset : offset + PIECE])
        site.reset()
        assert site.firmware() == former
        with pytest.raises(agent.HeadRefused):  # it has forgotten what was begun
            site.ask(headlink.UPDATE_END)
    site.update(update)
    assert site.firmware() == (9, 9, 1)


def test_nothing_is_written_while_the_door_is_open(site: Site) -> None:
    update = bundle()
    site.ask(headlink.RELAY, 4_000)
    with pytest.raises(agent.HeadRefused) as refused:
        site.ask(headlink.UPDATE_BEGIN, len(update), hashlib.sha256(update).digest())
    assert refused.value.errno == headlink.NOT_NOW
    site.eventually(lambda: site.head.output("RELAY") == 0, that="the door closes")
    site.ask(headlink.UPDATE_BEGIN, len(update), hashlib.sha256(update).digest())
    assert site.head.pulses("RELAY") == 1
