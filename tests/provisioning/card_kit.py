"""A town whose readers stand on machines of their own, and an image's FAT partition."""

from pathlib import Path

from provisioning.local import make_local
from provisioning.sd import Card, Form, form_of, place_of, prepare
from provisioning.town import Town, read_town
from provisioning.wifi import Wifi
from wire.clock import SystemClock

CMDLINE = "console=serial0,115200 root=PARTUUID=1-02 rootfstype=ext4 fsck.repair=yes rootwait\n"
READER = "kazasu-shi/bus-1"


def town_file(folder: Path, ports: list[int], host: str = "localhost") -> Path:
    names = ("readers", "fleet", "devices", "console", "office", "door")
    listed = "\n".join(f"{name} = {port}" for name, port in zip(names, ports, strict=False))
    places = "".join(
        f"""
[[place]]
name = "{name}"
kind = "bus"
programmes = ["senior-pass"]
label_ja = "1号車"
label_en = "Bus 1"
front_end = "{front_end}"
technologies = ["106B"]
page_port = {page_port}
"""
        for name, front_end, page_port in (
            ("bus-1", "pn532:/dev/ttyAMA0", 3001),
            ("bus-2", "pn532:/dev/ttyAMA0", 3002),
            ("demo", "udp:127.0.0.1:54321", 3003),
        )
    )
    path = folder / "town.toml"
    path.write_text(f'tenant = "kazasu-shi"\nhost = "{host}"\n[ports]\n{listed}\n{places}', "utf-8")
    return path


def make_town(folder: Path, ports: list[int] | None = None) -> tuple[Path, Town]:
    """Return a town's folder as `local` makes it, and the town."""
    town = read_town(town_file(folder, ports or [2001, 2002, 2003, 2004, 2005, 2006]))
    make_local(folder / "local", town, SystemClock())
    return folder / "local", town


def image(folder: Path, form: Form) -> Path:
    """Return a FAT partition as an image brings it."""
    folder.mkdir()
    (folder / "cmdline.txt").write_text(CMDLINE)
    (folder / "config.txt").write_text("arm_64bit=1\n")
    if form == "cloud-init":
        for name in ("user-data", "meta-data", "network-config"):
            (folder / name).write_text("# as the image has it\n")
    return folder


def write_card(
    folder: Path,
    town: Town,
    boot: Path,
    reader: str = "bus-1",
    wifi: Wifi | None = None,
    wheels: Path | None = None,
    overlays: tuple[Path, ...] = (),
) -> str:
    """Prepare a card and return its claim."""
    card = Card(place_of(town, reader), form_of(boot), wifi, wheels, overlays)
    prepare(folder, town, card, boot, SystemClock())
    return (boot / "kazasu" / "claim").read_text("ascii").strip()
