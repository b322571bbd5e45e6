"""Debian's pcscd with readers of its driver vpcd, on which `hw.sim.vicc` lays cards.

It runs in a mount namespace of its own with an empty /run, so it meets neither the machine's own
pcscd nor that of another test, and needs no root. Programs find it by the environment variable
that libpcsclite has for that, which names a link: the library reads it once, and pcscd may be
started again.
"""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

SOCKET: Final = Path(tempfile.mkdtemp(prefix="kazasu-pcscd-")) / "pcscd.comm"
"""Of this process and the programs that it starts."""
os.environ["PCSCLITE_CSOCK_NAME"] = str(SOCKET)

DRIVER: Final = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"
"""Of vsmartcard-vpcd."""
SLOTS: Final = 2
"""Each of vpcd's readers has two, on this port and the next."""
PORT_DRAWS_MAX: Final = 50
START_TIMEOUT_S: Final = 20.0
"""It takes 20 ms; two busy cores may be slow."""
STOP_TIMEOUT_S: Final = 5.0
NANOSLEEPS: Final = (b"35 ", b"230 ", b"101 ", b"115 ")
"""nanosleep and clock_nanosleep as /proc/PID/syscall numbers them, on x86-64 and on arm64."""


class Pcscd:
    """One pcscd, its readers by name, and the port at which each takes its card.

    Its name for a reader is ours, and then two numbers for the slot.
    """

    def __init__(self, folder: Path, *names: str) -> None:
        self.ports = {name: _free_ports() for name in names}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *names: str) -> None:
        """Start it with these of its readers, or with all; return when it serves."""
        configuration = self._folder / "reader.conf.d"
        configuration.mkdir(parents=True, exist_ok=True)
        chosen = {name: self.ports[name] for name in names} if names else self.ports
        (configuration / "vpcd").write_text(_readers(chosen), "utf-8")
        self._run(configuration)

    def start_without_readers(self) -> None:
        """Start it as if no reader were plugged in; return when it serves."""
        configuration = self._folder / "no-reader.conf.d"
        configuration.mkdir(parents=True, exist_ok=True)
        self._run(configuration)

    def _run(self, configuration: Path) -> None:
        namespace = ["unshare", "--mount"]
        if os.geteuid() != 0:
            namespace += ["--user", "--map-root-user"]
        inside = 'mount -t tmpfs none /run && mkdir /run/pcscd && exec "$@"'
        path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
        with (self._folder / "pcscd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*namespace, "sh", "-c", inside, "sh"]
                + ["pcscd", "--foreground", "--info", "--config", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PATH": path},
            )
        SOCKET.unlink(missing_ok=True)
        SOCKET.symlink_to(f"/proc/{self._process.pid}/root/run/pcscd/pcscd.comm")
        self._wait(self._process)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """Return when it takes connections: it starts its readers before."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _listens():
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"pcscd does not start: {self.log}")
            time.sleep(0.005)

    @property
    def log(self) -> str:
        """What it wrote."""
        return (self._folder / "pcscd.log").read_text("utf-8", "replace")

    def look(self) -> None:
        """Let it look at its readers now.

        A real reader's interrupt does so; for vpcd, which has none, pcscd looks every 0.4 s and
        sleeps between, which any signal with a handler ends. This one does nothing else.
        """
        process = self._process
        if process is None:
            return
        for task in Path(f"/proc/{process.pid}/task").glob("*"):
            try:
                if (task / "syscall").read_bytes().startswith(NANOSLEEPS):
                    os.kill(int(task.name), signal.SIGUSR1)
            except OSError:
                continue  # it has ended meanwhile, or may not be seen: it looks in its own time

    def freeze(self) -> None:
        """Let it stand still, as when the machine or its driver hangs."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it at once; nothing is tidied up."""
        if self._process:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None

    def stop(self) -> None:
        """Stop it and wait until it is gone; harmless when it is."""
        if self._process:
            self.thaw()
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()


def start_pcscd(folder: Path, *names: str) -> Pcscd:
    """Start pcscd with readers of these names, whose cards come from `Pcscd.ports`."""
    pcscd = Pcscd(folder, *names)
    pcscd.start()
    return pcscd


def _readers(ports: Mapping[str, int]) -> str:
    """Return a reader.conf (reader.conf(5)) for vpcd."""
    return "\n".join(
        f'FRIENDLYNAME "{name}"\nDEVICENAME /dev/null:{port}\nLIBPATH {DRIVER}\nCHANNELID {port}\n'
        for name, port in ports.items()
    )


def _listens() -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(SOCKET))
        except OSError:
            return False
    return True


def _free_ports() -> int:
    """Return the first of SLOTS ports in a row that nobody has."""
    for _ in range(PORT_DRAWS_MAX):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("", port + SLOTS - 1))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no {SLOTS} free ports in a row in {PORT_DRAWS_MAX} draws")
