"""A card names a reader, holds nothing that lasts, and can be made again."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from provisioning.sd import CLOUD_INIT, FORMS, Form, form_of, place_of
from provisioning.town import Town
from provisioning.vault import ProvisioningRefused
from provisioning.wifi import Wifi
from tests.edge.sandbox import UNITS
from tests.provisioning.card_kit import CMDLINE, image, make_town, write_card
from tests.provisioning.test_cli import run

ROOT = Path(__file__).parents[2]
PASSWORD = "sakura no hana 2026"
WIFI = Wifi.of('営業所 "1" $(x)', PASSWORD)

each_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Town]:
    return make_town(tmp_path)


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@each_form
def test_nothing_that_lasts_is_on_the_card(
    form: Form, tmp_path: Path, made: tuple[Path, Town]
) -> None:
    folder, town = made
    boot = image(tmp_path / "boot", form)
    claim = write_card(folder, town, boot, wifi=WIFI)
    written = b"\n".join(everything(boot).values())
    secrets = [path.read_bytes() for path in folder.rglob("*.key")]
    keys = json.loads((folder / "keys" / "programme-keys.json").read_bytes())["keys"]
    secrets += [key["key"].encode() for key in keys]
    assert len(secrets) > 10
    assert not [secret for secret in secrets if secret in written]
    assert b"PRIVATE" not in written
    assert PASSWORD.encode() not in written
    assert WIFI.key.encode() in written
    kept = b"\n".join(everything(folder).values())
    assert claim.encode() not in kept  # and here nothing is kept of the claim but its hash


@each_form
def test_a_card_that_is_made_again_differs_in_its_claim_alone(
    form: Form, tmp_path: Path, made: tuple[Path, Town]
) -> None:
    folder, town = made
    boot = image(tmp_path / "boot", form)
    first_claim = write_card(folder, town, boot, wifi=WIFI)
    first = everything(boot)
    assert write_card(folder, town, boot, wifi=WIFI) != first_claim
    second = everything(boot)
    assert {name for name in first if first[name] != second[name]} == {"kazasu/claim"}
    assert first.keys() == second.keys()


@each_form
def test_a_card_that_is_not_whole_has_no_claim(
    form: Form, tmp_path: Path, made: tuple[Path, Town]
) -> None:
    folder, town = made
    boot = image(tmp_path / "boot", form)
    write_card(folder, town, boot)
    (tmp_path / "wheels").mkdir()
    with pytest.raises(ProvisioningRefused, match="no wheel of kazasu"):
        write_card(folder, town, boot, wheels=tmp_path / "wheels")
    assert not (boot / "kazasu" / "claim").exists()


def test_the_key_of_a_wi_fi_is_the_standard_s() -> None:
    """IEEE 802.11, J.4.2, its first example."""
    key = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
    assert Wifi.of("IEEE", "password") == ("IEEE", key)


@pytest.mark.parametrize(
    ("ssid", "password"),
    [("", "password"), ("x" * 33, "password"), ("a\nb", "password"), ("a", "short"),
     ("a", "x" * 64), ("a", "パスワードパスワード"), ("a", "pass\nword")],
)  # fmt: skip
def test_a_wi_fi_that_cannot_be_is_refused(ssid: str, password: str) -> None:
    with pytest.raises(ProvisioningRefused):
        Wifi.of(ssid, password)


def test_cloud_init_is_told_what_it_understands(tmp_path: Path, made: tuple[Path, Town]) -> None:
    folder, town = made
    boot = image(tmp_path / "boot", "cloud-init")
    write_card(folder, town, boot, wifi=WIFI)
    assert (boot / "user-data").read_text().startswith("#cloud-config\n")
    told = {name: yaml.safe_load((boot / name).read_text("utf-8")) for name in CLOUD_INIT}
    user = told["user-data"]
    assert (user["hostname"], user["timezone"], user["locale"]) == (
        "bus-1", "Asia/Tokyo", "ja_JP.UTF-8",
    )  # fmt: skip
    assert user["users"] == [{"name": "root", "lock_passwd": True}]  # so none of the image's own
    assert user["ssh_pwauth"] is False
    assert ["sh", "/boot/firmware/kazasu/first-boot.sh"] in user["runcmd"]
    network = told["network-config"]
    assert network["ethernets"] == {"eth0": {"dhcp4": True, "optional": True}}
    points = network["wifis"]["wlan0"]["access-points"]
    assert points == {WIFI.ssid: {"password": WIFI.key}}
    assert (boot / "cmdline.txt").read_text() == CMDLINE
    assert not (boot / "firstrun.sh").exists()


def test_overlays_are_named_once_behind_what_the_image_says(
    tmp_path: Path, made: tuple[Path, Town]
) -> None:
    folder, town = made
    boot = image(tmp_path / "boot", "older")
    before = (boot / "config.txt").read_text()
    overlays = [tmp_path / f"kazasu-{name}.dtbo" for name in ("head", "gnss")]
    for one in overlays:
        source = ROOT / "hw" / "overlays" / f"{one.stem}.dts"
        subprocess.run(["dtc", "-q", "-@", "-O", "dtb", "-o", one, source], check=True)
    for _ in range(2):
        write_card(folder, town, boot, overlays=tuple(overlays))
        said = (boot / "config.txt").read_text()
        assert said.startswith(before)
        assert said.splitlines()[-2:] == ["dtoverlay=kazasu-head", "dtoverlay=kazasu-gnss"]
        assert said.count("dtoverlay=") == 2
    assert (boot / "overlays" / overlays[0].name).read_bytes() == overlays[0].read_bytes()
    source = ROOT / "hw" / "overlays" / "kazasu-head.dts"
    with pytest.raises(ProvisioningRefused, match="no compiled overlay"):
        write_card(folder, town, boot, overlays=(source,))
    assert not (boot / "kazasu" / "claim").exists()


def test_the_form_is_told_by_what_the_image_brings(tmp_path: Path) -> None:
    for form in FORMS:
        assert form_of(image(tmp_path / form, form)) == form
    with pytest.raises(ProvisioningRefused, match="no firmware partition"):
        form_of(tmp_path)


def test_a_reader_that_cannot_stand_alone_is_refused(made: tuple[Path, Town]) -> None:
    _, town = made
    with pytest.raises(ProvisioningRefused, match="simulated"):
        place_of(town, "demo")
    with pytest.raises(ProvisioningRefused, match="bus-1, bus-2"):
        place_of(town, "bus-9")


def test_the_command_says_what_it_did_and_what_is_wrong(tmp_path: Path) -> None:
    folder, _ = make_town(tmp_path)
    boot = image(tmp_path / "boot", "older")
    words = ("sd", folder, "--town", tmp_path / "town.toml", "--reader", "bus-1", "--boot", boot)
    done = run(*words)
    assert (done.returncode, done.stdout) == (
        0, "bus-1: older, its claim is good once and for 14 days\n",
    )  # fmt: skip
    wrong = run(*words, "--form", "newer")
    assert wrong.returncode == 1
    assert "cloud-init, older or auto" in wrong.stderr
    (folder / "readers" / "bus-1" / "edge.toml").unlink()
    assert "run `kazasu-provision local` first" in run(*words).stderr


# --- the first start, as far as a machine that is no Pi can ---------------------------------------


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """The root of a Raspberry Pi OS: the files that the scripts touch, and a prepared program."""
    root = tmp_path / "pi"
    for name, text in {
        "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 raspberrypi\n",
        "etc/hostname": "raspberrypi\n",
        "etc/locale.gen": "# en_GB.UTF-8 UTF-8\n# ja_JP.UTF-8 UTF-8\n",
        "etc/default/locale": "LANG=en_GB.UTF-8\n",
        "etc/fstab": "proc /proc proc defaults 0 0\n"
        "PARTUUID=1-01  /boot/firmware  vfat  defaults  0  2\n"
        "PARTUUID=1-02  /  ext4  defaults,noatime  0  1\n",
        "opt/kazasu/bin/kazasu-edge": "",
        "usr/share/initramfs-tools/hooks/overlayroot": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "opt/kazasu/bin/kazasu-edge").chmod(0o755)
    shutil.copytree(UNITS, root / "opt/kazasu/lib/python3.13/site-packages/edge/systemd")
    return root


def start(script: Path, root: Path, boot: Path) -> str:
    done = subprocess.run(
        ["sh", script], env={"PATH": os.environ["PATH"], "ROOT": str(root), "BOOT": str(boot)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


@each_form
def test_the_first_start_makes_a_reader_of_the_image(
    form: Form, tmp_path: Path, made: tuple[Path, Town], pi: Path
) -> None:
    folder, town = made
    boot = image(tmp_path / "boot", form)
    claim = write_card(folder, town, boot, wifi=WIFI)
    script = "kazasu/first-boot.sh" if form == "cloud-init" else "firstrun.sh"
    assert "the next start enrols this reader" in start(boot / script, pi, boot)
    for name in ("edge.toml", "authority.pem", "fleet.pub"):
        kept = (pi / "data/kazasu" / name).read_bytes()
        assert kept == (folder / "readers/bus-1" / name).read_bytes()
    assert (boot / "kazasu/claim").read_text().strip() == claim  # that is kazasu-enrol's
    left = b"\n".join(everything(boot).values())
    assert WIFI.key.encode() not in left
    assert not any((boot / name).exists() for name in (*CLOUD_INIT, "firstrun.sh"))
    cmdline = (boot / "cmdline.txt").read_text()
    assert cmdline == CMDLINE.strip() + " overlayroot=tmpfs:recurse=0\n"
    ran = (pi / "ran").read_text()
    assert "systemctl enable kazasu-tap.service kazasu-link.service" in ran
    if form == "older":
        assert (pi / "etc/hostname").read_text() == "bus-1\n"
        assert (pi / "etc/hosts").read_text() == "127.0.0.1 localhost\n127.0.1.1 bus-1\n"
        assert "\nja_JP.UTF-8 UTF-8\n" in (pi / "etc/locale.gen").read_text()
        network = pi / "etc/NetworkManager/system-connections/kazasu.nmconnection"
        assert network.stat().st_mode & 0o777 == 0o600
        assert WIFI.key in network.read_text()


def test_a_first_start_that_was_cut_off_is_ended_by_the_next(
    tmp_path: Path, made: tuple[Path, Town], pi: Path
) -> None:
    folder, town = made
    boot = image(tmp_path / "boot", "older")
    write_card(folder, town, boot)
    start(boot / "kazasu/first-boot.sh", pi, boot)
    first = everything(pi)
    start(boot / "kazasu/first-boot.sh", pi, boot)
    second = everything(pi)
    assert {name for name in second if first.get(name) != second[name]} == {"ran"}


def test_the_mounts_are_what_mount_understands(
    tmp_path: Path, made: tuple[Path, Town], pi: Path
) -> None:
    folder, town = made
    boot = image(tmp_path / "boot", "cloud-init")
    write_card(folder, town, boot)
    start(boot / "kazasu/first-boot.sh", pi, boot)
    table = (pi / "etc/fstab").read_text()
    assert "PARTUUID=1-01  /boot/firmware  vfat  ro,nosuid,nodev,noexec  0  2" in table
    assert table.count("LABEL=kazasu-data") == 1
    checked = subprocess.run(
        ["findmnt", "--verify", "--tab-file", pi / "etc/fstab"],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    complaints = [line for line in checked.splitlines() if "[E]" in line]
    # The devices and folders of a Pi are not on this machine.
    assert [c for c in complaints if "unreachable" not in c and "not exist" not in c] == []
    assert "parse error" not in checked.replace("0 parse errors", "")


def test_an_image_without_the_program_says_so(
    tmp_path: Path, made: tuple[Path, Town], pi: Path
) -> None:
    folder, town = made
    boot = image(tmp_path / "boot", "older")
    write_card(folder, town, boot)
    shutil.rmtree(pi / "opt")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        start(boot / "kazasu/first-boot.sh", pi, boot)
    assert "no program" in failed.value.stdout
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "kazasu-0.4.0-py3-none-any.whl").touch()
    write_card(folder, town, boot, wheels=tmp_path / "wheels")
    installed = pi / "opt/kazasu/lib/python3.13/site-packages/edge/systemd"  # as pip does
    shutil.copytree(UNITS, installed)
    start(boot / "kazasu/first-boot.sh", pi, boot)
    assert "install --no-index --find-links" in (pi / "ran").read_text()
