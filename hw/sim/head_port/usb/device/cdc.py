"""micropython-lib's `usb.device.cdc`: a serial line over USB, here a file descriptor."""

import os

import machine


class CDCInterface(machine.Stream):
    """See there; without a time-out neither read nor write wait."""

    def __init__(self):
        machine.Stream.__init__(self, int(os.getenv("LINK_FD")))

    def read(self, size):
        """Return a bytearray, as there, or None."""
        data = machine.Stream.read(self, size)
        return bytearray(data) if data else None

    def init(self, *, timeout, txbuf, rxbuf):
        """Set what is set there."""
