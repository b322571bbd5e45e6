"""What a reader says aloud: a sentence of `locale/ja.po` as a row of short recordings.

The recordings lie in `web/static/voice/`, made by `scripts/voice`; `web/static/voice.js` plays them
one after the other. A sentence is cut where its arguments stand, and a number is put together as
Japanese say it, the counter in its last piece: 補助 | 七百 | 五十円.

Rules: what is said is what the screen shows · a piece's file is named after its words, so a changed
sentence is never spoken by an old recording · a sentence is said whole or not at all.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from programmes.texts import NoSuchText, catalogue

PAUSE: Final = "pause"
"""In a row of pieces: a breath, where the sentence has a comma or a full stop beside a number."""
NUMBER_MAX: Final = 999_999
COUNTERS: Final = ("円", "回")
"""What a sentence may count; what stands behind an argument is said with it, for the sound of the
number depends on it (三百 → さんびゃく, 三百回 → さんびゃっかい)."""
HOURS: Final = "時間"
HOURS_MAX: Final = 24
"""Of one day."""
MINUTES: Final = "分"
MINUTES_OF_AN_HOUR: Final = 60

_DIGITS: Final = "〇一二三四五六七八九"
_PLACES: Final = ("", "十", "百", "千")
_NAME_HEX: Final = 12
"""48 bits of a digest: 300 recordings meet by chance once in six thousand million tries."""
_ARGUMENT: Final = re.compile(rf"\{{(\w+)\}}({'|'.join((*COUNTERS, HOURS, MINUTES))})?")
_BREATH: Final = "、。"
_BLANK: Final = " 　"
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


class NotSayable(ValueError):
    """No recordings say this: a number beyond NUMBER_MAX, or an argument that is no number."""


def pieces(message: str, arguments: Mapping[str, str]) -> list[str]:
    """Return the words of each recording in turn, and PAUSE. Raises NoSuchText, NotSayable."""
    try:
        sentence = catalogue("ja")[message]
    except KeyError:
        raise NoSuchText(f"{message!r} is not in locale/ja.po") from None
    said: list[str] = []
    done = 0
    for found in _ARGUMENT.finditer(sentence):
        said += _words(sentence[done : found.start()])
        said += _argument(arguments.get(found[1], ""), found[2] or "")
        done = found.end()
    said += _words(sentence[done:])
    return said[:-1] if said and said[-1] == PAUSE else said


def clips(message: str, arguments: Mapping[str, str]) -> list[str]:
    """Return the names of the recordings that say a sentence; none when it cannot be said."""
    try:
        return [PAUSE if one == PAUSE else clip(one) for one in pieces(message, arguments)]
    except (NoSuchText, NotSayable):
        return []


def clip(words: str) -> str:
    """Return the name of the recording of these words."""
    return hashlib.sha256(words.encode()).hexdigest()[:_NAME_HEX]


def number(value: int, counter: str) -> list[str]:
    """Return the pieces of a number from 0 to NUMBER_MAX. Raises NotSayable."""
    if not 0 <= value <= NUMBER_MAX:
        raise NotSayable(f"{value} is not from 0 to {NUMBER_MAX}")
    if value == 0:
        return [f"ゼロ{counter}"]
    ten_thousands, rest = divmod(value, 10_000)
    *before, last = [*_below_ten_thousand(ten_thousands, "万"), *_below_ten_thousand(rest, "")]
    return [*before, last + counter]


def time_of_day(hour: int, minute: int) -> list[str]:
    """Return the pieces of a time: 七時 | 四十 | 二分."""
    said = ["".join(_below_ten_thousand(hour, "")) or "零"]
    return [said[0] + "時", *(number(minute, "分") if minute else ())]


def hours(value: int) -> str:
    """Return the piece of a number of hours, 四時間. Raises NotSayable."""
    if not 0 <= value <= HOURS_MAX:
        raise NotSayable(f"{value} hours are not of one day")
    return ("".join(_below_ten_thousand(value, "")) or "ゼロ") + HOURS


def _below_ten_thousand(value: int, unit: str) -> Iterator[str]:
    """Yield each digit with its place, the last one with the unit: 三千, 二百, 四十, 五."""
    digits = [
        ("" if digit == "1" and place else _DIGITS[int(digit)]) + _PLACES[place]
        for place, digit in zip(range(len(str(value)) - 1, -1, -1), str(value), strict=True)
        if digit != "0"
    ]
    for left, said in enumerate(digits, 1 - len(digits)):
        yield said if left else said + unit


def _words(text: str) -> list[str]:
    """Return a stretch between arguments: its words, and a breath on the side where it has one."""
    text = text.strip(_BLANK)
    words = text.strip(_BREATH + _BLANK)
    if not words:
        return [PAUSE] if text else []
    before = [PAUSE] if text[0] in _BREATH else []
    after = [PAUSE] if text[-1] in _BREATH else []
    return [*before, words, *after]


def _argument(text: str, counter: str) -> list[str]:
    if not counter and (found := _TIME.fullmatch(text)):
        return time_of_day(int(found[1]), int(found[2]))
    digits = text.replace(",", "")
    if not counter or not re.fullmatch(r"[0-9]{1,6}", digits):
        raise NotSayable(f"{text!r}{counter} is no number that is counted")
    if counter == HOURS:
        return [hours(int(digits))]
    if counter == MINUTES and int(digits) >= MINUTES_OF_AN_HOUR:
        raise NotSayable(f"{text!r} minutes are an hour")
    return number(int(digits), counter)
