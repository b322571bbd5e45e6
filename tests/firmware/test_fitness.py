"""What would not fit or not run on the reader head is found before it is there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from hw.head_firmware import FILE_BYTES_MAX, ROOT, bundle, compiled, compiler, judge, sources
from tests.firmware.interpreters import micropython
from wire import headbundle

PLANTED = {
    # what MicroPython's compiler refuses
    "conversion": 'def said(x):\n    return f"{x!a}"\n',
    "brace": "def said():\n    return f\"{'}'}\"\n",
    "matches": "def kind(x):\n    match x:\n        case 1:\n            return 2\n",
    "positional": "def taken(x, /):\n    return x\n",
    # what it compiles, and what then fails on the head
    "slices": "def drop(b, n):\n    del b[:n]\n",
    "typed": "import typing\n\nANY = typing.Any\n",
    "future": "from __future__ import annotations\n",
    "enumerated": "import enum\n\nKIND = enum.Enum\n",
    "chained": "def fail(error):\n    raise ValueError from error\n",
    "queued": "import asyncio\n\nQUEUE = asyncio.Queue()\n",
    # what its modules have not, or not so
    "pulses": "import machine\n\nmachine.Pin(1).pulse(5)\n",
    "moded": "import machine\n\nmachine.Pin(1, machine.Pin.OUTPUT)\n",
    "monotonic": "import time\n\nNOW = time.monotonic()\n",
    "prefixed": 'NAME = "a.mpy".removeprefix("a")\n',
    "watched": "import machine\n\nmachine.WDT(seconds=8)\n",
    "hooked": "import usb.device.cdc\n\nusb.device.cdc.CDCInterface().hook()\n",
    "linked": "import headlink\n\nOP = headlink.HELO\n",
    # what does not fit
    "large": f"TABLE = {b'0123456789abcdef' * (FILE_BYTES_MAX // 16)!r}\n",
}
FILLING = 10
"""Modules as large as is allowed, which are too much together."""


def copy(folder: Path) -> Path:
    for name, path in sources().items():
        to = folder / path.relative_to(ROOT)
        to.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, to)
        assert name not in PLANTED
    shutil.copytree(ROOT / "firmware" / "typings", folder / "firmware" / "typings")
    return folder


def test_each_planted_fault_is_found_and_nothing_else(tmp_path: Path) -> None:
    root = copy(tmp_path)
    for name, source in PLANTED.items():
        (root / "firmware" / f"{name}.py").write_text(source)
    for number in range(FILLING):
        filling = f"TABLE = {bytes(FILE_BYTES_MAX - 200)!r}\n"
        (root / "firmware" / f"filling{number}.py").write_text(filling)
    faults = judge(root)
    found = {fault.split(".")[0].split(":")[0] for fault in faults}
    assert found == {*PLANTED, "all modules"}, "\n".join(faults)


def test_the_compilers_form_is_the_firmwares() -> None:
    """A head whose MicroPython reads another form of .mpy begins nothing."""
    reads = int(_said(*micropython(), "-c", "import sys; print(sys.implementation._mpy)"))
    version, part = reads & 0xFF, reads >> 8 & 3
    assert _said(compiler(), "--version").split()[-1] == f"v{version}.{part}"
    assert compiled(ROOT / "firmware" / "relay.py")[:2] == bytes((ord("M"), version))


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_bundle_has_every_module_but_the_beginning() -> None:
    files = headbundle.unpack(bundle())
    assert str(ROOT).encode() not in bundle()  # nor where it was made
    assert {name.removesuffix(".mpy") for name in files} == sources().keys() - {"main"}
    assert {"head.mpy", "headlink.mpy", "headbundle.mpy"} <= files.keys()
