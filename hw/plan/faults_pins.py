"""Faults of the head's pin map: what the chip cannot do, or does for itself."""

from __future__ import annotations

from collections.abc import Iterator

from hw.plan.rows import Chip, Pins

ANY_PIN = ("gpio", "pwm", "pio")
"""What every GPIO of an RP2040 can be."""
CHANNELS = 16
"""GPIO n and n + 16 share a PWM channel (RP2040 datasheet, 4.5.2)."""


def faults(pins: Pins, chip: Chip) -> Iterator[str]:
    """Yield each fault of the pin map as a sentence."""
    taken: dict[int, str] = {}
    names: set[str] = set()
    for pin in pins.pin:
        where = f"pins.toml, {pin.name}: GPIO {pin.gpio}"
        if pin.name in names:
            yield f"{where}: there is another pin of this name; give it one of its own"
        names.add(pin.name)
        if pin.gpio in taken:
            yield f"{where} is used twice, {taken[pin.gpio]} has it too; take a free one"
        taken[pin.gpio] = pin.name
        if pin.gpio in chip.own:
            yield f"{where} is the Pico's own ({_names(chip.own)}); take another"
        elif not 0 <= pin.gpio < min(chip.gpios, len(chip.at)) or not chip.at[pin.gpio]:
            yield f"{where} is not led out on a Pico; take one of 0 to 22 or 26 to 28"
        if pin.function in chip.functions:
            able = chip.functions[pin.function]
            if pin.gpio not in able:
                yield f"{where} cannot be {pin.function}; only {_names(able)} can: take one of them"
        elif pin.function not in ANY_PIN:
            known = ", ".join((*ANY_PIN, *chip.functions))
            yield f"{where}: no such function, {pin.function!r}; it is one of {known}"
    yield from _uart(pins)
    yield from _channels(pins)


def _uart(pins: Pins) -> Iterator[str]:
    """The firmware opens one UART: both of its lines must be of that one."""
    for pin in pins.pin:
        if pin.function.startswith("uart") and pin.function[4:5] != str(pins.nfc_uart):
            yield (
                f"pins.toml, {pin.name}: {pin.function} is not of UART {pins.nfc_uart}, which "
                "nfc_uart names; let both lines be of one UART"
            )


def _channels(pins: Pins) -> Iterator[str]:
    taken: dict[int, str] = {}
    for pin in pins.pin:
        if pin.function == "pwm":
            channel = pin.gpio % CHANNELS
            if channel in taken:
                yield (
                    f"pins.toml, {pin.name}: GPIO {pin.gpio} shares its PWM channel with "
                    f"{taken[channel]}; take one 16 away from neither"
                )
            taken[channel] = pin.name


def _names(numbers: tuple[int, ...]) -> str:
    return ", ".join(str(number) for number in numbers)
