"""The firmware leaves half of a Pico's heap to what it does: code, parts and a bounded run."""

from __future__ import annotations

import hashlib
import os
import pty
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from hw.head_firmware import ROOT, bundle
from hw.sim.head import pins
from tests.firmware.interpreters import micropython
from wire import headbundle, headlink

HALF = 96 * 1024
"""Of what a Pico has. The firmware has 72 kB here, where pointers are twice as large as there."""
WITHIN_S = 20
ENDS = """
import gc, os, sys
sys.path.insert(0, "a")
import board
head = board.make()
while "end" not in os.listdir():
    head.turn()
gc.collect()
print(gc.mem_alloc())
"""
UNKNOWN = 0x7F
LONGEST = 264
"""Bytes of a command of the chip."""


def requests() -> Iterator[tuple[int, bytes]]:
    """Everything that can be asked, at its longest."""
    yield headlink.HELLO.code, b""
    for number in range(len(headlink.MEANINGS)):
        yield headlink.SHOW.code, headlink.SHOW.ask(number, 1)
    yield headlink.SENSE.code, b""
    yield headlink.WATCH.code, headlink.WATCH.ask(60)
    yield headlink.POWER.code, headlink.POWER.ask(headlink.STAY)
    for _ in range(3):
        yield headlink.NFC.code, headlink.NFC.ask(20, tail=bytes(LONGEST))
    update = bundle()
    digest = hashlib.sha256(update).digest()
    yield headlink.UPDATE_BEGIN.code, headlink.UPDATE_BEGIN.ask(len(update), digest)
    for offset in range(0, len(update), 256):
        piece = update[offset : offset + 256]
        yield headlink.UPDATE_DATA.code, headlink.UPDATE_DATA.ask(offset, tail=piece)
    yield headlink.RELAY.code, headlink.RELAY.ask(1)
    yield UNKNOWN, b""


def ask(link: socket.socket, stream: headlink.Stream, seq: int, op: int, payload: bytes) -> int:
    """Return the error that a request is answered with; 0: it was done."""
    link.sendall(headlink.pack(headlink.REQUEST, seq, op, payload))
    while True:
        for kind, answered, _, said in stream.feed(link.recv(4096)):
            if kind != headlink.EVENT and answered == seq:
                return said[0] if kind == headlink.ERROR else 0


def test_everything_that_can_be_asked_leaves_half_of_the_heap(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name, content in headbundle.unpack(bundle()).items():
        (tmp_path / "a" / name).write_bytes(content)
    link, usb = socket.socketpair()
    world, control = socket.socketpair()
    chip, line = pty.openpty()
    usb.setblocking(False)
    control.setblocking(False)
    os.set_blocking(line, False)
    link.settimeout(WITHIN_S)
    world.sendall(f"pin {pins()['IGNITION']} 1\n".encode())  # else nothing is updated
    fds = {"LINK_FD": usb.fileno(), "CONTROL_FD": control.fileno(), "CHIP_FD": line}
    head = subprocess.Popen(
        [*micropython(), "-c", ENDS],
        cwd=tmp_path,
        pass_fds=tuple(fds.values()),
        env={
            "MICROPYPATH": f"{ROOT / 'hw/sim/head_port'}:.frozen",
            "UNIQUE_ID": "e661410403123456",
            **{name: str(fd) for name, fd in fds.items()},
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        stream = headlink.Stream()
        refused: dict[int, int] = {}
        for seq, (code, payload) in enumerate(requests()):
            refused[code] = ask(link, stream, seq & 0xFF, code, payload)
        (tmp_path / "end").touch()
        said, _ = head.communicate(timeout=WITHIN_S)
    finally:
        head.kill()
        for end in (link, usb, world, control):
            end.close()
        os.close(chip)
        os.close(line)
    assert head.returncode == 0, said
    assert {code for code, error in refused.items() if error} == {headlink.NFC.code, UNKNOWN}
    assert int(said) < HALF
