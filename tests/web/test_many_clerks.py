"""A counter hall's whole staff at once: nothing fails, and what they were told was kept is kept."""

from pathlib import Path
from typing import Final

import pytest

from tests.real_postgres import Postgres
from tests.web.conftest import open_sites
from tests.web.many_clerks import lost, work
from tests.web.town import build_town

CLERKS: Final = 20
"""More than the office has threads for its databases, or connections to one."""
ROUNDS: Final = 3
"""Each enrols three people, corrects two of them and takes one back."""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_many_clerks_write_at_once_is_all_kept(
    database: str, postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.url(postgres.empty()) if database == "postgresql" else ""
    town = build_town(tmp_path, url)
    with open_sites(town) as sites:
        clerks = work(sites, CLERKS, lambda n: n < ROUNDS)
        assert lost(town, clerks) == {}
        assert [len(clerk.kept) for clerk in clerks] == [ROUNDS - 1] * CLERKS
        assert [len(clerk.taken_back) for clerk in clerks] == [1] * CLERKS
    if url:
        postgres.drop(town.config.databases)
