"""What stands in systemd's place: the socket that a service tells how it is."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PERIOD_S: Final = 0.3
SILENT_S: Final = 10 * PERIOD_S
"""A loop that turns says something every third of a period."""
DEADLINE_S: Final = 20.0


class Listener:
    """Hears notifications."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))

    @property
    def environment(self) -> dict[str, str]:
        """What systemd tells the service."""
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(int(PERIOD_S * 1e6))}

    def next(self, within_s: float = DEADLINE_S) -> str:
        """Return the next words; empty when none come in time."""
        self._socket.settimeout(within_s)
        try:
            return self._socket.recv(4096).decode()
        except TimeoutError:
            return ""

    def fell_silent(self) -> bool:
        """True once nothing is said for ten periods; False when it goes on and on."""
        end_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < end_s:
            if not self.next(SILENT_S):
                return True
        return False

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def half(
    name: str, config: Path, systemd: Listener, *under: str | Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a half as a process, perhaps under another program; end it after the block."""
    command = [*map(str, under), sys.executable, "-m", "edge.cli", name, str(config)]
    environment = os.environ | systemd.environment
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()
