"""`kazasu-provision local`: the whole tree, made once, completed ever after."""

import datetime
import json
import stat
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from edge.config import read_config
from provisioning.authority import CLIENT_DAYS, Authority, read_certificate
from provisioning.keys import EpochTooSoon, KeyRing
from provisioning.local import make_local
from provisioning.town import Place, Ports, Town
from provisioning.vault import ProvisioningRefused
from wire.registry import RegisteredOrganisation, Registry
from wire.seal import SealBroken, open_keys

NOW_MS = 1_796_000_000_000
DAY_MS = 86_400_000


class SetClock:
    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.at_ms = now_ms

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_ns(self) -> int:
        return 0


def place(name: str, page_port: int, *programmes: str) -> Place:
    return Place(
        name=name,
        kind="bus",
        programmes=list(programmes) or ["senior-pass"],
        label_ja=f"「{name}」",
        label_en=f"Bus {name}",
        front_end="udp:127.0.0.1:54321",
        technologies=["106B", "212F"],
        page_port=page_port,
        line="8",
    )


def a_town(*places: Place, tenant: str = "kazasu-shi") -> Town:
    return Town(tenant, Ports(2001, 2002, 2003, 2004, 2005), list(places))


TOWN = a_town(place("bus-1", 3001), place("school-1", 3002, "attendance", "senior-pass"))


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def registry(folder: Path) -> Registry:
    return msgspec.json.decode((folder / "fleet" / "registry.json").read_bytes(), type=Registry)


def sealing_key(folder: Path, name: str) -> ec.EllipticCurvePrivateKey:
    pem = (folder / "readers" / name / "sealing.key").read_bytes()
    key = load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "local"
    make_local(home, TOWN, SetClock())
    return home


def test_the_tree_is_the_one_that_everyone_relies_on(folder: Path) -> None:
    reader = ["authority.pem", "edge.toml", "fleet.pub", "reader.key", "reader.pem", "sealing.key"]
    fleet = ["fleet.key", "fleet.pem", "fleet.toml", "registry.json", "signing.key", "signing.pub"]
    assert sorted(everything(folder)) == sorted(
        [
            *(f"authority/{name}" for name in ("root.pem", "root.key")),
            *(f"authority/{name}" for name in ("operators.pem", "operators.key")),
            *(f"server/{name}" for name in ("server.pem", "server.key")),
            *(f"fleet/{name}" for name in fleet),
            "keys/programme-keys.json",
            *(f"readers/bus-1/{name}" for name in reader),
            *(f"readers/school-1/{name}" for name in reader),
            *(f"broker/{name}" for name in ("mosquitto.conf", "readers.acl", "fleet.acl")),
        ]
    )


def test_private_keys_are_readable_by_their_owner_alone(folder: Path) -> None:
    private = [*folder.rglob("*.key"), folder / "keys" / "programme-keys.json"]
    assert len(private) == 10
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


def test_no_private_key_is_used_for_two_things(folder: Path) -> None:
    keys = [path.read_bytes() for path in folder.rglob("*.key")]
    assert len(set(keys)) == len(keys)


def test_running_again_changes_not_one_byte(folder: Path) -> None:
    before = everything(folder)
    make_local(folder, TOWN, SetClock(NOW_MS + DAY_MS))
    assert everything(folder) == before


def test_a_new_place_is_added_and_nothing_else_is_touched(folder: Path) -> None:
    before = everything(folder)
    make_local(folder, a_town(*TOWN.place, place("bus-2", 3003)), SetClock())
    after = everything(folder)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"fleet/registry.json"}
    assert {name.split("/")[1] for name in after if name not in before} == {"bus-2"}
    assert (
        registry(folder).readers[:2]
        == msgspec.json.decode(before["fleet/registry.json"], type=Registry).readers
    )


def test_other_ports_change_configuration_and_no_identity(folder: Path) -> None:
    before = everything(folder)
    moved = msgspec.structs.replace(TOWN, ports=Ports(4001, 4002, 4003, 4004, 4005))
    make_local(folder, moved, SetClock())
    after = everything(folder)
    assert {name.rsplit("/", 1)[1] for name in before if before[name] != after[name]} == {
        "edge.toml",
        "fleet.toml",
        "mosquitto.conf",
    }


def test_a_folder_of_another_tenant_is_refused_and_left_alone(folder: Path) -> None:
    before = everything(folder)
    with pytest.raises(ProvisioningRefused, match="kazasu-shi"):
        make_local(folder, a_town(place("bus-1", 3001), tenant="other-shi"), SetClock())
    assert everything(folder) == before


def test_a_private_key_that_others_could_read_is_not_used(folder: Path) -> None:
    (folder / "readers" / "bus-1" / "reader.key").chmod(0o640)
    with pytest.raises(ProvisioningRefused, match="counts as lost"):
        make_local(folder, TOWN, SetClock())


