# pyright: reportUndefinedVariable=false, reportIndexIssue=false
"""The ring of WS2812, sent by a programmable I/O block of the RP2040.

MicroPython's own `neopixel` holds all interrupts for 0.5 ms at each write; at 921,600 baud 44 bytes
come from the chip meanwhile, and its UART keeps 32. This one leaves them alone.
"""

from array import array

import rp2

HERTZ = 8_000_000
"""Ten cycles a bit of 1.25 µs: high for 2 of them is a 0, for 7 a 1 (WS2812B data sheet)."""


@rp2.asm_pio(
    sideset_init=rp2.PIO.OUT_LOW,
    out_shiftdir=rp2.PIO.SHIFT_LEFT,
    autopull=True,
    pull_thresh=24,
    fifo_join=rp2.PIO.JOIN_TX,
)
def bits():  # noqa: D103  (RP2040 data sheet, 3.6.2: the same program)
    wrap_target()  # noqa: F821
    label("next")  # noqa: F821
    out(x, 1).side(0)[2]  # noqa: F821
    jmp(not_x, "zero").side(1)[1]  # noqa: F821
    jmp("next").side(1)[4]  # noqa: F821
    label("zero")  # noqa: F821
    nop().side(0)[4]  # noqa: F821
    wrap()  # noqa: F821


class Ring:
    """So many lamps behind `pin`, each set as (red, green, blue), shown by `write`."""

    def __init__(self, pin, lamps):
        self._words = array("I", [0] * lamps)
        self._machine = rp2.StateMachine(0, bits, freq=HERTZ, sideset_base=pin)
        self._machine.active(1)

    def __len__(self):
        return len(self._words)

    def __setitem__(self, lamp, colour):
        red, green, blue = colour
        self._words[lamp] = green << 16 | red << 8 | blue

    def write(self):
        """Show what was set; returns within 0.3 ms, when the last eight words are on their way."""
        self._machine.put(self._words, 8)
