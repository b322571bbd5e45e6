"""A reader head: the firmware itself under MicroPython's unix port, with the world around it.

    host's pty ── USB ── firmware (MicroPython) ── UART ── PN532 on its own pty
                            │
                   pins, lamp, buzzer, watchdog: a line each (hw/sim/head_port/machine.py)

The files are those that an RP2040 runs, with a heap as small as it has; only `machine`, `rp2`
and the USB device are played. Upheld: whatever goes over the USB takes its time · a head that is
reset, by itself or by its watchdog, is gone from the USB and comes back · its chip is reset by its
pin · what ends the firmware against its will is raised by `close`.
"""

import contextlib
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Final, NamedTuple

from hw.sim.pn532 import PN532
from hw.sim.serial_line import SerialLine

HEAP: Final = "192K"
"""A Pico has some 190 kB free for Python; objects are twice as large here."""
RESTART: Final = 77
"""Exit status of a firmware that resets itself (head_port/machine.py)."""
POWER_ON: Final = 1
WATCHDOG: Final = 3
"""Reset causes, by the RP2040 port's numbers."""
USB_S: Final = 0.0005
"""One way over USB full speed: frames begin each 1 ms, so half of that on average; 64 bytes more
take 50 µs."""
USB_S_PER_BYTE: Final = 50e-6 / 64
BOOT_S: Final = 0.05
"""Gone from the bus: a Pico takes longer, and nobody waits for more."""
READ_BYTES: Final = 4096
AS_BUILT: Final = {"IGNITION": 1, "TAMPER": 0, "PI_RUNNING": 1, "SUPPLY": 24_900}
"""Ignition on, lid closed, the computer running, 13.8 V where 65,535 are 36.3 V."""
SERIAL: Final = "serial.log"
"""In the flash's folder: what the firmware says when it fails."""
HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
PORT: Final = HERE / "head_port"
LOOK_S: Final = 0.02


class Told(NamedTuple):
    """One thing that the firmware did with its pins: `kind` is pin, pwm, lamp or wdt."""

    at_s: float
    kind: str
    number: int
    value: str


def pins() -> dict[str, int]:
    """Return the board's pins by name, as the firmware has them."""
    text = (ROOT / "firmware" / "pins.py").read_text("utf-8")
    return {name: int(n) for name, n in re.findall(r"^([A-Z_]+) = const\((\d+)\)", text, re.M)}


def flash(folder: Path) -> None:
    """Lay the firmware into a folder as into the board's flash: `main.py`, and slot a."""
    slot = folder / "a"
    slot.mkdir(parents=True, exist_ok=True)
    for file in (ROOT / "firmware").glob("*.py"):
        shutil.copy(file, folder if file.name == "main.py" else slot)
    for shared in ("headlink.py", "headbundle.py"):
        shutil.copy(ROOT / "wire" / shared, slot)


def micropython() -> str:
    """Return the interpreter's path. Raises FileNotFoundError when it is not installed."""
    beside = Path(sys.executable).parent / "micropython"
    found = str(beside) if beside.exists() else shutil.which("micropython")
    if not found:
        raise FileNotFoundError("MicroPython's unix port is missing: run scripts/setup")
    return found


