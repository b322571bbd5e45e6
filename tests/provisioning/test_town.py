"""town.toml is read whole, bounded, and refused with a sentence that names the key."""

from pathlib import Path

import pytest

from provisioning.town import TownRefused, read_town

PORTS = "readers=2001\nfleet=2002\ndevices=2003\nconsole=2004\noffice=2005\n"
PLACE = """
[[place]]
name = "bus-1"
kind = "bus"
programmes = ["senior-pass"]
label_ja = "1号車"
label_en = "Bus 1"
front_end = "udp:127.0.0.1:54321"
technologies = ["106B"]
page_port = 3001
"""
TABLET = 'tablet_host = "10.0.0.1"\ntablet_port = 3101'
KITA = '[[organisation]]\nname = "kita"\nlabel_ja = "北"\n'
TOWN = f'tenant = "kazasu-shi"\n[ports]\n{PORTS}{PLACE}'


def read(folder: Path, text: str) -> str:
    """Return the sentence of the refusal, or an empty one."""
    path = folder / "town.toml"
    path.write_text(text, "utf-8")
    try:
        read_town(path)
    except TownRefused as error:
        return str(error)
    return ""


def test_a_town_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, TOWN) == ""
    town = read_town(tmp_path / "town.toml")
    assert str(town.reader_at(town.place[0])) == "kazasu-shi/bus-1"
    assert town.programmes == ["senior-pass"]
    assert town.place[0].triage_programmes == []


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('tenant = "kazasu-shi"', 'tenant = "Kazasu/shi"', "no name"),
        ('tenant = "kazasu-shi"', f'tenant = "{"k" * 33}"', "no name"),
        ('name = "bus-1"', 'name = "../bus"', "no reader"),
        ('name = "bus-1"', 'name = "bus-"', "no name"),
        ('kind = "bus"', 'kind = "train"', "kind"),
        ('kind = "bus"', 'kind = "bus"\ncolour = "red"', "colour"),
        ('programmes = ["senior-pass"]', "programmes = []", "programmes"),
        ('programmes = ["senior-pass"]', 'programmes = ["a", "a"]', "a stands twice"),
        ('programmes = ["senior-pass"]', 'programmes = ["A"]', "no name"),
        ('programmes = ["senior-pass"]', f"programmes = {['a'] * 19}", "programmes"),
        ("page_port = 3001", "page_port = 2001", "2001 stands twice"),
        ("page_port = 3001", "page_port = 80", "page_port"),
        ("page_port = 3001", "page_port = 70000", "page_port"),
        ("fleet=2002\n", "", "fleet"),
        ('technologies = ["106B"]', 'technologies = ["424F"]', "technologies"),
        ('front_end = "udp:127.0.0.1:54321"', 'front_end = "udp: ; rm"', "front_end"),
        ('label_ja = "1号車"', 'label_ja = ""', "label_ja"),
        ("page_port = 3001", 'page_port = 3001\ntriage_programmes = ["other"]', "other"),
        ("page_port = 3001", 'page_port = 3001\norganisation = "A b"', "no name"),
        ("page_port = 3001", 'page_port = 3001\ntablet_host = "10.0.0.1"', "go together"),
        ("page_port = 3001", "page_port = 3001\ntablet_port = 2001", "go together"),
        ("page_port = 3001", f"page_port = 3001\n{TABLET}", "for a taxi"),
        ('kind = "bus"', f'kind = "taxi"\n{TABLET.replace("3101", "3001")}', "3001 stands twice"),
        ("page_port = 3001", 'page_port = 3001\ngpsd = "127.0.0.1:2947"', "gpsd is for a taxi"),
        ('kind = "bus"', 'kind = "taxi"\ngpsd = "/dev/ttyUSB0"', "gpsd"),
        (PLACE, f'{PLACE}organisation = "kita"\n{KITA}{KITA}', "kita stands twice"),
        (PLACE, PLACE + KITA, "kita has no place"),
        (PLACE, f'{PLACE}organisation = "kita"\n{KITA.replace("北", "")}', "label_ja"),
        (PLACE, "", "place"),
        (PLACE, PLACE + PLACE, "bus-1 stands twice"),
        (TOWN, "tenant = ", "town.toml"),
    ],
)
def test_what_is_out_of_bounds_is_refused_and_named(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    assert old in TOWN
    assert named in read(tmp_path, TOWN.replace(old, new))


def test_a_full_name_that_no_certificate_can_carry_is_refused(tmp_path: Path) -> None:
    long = TOWN.replace("kazasu-shi", "k" * 32).replace("bus-1", "b" * 32)
    assert "at most 64" in read(tmp_path, long)
    assert read(tmp_path, long.replace("b" * 32, "b" * 31)) == ""


def test_a_town_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TownRefused, match="nowhere"):
        read_town(tmp_path / "nowhere.toml")
