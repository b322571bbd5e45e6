"""`python -m tests.programmes`: writes docs/school-months.md from the golden months."""

from pathlib import Path

from programmes.work_months_page import page

(Path(__file__).parents[2] / "docs" / "school-months.md").write_text(page(), "utf-8")
