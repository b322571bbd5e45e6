"""The head's pins. GENERATED from hw/data/pins.toml by scripts/hw: change it there.

The names are those of the GPIOs; the rest says what hangs there.
"""

from micropython import const

# to the PN532's RXD
NFC_TX = const(4)
# from the PN532's TXD
NFC_RX = const(5)
# the PN532's RSTPDN; low: reset
NFC_RESET = const(6)
# ignition through an optocoupler; high: on
IGNITION = const(10)
# the lid's switch; high: opened
TAMPER = const(11)
# passive piezo buzzer
BUZZER = const(15)
# data of the WS2812 ring of 16
LAMP = const(16)
# the door's relay; high: closed
RELAY = const(18)
# enable of the Pi's 5 V switch; high: on
PI_POWER = const(20)
# from the Pi, high while it runs
PI_RUNNING = const(21)
# developers' strap; low: REPL
REPL = const(22)
# the vehicle's supply, divided by 11
SUPPLY = const(26)

# revision of this layout, as HELLO says it
BOARD = const(1)
# which UART the PN532 hangs on
NFC_UART = const(1)
# lights of the ring
LAMPS = const(16)
# mV of supply where the ADC reads 65535
SUPPLY_MV_FULL = const(36300)
