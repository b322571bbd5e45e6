"""Migrated files of SQLite for tests, in milliseconds: made once by a process, then copied."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from fleet.config import Databases
from fleet.store import migrate


def migrated(databases: Databases) -> Databases:
    """Make both databases at the present version, or leave those of PostgreSQL; return them."""
    if not databases.url:
        shutil.copytree(_made(), databases.state, dirs_exist_ok=True)
    return databases


@functools.cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="kz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    migrate(Databases(folder / "state"))
    return folder / "state"
