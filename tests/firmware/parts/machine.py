"""What main.py needs of a board's `machine`: a strap, a watchdog, a restart that ends a test."""

strap = 1
watchdogs = []


class Restarted(BaseException):
    pass


class Pin:
    IN, PULL_UP = 0, 1

    def __init__(self, number, mode, pull):
        self.number = number

    def value(self):
        return strap


class WDT:
    def __init__(self, timeout):
        watchdogs.append(timeout)


def reset():
    raise Restarted
