"""A whole town's identities and configuration under one folder, for one machine.

    DIR/authority/  root.pem root.key (readers, server) · operators.pem operators.key (the fleet)
    DIR/server/     server.pem server.key
    DIR/fleet/      fleet.toml fleet.pem fleet.key signing.key signing.pub registry.json
    DIR/keys/       programme-keys.json
    DIR/readers/N/  edge.toml authority.pem reader.pem reader.key sealing.key fleet.pub
    DIR/broker/     mosquitto.conf readers.acl fleet.acl

Running it again keeps every private key, adds what is new in the town, renews certificates that
are due, and writes the configuration again.
"""

import datetime
import ipaddress
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning import broker
from provisioning.authority import (
    FLEET_CLIENT,
    Authority,
    fingerprint,
    is_due,
    pem,
    read_certificate,
)
from provisioning.keys import KeyRing
from provisioning.town import Place, Town
from provisioning.vault import (
    ProvisioningRefused,
    ed25519_key,
    p256_key,
    private_folder,
    public_pem,
    write_file,
)
from wire.clock import Clock
from wire.registry import RegisteredPlace, RegisteredReader, Registry
from wire.seal import SealBroken, open_keys, seal_keys

_HOST: Final = "127.0.0.1"
_SERVER_NAMES: Final[list[x509.GeneralName]] = [
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
]


@dataclass(frozen=True)
class _Site:
    """What every step of one run needs."""

    folder: Path
    town: Town
    now: datetime.datetime
    root: Authority
    operators: Authority
    ring: KeyRing


