"""What is made of the hardware's data: it is fresh, and the tools that read it accept it."""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from hw.plan import make
from hw.plan.constants import constants
from hw.plan.draw import drawings, picture
from hw.plan.overlay import overlays
from hw.plan.power import ride_through_s
from hw.plan.read import Plan, load, plan_of
from hw.plan.read import tables as tables_of
from hw.sim.head import pins as pins_of_firmware

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"

# As much of a Pi 4's tree as the overlays name (bcm2711-rpi-4-b.dts), with its labels.
BASE = """
/dts-v1/;
/ {
	compatible = "raspberrypi,4-model-b", "brcm,bcm2711";
	#address-cells = <1>;
	#size-cells = <1>;
	soc {
		#address-cells = <1>;
		#size-cells = <1>;
		gpio: gpio@7e200000 {
			compatible = "brcm,bcm2711-gpio";
			reg = <0x7e200000 0xb4>;
			gpio-controller;
			#gpio-cells = <2>;
		};
		uart0: serial@7e201000 {
			compatible = "arm,pl011";
			reg = <0x7e201000 0x200>;
			status = "disabled";
			bt: bluetooth { compatible = "brcm,bcm43438-bt"; status = "okay"; };
		};
		uart1: serial@7e215040 {
			compatible = "brcm,bcm2835-aux-uart";
			reg = <0x7e215040 0x40>;
			status = "okay";
		};
	};
};
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load()


def run(*command: str | Path) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == "", done.stderr
    return done.stdout


def compiled(folder: Path, name: str, text: str) -> Path:
    source = folder / f"{name}.dts"
    source.write_text(text, encoding="utf-8")
    run("dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", source.with_suffix(".dtb"), source)
    return source.with_suffix(".dtb")


def value(tree: Path, node: str, name: str, kind: str = "u") -> str:
    return run("fdtget", "-t", kind, tree, node, name).strip()


def test_both_overlays_apply_to_a_pi_and_say_what_the_data_says(plan: Plan, tmp_path: Path) -> None:
    base, tree = compiled(tmp_path, "base", BASE), tmp_path / "applied.dtb"
    made = [compiled(tmp_path, name, text) for name, text in overlays(plan.overlay).items()]
    run("fdtoverlay", "-i", base, "-o", tree, *made)
    data, gpio = plan.overlay.poweroff, "/soc/gpio@7e200000"
    chip = value(tree, gpio, "phandle")
    off = "/kazasu-poweroff"
    assert value(tree, off, "compatible", "s") == "gpio-poweroff"
    assert value(tree, off, "gpios") == f"{chip} {data.pi_gpio} 1"
    assert value(tree, off, "pinctrl-0") == value(tree, f"{gpio}/kazasu_running", "phandle")
    assert value(tree, off, "active-delay-ms") == str(data.active_delay_ms)
    assert value(tree, off, "timeout-ms") == str(data.timeout_ms)
    assert value(tree, f"{gpio}/kazasu_gnss", "brcm,pins") == "14 15"
    assert value(tree, f"{gpio}/kazasu_gnss", "brcm,function") == "4"
    serial = "/soc/serial@7e201000"
    assert value(tree, serial, "status", "s") == "okay"
    assert value(tree, serial, "pinctrl-0") == value(tree, f"{gpio}/kazasu_gnss", "phandle")
    assert value(tree, "/soc/serial@7e215040", "status", "s") == "disabled"
    assert value(tree, f"{serial}/bluetooth", "status", "s") == "disabled"


def test_an_overlay_that_names_what_a_pi_has_not_does_not_apply(plan: Plan, tmp_path: Path) -> None:
    base = compiled(tmp_path, "base", BASE)
    text = overlays(plan.overlay)["kazasu-gnss"].replace("<&uart0>", "<&uart9>")
    wrong = compiled(tmp_path, "wrong", text)
    applied: list[str | Path] = ["fdtoverlay", "-i", base, "-o", tmp_path / "out.dtb", wrong]
    assert subprocess.run(applied, check=False, capture_output=True).returncode != 0


def test_the_kernel_waits_longer_than_the_head_takes_to_cut(plan: Plan) -> None:
    power = (ROOT / "firmware" / "power.py").read_text("utf-8")
    gone = re.search(r"^GONE_MS = ([\d_]+)$", power, re.MULTILINE)
    assert gone is not None
    assert 5 * int(gone[1]) <= plan.overlay.poweroff.active_delay_ms
    assert plan.overlay.poweroff.active_delay_ms <= plan.overlay.poweroff.timeout_ms


def test_the_firmware_has_the_pins_of_the_data(plan: Plan) -> None:
    assert (ROOT / "firmware" / "pins.py").read_text("utf-8") == constants(plan.pins)
    assert pins_of_firmware().items() >= {pin.name: pin.gpio for pin in plan.pins.pin}.items()


@pytest.mark.parametrize("name", ["head", "rail", "bus", "taxi", "school"])
def test_wireviz_draws_every_wire(plan: Plan, name: str, tmp_path: Path) -> None:
    picture(drawings(plan)[name], tmp_path, name)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.png", f"{name}.svg"]
    svg = ET.fromstring((tmp_path / f"{name}.svg").read_text("utf-8"))
    texts = ["".join(text.itertext()) for text in svg.iter(f"{SVG}text")]
    own = [wire for wire in plan.head.wires if wire.drawing == name]
    for wire in own or plan.sites[name].wires:
        # Beside a wire stand both ends, place:number:name; a numbered pin's name is its net.
        for end in (wire.start, wire.end):
            place, _, pin = end.partition(".")
            wanted = rf"{place}:\S+:{re.escape(wire.net if pin.isdigit() else pin)}"
            assert any(re.fullmatch(wanted, text.strip()) for text in texts), wanted


def test_a_stale_file_and_a_changed_picture_are_told(plan: Plan, tmp_path: Path) -> None:
    for path in (*make.texts(plan), make.MADE_FROM):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    for name in drawings(plan):
        for kind in make.PICTURES:
            shutil.copy(ROOT / make.GUIDE / f"{name}{kind}", tmp_path / make.GUIDE)
    assert make.stale(plan, tmp_path) == []

    (tmp_path / make.GUIDE / "bus.svg").write_text("<svg/>", encoding="utf-8")
    (told,) = make.stale(plan, tmp_path)
    assert "bus.svg" in told
    assert "scripts/hw" in told

    read = copy.deepcopy(tables_of())
    read["pins"]["pin"][0]["gpio"] = 8
    changed = " ".join(make.stale(plan_of(read), tmp_path))
    assert "firmware/pins.py" in changed
    assert "index.html" in changed

    assert make.make(plan, tmp_path) == [make.GUIDE / "bus.svg"]
    assert make.stale(plan, tmp_path) == []
    assert make.make(plan, tmp_path) == []


def test_the_command_finds_this_checkout_right_and_fresh() -> None:
    command = [str(ROOT / "scripts" / "hw"), "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_command_tells_a_fault_and_writes_nothing(tmp_path: Path) -> None:
    for folder in ("hw/plan", "hw/data", "hw/overlays", "wire", "firmware", "docs/build-guide"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "hw" / "__init__.py", tmp_path / "hw")
    pins = tmp_path / "hw" / "data" / "pins.toml"
    pins.write_text(pins.read_text("utf-8").replace("gpio = 18", "gpio = 16"), encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    done = subprocess.run(
        [sys.executable, "-m", "hw.plan.make"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "pins.toml, RELAY: GPIO 16 is used twice, LAMP has it too; take a free one\n"
    )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == before


def test_ride_through_is_the_energy_between_two_voltages_over_the_load(plan: Plan) -> None:
    # 25 F from 5 V to 2.5 V: 25 · (25 - 6.25) / 2 = 234.375 J; nine tenths of it at 10 W.
    assert ride_through_s(plan.power.supercap, 10.0) == pytest.approx(21.09375)
