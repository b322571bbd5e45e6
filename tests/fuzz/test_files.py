"""Files that come from outside: whatever is in them, a reader of files says no in its own words."""

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from edge.config import ConfigRefused as EdgeRefused
from edge.config import read_config as read_edge
from fleet import tables
from fleet.backup import MANIFEST, BackupRefused, back_up, read_manifest
from fleet.config import ConfigRefused as FleetRefused
from fleet.config import read_config as read_fleet
from fleet.evidence import EvidenceRefused, read_bundle
from fleet.members_csv import FileRefused, read_file
from fleet.registry import RegistryRefused, import_registry, read_registry
from fleet.rules import RulesRefused, read_table
from fleet.tables import Format
from provisioning.town import TownRefused, read_town
from tests.fleet.virtual import NOON_MS, RULES, VirtualFleet, bus, make_fleet
from tests.fuzz.hostile import GARBAGE, changed, examples
from wire.envelope import MessageRefused, Signer
from wire.roster import ROSTER, ROW, Roster, RosterHeader, RosterRow, build_roster
from wire.rows import Rows
from wire.rows_delta import Base, apply_delta, difference, encode_delta
from wire.seal import (
    GateNames,
    ProgrammeKey,
    ProgrammeKeys,
    SealBroken,
    open_keys,
    open_names,
    seal_keys,
    seal_names,
)
from wire.usage import USAGE, UsageFile, UsageHeader, build_usage, row_bytes

KEY = ed25519.Ed25519PrivateKey.generate()
SEALING = ec.generate_private_key(ec.SECP256R1())
TENANT, PASS, PLACE = "kazasu-shi", "senior-pass", "bus-1"
USAGE_ROW = row_bytes(["2026"])
BOMBS = (b"a = " + b"[" * 100_000, b"a = " + b"{a=" * 50_000, b"[" * 100_000, b'{"a":' * 50_000)
TOWN = f"""
tenant = "{TENANT}"
[ports]
readers = 8101
fleet = 8102
devices = 8103
console = 8104
office = 8105
[[place]]
name = "{PLACE}"
kind = "bus"
line = "1"
programmes = ["{PASS}"]
label_ja = "一号車"
label_en = "Bus 1"
front_end = "udp:127.0.0.1:1"
technologies = ["106B"]
page_port = 8001
"""
EDGE = f"""
reader = "{TENANT}/{PLACE}"
place = "{PLACE}"
place_kind = "bus"
programmes = ["{PASS}"]
front_end = "udp:127.0.0.1:1"
technologies = ["106B"]
broker_host = "localhost"
broker_port = 1
devices_url = "https://localhost:1"
page_port = 8001
"""
CSV = "registration_number,name,kana,category,valid_from,valid_to\nA-1,山田,ヤマダ,all,,\n"
"""The headings as the import knows them."""


def roster(rows: int) -> bytes:
    header = RosterHeader(
        v=1,
        programme=PASS,
        place=PLACE,
        version=rows,
        at_ms=0,
        key_epoch=1,
        schemes=[],
        categories=["all"],
        rules=[],
        triage=False,
        rows=0,
        rows_sha256=bytes(32),
    )
    members = [RosterRow(f"{n:032x}", "all", None, None, None) for n in range(rows)]  # type: ignore[arg-type]
    return build_roster(header, members, TENANT, Signer(KEY))


