"""What the network half meets in tests: a throw-away authority and a real mosquitto with TLS."""

import asyncio
import contextlib
import datetime
import getpass
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hw.sim.site import free_ports
from wire.limits import PAYLOAD_BYTES_MAX
from wire.mqtt import Endpoint, client_tls
from wire.topics import DOWN, PREFIX, UP

DEADLINE_S = 10.0
YESTERDAY = datetime.timedelta(days=-1)


def free_port() -> int:
    return free_ports(1)[0]


async def until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for a condition, with a deadline."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while not condition():
        assert loop.time() < end, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(0.01)


@dataclass
class Authority:
    """A root and what it has signed, as PEM files in one folder."""

    folder: Path
    name: str = "root"
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        self.certificate = self._sign(self.subject, self.key.public_key(), True)
        self.root = self.folder / f"{self.name}.pem"
        self.root.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        authority: bool,
        begins: datetime.timedelta = YESTERDAY,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(names, critical=False)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )

    def issue(self, name: str, begins: datetime.timedelta = YESTERDAY) -> tuple[str, str]:
        """Return the paths of certificate and key for a common name (server and client alike)."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key.public_key(), False, begins)
        stem = self.folder / name.replace("/", "-")
        certificate_path, key_path = stem.with_suffix(".pem"), stem.with_suffix(".key")
        certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return str(certificate_path), str(key_path)


@dataclass
class Broker:
    """A mosquitto with a readers' and a fleet's listener, that can be killed and started again."""

    folder: Path
    authority: Authority
    readers_port: int = field(default_factory=free_port)
    fleet_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        certificate, key = self.authority.issue("localhost")
        up = "".join(f"pattern write {PREFIX}/%u/{leaf}\n" for leaf in UP)
        down = "".join(f"pattern read {PREFIX}/%u/{leaf}\n" for leaf in DOWN)
        (self.folder / "readers.acl").write_text(up + down)
        (self.folder / "fleet.acl").write_text(f"user fleet\ntopic readwrite {PREFIX}/#\n")
        common = f"""
            cafile {self.authority.root}
            certfile {certificate}
            keyfile {key}
            require_certificate true
            use_identity_as_username true
            allow_anonymous false
        """
        text = f"""
            user {getpass.getuser()}
            per_listener_settings true
            set_tcp_nodelay true
            max_queued_messages 1000
            max_queued_bytes 67108864
            max_packet_size {2 * PAYLOAD_BYTES_MAX}
            log_dest file {self.folder / "mosquitto.log"}
            listener {self.readers_port} localhost
            use_username_as_clientid true
            acl_file {self.folder / "readers.acl"}
            {common}
            listener {self.fleet_port} localhost
            acl_file {self.folder / "fleet.acl"}
            {common}
        """
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        self.conf = self.folder / "mosquitto.conf"
        self.conf.write_text("\n".join(lines) + "\n")

    async def start(self) -> None:
        self._spawn()
        await until(
            lambda: _listens(self.readers_port) and _listens(self.fleet_port), "mosquitto listens"
        )

    def _spawn(self) -> None:
        self.process = subprocess.Popen(
            ["mosquitto", "-c", str(self.conf)], stderr=subprocess.DEVNULL
        )

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process:
            self.process.send_signal(how)
            self.process.wait(DEADLINE_S)
            self.process = None

    def reader(self, name: str) -> Endpoint:
        certificate, key = self.authority.issue(name)
        tls = client_tls(str(self.authority.root), certificate, key)
        return Endpoint("localhost", self.readers_port, tls)

    def fleet(self, client_id: str = "") -> Endpoint:
        certificate, key = self.authority.issue("fleet")
        tls = client_tls(str(self.authority.root), certificate, key)
        return Endpoint("localhost", self.fleet_port, tls, client_id)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextlib.asynccontextmanager
async def running_broker(folder: Path) -> AsyncIterator[Broker]:
    folder.mkdir(parents=True, exist_ok=True)
    broker = Broker(folder, Authority(folder))
    try:
        await broker.start()
        yield broker
    finally:
        broker.stop()


@contextlib.contextmanager
def silent_listener() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])
