"""The head's pins. GENERATED from hw/data/pins.toml by scripts/hw: change it there.

The names are those of the GPIOs; the rest says what hangs there.
"""

from micropython import const

NFC_TX = const(4)  # to the PN532's RXD
NFC_RX = const(5)  # from the PN532's TXD
NFC_RESET = const(6)  # the PN532's RSTPDN; low: reset
IGNITION = const(10)  # ignition through an optocoupler; high: on
TAMPER = const(11)  # the lid's switch; high: opened
BUZZER = const(15)  # passive piezo buzzer
LAMP = const(16)  # data of the WS2812 ring of 16
RELAY = const(18)  # the door's relay; high: closed
PI_POWER = const(20)  # enable of the Pi's 5 V switch; high: on
PI_RUNNING = const(21)  # from the Pi, high while it runs
REPL = const(22)  # developers' strap; low: REPL
SUPPLY = const(26)  # the vehicle's supply, divided by 11

BOARD = const(1)  # revision of this layout, as HELLO says it
NFC_UART = const(1)  # which UART the PN532 hangs on
LAMPS = const(16)  # lights of the ring
SUPPLY_MV_FULL = const(36300)  # mV of supply where the ADC reads 65535
