"""A list as a file for spreadsheets: just what the page shows, in its columns."""

import csv
import io
from collections.abc import Iterable, Sequence

from aiohttp import web


def csv_file(name: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> web.Response:
    """Return rows as CSV: UTF-8 with a mark, as spreadsheets expect."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(heads)
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return web.Response(
        body=text.getvalue().encode("utf-8-sig"),
        content_type="text/csv",
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula (OWASP, CSV Injection)."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
