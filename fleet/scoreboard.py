"""The figures that 前橋市 published for マイタク by card, beside those of this ledger.

Source: 総務省行政評価局「マイナンバーカードの普及・利活用に係る積極的取組事例集（案）」, 事例5
(2019-11-19): the city's own counts before and after. Rules: what is counted here is counted at the
moment it is asked for; what rests on the published time or cost of one ticket is marked as an
estimate; what no ledger knows stays empty and says so.
"""

from typing import Final, Literal, NamedTuple

from fleet.ride_figures import Sums
from fleet.rides import CARD

DRIVER_PAPER_S: Final = 120
DRIVER_CARD_S: Final = 60
CLERK_PAPER_S: Final = 120
"""Work for one used ticket: the driver fills it in, a clerk types and checks it; none by card."""
PAPER_PER_MEMBER_YEN: Final = 224
"""Printing and posting a year's book of tickets."""
SAVED_PER_USE_S: Final = DRIVER_PAPER_S + CLERK_PAPER_S - DRIVER_CARD_S
How = Literal["counted", "estimate", "not-measured"]
Unit = Literal["people", "uses", "permille", "yen", "seconds", "minutes", "percent", "thousand-yen"]


class Score(NamedTuple):
    """One published figure. None: it does not stand there, or nothing here tells it."""

    name: str
    unit: Unit
    paper: int | None
    card: int | None
    ours: int | None
    how: How


def saved_minutes(month: Sums) -> int:
    """Return the minutes that drivers and clerks did not spend: an estimate by the seed's times."""
    return month.riders[CARD] * SAVED_PER_USE_S // 60


def saved_postage_yen(holders: int) -> int:
    """Return what a year's books of tickets for those who hold a card would have cost."""
    return holders * PAPER_PER_MEMBER_YEN


def scores(month: Sums, enrolled: int, holders: int) -> list[Score]:
    """Return every published figure beside ours. `month`: the last that is over."""
    by_hand = month.uses - month.riders[CARD]
    all_by_card, posted = 25_000 * SAVED_PER_USE_S // 60, saved_postage_yen(4_520)
    share = (holders * 2_000 + enrolled) // (enrolled * 2) if enrolled else None
    return [
        Score("members", "people", None, 26_880, enrolled, "counted"),
        Score("holders", "people", None, 4_520, holders, "counted"),
        Score("holders-share", "permille", None, 168, share, "counted"),
        Score("uses", "uses", 25_000, None, month.uses, "counted"),
        Score("uses-share", "permille", None, None, month.card_permille, "counted"),
        Score("by-hand", "uses", 25_000, 0, by_hand, "counted"),
        Score("driver", "seconds", DRIVER_PAPER_S, DRIVER_CARD_S, None, "not-measured"),
        Score(
            "clerk",
            "seconds",
            CLERK_PAPER_S,
            0,
            by_hand * CLERK_PAPER_S // month.uses if month.uses else None,
            "estimate",
        ),
        Score("saved", "minutes", None, all_by_card, saved_minutes(month), "estimate"),
        Score("postage", "yen", PAPER_PER_MEMBER_YEN, 0, None, "not-measured"),
        Score("postage-saved", "yen", None, posted, saved_postage_yen(holders), "estimate"),
        Score("easy", "percent", None, 86, None, "not-measured"),
        Score("goes-on", "percent", None, 85, None, "not-measured"),
        Score("easy-for-companies", "percent", None, 80, None, "not-measured"),
        Score("introduced", "thousand-yen", None, 8_000, None, "not-measured"),
        Score("kept", "thousand-yen", None, 8_000, None, "not-measured"),
    ]
