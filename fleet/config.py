"""What the fleet is told about itself: one TOML file, `fleet.toml`, read by all its processes.

Every key is bounded, an unknown key is refused, and paths are relative to the file.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa
from msgspec import Meta

from wire.entries import Name
from wire.topics import parse_name

Port = Annotated[int, Meta(ge=1, le=65_535)]


class ConfigRefused(ValueError):
    """The file cannot be used; the sentence names the file, the key and the bound."""


class Databases(msgspec.Struct, frozen=True):
    """Where `fleet` and `persons` are: two files in `state`, or two schemas of one PostgreSQL."""

    state: Path
    url: str = ""
    """Such as postgresql://db.example/kazasu; empty: SQLite."""

    @property
    def name(self) -> str:
        """What a sentence for the operator calls it."""
        return self.url or str(self.state)


class TelemetryServer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An InfluxDB (1.8, 2 or 3) that keeps telemetry instead of the fleet's own tables."""

    url: str
    """Such as https://influx.example:8086, without user and password."""
    database: Annotated[str, Meta(min_length=1, max_length=100)]
    """The database, or in InfluxDB 2 the bucket (mapped to a database of the same name)."""
    organisation: Annotated[str, Meta(max_length=100)] = ""
    token_file: str = ""
    """A file with the token alone; in InfluxDB 1 `user:password`. Read again when refused."""


class CardCertificates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who judges the certificates of cards, by whose word, and whom he asks about revocation.

    Only who has notified the authority may ask it: one of those listed in article 17 (1) of the
    Act on JPKI, such as a municipality, by a notification under article 36 (1).
    """

    approved: Annotated[str, Meta(min_length=10, max_length=200)]
    """The notification, as it can be found again: who made it, when, under which number."""
    authorities: str
    """Folder with the certificates of the authority's generations, *.pem or *.der."""
    need: Literal["ocsp", "crl", "either", "both"]
    """What must say that a certificate is valid: the responder, the lists, the responder or else
    the lists, or each of them."""
    ocsp: str = ""
    """The responder, such as http://ocsp.example; empty: the one that the certificate names."""
    crl: Annotated[list[str], Meta(max_length=50)] = []
    """Lists of revoked certificates: files or http(s) addresses."""


class OpenIdConnect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The city's provider, by which clerks may sign in beside their local accounts."""

    issuer: str
    """Exactly as it names itself, such as https://login.example/realms/city."""
    client_id: Annotated[str, Meta(min_length=1, max_length=200)]
    client_secret_file: str
    """A file with the secret alone. The address to register: office_origin and /oidc/back."""
    label: Annotated[str, Meta(min_length=1, max_length=40)]
    """What the button says, such as 職員認証基盤."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fleet of one tenant."""

    tenant: Name
    state: str
    """Folder of fleet.db, persons.db (without `database`) and rosters/."""
    broker_host: str
    broker_port: Port
    """The broker's listener for the fleet, not the readers'."""
    authority: str
    """The readers' and the servers' root (PEM)."""
    certificate: str
    """Of the fleet, as a client of the broker."""
    key: str
    server_certificate: str
    """Of the listener for readers."""
    server_key: str
    signing_key: str
    """Ed25519 (PEM): what readers believe."""
    devices_port: Port
    console_port: Port
    office_port: Port
    devices_host: str = "127.0.0.1"
    """Where readers reach the fleet: an address of this machine, or 0.0.0.0."""
    language: Literal["ja", "en"] = "ja"
    database: str = ""
    """PostgreSQL's URL, without user and password: each process logs in as its own user, and
    passwords come by libpq's own means. Empty: SQLite files in `state`."""
    telemetry: TelemetryServer | None = None
    """Left out: telemetry is kept in tables of the same database."""
    card_certificates: CardCertificates | None = None
    """Left out: no card can prove itself by its PIN."""
    office_origin: str = ""
    """Where browsers reach the office, such as https://office.example: security keys answer to it.
    Empty: what each request says."""
    office_idle_minutes: Annotated[int, Meta(ge=5, le=720)] = 30
    """After so long without anybody a session in the office ends: longer than a talk at the
    counter, shorter than lunch; the city's own rule may ask for less."""
    oidc: OpenIdConnect | None = None
    """Left out: local accounts alone."""

    @property
    def state_folder(self) -> Path:
        """The folder of the roster files, and of the databases unless `database` says otherwise."""
        return Path(self.state)

    @property
    def databases(self) -> Databases:
        """Where the two databases are, for `fleet.store`."""
        return Databases(self.state_folder, self.database)