def delta() -> bytes:
    files = [io.BytesIO(roster(count)) for count in (40, 41)]
    heads = [ROSTER.read_head(file) for file in files]
    rests = [file.read() for file in files]
    held, new = (Rows(rest, 0, len(rest) // ROW.size, ROW.size) for rest in rests)
    change = difference(held, new, 100_000)
    assert change is not None
    return encode_delta(hashlib.sha256(heads[0]).digest(), heads[1], change)


def usage(rows: int = 3) -> bytes:
    header = UsageHeader(
        v=1,
        programme=PASS,
        place=PLACE,
        at_ms=1,
        periods=["2026"],
        marks={},
        rows=0,
        rows_sha256=bytes(32),
    )
    packed = b"".join(n.to_bytes(16) + bytes(8) for n in range(rows))
    return build_usage(header, packed, TENANT, Signer(KEY))


def usage_rows(data: bytes) -> tuple[bytes, Rows]:
    """Return head and rows."""
    file = io.BytesIO(data)
    head, rest = USAGE.read_head(file), file.read()
    return head, Rows(rest, 0, len(rest) // USAGE_ROW, USAGE_ROW)


def usage_delta() -> bytes:
    (_, held), (head, new) = (usage_rows(usage(count)) for count in (40, 41))
    change = difference(held, new, 100_000)
    assert change is not None
    return encode_delta(hashlib.sha256(held.packed(0, 40)).digest(), head, change)


def usage_merged(path: Path) -> None:
    """What comes of any bytes is refused, or is the file that was signed."""
    held, made = path.with_name("held"), path.with_name("made")
    held.write_bytes(usage(40))
    _, rows = usage_rows(usage(40))
    base = Base(held, hashlib.sha256(rows.packed(0, 40)).digest(), USAGE_ROW)
    with made.open("wb") as into:
        apply_delta(base, path, into, USAGE)
    UsageFile.open(made, TENANT, PASS, PLACE, KEY.public_key()).close()
    assert made.read_bytes() == usage(41)


def sealed() -> bytes:
    keys = ProgrammeKeys(v=1, keys=[ProgrammeKey(programme=PASS, epoch=1, key=bytes(32))])
    return seal_keys(keys, f"{TENANT}/{PLACE}", SEALING.public_key())


def sealed_names() -> bytes:
    names = GateNames(v=1, programme="attendance", names={"0" * 32: "山田 花子"})
    return seal_names(names, f"{TENANT}/{PLACE}", SEALING.public_key())


def merged(path: Path) -> None:
    held = path.with_name("held")
    held.write_bytes(roster(40))
    name = hashlib.sha256(ROSTER.read_head(io.BytesIO(roster(40)))).digest()
    with path.with_name("made").open("wb") as into:
        apply_delta(Base(held, name, ROW.size), path, into, ROSTER)


def manifest(path: Path) -> None:
    path.replace(path.with_name(MANIFEST))
    read_manifest(path.parent)


Parse = Callable[[Path], object]
Case = tuple[bytes, Parse, type[Exception]]
PARSERS: dict[str, Case] = {
    "roster": (
        roster(40),
        lambda path: Roster.open(path, TENANT, PASS, PLACE, KEY.public_key()).close(),
        MessageRefused,
    ),
    "delta": (delta(), merged, MessageRefused),
    "usage": (
        usage(),
        lambda path: UsageFile.open(path, TENANT, PASS, PLACE, KEY.public_key()).close(),
        MessageRefused,
    ),
    "usage-delta": (usage_delta(), usage_merged, MessageRefused),
    "keys": (
        sealed(),
        lambda path: open_keys(path.read_bytes(), f"{TENANT}/{PLACE}", SEALING),
        SealBroken,
    ),
    "names": (
        sealed_names(),
        lambda path: open_names(path.read_bytes(), f"{TENANT}/{PLACE}", SEALING),
        SealBroken,
    ),
    "town": (TOWN.encode(), read_town, TownRefused),
    "edge": (EDGE.encode(), read_edge, EdgeRefused),
    "rules": (RULES.encode(), lambda path: read_table(PASS, path), RulesRefused),
    "members": (CSV.encode(), read_file, FileRefused),
    "workbook": (
        b"".join(tables.write(Format.XLSX, ["登録番号", "氏名"], [["A-1", "山田"]])),
        read_file,
        FileRefused,
    ),
}
SUFFIXES = {
    "town": ".toml",
    "edge": ".toml",
    "rules": ".toml",
    "members": ".csv",
    "workbook": ".xlsx",
}


def tried(path: Path, data: bytes, parse: Parse, refused: type[Exception]) -> None:
    """Let a parser read these bytes: it takes them, or says no in its own words."""
    path.write_bytes(data)
    with contextlib.suppress(refused):
        parse(path)


def sweep(path: Path, good: bytes, parse: Parse, refused: type[Exception]) -> None:
    """Let a parser read the good bytes, what is made to break parsers, and changes of the good."""

    @examples(60)
    @given(GARBAGE | changed(good) | st.sampled_from(BOMBS))
    def run(data: bytes) -> None:
        tried(path, data, parse, refused)

    path.write_bytes(good)
    parse(path)
    for bomb in BOMBS:
        tried(path, bomb, parse, refused)
    run()


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_says_no_in_its_own_words(name: str, tmp_path: Path) -> None:
    good, parse, refused = PARSERS[name]
    sweep(tmp_path / f"file{SUFFIXES.get(name, '')}", good, parse, refused)


@pytest.fixture(scope="module")
def sqlite_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualFleet]:
    made = make_fleet(tmp_path_factory.mktemp("files"), [bus(PLACE)])
    yield made
    made.close()


def test_registries_and_configurations_too(sqlite_fleet: VirtualFleet, tmp_path: Path) -> None:
    home = sqlite_fleet.config_path.parent
    path = tmp_path / "file"
    bundle = tmp_path / "bundle"
    assert sqlite_fleet.command("audit", "export", str(bundle)) == 0
    backup = back_up(sqlite_fleet.config, tmp_path / "backups", NOON_MS)
    public = sqlite_fleet.town.folder / "fleet" / "signing.pub"
    key = load_pem_public_key(public.read_bytes())
    assert isinstance(key, ed25519.Ed25519PublicKey)
    files: list[Case] = [
        (sqlite_fleet.config_path.read_bytes(), read_fleet, FleetRefused),
        ((home / "registry.json").read_bytes(), read_registry, RegistryRefused),
        ((backup / MANIFEST).read_bytes(), manifest, BackupRefused),
        (bundle.read_bytes(), lambda file: list(read_bundle(file, key)), EvidenceRefused),
    ]
    for good, parse, refused in files:
        sweep(path, good, parse, refused)


def test_a_changed_registry_is_refused_or_taken_in_whole(
    sqlite_fleet: VirtualFleet, tmp_path: Path
) -> None:
    path = tmp_path / "registry.json"
    good = (sqlite_fleet.config_path.parent / "registry.json").read_bytes()

    @examples(40)
    @given(changed(good))
    def run(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(RegistryRefused), sqlite_fleet.store.write() as connection:
            import_registry(connection, read_registry(path), TENANT, "test", NOON_MS)

    run()
