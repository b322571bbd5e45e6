"""MicroPython's `rp2`, as far as the lamps need it: words go to the world instead of to a pin."""

import machine


class PIO:
    """Constants."""

    OUT_LOW, SHIFT_LEFT, JOIN_TX = 2, 0, 1


def asm_pio(**_options):
    """Return a program as it is: nobody runs it here."""
    return lambda program: program


class StateMachine:
    """Takes words of 24 bits, green, red, blue, for the lamps on a pin."""

    def __init__(self, number, program, *, freq, sideset_base):
        self._number = sideset_base.number

    def active(self, on):
        """It always is."""

    def put(self, words, shift):
        """Show them: red, green, blue of each."""
        shown = ""
        for word in words:
            shown += "%02x%02x%02x" % (word >> 8 & 255, word >> 16 & 255, word & 255)
        machine.tell("lamp", self._number, shown)
