"""The board: makes the head of pins, UART, USB and the parts. Nothing else touches `machine`.

Pins are those of `pins.py`, made from hw/. On the USB there is the link alone: MicroPython's own
serial line, over which anybody could type programs, goes with the boot (see `main` for developers).
"""

import binascii
import sys

import headlink
import machine
import pins
import usb.device
from face import Face
from head import Head
from nfc import Nfc
from power import ON, Power
from relay import Relay
from ring import Ring
from senses import Senses
from update import Update
from usb.device.cdc import CDCInterface

FIRMWARE = (0, 1, 0)
WDT_MS = 8_388
"""The RP2040's longest; an update's longest write to flash takes some 100 ms."""
UART_BYTES = 600
"""The chip's longest frame twice."""
LINK_BYTES = 1024
"""The longest frame three times."""


def make():
    """Return the head on this board. It is to be turned at least every WDT_MS."""
    pin = machine.Pin
    uart = machine.UART(
        pins.NFC_UART,
        baudrate=115_200,
        tx=pin(pins.NFC_TX),
        rx=pin(pins.NFC_RX),
        rxbuf=UART_BYTES,
        timeout=0,
    )
    head = Head(_link(), uart, _hello, machine.WDT(timeout=WDT_MS).feed)
    nfc = Nfc(uart, pin(pins.NFC_RESET, pin.OUT, value=1), head.say)
    face = Face(
        Ring(pin(pins.LAMP, pin.OUT), pins.LAMPS),
        machine.PWM(pin(pins.BUZZER, pin.OUT), freq=1000, duty_u16=0),
    )
    relay = Relay(pin(pins.RELAY, pin.OUT, value=0))
    # The carrier's R2 pulls IGNITION low (hw/data): where nothing is wired, it is off.
    senses = Senses(
        pin(pins.IGNITION, pin.IN),
        pin(pins.TAMPER, pin.IN, pin.PULL_UP),
        machine.ADC(machine.ADC.CORE_TEMP),
        machine.ADC(pin(pins.SUPPLY)),
        pins.SUPPLY_MV_FULL,
        head.say,
    )
    update = Update(
        sys.path[0],
        lambda: not (nfc.is_busy or relay.is_closed) and power.state == ON,
        machine.reset,
        senses.note,
    )
    power = Power(
        pin(pins.PI_POWER, pin.OUT, value=1),
        pin(pins.PI_RUNNING, pin.IN, pin.PULL_DOWN),
        lambda: senses.ignition,
        lambda: update.is_under_way,
        senses.note,
    )

    def heard(now_ms):
        power.heard(now_ms)
        face.heard(now_ms)

    head.fit(nfc, [face, relay, senses, update, power], heard)
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
    cause = "watchdog" if machine.reset_cause() == machine.WDT_RESET else "power-on"
    began = (headlink.RESETS.index(cause), now_ms & 0xFFFFFFFF, machine.unique_id())
    return (headlink.PROTOCOL,) + FIRMWARE + (pins.BOARD,) + began
