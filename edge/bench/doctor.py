"""Which readers are there, which driver fits, what is in the way, and what to do about it.

Looks at Linux's own files alone and opens nothing; `root` is where they begin.
"""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from edge.head import BY_ID

ROOT: Final = Path("/")
USB_READERS: Final = {
    "054c:06c1": ("RC-S380", "usb:054c:06c1"),
    "054c:06c3": ("RC-S380", "usb:054c:06c3"),
    "054c:0dc8": ("RC-S300/S", "pcsc"),
    "054c:0dc9": ("RC-S300/P", "pcsc"),
    "072f:2200": ("ACR122U", "pcsc"),
}
"""Readers that somebody may own: nfcpy's clf/device.py, libccid's list of readers."""
USB_SERIAL: Final = ("ttyUSB", "ttyACM")
HEADS: Final = "dev/serial/by-id"
LINES: Final = ("ttyAMA0", "ttyS0")
"""A Raspberry Pi's own: the good one, and the mini UART that its Bluetooth leaves (115,200)."""
GRABBING: Final = ("port100", "pn533_usb", "pn533")
"""Kernel drivers that take an RC-S380 or PN533 for themselves (nfcpy, getting started)."""
PCSCD_SOCKET: Final = "run/pcscd/pcscd.comm"
LINES_MAX: Final = 16


class Finding(NamedTuple):
    """One thing that was looked at. `message` is an id under `bench.doctor.` in locale/."""

    fine: bool
    message: str
    about: dict[str, str]


def examine(root: Path = ROOT) -> Iterator[Finding]:
    """Yield what is there and what is wrong, each with what to do."""
    found = list(_usb(root)) + list(_serial(root))
    yield from found or [Finding(False, "no-reader", {})]
    yield from _grabbed(root)
    yield from _libraries()
    if any(finding.about.get("path") == "pcsc" for finding in found):
        running = (root / PCSCD_SOCKET).exists()
        yield Finding(running, "pcscd" if running else "no-pcscd", {})


def _usb(root: Path) -> Iterator[Finding]:
    for device in sorted((root / "sys/bus/usb/devices").glob("*")):
        name = ":".join(_text(device / part) for part in ("idVendor", "idProduct"))
        if name not in USB_READERS:
            continue
        kind, path = USB_READERS[name]
        numbers = (int(_text(device / part) or 0) for part in ("busnum", "devnum"))
        node = root.joinpath("dev/bus/usb", *(f"{number:03}" for number in numbers))
        about = {"kind": kind, "path": path, "node": f"/{node.relative_to(root)}", "name": name}
        usable = path == "pcsc" or _may_use(node)
        yield Finding(usable, "usb-reader" if usable else "usb-no-right", about)


def _serial(root: Path) -> Iterator[Finding]:
    devices = root / "dev"
    names = [name for name in LINES if (devices / name).exists()]
    names += [one.name for kind in USB_SERIAL for one in sorted(devices.glob(f"{kind}*"))]
    console = _text(root / "proc/cmdline")
    heads = dict(_heads(root))
    for name in names[:LINES_MAX]:
        about = {"path": heads.get(name, f"pn532:/dev/{name}"), "node": f"/dev/{name}"}
        if f"console={name}" in console or (name in LINES and "console=serial0" in console):
            yield Finding(False, "serial-console", about)
        else:
            usable = _may_use(devices / name)
            fine = "head" if name in heads else "serial-line"
            yield Finding(usable, fine if usable else "serial-no-right", about)


def _heads(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the device of each reader head, and its path in a reader's configuration."""
    form = Path(BY_ID).name
    for link in sorted((root / HEADS).glob(form.format("*"))):
        number = link.name.removeprefix(form.split("{}")[0]).removesuffix(form.split("{}")[1])
        yield link.resolve().name, f"head:{number}"


def _may_use(node: Path) -> bool:
    return os.access(node, os.R_OK | os.W_OK)


def _grabbed(root: Path) -> Iterator[Finding]:
    loaded = {line.split(" ", 1)[0] for line in _text(root / "proc/modules").splitlines()}
    for module in GRABBING:
        if module in loaded:
            yield Finding(False, "grabbed", {"module": module})


def _libraries() -> Iterator[Finding]:
    for module, package in (("nfc", "nfcpy"), ("smartcard", "pyscard")):
        there = importlib.util.find_spec(module) is not None
        yield Finding(there, "library" if there else "no-library", {"package": package})


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""