def make_local(folder: Path, town: Town, clock: Clock) -> None:
    """Write the whole tree. Raises ProvisioningRefused, and OSError when the disk says no."""
    folder = private_folder(folder).resolve()
    for name in ("authority", "server", "fleet", "keys", "readers", "broker"):
        private_folder(folder / name)
    now = datetime.datetime.fromtimestamp(clock.now_ms() // 1000, datetime.UTC)
    former = _former_registry(folder, town.tenant)
    ring = KeyRing.at(folder / "keys" / "programme-keys.json", town.tenant)
    ring.add(town.programmes)
    site = _Site(
        folder,
        town,
        now,
        Authority.at(folder / "authority", "root", f"{town.tenant} readers", now),
        Authority.at(folder / "authority", "operators", f"{town.tenant} operators", now),
        ring,
    )
    _make_server(site)
    _make_fleet(site)
    readers = [_make_reader(site, place, former) for place in town.place]
    places = [_registered(place) for place in town.place]
    epochs = {name: ring.present(name).epoch for name in town.programmes}
    registry = Registry(1, town.tenant, places, readers, epochs, town.organisation)
    data = msgspec.json.format(msgspec.json.encode(registry))
    write_file(folder / "fleet" / "registry.json", data + b"\n")
    make_broker(folder, town)


def make_broker(folder: Path, town: Town) -> None:
    """Write the broker's configuration and lists alone, from the town's ports."""
    folder = folder.resolve()
    files = broker.BrokerFiles(
        folder / "server" / "server.pem",
        folder / "server" / "server.key",
        folder / "authority" / "root.pem",
        folder / "authority" / "operators.pem",
    )
    home = private_folder(folder / "broker")
    conf = broker.mosquitto_conf(home, files, town.ports.readers, town.ports.fleet)
    write_file(home / "readers.acl", broker.readers_acl().encode(), 0o600)
    write_file(home / "fleet.acl", broker.fleet_acl().encode(), 0o600)
    write_file(home / "mosquitto.conf", conf.encode())


def _former_registry(folder: Path, tenant: str) -> dict[str, RegisteredReader]:
    path = folder / "fleet" / "registry.json"
    if not path.exists():
        return {}
    try:
        registry = msgspec.json.decode(path.read_bytes(), type=Registry)
    except msgspec.MsgspecError as error:
        raise ProvisioningRefused(f"{path}: {error}: move it away, and run again") from error
    if registry.tenant != tenant:
        raise ProvisioningRefused(f"{folder} belongs to {registry.tenant}: use another folder")
    return {reader.reader: reader for reader in registry.readers}


def _certificate(
    path: Path,
    by: Authority,
    key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    issue: Callable[[], x509.Certificate],
) -> x509.Certificate:
    """Keep the certificate that is there while it is good; else have a new one issued."""
    if path.exists():
        kept = read_certificate(path)
        if by.signed(kept) and kept.public_key() == key.public_key() and not is_due(kept, now):
            return kept
    certificate = issue()
    write_file(path, pem(certificate))
    return certificate


def _make_server(site: _Site) -> None:
    home = site.folder / "server"
    key = p256_key(home / "server.key")
    _certificate(
        home / "server.pem",
        site.root,
        key,
        site.now,
        lambda: site.root.issue_server(key.public_key(), _SERVER_NAMES, site.now),
    )


def _make_fleet(site: _Site) -> None:
    home, ports = site.folder / "fleet", site.town.ports
    key = p256_key(home / "fleet.key")
    _certificate(
        home / "fleet.pem",
        site.operators,
        key,
        site.now,
        lambda: site.operators.issue_client(FLEET_CLIENT, key.public_key(), site.now),
    )
    write_file(home / "signing.pub", public_pem(ed25519_key(home / "signing.key")))
    config: dict[str, object] = {
        "tenant": site.town.tenant,
        "state": "state",
        "broker_host": _HOST,
        "broker_port": ports.fleet,
        "authority": "../authority/root.pem",
        "certificate": "fleet.pem",
        "key": "fleet.key",
        "server_certificate": "../server/server.pem",
        "server_key": "../server/server.key",
        "signing_key": "signing.key",
        "devices_port": ports.devices,
        "console_port": ports.console,
        "office_port": ports.office,
    }
    write_file(home / "fleet.toml", _toml(config))


def _make_reader(
    site: _Site, place: Place, former: dict[str, RegisteredReader]
) -> RegisteredReader:
    home = private_folder(site.folder / "readers" / place.name)
    name = site.town.reader_at(place)
    key, sealing = p256_key(home / "reader.key"), p256_key(home / "sealing.key")
    certificate = _certificate(
        home / "reader.pem",
        site.root,
        key,
        site.now,
        lambda: site.root.issue_reader(name, key.public_key(), site.now),
    )
    write_file(home / "authority.pem", pem(site.root.certificate))
    write_file(home / "fleet.pub", (site.folder / "fleet" / "signing.pub").read_bytes())
    write_file(home / "edge.toml", _toml(_edge_config(site.town, place)))
    return RegisteredReader(
        reader=str(name),
        place=place.name,
        fingerprint=fingerprint(certificate),
        public_key=public_pem(key).decode(),
        sealing_public_key=public_pem(sealing).decode(),
        keys_sealed=_sealed(site, place, sealing, former.get(str(name))),
    )


def _sealed(
    site: _Site,
    place: Place,
    sealing: ec.EllipticCurvePrivateKey,
    former: RegisteredReader | None,
) -> bytes:
    """Seal this place's programme keys; keep the former bytes while they say the same.

    Sealing is randomised, and every reader would fetch keys that it already has.
    """
    name, keys = str(site.town.reader_at(place)), site.ring.for_reader(place.programmes)
    if former:
        try:
            if open_keys(former.keys_sealed, name, sealing) == keys:
                return former.keys_sealed
        except SealBroken:
            pass  # sealed to a key that is no longer there: seal anew
    return seal_keys(keys, name, sealing.public_key())


def _edge_config(town: Town, place: Place) -> dict[str, object]:
    tablets = {"tablet_host": place.tablet_host, "tablet_port": place.tablet_port}
    return {
        "reader": str(town.reader_at(place)),
        "place": place.name,
        "place_kind": place.kind,
        "line": place.line,
        "programmes": place.programmes,
        "front_end": place.front_end,
        "technologies": place.technologies,
        "broker_host": _HOST,
        "broker_port": town.ports.readers,
        "devices_url": f"https://{_HOST}:{town.ports.devices}",
        "page_port": place.page_port,
        **(tablets if place.tablet_host else {}),
        **({"gpsd": place.gpsd} if place.gpsd else {}),
        **({} if place.buzzer else {"buzzer": False}),
    }


def _registered(place: Place) -> RegisteredPlace:
    return RegisteredPlace(
        name=place.name,
        kind=place.kind,
        line=place.line,
        programmes=place.programmes,
        triage_programmes=place.triage_programmes,
        label_ja=place.label_ja,
        label_en=place.label_en,
        organisation=place.organisation,
    )


def _toml(values: dict[str, object]) -> bytes:
    """Write strings, numbers, booleans and lists of strings: TOML writes them as JSON does."""
    lines = ["# Made by kazasu-provision; change town.toml and run it again."]
    lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return ("\n".join(lines) + "\n").encode()
