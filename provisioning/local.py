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
from provisioning.claims import alone
from provisioning.enrolled import read_enrolled, registered
from provisioning.keys import KeyRing
from provisioning.registry import Before, read_registry, write_registry
from provisioning.town import Place, Town
from provisioning.vault import (
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
_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  # for readers elsewhere; each listener asks who it is
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
    with alone(folder):
        _make_local(folder, town, clock)


def _make_local(folder: Path, town: Town, clock: Clock) -> None:
    for name in ("authority", "server", "fleet", "keys", "readers", "broker"):
        private_folder(folder / name)
    now = datetime.datetime.fromtimestamp(clock.now_ms() // 1000, datetime.UTC)
    before = Before.of(read_registry(folder, town.tenant))
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
    readers = [_make_reader(site, place, before) for place in town.place]
    places = [_registered(place) for place in town.place]
    epochs = {name: ring.present(name).epoch for name in town.programmes}
    registry = Registry(1, town.tenant, places, readers, epochs, town.organisation)
    write_registry(folder, registry)
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
    ports = town.ports
    conf = broker.mosquitto_conf(home, files, ports.readers, ports.fleet, bool(town.host))
    write_file(home / "readers.acl", broker.readers_acl().encode(), 0o600)
    write_file(home / "fleet.acl", broker.fleet_acl().encode(), 0o600)
    write_file(home / "mosquitto.conf", conf.encode())


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
    names, path = _server_names(site.town.host), home / "server.pem"
    if path.exists() and _names_of(read_certificate(path)) != names:
        path.unlink()  # it would be kept for its year
    _certificate(
        path,
        site.root,
        key,
        site.now,
        lambda: site.root.issue_server(key.public_key(), names, site.now),
    )


def _server_names(host: str) -> list[x509.GeneralName]:
    """Return what the servers answer to: this machine's names, and the town's."""
    if not host:
        return _SERVER_NAMES
    try:
        return [*_SERVER_NAMES, x509.IPAddress(ipaddress.ip_address(host))]
    except ValueError:
        return [*_SERVER_NAMES, x509.DNSName(host)]


def _names_of(certificate: x509.Certificate) -> list[x509.GeneralName]:
    return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


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
        **({"devices_host": _EVERYWHERE} if site.town.host else {}),
        "console_port": ports.console,
        "office_port": ports.office,
    }
    write_file(home / "fleet.toml", _toml(config))


def _make_reader(site: _Site, place: Place, before: Before) -> RegisteredReader:
    home = private_folder(site.folder / "readers" / place.name)
    name = site.town.reader_at(place)
    write_file(home / "authority.pem", pem(site.root.certificate))
    write_file(home / "fleet.pub", (site.folder / "fleet" / "signing.pub").read_bytes())
    write_file(home / "edge.toml", _toml(_edge_config(site.town, place)))
    if enrolled := read_enrolled(home):
        return registered(enrolled, name, place.programmes, site.ring, before)
    key, sealing = p256_key(home / "reader.key"), p256_key(home / "sealing.key")
    certificate = _certificate(
        home / "reader.pem",
        site.root,
        key,
        site.now,
        lambda: site.root.issue_reader(name, key.public_key(), site.now),
    )
    return RegisteredReader(
        reader=str(name),
        place=place.name,
        fingerprint=fingerprint(certificate),
        public_key=public_pem(key).decode(),
        sealing_public_key=public_pem(sealing).decode(),
        keys_sealed=_sealed(site, place, sealing, before.readers.get(str(name))),
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
        "broker_host": town.host or _HOST,
        "broker_port": town.ports.readers,
        "devices_url": f"https://{town.host or _HOST}:{town.ports.devices}",
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
