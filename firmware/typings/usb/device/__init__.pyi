# What the firmware uses of micropython-lib's usb-device, by its source; the stubs of MicroPython
# leave it out.
from typing import Any

class _Device:
    def init(
        self,
        *itfs: Any,
        builtin_driver: bool = ...,
        manufacturer_str: str | None = ...,
        product_str: str | None = ...,
        serial_str: str | None = ...,
    ) -> None: ...

def get() -> _Device: ...
