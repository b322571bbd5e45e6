"""Opens the front end that a path in the reader's configuration names.

    pcsc · pcsc:RC-S300            a PC/SC reader: the first contactless one, or by its name
    pn532:/dev/ttyAMA0             a PN532 on a serial line, at 115,200 baud
    pn532:/dev/ttyAMA0@921600      the same, quicker: where line and module are known to carry it
    head · head@921600             a PN532 behind the reader head that is plugged in
    head:e661410403123456          the same, of several heads the one with this number
    usb:054c:06c3                  an RC-S380, by nfcpy
    udp:127.0.0.1:54321            the simulator, by nfcpy

Each driver is imported when it is opened: a reader needs one of them, and its start is timed.
"""

import re
from typing import Final

from edge.frontends import FrontEnd, FrontEndFault
from edge.head import Head, named
from wire.limits import FRONT_END_PATH

BAUD: Final = 115_200
"""What every module and line can do; others are for whoever has tried them."""


def head_of(path: str) -> Head | None:
    """Return the reader head that a path names, not opened yet; None when it names none."""
    where = named(path)
    return None if where is None else Head(where)


def open_front_end(path: str, felica_system: str, head: Head | None = None) -> FrontEnd:
    """Open it. `felica_system` is four hex digits. Raises FrontEndFault.

    `head`: that of `head_of`, where its caller has more to say to it.
    """
    if not re.match(FRONT_END_PATH, path):
        raise FrontEndFault(f"{path} is no front end: see docs/cards.md for the forms of a path")
    kind, _, _ = path.partition(":")
    head = head or head_of(path)
    if kind == "pcsc":
        from edge.frontends.pcsc import Pcsc

        return Pcsc(path, felica_system)
    if kind == "pn532" or head:
        from edge.frontends.pn532 import Pn532
        from edge.frontends.pn532_chip import BehindHead, OnLine

        port, _, baud = path.partition("@")
        baudrate = int(baud or BAUD)
        on_line = OnLine(port.removeprefix("pn532:"), baudrate)
        return Pn532(BehindHead(head, baudrate) if head else on_line, felica_system)
    from edge.frontends.nfcpy import Nfcpy

    return Nfcpy(path, felica_system)