def test_a_root_that_does_not_belong_to_its_key_is_refused(folder: Path) -> None:
    other = (folder / "authority" / "operators.pem").read_bytes()
    (folder / "authority" / "root.pem").write_bytes(other)
    with pytest.raises(ProvisioningRefused, match="another key"):
        make_local(folder, TOWN, SetClock())


def test_a_readers_certificate_is_renewed_for_the_same_key_when_a_third_is_left(
    folder: Path,
) -> None:
    path = folder / "readers" / "bus-1" / "reader.pem"
    first, key = read_certificate(path), (path.parent / "reader.key").read_bytes()
    make_local(folder, TOWN, SetClock(NOW_MS + 59 * DAY_MS))
    assert read_certificate(path) == first
    make_local(folder, TOWN, SetClock(NOW_MS + 61 * DAY_MS))
    renewed = read_certificate(path)
    assert renewed != first
    assert renewed.public_key() == first.public_key()
    assert (path.parent / "reader.key").read_bytes() == key
    assert registry(folder).readers[0].fingerprint == renewed.fingerprint(hashes.SHA256()).hex()


# --- certificates ---------------------------------------------------------------------------------


def name_of(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def test_a_readers_certificate_names_it_and_is_good_for_clients_only(folder: Path) -> None:
    certificate = read_certificate(folder / "readers" / "school-1" / "reader.pem")
    assert name_of(certificate) == "kazasu-shi/school-1"
    use = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(use) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life - datetime.timedelta(days=CLIENT_DAYS) < datetime.timedelta(hours=1)


def test_the_root_signs_leaves_and_nothing_that_signs(folder: Path) -> None:
    for stem in ("root", "operators"):
        root = read_certificate(folder / "authority" / f"{stem}.pem")
        limits = root.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = root.extensions.get_extension_for_class(x509.KeyUsage)
        assert limits.critical
        assert limits.value.ca
        assert limits.value.path_length == 0
        assert usage.critical
        assert usage.value.key_cert_sign
        assert not usage.value.digital_signature


def test_the_servers_certificate_is_good_for_each_of_its_names(folder: Path) -> None:
    root = read_certificate(folder / "authority" / "root.pem")
    server = read_certificate(folder / "server" / "server.pem")
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    now = datetime.datetime.fromtimestamp(NOW_MS / 1000, datetime.UTC)
    policy = PolicyBuilder().store(Store([root])).time(now)
    for name in names:
        assert isinstance(name, x509.DNSName | x509.IPAddress)
        policy.build_server_verifier(name).verify(server, [])
    assert [str(name.value) for name in names] == ["localhost", "127.0.0.1", "::1"]


def test_the_fleets_client_and_the_readers_have_different_roots(folder: Path) -> None:
    leaves = {
        "root": read_certificate(folder / "readers" / "bus-1" / "reader.pem"),
        "operators": read_certificate(folder / "fleet" / "fleet.pem"),
    }
    assert name_of(leaves["operators"]) == "fleet"
    for stem, other in (("root", "operators"), ("operators", "root")):
        root = Authority.at(folder / "authority", stem, "any", datetime.datetime.now(datetime.UTC))
        assert root.signed(leaves[stem])
        assert not root.signed(leaves[other])


def test_every_certificate_has_a_random_number_of_its_own(folder: Path) -> None:
    numbers = [read_certificate(path).serial_number for path in folder.rglob("*.pem")]
    roots = 3  # root.pem is given to both readers as authority.pem
    assert len(set(numbers)) == len(numbers) - roots + 1
    assert min(numbers) > 2**64


def test_an_authority_is_made_once(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    first = Authority.at(tmp_path, "root", "any", now)
    assert Authority.at(tmp_path, "root", "other", now).certificate == first.certificate


# --- what readers and fleet are told --------------------------------------------------------------


def test_the_agent_reads_the_configuration_that_was_written_for_it(folder: Path) -> None:
    config = read_config(folder / "readers" / "school-1" / "edge.toml")
    assert config.reader == "kazasu-shi/school-1"
    assert config.programmes == ["attendance", "senior-pass"]
    assert (config.broker_port, config.devices_url) == (2001, "https://127.0.0.1:2003")
    assert config.line == "8"
    for path in (config.authority, config.certificate, config.key, config.sealing_key):
        assert Path(path).exists()
    fleet_key = load_pem_public_key(Path(config.fleet_key).read_bytes())
    signing = load_pem_private_key((folder / "fleet" / "signing.key").read_bytes(), None)
    assert fleet_key == signing.public_key()


def test_a_taxi_is_its_company_s_and_takes_calls_of_its_own_tablets(tmp_path: Path) -> None:
    plain = place("taxi-1", 3001, "taxi")
    taxi = msgspec.structs.replace(
        plain,
        kind="taxi",
        organisation="hokuto-taxi",
        tablet_host="10.0.0.1",
        tablet_port=3101,
        gpsd="127.0.0.1:2947",
    )
    company = RegisteredOrganisation("hokuto-taxi", "ほくとタクシー株式会社", "Hokuto Taxi")
    town = msgspec.structs.replace(a_town(taxi, place("bus-1", 3002)), organisation=[company])
    make_local(tmp_path / "local", town, SetClock())
    told = registry(tmp_path / "local")
    assert [one.organisation for one in told.places] == ["hokuto-taxi", ""]
    assert told.organisations == [company]
    readers = tmp_path / "local" / "readers"
    calls = [
        (config.tablet_host, config.tablet_port, config.gpsd)
        for config in (read_config(readers / name / "edge.toml") for name in ("taxi-1", "bus-1"))
    ]
    assert calls == [("10.0.0.1", 3101, "127.0.0.1:2947"), ("", 0, "")]


def test_a_place_where_the_screen_speaks_keeps_its_heads_buzzer_silent(tmp_path: Path) -> None:
    silent = msgspec.structs.replace(place("school-1", 3001, "school"), buzzer=False)
    make_local(tmp_path / "local", a_town(silent, place("bus-1", 3002)), SetClock())
    readers = tmp_path / "local" / "readers"
    configs = [read_config(readers / name / "edge.toml") for name in ("school-1", "bus-1")]
    assert [config.buzzer for config in configs] == [False, True]


def test_the_registry_describes_every_reader_and_no_secret(folder: Path) -> None:
    told = registry(folder)
    assert [entry.reader for entry in told.readers] == ["kazasu-shi/bus-1", "kazasu-shi/school-1"]
    assert told.places[0].label_ja == "「bus-1」"
    for reader, name in zip(told.readers, ("bus-1", "school-1"), strict=True):
        certificate = read_certificate(folder / "readers" / name / "reader.pem")
        assert load_pem_public_key(reader.public_key.encode()) == certificate.public_key()
        sealing = load_pem_public_key(reader.sealing_public_key.encode())
        assert sealing == sealing_key(folder, name).public_key()
    text = (folder / "fleet" / "registry.json").read_text("utf-8")
    keys = json.loads((folder / "keys" / "programme-keys.json").read_text())["keys"]
    assert "PRIVATE" not in text
    assert not any(key["key"] in text for key in keys)


def test_each_reader_gets_the_keys_of_its_own_programmes_and_no_other_can_open_them(
    folder: Path,
) -> None:
    bus, school = registry(folder).readers
    keys = open_keys(bus.keys_sealed, bus.reader, sealing_key(folder, "bus-1"))
    assert [(key.programme, key.epoch) for key in keys.keys] == [("senior-pass", 1)]
    with pytest.raises(SealBroken):
        open_keys(bus.keys_sealed, bus.reader, sealing_key(folder, "school-1"))
    both = open_keys(school.keys_sealed, school.reader, sealing_key(folder, "school-1"))
    assert {key.programme for key in both.keys} == {"attendance", "senior-pass"}


def test_after_a_new_epoch_readers_get_it_with_the_one_before_and_never_an_older_one(
    folder: Path,
) -> None:
    path = folder / "keys" / "programme-keys.json"
    first = KeyRing.read(path).present("senior-pass")
    begun = [KeyRing.read(path).begin_epoch("senior-pass", n, n > 0) for n in range(2)]
    assert begun == [2, 3]
    make_local(folder, TOWN, SetClock())
    bus = registry(folder).readers[0]
    keys = open_keys(bus.keys_sealed, bus.reader, sealing_key(folder, "bus-1")).keys
    assert [key.epoch for key in keys] == [3, 2]
    assert first not in keys
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = json.loads(path.read_text())["keys"]
    assert [key["epoch"] for key in kept if key["programme"] == "senior-pass"] == [1, 2, 3]


def test_an_epoch_that_leaves_members_behind_is_begun_only_by_one_who_says_so(
    folder: Path,
) -> None:
    path = folder / "keys" / "programme-keys.json"
    day_ms = 86_400_000
    assert KeyRing.read(path).begin_epoch("senior-pass", 5 * day_ms) == 2  # leaves nobody behind
    with pytest.raises(EpochTooSoon, match=r"epoch 2 .* 30 days ago.*members unmoved senior-pass"):
        KeyRing.read(path).begin_epoch("senior-pass", 35 * day_ms)
    assert KeyRing.read(path).present("senior-pass").epoch == 2
    assert KeyRing.read(path).begin_epoch("senior-pass", 35 * day_ms, leave_behind=True) == 3
    assert KeyRing.read(path).begin_epoch("attendance", 35 * day_ms) == 2
    make_local(folder, TOWN, SetClock())
    assert registry(folder).key_epochs == {"senior-pass": 3, "attendance": 2}


def test_a_programme_without_a_key_is_named_in_the_refusal(folder: Path) -> None:
    ring = KeyRing.read(folder / "keys" / "programme-keys.json")
    with pytest.raises(ProvisioningRefused, match="taxi"):
        ring.present("taxi")
