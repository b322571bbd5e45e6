"""The card half on a reader's disks: all read-only but /data, mounted as there. Needs root."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.box import POWEROFF
from hw.sim.pn532 import PN532
from tests.edge.reader_kit import Link, make_reader, my_number_card
from tests.edge.sandbox import UNITS
from tests.edge.systemd_kit import Listener, half
from tests.edge.test_units import SANDBOX
from wire.codes import Code

CARD = my_number_card(1)
FSTAB = Path(__file__).parents[2] / "provisioning" / "card" / "fstab"
OF_THE_START = ("nofail", "x-systemd.")
"""What systemd reads of the options, and the kernel does not know."""


def options() -> list[str]:
    """Return the options of /data for the kernel."""
    (line,) = (line for line in FSTAB.read_text().splitlines() if "/data" in line.split()[1:2])
    return [word for word in line.split()[3].split(",") if not word.startswith(OF_THE_START)]


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, mounted as a reader's /data."""
    image, root = tmp_path / "data.img", tmp_path / "data"
    root.mkdir()
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "kazasu-data", image], check=True)
    subprocess.run(["mount", "-o", ",".join(["loop", *options()]), image, root], check=True)
    yield root
    subprocess.run(["umount", "--lazy", root], check=True)


def test_the_mount_options_are_taken_by_the_kernel(data: Path) -> None:
    (line,) = (
        line for line in Path("/proc/self/mounts").read_text().splitlines() if f" {data} " in line
    )
    kept = line.split()[3].split(",")
    assert set(options()) - set(kept) == {"commit=5"}  # the kernel's own, which it does not say
    assert {"noatime", "nosuid", "nodev", "noexec", "errors=remount-ro"} <= set(kept)
    program = data / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with pytest.raises(PermissionError):
        subprocess.run([program], check=True)


def test_a_tap_is_kept_where_nothing_else_can_be_written(data: Path, tmp_path: Path) -> None:
    systemd = Listener(tmp_path)
    with PN532() as chip:
        kit = make_reader(data / "kazasu", f"pn532:{chip.path}")
        kit.enrol(CARD)
        under = (sys.executable, SANDBOX, "kazasu-tap.service", kit.state)
        with half("tap", kit.folder / "edge.toml", systemd, *under):
            link = Link(kit.state)
            link.ready()
            chip.place(CARD)
            assert link.shown().code is Code.OK
            link.close()
        systemd.close()
    assert len(kit.taps()) == 1
    made = {str(path.relative_to(kit.state)).split("/")[0] for path in kit.state.rglob("*")}
    assert made <= {"journal", "rosters", "keys.sealed", "tap.sock"}


def test_what_ends_the_machine_s_day_is_one_file_and_gone_before_it_ends() -> None:
    path = (UNITS / "kazasu-poweroff.path").read_text().split("PathExists=")[1].split()[0]
    acts = [
        line.removeprefix("ExecStart=")
        for line in (UNITS / "kazasu-poweroff.service").read_text().splitlines()
        if line.startswith("ExecStart=")
    ]
    assert Path(path).name == POWEROFF
    assert acts == [f"/bin/rm {path}", "/bin/systemctl --no-block poweroff"]
    assert f"r! {path}\n" in (UNITS / "tmpfiles.conf").read_text()
