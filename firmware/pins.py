from micropython import const

NFC_TX = const(4)
NFC_RX = const(5)
NFC_RESET = const(6)
LAMP = const(16)
BUZZER = const(15)
RELAY = const(14)
IGNITION = const(10)
TAMPER = const(11)
PI_POWER = const(12)
PI_RUNNING = const(13)
SUPPLY = const(26)
REPL = const(22)
