"""Takes a USB device off its port and puts it back, as if somebody had pulled the plug.

The kernel forgets a device whose `authorized` becomes 0 and begins anew with it at 1 (Linux,
Documentation/usb/authorization.rst): its driver, its node in /dev and its state. That mends a
device that hangs; it does not cut its current, which only a head or a hub with switches can.
"""

import time
from pathlib import Path
from typing import Final

from edge.head import found, named

SYSFS: Final = Path("/sys")
OFF_S: Final = 0.2
"""For the kernel to let the driver go."""


def power_cycle(path: str, sysfs: Path = SYSFS) -> bool:
    """Restart the USB device behind a front end's path; False when there is none that we may.

    Of a head it is the head itself. A PC/SC reader is pcscd's, which finds it again by itself:
    there is nothing for us to restart.
    """
    device = _usb_device(path, sysfs)
    if device is None:
        return False
    try:
        (device / "authorized").write_text("0")
        time.sleep(OFF_S)
        (device / "authorized").write_text("1")
    except OSError:
        return False
    return True


def _usb_device(path: str, sysfs: Path) -> Path | None:
    """Return the folder of the device in sysfs, such as /sys/bus/usb/devices/1-1.2."""
    kind, _, rest = path.partition(":")
    if tty := _tty(path):
        node = sysfs / "class" / "tty" / tty / "device"
        return next((one for one in node.resolve().parents if (one / "idVendor").exists()), None)
    if kind == "usb":
        for one in sorted((sysfs / "bus" / "usb" / "devices").glob("*")):
            if _name(one) == rest.lower():
                return one
    return None


def _tty(path: str) -> str:
    """Return the name of the serial device that a path leads to, as the kernel has it, or ""."""
    try:
        where = named(path)
        device = path.removeprefix("pn532:").partition("@")[0] if where is None else found(where)
    except OSError:  # a head that is not plugged in
        return ""
    return Path(device).resolve().name if device.startswith("/") else ""


def _name(device: Path) -> str | None:
    """Return `vendor:product` of a device, as a path names it."""
    try:
        return ":".join((device / part).read_text().strip() for part in ("idVendor", "idProduct"))
    except OSError:
        return None