_PATHS: Final = (
    "state",
    "authority",
    "certificate",
    "key",
    "server_certificate",
    "server_key",
    "signing_key",
)


_PARAMETERS: Final = frozenset({"host", "port", "sslmode", "sslrootcert"})
"""Of libpq, what may stand in the URL: where the server is and how it proves that it is the one."""


def check_database(url: str) -> None:
    """Raise ValueError, saying how it must look, unless this is empty or a URL that can be used."""
    if not url:
        return
    form = "database must look like postgresql://host:port/kazasu or postgresql:///kazasu?host=/dir"
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise ValueError(form) from None
    if parsed.drivername != "postgresql" or not parsed.database or "/" in parsed.database:
        raise ValueError(form)
    if parsed.username is not None or parsed.password is not None:
        raise ValueError(
            "database must name no user and no password: each process logs in as its own user "
            "(kazasu_ingest and so on), and a password belongs in the file that PGPASSFILE names"
        )
    if unknown := sorted(set(parsed.query) - _PARAMETERS):
        known = ", ".join(sorted(_PARAMETERS))
        raise ValueError(f"database has the unknown parameter {unknown[0]}; known are {known}")


def check_telemetry(server: TelemetryServer | None) -> None:
    """Raise ValueError, saying how it must look, unless its URL can be used."""
    if server is None:
        return
    parts = urlsplit(server.url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("telemetry.url must look like https://influx.example:8086")
    if parts.username is not None or parts.password is not None:
        raise ValueError("telemetry.url must name no user and no password: use token_file")


def is_address(source: str) -> bool:
    """Tell an address from a file's path."""
    return source.startswith(("http://", "https://"))


def check_card_certificates(settings: CardCertificates | None) -> None:
    """Raise ValueError, saying how it must look, unless these can be used together."""
    if settings is None:
        return
    if settings.ocsp and not is_address(settings.ocsp):
        raise ValueError("card_certificates.ocsp must look like http://ocsp.example")
    if settings.need == "crl" and settings.ocsp:
        raise ValueError('card_certificates.ocsp is never asked with need = "crl"')
    if (settings.need == "ocsp") is bool(settings.crl):
        raise ValueError(f'card_certificates.crl does not go with need = "{settings.need}"')


_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def _is_origin(url: str) -> bool:
    """True for https, or on this machine http, and nothing behind the host."""
    parts = urlsplit(url)
    here = parts.scheme == "http" and parts.hostname in _LOOPBACK
    return bool(parts.hostname) and (parts.scheme == "https" or here) and not parts.path


def check_sign_in(config: Config) -> None:
    """Raise ValueError, saying how it must look, unless one can sign in to the office so."""
    if config.office_origin and not _is_origin(config.office_origin):
        raise ValueError("office_origin must look like https://office.example, with no path")
    if config.oidc is None:
        return
    parts = urlsplit(config.oidc.issuer)
    if not _is_origin(f"{parts.scheme}://{parts.netloc}") or parts.query or parts.fragment:
        raise ValueError("oidc.issuer must look like https://login.example/realms/city")
    if not config.office_origin:
        raise ValueError("oidc needs office_origin: the provider sends browsers back to it")


def read_config(path: Path) -> Config:
    """Return the configuration with absolute paths. Raises ConfigRefused."""
    try:
        config = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Config)
        parse_name(config.tenant)
        check_database(config.database)
        check_telemetry(config.telemetry)
        check_card_certificates(config.card_certificates)
        check_sign_in(config)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigRefused(f"{path}: {error}") from error
    base = path.resolve().parent
    telemetry = config.telemetry
    if telemetry is not None and telemetry.token_file:
        token_file = str(base / telemetry.token_file)
        telemetry = msgspec.structs.replace(telemetry, token_file=token_file)
    cards = config.card_certificates
    if cards is not None:
        cards = msgspec.structs.replace(
            cards,
            authorities=str(base / cards.authorities),
            crl=[one if is_address(one) else str(base / one) for one in cards.crl],
        )
    oidc = config.oidc
    if oidc is not None:
        secret_file = str(base / oidc.client_secret_file)
        oidc = msgspec.structs.replace(oidc, client_secret_file=secret_file)
    return msgspec.structs.replace(
        config,
        oidc=oidc,
        telemetry=telemetry,
        card_certificates=cards,
        **{key: str(base / getattr(config, key)) for key in _PATHS},
    )
