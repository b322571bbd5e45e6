"""What MicroPython's `machine` is on an RP2040, for the firmware under the unix port.

A line to whoever plays the world (hw/sim/head.py) tells what the firmware does with its pins, and
one from there what they read:

    → pin N V · pwm N HZ DUTY · lamp RRGGBB… · wdt MS · fed · reset      ← pin N V · adc N U16

It obeys the documented behaviour alone (docs.micropython.org, library/machine): a write that does
not fit is cut, a read that finds nothing gives None, an output pin that nobody has set is low.
"""

import io
import os
import select
import sys
import termios
import time

PWRON_RESET, WDT_RESET = 1, 3
RESTART = 77
"""Exit status for `reset`."""
FED_EVERY_MS = 100

_control = open(int(os.getenv("CONTROL_FD")), "r+b")
_poll = select.poll()
_poll.register(_control, select.POLLIN)
_read = {}
_written = {}
_heard = b""


def tell(kind, number, *values):
    """Say once what has changed."""
    if _written.get((kind, number)) != values:
        _written[kind, number] = values
        write(" ".join(str(word) for word in (kind, number) + values))


def write(line):
    """Say a line, whole."""
    left = line.encode() + b"\n"
    while left:
        left = left[_control.write(left) or 0 :]


def _listen():
    global _heard
    while _poll.poll(0):
        data = _control.read(4096)
        if not data:
            sys.exit(0)  # the world has ended
        _heard += data
    *lines, _heard = _heard.split(b"\n")
    for line in lines:
        kind, number, value = line.decode().split()
        _read[kind, int(number)] = int(value)


class Pin:
    """One pin: an output is told, an input reads what the world has set (pulled up: high)."""

    IN, OUT, PULL_UP, PULL_DOWN = 0, 1, 1, 2

    def __init__(self, number, mode=IN, pull=None, *, value=None):
        self.number = number
        self._out = mode == Pin.OUT
        self._idle = 1 if pull == Pin.PULL_UP else 0
        if self._out:
            self._value = 0
            self.value(value or 0)

    def value(self, new=None):
        """Set an output, or read either."""
        if new is not None:
            self._value = 1 if new else 0
            tell("pin", self.number, self._value)
            return None
        if self._out:
            return self._value
        _listen()
        return _read.get(("pin", self.number), self._idle)

    __call__ = value


class PWM:
    """One pin as a square wave."""

    def __init__(self, pin, *, freq=0, duty_u16=0):
        self._number, self._freq, self._duty = pin.number, freq, duty_u16
        self._tell()

    def freq(self, hz):
        """Hz of the wave."""
        self._freq = hz
        self._tell()

    def duty_u16(self, duty):
        """Its high part, of 65,535."""
        self._duty = duty
        self._tell()

    def _tell(self):
        tell("pwm", self._number, self._freq if self._duty else 0, self._duty)


class ADC:
    """One analogue input, 0 to 65,535 of 3.3 V; CORE_TEMP is the chip's own temperature."""

    CORE_TEMP = 4

    def __init__(self, pin):
        self._number = pin if isinstance(pin, int) else pin.number

    def read_u16(self):
        """Return what the world has set; of the temperature 27 °C when it has not."""
        _listen()
        return _read.get(("adc", self._number), 14_021 if self._number == 4 else 0)


class Stream(io.IOBase):
    """Bytes over a file descriptor that never waits."""

    def __init__(self, fd):
        self._fd = fd
        self._file = open(fd, "r+b")

    def read(self, size=4096):
        """Return what is there, or None."""
        return self._file.read(size) or None

    def write(self, data):
        """Return how many bytes found room."""
        return self._file.write(data) or 0

    def ioctl(self, request, argument):
        """MP_STREAM_GET_FILENO, by which select.poll waits for the descriptor."""
        return self._fd if request == 10 else -1


class UART(Stream):
    """The line to the chip: a pty whose other end plays the PN532."""

    def __init__(self, number, baudrate=9600, *, tx=None, rx=None, rxbuf=256, timeout=0):
        Stream.__init__(self, int(os.getenv("CHIP_FD")))
        termios.setraw(self._fd)
        self.init(baudrate)

    def init(self, baudrate):
        """Change the speed."""
        mode = termios.tcgetattr(self._fd)
        mode[4] = mode[5] = getattr(termios, "B%d" % baudrate)
        termios.tcsetattr(self._fd, termios.TCSANOW, mode)


class WDT:
    """The world ends this process when nobody feeds it in time."""

    def __init__(self, timeout):
        if timeout > 8388:
            raise ValueError("timeout exceeds 8388")
        self._fed = time.ticks_ms()
        tell("wdt", timeout)

    def feed(self):
        """Not yet."""
        now = time.ticks_ms()
        if time.ticks_diff(now, self._fed) >= FED_EVERY_MS:
            self._fed = now
            write("fed")


def reset():
    """Begin again."""
    sys.exit(RESTART)


def reset_cause():
    """Why it began: PWRON_RESET or WDT_RESET (which is also that of `reset`, as on the chip)."""
    return int(os.getenv("RESET_CAUSE") or PWRON_RESET)


def unique_id():
    """Return the chip's own 8 bytes."""
    return bytes.fromhex(os.getenv("UNIQUE_ID"))
