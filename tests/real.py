"""Real parts for tests: a provisioned town, a mosquitto of its own, certificates that are wrong.

town = make_town(tmp_path, "bus-1", "bus-2")
with start_mosquitto(town.folder / "broker") as broker:
    connection = town.reader("bus-1", broker)     # wire.mqtt.Connection, not open yet
"""

import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from hw.sim.site import free_ports
from provisioning.local import make_local
from provisioning.town import Place, Ports, Town
from wire.clock import SystemClock
from wire.mqtt import Connection, Endpoint, Will, client_tls

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
HOST = "127.0.0.1"


@dataclass
class Broker:
    """A mosquitto process; leaving the `with` block stops it by its own process id."""

    folder: Path
    readers_port: int
    fleet_port: int
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return (self.folder / "mosquitto.log").read_text("utf-8", "replace")

    def stop(self) -> None:
        """Stop it and wait until it is gone; harmless when it is."""
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()


def start_mosquitto(folder: Path) -> Broker:
    """Start mosquitto with the configuration in a provisioned `broker` folder; return when it
    listens. May be called again after `stop`: same ports, and nothing remembered.
    """
    lines = (folder / "mosquitto.conf").read_text("utf-8").splitlines()
    readers, fleet = (int(line.split()[1]) for line in lines if line.startswith("listener "))
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    with (folder / "mosquitto.log").open("ab") as log:
        process = subprocess.Popen(
            ["mosquitto", "-c", folder / "mosquitto.conf"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": path},
        )
    broker = Broker(folder, readers, fleet, process)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not (_listens(readers) and _listens(fleet)):
        if process.poll() is not None or time.monotonic() > deadline:
            broker.stop()
            raise RuntimeError(f"mosquitto does not listen: {broker.log}")
        time.sleep(0.02)
    return broker


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((HOST, port)) == 0


@dataclass(frozen=True)
class RealTown:
    """A provisioned folder and how to connect as one of its own."""

    folder: Path
    town: Town

    def reader(
        self, name: str, broker: Broker, client_id: str = "", will: Will | None = None
    ) -> Connection:
        """Return a connection of a reader at the readers' listener, not open yet."""
        home = self.folder / "readers" / name
        return self.client(
            broker.readers_port, home / "reader.pem", home / "reader.key", client_id, will
        )

    def fleet(self, broker: Broker, client_id: str = "") -> Connection:
        """Return a connection of the fleet at its own listener, not open yet."""
        home = self.folder / "fleet"
        return self.client(broker.fleet_port, home / "fleet.pem", home / "fleet.key", client_id)

    def client(
        self,
        port: int,
        certificate: Path,
        key: Path,
        client_id: str = "",
        will: Will | None = None,
    ) -> Connection:
        """Return a connection with any certificate at any port of the broker, not open yet."""
        root = self.folder / "authority" / "root.pem"
        tls = client_tls(str(root), str(certificate), str(key))
        return Connection(Endpoint(HOST, port, tls, client_id), will)


def make_town(folder: Path, *places: Place | str, tenant: str = "kazasu-shi") -> RealTown:
    """Provision a town on free ports; a place given by name alone is a bus with a senior pass."""
    ports = free_ports(5 + len(places))
    full = [
        _bus(place, port) if isinstance(place, str) else place
        for place, port in zip(places, ports[5:], strict=True)
    ]
    town = Town(tenant, Ports(*ports[:5]), full)
    make_local(folder, town, SystemClock())
    return RealTown(folder, town)


def _bus(name: str, page_port: int) -> Place:
    return Place(
        name=name,
        kind="bus",
        line="1",
        programmes=["senior-pass"],
        label_ja=f"{name}号車",
        label_en=f"Bus {name}",
        front_end="udp:127.0.0.1:54321",
        technologies=["106B"],
        page_port=page_port,
    )
