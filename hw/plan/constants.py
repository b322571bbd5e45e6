"""`firmware/pins.py`: the head's pins as MicroPython's constants."""

from __future__ import annotations

from hw.plan.rows import Pins

HEAD = '''"""The head's pins. GENERATED from hw/data/pins.toml by scripts/hw: change it there.

The names are those of the GPIOs; the rest says what hangs there.
"""

from micropython import const

'''


def constants(pins: Pins) -> str:
    """Return the module's text."""
    lines = [f"# {pin.en}\n{pin.name} = const({pin.gpio})\n" for pin in pins.pin]
    rest = (
        ("BOARD", pins.board_revision, "revision of this layout, as HELLO says it"),
        ("NFC_UART", pins.nfc_uart, "which UART the PN532 hangs on"),
        ("LAMPS", pins.lamps, "lights of the ring"),
        ("SUPPLY_MV_FULL", pins.supply_mv_full, "mV of supply where the ADC reads 65535"),
    )
    lines += ["\n", *(f"# {what}\n{name} = const({value})\n" for name, value, what in rest)]
    return HEAD + "".join(lines)
