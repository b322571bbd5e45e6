"""A card for one reader: who it is, where it calls, and one claim that makes it that, once.

Written onto the FAT partition of a Raspberry Pi OS, in one of two forms: what cloud-init reads
(Trixie and later), or `firstrun.sh` with its words in cmdline.txt (Bookworm). Both end in the same
card/first-boot.sh. Rules: no private key, no programme key and no password is on it; what is secret
on it is the claim, good once and for some days, and the Wi-Fi's key · a card that is made again is
the same but for the claim, and the former claim is void · nobody can sign in to the reader.
"""

import os
import shutil
from importlib import resources
from pathlib import Path
from typing import Final, Literal, NamedTuple

from provisioning import claims
from provisioning.registry import read_registry
from provisioning.town import Place, Town
from provisioning.vault import ProvisioningRefused
from provisioning.wifi import Wifi
from wire.clock import Clock

Form = Literal["cloud-init", "older"]
FORMS: Final[tuple[Form, ...]] = ("cloud-init", "older")
CLOUD_INIT: Final = ("user-data", "meta-data", "network-config")
"""NoCloud's files, which images with cloud-init bring in their own words."""
CMDLINE: Final = "cmdline.txt"
RUN: Final = (
    "systemd.run=/boot/firmware/firstrun.sh",
    "systemd.run_success_action=reboot",
    "systemd.unit=kernel-command-line.target",
)
"""As Raspberry Pi Imager has it."""
SCRIPT: Final = "kazasu/first-boot.sh"
PUBLIC: Final = ("edge.toml", "authority.pem", "fleet.pub")
DTB_MAGIC: Final = bytes.fromhex("D00DFEED")
"""Devicetree Specification 5.2."""
CONFIG_MARK: Final = "\n[all]\n# Made by kazasu-provision sd.\n"
STATIC: Final = ("first-boot.sh", "fstab", "journald.conf", "system.conf")


class Card(NamedTuple):
    """What was asked for."""

    place: Place
    form: Form
    wifi: Wifi | None = None
    wheels: Path | None = None
    overlays: tuple[Path, ...] = ()
    """Compiled device-tree overlays (.dtbo), such as the head's."""


def form_of(boot: Path) -> Form:
    """Tell by its files which form an image's FAT partition takes. Raises ProvisioningRefused."""
    if not (boot / CMDLINE).exists():
        raise ProvisioningRefused(
            f"{boot} is no firmware partition of a Raspberry Pi OS: mount the card's first one"
        )
    return "cloud-init" if any((boot / name).exists() for name in CLOUD_INIT) else "older"


def place_of(town: Town, name: str) -> Place:
    """Return the place of a reader that can stand on a machine of its own.

    Raises ProvisioningRefused.
    """
    if not town.host:
        raise ProvisioningRefused("the town has no host: say in town.toml where readers call")
    for place in town.place:
        if place.name == name:
            if place.front_end.startswith("udp:"):
                raise ProvisioningRefused(f"{name} has a simulated front end: name a real one")
            return place
    known = ", ".join(place.name for place in town.place[:20])
    raise ProvisioningRefused(f"there is no reader {name!r}; there are: {known}")


def prepare(folder: Path, town: Town, card: Card, boot: Path, clock: Clock) -> None:
    """Write a card. Raises ProvisioningRefused, and OSError when a disk says no.

    The claim is written last: a card that is not whole has none.
    """
    home = folder / "readers" / card.place.name
    if read_registry(folder, town.tenant) is None or not (home / "edge.toml").exists():
        raise ProvisioningRefused(f"{home} is not there: run `kazasu-provision local` first")
    ours = boot / "kazasu"
    ours.mkdir(exist_ok=True)
    (ours / "claim").unlink(missing_ok=True)
    for name in PUBLIC:
        _put(ours / name, (home / name).read_bytes())
    for name in STATIC:
        _put(ours / name, _static(name))
    _put(ours / "door", f"https://{town.host}:{town.ports.door}\n".encode())
    if card.wheels:
        _put_wheels(card.wheels, ours / "wheels")
    if card.overlays:
        _put_overlays(boot, card.overlays)
    if card.form == "cloud-init":
        _put_cloud_init(boot, card)
    else:
        _put_older(boot, card)
    with claims.alone(folder):
        claim = claims.issue(folder, str(town.reader_at(card.place)), clock.now_ms())
    _put(ours / "claim", f"{claim}\n".encode())


