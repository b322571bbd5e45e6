"""The guard at every edge: the 12-digit individual number (マイナンバー) is never taken in.

Only values that a person or another system hands us (a form field, a CSV cell, a scanned code)
are looked at, and only as a whole. Numbers in our own messages are never looked at: 9.8 % of
random 12-digit strings pass the check digit, and an uptime in µs has 12 digits.

Source of the check digit: 総務省令第八十五号 (2014), article 5.
"""

import unicodedata
from typing import Final

DIGITS: Final = 12
_WEIGHTS: Final = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
"""Q(n) of the ordinance for the 11 digits before the check digit, from the left."""
_SEPARATORS: Final = str.maketrans("", "", "-‐‑‒–—―−ー－_")


class IndividualNumberRefused(ValueError):
    """The value looks like an individual number; it was not stored. Says so, never the value."""

    message_id: Final = "refused.individual-number"

    def __init__(self, field: str) -> None:
        """`field` names the place of the value, as the person knows it."""
        super().__init__(
            f"{field}: この値は個人番号（マイナンバー）の形です。保存していません。"
            f" / looks like an individual number; it was not stored."
        )
        self.field = field


def looks_like_individual_number(value: str) -> bool:
    """True when `value` as a whole is 12 digits whose check digit is right.

    NFKC first, so full-width digits count; blanks, hyphens and characters without a form of their
    own (zero-width blanks, soft hyphens: what is pasted from pages) are removed.
    """
    text = "".join(unicodedata.normalize("NFKC", value).split()).translate(_SEPARATORS)
    text = "".join(one for one in text if unicodedata.category(one) != "Cf")
    if len(text) != DIGITS or not (text.isascii() and text.isdigit()):
        return False
    remainder = sum(int(d) * w for d, w in zip(text, _WEIGHTS, strict=False)) % 11
    check = 0 if remainder <= 1 else 11 - remainder
    return int(text[-1]) == check


def refuse_individual_number(field: str, value: str) -> str:
    """Return `value` unchanged, or raise IndividualNumberRefused naming `field`."""
    if looks_like_individual_number(value):
        raise IndividualNumberRefused(field)
    return value
