"""The board: makes the head of pins, UART, USB and the parts. Nothing else touches `machine`.

Pins are those of `pins.py`, made from hw/. On the USB there is the link alone: MicroPython's own
serial line, over which anybody could type programs, goes with the boot (see `main` for developers).
"""

import binascii

import headlink
import machine
import pins
import usb.device
from head import Head
from nfc import Nfc
from usb.device.cdc import CDCInterface

FIRMWARE = (0, 1, 0)
BOARD = 1
WDT_MS = 8_000
"""The RP2040's longest is 8,388 ms; an update's longest write to flash takes some 100 ms."""
UART_BYTES = 600
"""The chip's longest frame twice."""
LINK_BYTES = 1024
"""The longest frame three times."""


def make():
    """Return the head on this board. It is to be turned at least every WDT_MS."""
    wdt = machine.WDT(timeout=WDT_MS)
    uart = machine.UART(
        1,
        baudrate=115_200,
        tx=machine.Pin(pins.NFC_TX),
        rx=machine.Pin(pins.NFC_RX),
        rxbuf=UART_BYTES,
        timeout=0,
    )
    head = Head(_link(), uart, _hello, wdt.feed)
    nfc = Nfc(uart, machine.Pin(pins.NFC_RESET, machine.Pin.OUT, value=1), head.say)
    head.fit(nfc, [], lambda now_ms: None)
    return head


def _link():
    """Be a serial line on the USB, by the name that the agent looks for."""
    link = CDCInterface()
    link.init(timeout=0, txbuf=LINK_BYTES, rxbuf=LINK_BYTES)
    usb.device.get().init(
        link,
        builtin_driver=False,
        manufacturer_str="Kazasu",
        product_str="Reader head",
        serial_str=binascii.hexlify(machine.unique_id()).decode(),
    )
    return link


def _hello(now_ms):
    """Return HELLO's values."""
    cause = 1 if machine.reset_cause() == machine.WDT_RESET else 0
    began = (cause, now_ms & 0xFFFFFFFF, machine.unique_id())
    return (headlink.PROTOCOL,) + FIRMWARE + (BOARD,) + began