def _put_cloud_init(boot: Path, card: Card) -> None:
    name = card.place.name
    wifi = [] if card.wifi is None else ["  - [rfkill, unblock, wifi]"]
    user_data = [
        "#cloud-config",
        "# Made by kazasu-provision sd.",
        f"hostname: {name}",
        "manage_etc_hosts: true",
        "timezone: Asia/Tokyo",
        "locale: ja_JP.UTF-8",
        "keyboard:",
        "  layout: jp",
        "# Nobody signs in: no user is made beside root, nobody has a password, ssh stays off.",
        "users:",
        "  - name: root",
        "    lock_passwd: true",
        "ssh_pwauth: false",
        "disable_root: true",
        "ssh_deletekeys: true",
        "package_update: false",
        "runcmd:",
        "  - [systemctl, disable, --now, ssh.service]",
        *wifi,
        f"  - [sh, /boot/firmware/{SCRIPT}]",
        "power_state:",
        "  mode: reboot",
        "",
    ]
    network = "version: 2\nethernets:\n  eth0:\n    dhcp4: true\n    optional: true\n"
    network += card.wifi.netplan() if card.wifi else ""
    _put(boot / "user-data", "\n".join(user_data).encode())
    _put(boot / "meta-data", f"instance-id: kazasu-{name}\nlocal-hostname: {name}\n".encode())
    _put(boot / "network-config", network.encode())


def _put_older(boot: Path, card: Card) -> None:
    connection = boot / "kazasu" / "wifi.nmconnection"
    if card.wifi:
        _put(connection, card.wifi.keyfile().encode())
    else:
        connection.unlink(missing_ok=True)
    script = _static("firstrun.sh").replace(b"@HOSTNAME@", card.place.name.encode())
    _put(boot / "firstrun.sh", script)
    words = (boot / CMDLINE).read_text("utf-8").split()
    kept = [word for word in words if not word.startswith("systemd.run") and word != RUN[2]]
    _put(boot / CMDLINE, (" ".join([*kept, *RUN]) + "\n").encode())


def _put_wheels(wheels: Path, target: Path) -> None:
    found = sorted(wheels.glob("*.whl"))
    if not any(one.name.startswith("kazasu-") for one in found):
        raise ProvisioningRefused(f"{wheels} has no wheel of kazasu: see docs/sd-cards.md")
    target.mkdir(exist_ok=True)
    for one in found:
        shutil.copyfile(one, target / one.name)


def _put_overlays(boot: Path, overlays: tuple[Path, ...]) -> None:
    """Bring overlays and name them in config.txt, in a part of ours at its end."""
    for one in overlays:
        if one.suffix != ".dtbo" or not one.read_bytes().startswith(DTB_MAGIC):
            raise ProvisioningRefused(f"{one} is no compiled overlay: make a .dtbo of it with dtc")
    (boot / "overlays").mkdir(exist_ok=True)
    for one in overlays:
        _put(boot / "overlays" / one.name, one.read_bytes())
    image = (boot / "config.txt").read_text("utf-8").partition(CONFIG_MARK)[0]
    lines = "".join(f"dtoverlay={one.stem}\n" for one in overlays)
    _put(boot / "config.txt", f"{image}{CONFIG_MARK}{lines}".encode())


def _static(name: str) -> bytes:
    return resources.files("provisioning").joinpath("card", name).read_bytes()


def _put(path: Path, data: bytes) -> None:
    """Write a whole file, on the card, and rename it into place; FAT knows no modes to set."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