class Head:
    """A head between a host and a chip, served by a thread until closed.

    `path` is what the host opens; with `link` it is a symbolic link of that name. `chip` stays
    its owner's. `folder` is the flash, written by `flash` when it is empty. `mangle` may change
    what goes over the USB: it is given the bytes and whether they go to the head. All methods may
    be called from any thread.
    """

    def __init__(
        self,
        chip: PN532,
        folder: Path,
        *,
        link: Path | None = None,
        paced: bool = True,
        unique_id: str = "e661410403123456",
        mangle: Callable[[bytes, bool], bytes] | None = None,
    ) -> None:
        self._chip, self._folder, self._paced = chip, folder, paced
        self._unique_id = unique_id
        self.mangle = mangle
        self.told: list[Told] = []
        """What the firmware did, from the beginning."""
        self.starts = 0
        self._shown: dict[tuple[str, int], str] = {}
        self._pins = pins()
        self._inputs: dict[tuple[str, int], int] = {}
        for name, value in AS_BUILT.items():
            self._inputs["adc" if name == "SUPPLY" else "pin", self._pins[name]] = value
        if not (folder / "main.py").exists():
            flash(folder)
        self._line = SerialLine(link)
        self._plugged = True
        self._closing = Event()
        self._error: BaseException | None = None
        self._start(POWER_ON)
        self._thread = Thread(target=self._run, name=f"head {self.path}", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Head":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> str:
        """The serial device that a host opens. Raises OSError while it is away and has no link."""
        return self._line.path

    @property
    def lamp(self) -> tuple[tuple[int, int, int], ...]:
        """What the ring shows: red, green, blue of each light."""
        text = self._shown.get(("lamp", self._pins["LAMP"]), "")
        data = bytes.fromhex(text)
        return tuple(zip(data[::3], data[1::3], data[2::3], strict=True))

    @property
    def tone_hz(self) -> int:
        """What the buzzer sounds; 0: silence."""
        return int(self._shown.get(("pwm", self._pins["BUZZER"]), "0").split()[0])

    def output(self, pin: str) -> int:
        """Return the level of an output by its name, such as RELAY."""
        return int(self._shown.get(("pin", self._pins[pin]), "0"))

    def pulses(self, pin: str) -> int:
        """Return how often an output has gone high since the beginning."""
        number = self._pins[pin]
        return sum(one[1:] == ("pin", number, "1") for one in self.told)

    def set(self, pin: str, value: int) -> None:
        """Set an input by its name: 0 or 1, or of SUPPLY 0 to 65,535."""
        kind = "adc" if pin == "SUPPLY" else "pin"
        self._inputs[kind, self._pins[pin]] = value
        self._say(kind, self._pins[pin], value)

    def unplug(self) -> None:
        """Pull the USB plug, also from a host that has it open; the head has its own power."""
        self._plugged = False
        self._line.wake()

    def plug(self) -> None:
        """Plug it in again. Without `link` its path is a new one."""
        self._plugged = True
        self._line.wake()

    def reset(self) -> None:
        """Press the board's RUN button, or let its power dip."""
        self._process.kill()

    def close(self) -> None:
        """Take it away. Raises RuntimeError when the firmware had ended against its will."""
        self._closing.set()
        self._line.wake()
        self._thread.join(5)
        self._process.kill()
        self._process.wait()
        for one in (self._usb, self._control):
            one.close()
        self._line.close()
        if self._error:
            raise RuntimeError("the head has died") from self._error

    # --- the head's thread -----------------------------------------------------------------------

    def _start(self, cause: int) -> None:
        self.starts += 1
        self._usb, usb = socket.socketpair()
        self._control, control = socket.socketpair()
        uart = os.open(self._chip.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        for end in (usb, control):
            end.setblocking(False)
        self._usb.setblocking(False)
        fds = (usb.fileno(), control.fileno(), uart)
        with (self._folder / SERIAL).open("ab") as serial:
            self._process = subprocess.Popen(
                [micropython(), "-X", f"heapsize={HEAP}", str(self._folder / "main.py")],
                cwd=self._folder,
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=serial,
                stderr=serial,
                env={
                    "MICROPYPATH": f"{PORT}:.frozen",
                    "LINK_FD": str(fds[0]),
                    "CONTROL_FD": str(fds[1]),
                    "CHIP_FD": str(fds[2]),
                    "RESET_CAUSE": str(cause),
                    "UNIQUE_ID": self._unique_id,
                },
            )
        usb.close()
        control.close()
        os.close(uart)
        self._heard = b""
        self._wdt_s = 0.0
        self._fed_s = time.monotonic()
        for (kind, number), value in self._inputs.items():
            self._say(kind, number, value)

    def _say(self, kind: str, number: int, value: int) -> None:
        with contextlib.suppress(OSError):  # it is being reset, and is told again
            self._control.sendall(f"{kind} {number} {value}\n".encode())

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._step()
        except BaseException as error:
            self._error = error
            raise

    def _step(self) -> None:
        if self._plugged != self._line.plugged:
            self._line.plug() if self._plugged else self._line.unplug()
        watched: list[socket.socket | int] = [self._usb, self._control, *self._line.watched]
        ready = select.select(watched, [], [], LOOK_S)[0]
        if self._control in ready:
            self._hear(_received(self._control))
        if self._usb in ready:
            self._carry(_received(self._usb), to_head=False)
        if any(one in ready for one in self._line.watched):
            self._carry(self._line.read(0), to_head=True)
        hangs = self._wdt_s and time.monotonic() - self._fed_s > self._wdt_s
        if hangs:
            self._process.kill()
        status = self._process.poll()
        if status is not None and not self._closing.is_set():
            self._restart(status, hangs=bool(hangs))

    def _restart(self, status: int, *, hangs: bool) -> None:
        if status not in (RESTART, -9):
            raise RuntimeError(f"the firmware has ended with {status}")
        self._line.unplug()
        self._usb.close()
        self._control.close()
        time.sleep(BOOT_S)
        self._start(WATCHDOG if hangs or status == RESTART else POWER_ON)

    def _carry(self, data: bytes, *, to_head: bool) -> None:
        """Take bytes from one end of the USB to the other."""
        if not data:
            return
        if self._paced:
            time.sleep(USB_S + len(data) * USB_S_PER_BYTE)
        if self.mangle:
            data = self.mangle(data, to_head)
        if not to_head:
            self._line.write(data)
            return
        with contextlib.suppress(OSError):
            self._usb.send(data)

    def _hear(self, data: bytes) -> None:
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            kind, *rest = line.decode().split(" ", 2)
            self._fed_s = time.monotonic()
            if kind == "fed":
                continue
            number, value = int(rest[0]), rest[1] if len(rest) > 1 else ""
            if kind == "wdt":
                self._wdt_s = number / 1000
                continue
            self._shown[kind, number] = value
            self.told.append(Told(time.monotonic(), kind, number, value))
            if (kind, number, value) == ("pin", self._pins["NFC_RESET"], "1"):
                self._chip.reset()


def _received(end: socket.socket) -> bytes:
    """Return what has come; nothing once the other end is gone."""
    try:
        return end.recv(READ_BYTES)
    except OSError:
        return b""
