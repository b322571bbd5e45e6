"""Pages as people with and without eyes or a mouse meet them: axe, Tab, a narrow dark screen."""

from collections.abc import Iterable
from typing import Final

from playwright.sync_api import Browser

from tests.browser import violations
from tests.web.conftest import sign_in
from tests.web.test_keyboard import walk

LOOKS: Final = (("ja", "light", 1280), ("en", "dark", 390))


def look_over(
    browser: Browser, site: str, who: str, paths: Iterable[str], first: str = "/"
) -> dict[str, object]:
    """Return what is wrong with these pages, by page and language; nothing is right.

    Each in Japanese on a wide bright screen, there by Tab too, and in English on a narrow dark one.
    `first`: where signing in leads.
    """
    problems: dict[str, object] = {}
    for language, scheme, width in LOOKS:
        context = browser.new_context(
            viewport={"width": width, "height": 844},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        page = context.new_page()
        page.goto(f"{site}/login?lang={language}")
        sign_in(page, site, who)
        page.wait_for_url(f"{site}{first}")
        for path in paths:
            answer = page.goto(site + path)
            assert answer is not None
            assert answer.status == 200, path
            problems[f"{path} {language} axe"] = violations(page)
            wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            problems[f"{path} {language} wider than {width} px"] = wide
            if width == LOOKS[0][2]:
                problems[f"{path} by Tab"] = walk(page)
        context.close()
    return {where: what for where, what in problems.items() if what}
