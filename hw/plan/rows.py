"""The rows of `hw/data`, as its files have them; the files' own heads say what is meant."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

import msgspec

Kind = Literal["power-out", "power-in", "ground", "out", "in", "both", "passive", "own"]
Colour = Literal["RD", "BK", "YE", "GN", "WH", "BU", "OG", "GY"]
"""IEC 60757."""
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Domain = Literal["vehicle", "12V", "5V", "3V3", "gnd", "dry"]


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table of a file; what the files call an array is a tuple here."""


class Pin(Row, frozen=True):
    """A pin of a board; boards.toml's head says what each field means."""

    id: str
    kind: Kind
    volts: tuple[Domain | Literal["any"], ...]
    at: str = ""
    needs: bool = False
    meets: str = ""
    limit_a: float = 0.0


class Board(Row, frozen=True):
    """What a part's pins are.

    `joins`: pairs of pins that carry current through the part; `ones`: pins that are one inside it.
    """

    ja: str
    en: str
    source: str
    pins: tuple[Pin, ...]
    joins: tuple[tuple[str, str], ...] = ()
    ones: tuple[tuple[str, ...], ...] = ()


class Chip(Row, frozen=True):
    """What the RP2040's GPIOs can do, and where they stand on a Pico; 0: nowhere."""

    gpios: int
    own: tuple[int, ...]
    at: tuple[int, ...]
    functions: dict[str, tuple[int, ...]]


class Boards(Row, frozen=True):
    """boards.toml. `domains`: lowest and highest V of each."""

    domains: dict[str, tuple[float, float]]
    boards: dict[str, Board]
    chip: Chip


class HeadPin(Row, frozen=True):
    """A GPIO of the head, by the name that the firmware knows it by."""

    name: str
    gpio: int
    function: str
    way: Literal["in", "out"]
    rest: Literal["low", "high", "pull-up", "pull-down"]
    ja: str
    en: str


class Pins(Row, frozen=True):
    """pins.toml."""

    board_revision: Count
    nfc_uart: Count
    lamps: Count
    supply_mv_full: Count
    pin: tuple[HeadPin, ...]


class Part(Row, frozen=True):
    """What is bought. `yen_each`: net of tax at 10, 100 and 1,000 readers; `quantity`: by site."""

    id: str
    ja: str
    en: str
    maker: str
    number: str
    yen_each: tuple[Count, Count, Count]
    quantity: dict[str, Count]
    board: str = ""
    input_v: tuple[float, float] = (0.0, 0.0)
    out_w: NotNegative = 0.0
    efficiency: Share = 1.0
    fuse_a: NotNegative = 0.0
    holds_a: NotNegative = 0.0


class Parts(Row, frozen=True):
    """parts.toml."""

    typed_in_on: datetime.date
    price_source: Literal["typed-in"]
    parts: tuple[Part, ...]


class Place(Row, frozen=True):
    """Where a part stands, by its short name. Without a part it is somebody else's."""

    ref: str
    part: str
    ja: str
    en: str
    on: Literal["", "carrier"] = ""
    board: str = ""


class Net(Row, frozen=True):
    """What is joined. `limited_by`: the place of a fuse, or `place.pin` of a source."""

    name: str
    domain: Domain
    amps_max: NotNegative
    ja: str
    en: str
    limited_by: str = ""


class Wire(Row, frozen=True, rename={"start": "from", "end": "to"}):
    """A wire from pin to pin. `returns`: the net whose current a ground brings back."""

    net: str
    start: str
    end: str
    type: str
    colour: Colour
    length_m: Positive
    returns: str = ""
    drawing: Literal["head", "rail"] = "head"


class Head(Row, frozen=True):
    """head.toml: what is the same everywhere. `nets`: what is soldered on the carrier."""

    ja: str
    en: str
    places: tuple[Place, ...]
    wires: tuple[Wire, ...]
    nets: dict[str, tuple[str, ...]]


class Site(Row, frozen=True):
    """bus.toml, taxi.toml, school.toml."""

    ja: str
    en: str
    supply_v: tuple[Positive, Positive]
    surge_v: float
    converter: str
    places: tuple[Place, ...]
    nets: tuple[Net, ...]
    wires: tuple[Wire, ...]


class Nets(Row, frozen=True):
    """nets.toml."""

    nets: tuple[Net, ...]


class WireKind(Row, frozen=True):
    """A kind of wire; `limit_a` is our own limit, as wires.toml explains."""

    id: str
    ja: str
    en: str
    mm2: Positive
    awg: int
    limit_a: float
    milliohm_per_m: Positive
    yen_per_m: Count
    typed_in_on: datetime.date


class FuseRules(Row, frozen=True):
    """Which blade fuses there are, and how much of its rating one may carry for hours."""

    ratings_a: tuple[float, ...]
    load_share_max: Share


class Wires(Row, frozen=True):
    """wires.toml."""

    wires: tuple[WireKind, ...]
    fuse: FuseRules


class Load(Row, frozen=True):
    """What one part takes."""

    part: str
    typical_w: NotNegative
    peak_w: NotNegative
    stopping_w: NotNegative
    source: str
    estimate: bool


class Supercap(Row, frozen=True):
    """The supply with capacitors. `out_w`: with its input there; `alone_w`: from the capacitors."""

    part: str
    farad: Positive
    volts_full: float
    volts_empty: float
    efficiency: Share
    input_efficiency: Share
    out_w: float
    alone_w: float
    estimate: bool


class Required(Row, frozen=True):
    """What a site's supply must be able to do."""

    ride_through_s: float
    margin_share: Share
    drop_v_max: float


class Power(Row, frozen=True):
    """power.toml."""

    loads: tuple[Load, ...]
    supercap: Supercap
    required: Required


class Poweroff(Row, frozen=True):
    """The overlay that tells the head when Linux is at rest."""

    name: str
    ja: str
    en: str
    source: str
    net: str
    pi_gpio: int
    active_delay_ms: Count
    inactive_delay_ms: Count
    timeout_ms: Count


class Uart(Row, frozen=True):
    """The overlay that gives UART0 to the GNSS receiver."""

    name: str
    ja: str
    en: str
    source: str
    tx_gpio: int
    rx_gpio: int
    alt_function: int


class Overlays(Row, frozen=True):
    """overlay.toml."""

    poweroff: Poweroff
    uart: Uart


class Meaning(Row, frozen=True):
    """A row of the guide's table of lamp patterns."""

    name: str
    ja: str
    en: str
    look_ja: str
    look_en: str
    sound_ja: str
    sound_en: str
    do_ja: str
    do_en: str


class Lamp(Row, frozen=True):
    """lamp.toml."""

    meanings: tuple[Meaning, ...]
