"""Rule tables in words, and words as rule tables: what a clerk reads, types and signs.

Everything follows from the programme's declaration (programmes.rulebook.Parameter) and from the
types, bounds and defaults of its `Parameters`; a new parameter needs no line here. What was typed
and not changed keeps its value to the second.
"""

import datetime
import functools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import msgspec
from msgspec import inspect

from fleet.outline import Picture, picture, square_km
from programmes.area import CORNERS_MIN
from programmes.calendar import read_day
from programmes.rulebook import Kind, Parameter, Rulebook, read_parameters
from programmes.texts import Language, say
from wire.roster import RuleTable

CATEGORIES_MAX: Final = 20
"""Categories with lines of their own; a town has two or three."""
LINES_MAX: Final = 60
"""Lines of one category: the largest city's bus has some 150, and then nobody lists them."""
NAMES_MAX: Final = 20
"""Names with a percentage each; a company gives one or two discounts."""
TEXT_MAX: Final = 6_000
"""Characters of the longest field: an outline of 200 corners with a map's six decimals."""
WORD_MAX: Final = 40
"""Characters of a category or a line, as rosters and entries carry them (wire.entries.Short)."""
WHOLE: Final[frozenset[Kind]] = frozenset(
    {"yen", "times", "age", "days", "hours", "seconds", "hour", "percent"}
)
"""Kinds that are whole numbers with a unit, `rule.unit.<kind>`."""
_NUMBER: Final = re.compile(r"満?(\d{1,9})(?:円|回|歳|日|時間|秒|時|%)?\Z", re.ASCII)
_CORNER: Final = re.compile(r"(-?\d{1,2}\.\d{1,15})[,、 ] *(-?\d{1,3}\.\d{1,15})\Z", re.ASCII)
"""As it stands in a table, or as maps give it to be copied: with blanks and more decimals."""
_TIME: Final = re.compile(r"(\d{1,2})[:時](?:(\d{1,2})分?)?\Z", re.ASCII)
_PLACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z")
"""As wire.entries.Name."""
EMPTY: Final[Mapping[Kind, Callable[[], Any]]] = {"lines": dict, "percents": dict, "area": list}
"""Kinds of which there may be none, and how a table holds that."""
NAMED: Final[Mapping[Kind, Kind]] = {"percents": "percent", "place-hours": "hour"}
"""Kinds that are names with a number each, and what kind that is."""
Value = Any
"""Plain data, as it stands in a table: int, bool, str, None, lists of lines by category, numbers by
name, or a list of corners."""


class Item(NamedTuple):
    """One parameter: what is declared and what its type says."""

    programme: str
    name: str
    kind: Kind
    default: Value
    """What holds when a table does not name it; None too where it must be named."""
    is_optional: bool
    """It may have no value, which means something (`.none`)."""
    low: int
    high: int
    """Bounds of a whole number, of each of NAMED, or of how many corners; both included."""
    words: tuple[str, ...]
    """What may be chosen."""

    def say(self, part: str, language: Language, **arguments: str | int) -> str:
        """Return one of its sentences; `part` is empty for the label."""
        end = f".{part}" if part else ""
        return say(f"rule.{self.programme}.{self.name}{end}", language, **arguments)


class NotRead(ValueError):
    """What was typed is no such value; `code` and `arguments` name the sentence."""

    def __init__(self, code: str, **arguments: str | int) -> None:
        super().__init__(code)
        self.code: Final = code
        self.arguments: Final = arguments


class Line(NamedTuple):
    """One parameter of a table in words, beside that of another table."""

    name: str
    label: str
    said: str
    before: str
    """What the other table says."""
    is_changed: bool
    """The two tables have another value, even where both are said alike."""
    picture: Picture | None = None
    """Of an outline."""
    picture_before: Picture | None = None


def items(book: Rulebook) -> tuple[Item, ...]:
    """Return a programme's parameters in the order in which a clerk reads them."""
    return _items(book.name, book.parameters, book.described)


@functools.cache
def _items(
    programme: str, parameters: type[msgspec.Struct], described: tuple[Parameter, ...]
) -> tuple[Item, ...]:
    told = cast(inspect.StructType, inspect.type_info(parameters))
    fields = {one.encode_name: one for one in told.fields}
    return tuple(_item(programme, one.name, one.kind, fields[one.name]) for one in described)


