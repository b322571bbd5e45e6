"""What is wrong with the hardware's data is found: each class planted in a copy of the files."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given, settings, strategies

from hw.plan.check import faults
from hw.plan.read import DataRefused, load, plan_of
from hw.plan.read import tables as tables_of

Change = Callable[[dict[str, Any]], None]

TABLES = tables_of()


def one(rows: list[dict[str, Any]], **wanted: str) -> dict[str, Any]:
    """Return the row that has these values; `from` is asked for as `start`."""
    names = {"start": "from", "end": "to"}
    fits = [row for row in rows if all(row[names.get(key, key)] == wanted[key] for key in wanted)]
    assert len(fits) == 1, wanted
    return fits[0]


def pin(name: str, /, **values: object) -> Change:
    return lambda tables: one(tables["pins"]["pin"], name=name).update(values)


def wire(site: str, start: str, /, **values: object) -> Change:
    def change(tables: dict[str, Any]) -> None:
        rows = tables["head"]["wires"] if site == "head" else tables["sites"][site]["wires"]
        one(rows, start=start).update(values)

    return change


def without_wire(site: str, start: str) -> Change:
    def change(tables: dict[str, Any]) -> None:
        of = tables["head"] if site == "head" else tables["sites"][site]
        of["wires"].remove(one(of["wires"], start=start))

    return change


def without_joint(name: str, joint: str) -> Change:
    return lambda tables: tables["head"]["nets"][name].remove(joint)


def exchanged(site: str, start: str, other: str) -> Change:
    """Crimp the far ends of two wires the wrong way round."""

    def change(tables: dict[str, Any]) -> None:
        rows = tables["head"]["wires"] if site == "head" else tables["sites"][site]["wires"]
        first, second = one(rows, start=start), one(rows, start=other)
        first["to"], second["to"] = second["to"], first["to"]

    return change


def extra_wire(site: str, net: str, start: str, end: str) -> Change:
    def change(tables: dict[str, Any]) -> None:
        drawn = {"net": net, "from": start, "to": end, "type": "awg22", "colour": "WH"}
        tables["sites"][site]["wires"].append({**drawn, "length_m": 0.1})

    return change


def site_net(site: str, name: str, /, **values: object) -> Change:
    return lambda tables: one(tables["sites"][site]["nets"], name=name).update(values)


def net(name: str, /, **values: object) -> Change:
    return lambda tables: one(tables["nets"]["nets"], name=name).update(values)


def soldered(name: str, pins: list[str]) -> Change:
    return lambda tables: tables["head"]["nets"].update({name: pins})


def site_part(site: str, ref: str, part: str) -> Change:
    return lambda tables: one(tables["sites"][site]["places"], ref=ref).update(part=part)


def part(name: str, /, **values: object) -> Change:
    return lambda tables: one(tables["parts"]["parts"], id=name).update(values)


def power(section: str, /, **values: object) -> Change:
    return lambda tables: tables["power"][section].update(values)


def load_of(name: str, /, **values: object) -> Change:
    return lambda tables: one(tables["power"]["loads"], part=name).update(values)


def unplaced(ref: str) -> Change:
    def change(tables: dict[str, Any]) -> None:
        tables["head"]["places"].remove(one(tables["head"]["places"], ref=ref))

    return change


def renamed(ref: str, other: str) -> Change:
    return lambda tables: one(tables["sites"]["bus"]["places"], ref=ref).update(ref=other)


def bought(name: str, count: int) -> Change:
    return lambda tables: one(tables["parts"]["parts"], id=name)["quantity"].update(bus=count)


PLANTED: list[tuple[Change, str]] = [
    # the chip's pins
    (pin("RELAY", gpio=16), "pins.toml, RELAY: GPIO 16 is used twice, LAMP has it too"),
    (pin("TAMPER", name="RELAY"), "RELAY: GPIO 18: there is another pin of this name"),
    (pin("RELAY", gpio=25), "RELAY: GPIO 25 is the Pico's own"),
    (pin("RELAY", gpio=30), "RELAY: GPIO 30 is not led out"),
    (pin("NFC_TX", gpio=5), "NFC_TX: GPIO 5 cannot be uart1-tx; only 4, 8, 20, 24 can"),
    (pin("NFC_TX", gpio=0, function="uart0-tx"), "NFC_TX: uart0-tx is not of UART 1"),
    (pin("SUPPLY", gpio=7), "SUPPLY: GPIO 7 cannot be adc; only 26, 27, 28, 29 can"),
    (pin("RELAY", function="spi"), "RELAY: GPIO 18: no such function, 'spi'"),
    # a pin in two places
    (wire("bus", "F1.2", to="J6.1"), "bus: J6.1 is used twice, on IGN_IN and VIN"),
    (wire("head", "X2.3", **{"from": "X2.2"}), "2 wires end on X2.2, which has room for one"),
    # voltages
    (wire("bus", "X4.3", to="U1.RUN"), "bus: VIN takes U1.RUN, which the board keeps"),
    (
        extra_wire("bus", "VIN", "X4.4", "P1.GPIO14 TX"),
        "bus: P1.GPIO14 TX is for 3V3 and is on VIN, which is vehicle",
    ),
    (soldered("LAMP_DIN", ["U1.LAMP", "J3.3"]), "bus: U1.LAMP is for 3V3 and is on LAMP_DIN"),
    (net("LAMP_DIN", domain="3V3"), "bus: L1.DIN is for 5V and is on LAMP_DIN, which is 3V3"),
    # drivers
    (
        extra_wire("bus", "GNSS_TX", "P1.GPIO14 TX", "G1.RXD"),
        "bus: GNSS_TX joins outputs that drive each other, G1.TXD and P1.GPIO14 TX",
    ),
    (without_wire("head", "S1.5V OUT"), "bus: nothing drives V5_RAIL (5 V, always on)"),
    (soldered("LAMP_5V", ["R8.1", "C1.1"]), "bus: nothing drives LAMP_5V"),
    # joints
    (without_wire("head", "X2.3"), "bus: V5_RAIL (5 V, always on) is in pieces, S1.5V OUT does"),
    (without_wire("bus", "X1.5"), "bus: J6.3 is soldered and not wired"),
    (without_joint("GND", "J8.3"), "bus: J8.3 is wired and not soldered"),
    (exchanged("bus", "X0.B+", "X0.GND"), "bus: X1 joins BATT and GND, for its pins are one"),
    (exchanged("bus", "X0.B+", "X3.4"), "bus: fuse F1 has 5V on V5_PI and vehicle on VIN"),
    (exchanged("head", "J2.3", "J2.5"), "bus: N1.RX (SCL) must meet NFC_TX, and does not on"),
    (exchanged("head", "J3.1", "J3.3"), "bus: L1.5V lives on LAMP_DIN (lamp's data), which is a"),
    # pins that are alone, or are not there
    (without_wire("head", "J2.5"), "bus: N1.RSTPDN must be connected and is not"),
    (wire("head", "J2.5", to="N1.RESET"), "NFC_RESET names N1.RESET, and no part in place has"),
    (wire("head", "J2.5", net="RST"), "J2.5 is on RST, which no file describes"),
    # wires and fuses
    (wire("bus", "F1.2", type="awg22"), "thinner than its fuse: F1 blows at 3.0 A, 0.33 mm²"),
    (wire("bus", "X0.GND", type="awg22"), "bus: the wire X0.GND to X1.1 is thinner than its fuse"),
    (wire("bus", "X0.B+", type="avs05"), "too thin for a fault: X0.B+ gives up to 10.0 A"),
    (site_net("bus", "V5_GNSS", amps_max=9.0), "the wire F4.2 to G1.5V is too thin: 9.0 A"),
    (wire("bus", "F1.2", type="avs9"), "is of no kind that wires.toml knows, 'avs9'"),
    (wire("bus", "X0.GND", returns=""), "does not say whose current it brings back"),
    (site_part("bus", "F1", "blade5"), "bus: the wire X4.3 to J6.2 is thinner than its fuse"),
    (part("blade3", fuse_a=1.0), "bus: fuse F1 (1.0 A) is too small for VIN"),
    (part("blade3", fuse_a=2.7), "bus: fuse F1 (2.7 A) is not made"),
    (site_net("bus", "VIN", limited_by=""), "bus: VIN (24 V behind the fuse) carries 1.8 A and"),
    (site_net("bus", "VIN", limited_by="R1"), "is limited by R1, which is no fuse"),
    (site_net("bus", "VIN", limited_by="F3"), "is limited by F3, which it does not hang on"),
    (site_net("bus", "V12", amps_max=4.0), "V12 (12 V) carries 4.0 A, and K1.VO+ gives 3.4 A"),
    (wire("head", "S1.5V OUT", length_m=3.0), "bus: the wires to the Pi lose 0.25 V of 5 V"),
    # parts bought and placed
    (bought("r10k", 4), "bus: parts.toml buys 4 of r10k, and 3 are placed"),
    (bought("pn532", 0), "bus: 1 of pn532 are placed, and parts.toml buys 0"),
    (unplaced("M1"), "bus: parts.toml buys 1 of sdcard, and 0 are placed"),
    (site_part("bus", "F1", "blade9"), "bus: F1 is a 'blade9', which parts.toml has not"),
    (part("pn532", board="pn533"), "N1 is on board 'pn533', which boards.toml has not"),
    (renamed("F1", "F3"), "bus: two parts stand at F3"),
    # the supply
    (power("supercap", farad=5.0), "bus: the capacitors last 5.1 s at 8.2 W"),
    (load_of("display7", peak_w=12.0), "bus: the loads' peak is 23.7 W"),
    (load_of("display7", stopping_w=12.0), "bus: while stopping 18.2 W are taken"),
    (part("converter24", out_w=15.0), "bus: K1 (RSD-30L-12) gives 15 W, and 15.8 W"),
    (site_part("bus", "K1", "converter12"), "bus: a surge reaches 58 V, and RSD-30G-12 bears 36 V"),
    (site_part("taxi", "K1", "converter24"), "taxi: the supply falls to 11 V, and RSD-30L-12"),
    (net("V5_RAIL", amps_max=2.0), "bus: V5_RAIL says 2.0 A at most, and the loads add up to 2.84"),
    (
        site_net("taxi", "BATT", amps_max=1.0),
        "taxi: VIN takes 3.2 A through F1 from BATT, which is",
    ),
    # files that name each other
    (lambda tables: tables["lamp"]["meanings"].pop(), "lamp.toml: its meanings are not"),
    (lambda tables: tables["overlay"]["poweroff"].update(pi_gpio=5), "P1.GPIO5 is not wired"),
    (load_of("gnss", part="gps"), "power.toml: a load 'gps' is no part"),
]


def test_the_true_files_can_be_built() -> None:
    assert faults(load()) == []


@pytest.mark.parametrize(("change", "sentence"), PLANTED, ids=[said for _, said in PLANTED])
def test_a_planted_fault_is_found_and_says_what_to_do(change: Change, sentence: str) -> None:
    tables = copy.deepcopy(TABLES)
    change(tables)
    found = faults(plan_of(tables))
    assert any(sentence in fault for fault in found), found
    assert all("; " in fault for fault in found), found


SYMMETRICAL = {frozenset({"B1.1", "B1.2"}), frozenset({"SW1.COM", "SW1.NO"})}
"""A buzzer and a contact work either way round."""


def test_each_wire_and_each_joint_that_is_left_out_is_noticed() -> None:
    changes: dict[str, Change] = {}
    for site, of in (("head", TABLES["head"]), *TABLES["sites"].items()):
        for row in of["wires"]:
            changes[f"{row['from']} to {row['to']}"] = without_wire(site, row["from"])
    for name, pins in TABLES["head"]["nets"].items():
        for joint in pins:
            changes[f"{name}, {joint}"] = without_joint(name, joint)
    assert len(changes) > 120
    assert [said for said, change in changes.items() if not found_after(change)] == []


@given(strategies.data())
@settings(max_examples=40, deadline=None)
def test_two_wires_that_are_exchanged_are_noticed(data: strategies.DataObject) -> None:
    site = data.draw(strategies.sampled_from(["head", *TABLES["sites"]]))
    rows = TABLES["head"]["wires"] if site == "head" else TABLES["sites"][site]["wires"]
    first, second = data.draw(
        strategies.lists(strategies.sampled_from(rows), min_size=2, max_size=2)
    )
    ends = frozenset({first["to"], second["to"]})
    assume(first["net"] != second["net"])
    assume(ends not in SYMMETRICAL and not ends <= {"B1.1", "SW1.COM"})
    assume(not {"D0.IN1", "D0.IN2"} >= ends)
    assert found_after(exchanged(site, first["from"], second["from"])), ends


@given(strategies.data())
@settings(max_examples=60, deadline=None)
def test_whatever_is_changed_the_checks_answer(data: strategies.DataObject) -> None:
    """A row is lost, or a word or figure becomes another: sentences or a refusal, never a crash."""
    tables = copy.deepcopy(TABLES)
    spot: Any = tables
    while True:
        key = data.draw(
            strategies.sampled_from(sorted(spot) if isinstance(spot, dict) else range(len(spot)))
        )
        inner = spot[key]
        if (
            not (isinstance(inner, dict | list) and inner)
            or data.draw(strategies.integers(0, 4)) == 0
        ):
            break
        spot = inner
    if data.draw(strategies.booleans()):
        del spot[key]
    else:
        spot[key] = data.draw(strategies.sampled_from(["", "nowhere", -1, 0, 10**9, 1.5, [], {}]))
    try:
        plan = plan_of(tables)
    except DataRefused:
        return
    assert all("; " in fault for fault in faults(plan))


def found_after(change: Change) -> list[str]:
    tables = copy.deepcopy(TABLES)
    change(tables)
    return faults(plan_of(tables))


def test_a_pin_that_two_pwm_outputs_share_is_found() -> None:
    tables = copy.deepcopy(TABLES)
    pin("RELAY", gpio=14, function="pwm")(tables)
    assert faults(plan_of(tables)) == []
    pin("BUZZER", gpio=14)(tables)
    pin("RELAY", gpio=30, function="pwm")(tables)
    assert any("shares its PWM channel with BUZZER" in said for said in faults(plan_of(tables)))


def test_an_unknown_key_and_a_wrong_type_are_refused() -> None:
    for change in (
        pin("RELAY", volts=3.3),
        wire("bus", "F1.2", length_m="4 m"),
        wire("bus", "F1.2", length_m=0.0),
    ):
        tables = copy.deepcopy(TABLES)
        change(tables)
        with pytest.raises(DataRefused, match=r"pins\.pin|wires"):
            plan_of(tables)
