"""MicroPython's `neopixel`, told to the world instead of driven."""

import machine


class NeoPixel:
    """`n` lights on one pin, each red, green, blue from 0 to 255."""

    def __init__(self, pin, n):
        self._number = pin.number
        self._lights = [(0, 0, 0)] * n

    def __len__(self):
        return len(self._lights)

    def __setitem__(self, at, colour):
        self._lights[at] = colour

    def write(self):
        """Show them."""
        shown = "".join("%02x%02x%02x" % colour for colour in self._lights)
        machine.tell("lamp", self._number, shown)