def _item(programme: str, name: str, kind: Kind, told: inspect.Field) -> Item:
    some = told.type.types if isinstance(told.type, inspect.UnionType) else (told.type,)
    chosen = next((one for one in some if isinstance(one, inspect.LiteralType)), None)
    default = None
    if told.default_factory is not msgspec.NODEFAULT:
        default = told.default_factory()
    elif told.default is not msgspec.NODEFAULT:
        default = msgspec.to_builtins(told.default)
    return Item(
        programme,
        name,
        kind,
        default,
        any(isinstance(one, inspect.NoneType) for one in some),
        *_bounds(some),
        tuple(str(word) for word in chosen.values) if chosen else (),
    )


def _bounds(some: Sequence[inspect.Type]) -> tuple[int, int]:
    """Return the least and the most of a number, of each named number, or of a list's length."""
    for one in some:
        told = one.value_type if isinstance(one, inspect.DictType) else one
        if isinstance(told, inspect.IntType):
            return told.ge or 0, told.le or 0
        if isinstance(told, inspect.ListType) and told is one:
            return CORNERS_MIN, told.max_length or 0
    return 0, 0


def values(book: Rulebook, table: RuleTable | None) -> dict[str, Value]:
    """Return every parameter of a table as plain data; without a table what holds by itself.

    Raises RuleTableRefused.
    """
    if table is None:
        return {item.name: item.default for item in items(book)}
    plain = msgspec.to_builtins(read_parameters(table, book.parameters))
    return {item.name: plain[item.name] for item in items(book)}


def lines(
    book: Rulebook, table: RuleTable, other: RuleTable | None, language: Language
) -> list[Line]:
    """Return a table in words beside another one. Raises RuleTableRefused."""
    now = values(book, table)
    before = now if other is None else values(book, other)
    return [_line(item, now[item.name], before[item.name], language) for item in items(book)]


def _line(item: Item, now: Value, before: Value, language: Language) -> Line:
    is_outline = item.kind == "area"
    return Line(
        item.name,
        item.say("", language),
        written(item, now, language),
        written(item, before, language),
        now != before,
        picture(now) if is_outline else None,
        picture(before) if is_outline else None,
    )


# --- writing -------------------------------------------------------------------------------------


def written(item: Item, value: Value, language: Language) -> str:
    """Return what a value means, as a clerk would write it: 「1年度に120回まで」."""
    if value is None or value in ({}, []):
        return item.say("none", language)
    if item.kind == "yes-no":
        return item.say("yes" if value else "no", language)
    if item.kind == "choice":
        return item.say(value, language)
    if item.kind == "area":
        size = f"{square_km(value):,.0f}"
        return item.say("is", language, corners=len(value), km2=size)
    if item.kind == "lines" or item.kind in NAMED:
        said = [
            item.say("is", language, **_named(item, name, one, language))
            for name, one in value.items()
        ]
        return ("、" if language == "ja" else "; ").join(said)
    return item.say("is", language, value=amount(item.kind, value, language))


def _named(item: Item, name: str, value: Value, language: Language) -> dict[str, str]:
    """Return what the sentence of one category or name tells."""
    if item.kind == "lines":
        return {"category": name, "lines": _listed(value, language)}
    return {"name": name, "value": amount(NAMED[item.kind], value, language)}


def amount(kind: Kind, value: Value, language: Language) -> str:
    """Return a value with its unit: 50円, 満70歳, 8:00."""
    if kind in WHOLE:
        return say(f"rule.unit.{kind}", language, value=f"{value:,}")
    return typed_value(kind, value)


def _listed(some: list[str], language: Language) -> str:
    return ("・" if language == "ja" else ", ").join(some)


def typed(item: Item, value: Value) -> str:
    """Return what stands in the form for a value."""
    if value is None:
        return ""
    if item.kind == "lines":
        return "\n".join(f"{category}: {', '.join(some)}" for category, some in value.items())
    if item.kind in NAMED:
        return "\n".join(f"{name}: {number}" for name, number in value.items())
    if item.kind == "area":
        return "\n".join(value)
    return typed_value(item.kind, value)


def typed_value(kind: Kind, value: Value) -> str:
    """Return a single value without its unit."""
    if kind == "yes-no":
        return "yes" if value else "no"
    if kind == "time":
        return f"{datetime.time.fromisoformat(value):%-H:%M}"
    return str(value)


# --- reading -------------------------------------------------------------------------------------


def read(item: Item, text: str, before: Value, language: Language) -> Value:
    """Return what was typed as a value; `before` stays where nothing was changed.

    Raises NotRead, whose sentence names the field and what it takes.
    """
    plain = _plain(text)
    if before is not None and plain == _plain(typed(item, before)):
        return before
    if not plain and item.kind in EMPTY:
        return EMPTY[item.kind]()
    if not plain and item.is_optional:
        return None
    if not plain:
        raise NotRead("web.form.required", field=item.say("", language))
    if item.kind in WHOLE:
        return _read_number(item, plain, language)
    return _READERS[item.kind](item, plain, language)


