"""What a module drags into a process: the tap process has no network and no toolkit in it.

The arrows between our own packages are import-linter's (scripts/check arrows). Here a fresh
interpreter imports the module and tells what came with it, lazily or by way of others.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

# Network, database, terminal and templates have no business beside the keys and the NFC thread.
NOT_IN_TAP = ("aiohttp", "ssl", "sqlalchemy", "typer", "rich", "jinja2", "babel", "structlog")
# Neither NFC nor a driver in the process that the network can reach.
NOT_IN_LINK = ("nfc", "serial", "usb1", "sqlalchemy", "typer", "rich", "structlog")
TELL = "import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [("edge.tap", NOT_IN_TAP), ("edge.link", NOT_IN_LINK), ("wire.messages", NOT_IN_TAP)],
)
def test_a_module_brings_nothing_that_its_process_must_not_hold(
    module: str, forbidden: tuple[str, ...]
) -> None:
    told = subprocess.run(
        [sys.executable, "-c", TELL.format(module=module)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert set(told.stdout.split()).isdisjoint(forbidden)