def _plain(text: str) -> str:
    """Return what was typed with half-width characters and one kind of line end."""
    return "\n".join(unicodedata.normalize("NFKC", text).splitlines()).strip()


def _read_number(item: Item, plain: str, language: Language) -> int:
    found = _NUMBER.match(plain.replace(",", "").replace(" ", ""))
    if found is None or not item.low <= int(found[1]) <= item.high:
        low, high = (amount(item.kind, one, language) for one in (item.low, item.high))
        label = item.say("", language)
        raise NotRead("web.rules.refused.number", field=label, low=low, high=high)
    return int(found[1])


def _read_time(item: Item, plain: str, language: Language) -> str:
    found = _TIME.match(plain.replace(" ", ""))
    hour, minute = (int(found[1]), int(found[2] or 0)) if found else (99, 0)
    if (hour, minute) == (24, 0):
        hour, minute = 23, 59
    if hour > 23 or minute > 59:
        raise NotRead("web.rules.refused.time", field=item.say("", language))
    return datetime.time(hour, minute).isoformat()


def _read_day(item: Item, plain: str, language: Language) -> str:
    try:
        return read_day(plain).isoformat()
    except ValueError:
        raise NotRead("web.rules.refused.day", field=item.say("", language)) from None


def _read_choice(item: Item, plain: str, language: Language) -> Value:
    words = ("yes", "no") if item.kind == "yes-no" else item.words
    if plain not in words:
        raise NotRead("web.rules.refused.choice", field=item.say("", language))
    return plain == "yes" if item.kind == "yes-no" else plain


def _read_lines(item: Item, plain: str, language: Language) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in filter(None, map(str.strip, plain.splitlines())):
        category, colon, rest = (part.strip() for part in text.partition(":"))
        some = [one.strip() for one in re.split("[,、]", rest) if one.strip()]
        too_much = len(some) > LINES_MAX or max(map(len, (category, *some))) > WORD_MAX
        if not (category and colon and some) or too_much or category in found:
            raise NotRead("web.rules.refused.lines", field=item.say("", language), line=text[:40])
        found[category] = some
    if len(found) > CATEGORIES_MAX:
        raise NotRead("web.rules.refused.categories", limit=CATEGORIES_MAX)
    return found


def _read_named(item: Item, plain: str, language: Language) -> dict[str, int]:
    found: dict[str, int] = {}
    label = item.say("", language)
    for text in filter(None, map(str.strip, plain.splitlines())):
        name, _, rest = (part.strip() for part in text.rpartition(":"))
        number = _NUMBER.match(rest.replace(" ", ""))
        is_named = _is_name(item, name) and name not in found
        if number is None or not is_named or not item.low <= int(number[1]) <= item.high:
            unit = NAMED[item.kind]
            low, high = (amount(unit, one, language) for one in (item.low, item.high))
            what = {"field": label, "line": text[:40], "low": low, "high": high}
            raise NotRead(f"web.rules.refused.{item.kind}", **what)
        found[name] = int(number[1])
    if len(found) > NAMES_MAX:
        raise NotRead("web.rules.refused.names", field=label, limit=NAMES_MAX)
    return found


def _is_name(item: Item, name: str) -> bool:
    """True for what may be named: a place by its name, a discount by any word."""
    if item.kind == "place-hours":
        return _PLACE.match(name) is not None
    return 0 < len(name) <= WORD_MAX


def _read_area(item: Item, plain: str, language: Language) -> list[str]:
    label = item.say("", language)
    found = []
    for text in filter(None, map(str.strip, plain.splitlines())):
        corner = _CORNER.match(text)
        if corner is None or abs(float(corner[1])) > 90 or abs(float(corner[2])) > 180:
            raise NotRead("web.rules.refused.corner", field=label, line=text[:40])
        found.append(f"{float(corner[1]):.3f},{float(corner[2]):.3f}")
    if not item.low <= len(found) <= item.high:
        raise NotRead("web.rules.refused.corners", field=label, low=item.low, high=item.high)
    return found


_READERS: Final = {
    "time": _read_time,
    "day": _read_day,
    "yes-no": _read_choice,
    "choice": _read_choice,
    "lines": _read_lines,
    "percents": _read_named,
    "place-hours": _read_named,
    "area": _read_area,
}


def parameters_of(book: Rulebook, named: Mapping[str, Value]) -> dict[str, Value]:
    """Return values as a table carries them: all of them, but for those that are none by default.

    An agent that is older than a parameter refuses a table that names it.
    """
    return {
        item.name: named[item.name]
        for item in items(book)
        if named[item.name] is not None or item.default is not None
    }
