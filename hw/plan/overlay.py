"""The Pi's device tree as far as it is ours: overlays as source, for dtc.

`kazasu-head` follows Linux's binding gpio-poweroff: an active-low line is high from when the driver
begins until the last act of a shutdown. `kazasu-gnss` does what Raspberry Pi's disable-bt does, and
puts UART0 on the header's pins.
"""

from __future__ import annotations

from hw.plan.rows import Overlays, Poweroff, Uart

ACTIVE_LOW = 1
"""Of a gpio specifier (include/dt-bindings/gpio/gpio.h)."""
OUTPUT, NO_PULL, PULL_UP = 1, 0, 2
"""Of brcm,function and brcm,pull (brcm,bcm2835-gpio.yaml)."""

_HEAD = """/* {en}.
 * GENERATED from hw/data/overlay.toml by scripts/hw: change it there. After: {source}.
 * dtc -@ -I dts -O dtb -o {name}.dtbo {name}.dts; in config.txt: dtoverlay={name}
 */
/dts-v1/;
/plugin/;

/ {{
	compatible = "brcm,bcm2835";
"""

_POWEROFF = """
	fragment@0 {{
		target = <&gpio>;
		__overlay__ {{
			kazasu_running: kazasu_running {{
				brcm,pins = <{pin}>;
				brcm,function = <{output}>;
				brcm,pull = <{pull}>;
			}};
		}};
	}};

	fragment@1 {{
		target-path = "/";
		__overlay__ {{
			kazasu-poweroff {{
				compatible = "gpio-poweroff";
				pinctrl-names = "default";
				pinctrl-0 = <&kazasu_running>;
				gpios = <&gpio {pin} {active_low}>;
				active-delay-ms = <{active}>;
				inactive-delay-ms = <{inactive}>;
				timeout-ms = <{timeout}>;
			}};
		}};
	}};
}};
"""

_UART = """
	fragment@0 {{
		target = <&gpio>;
		__overlay__ {{
			kazasu_gnss: kazasu_gnss {{
				brcm,pins = <{tx} {rx}>;
				brcm,function = <{alt}>;
				brcm,pull = <{no_pull} {pull_up}>;
			}};
		}};
	}};

	fragment@1 {{
		target = <&bt>;
		__overlay__ {{
			status = "disabled";
		}};
	}};

	fragment@2 {{
		target = <&uart1>;
		__overlay__ {{
			status = "disabled";
		}};
	}};

	fragment@3 {{
		target = <&uart0>;
		__overlay__ {{
			pinctrl-names = "default";
			pinctrl-0 = <&kazasu_gnss>;
			status = "okay";
		}};
	}};
}};
"""


def overlays(data: Overlays) -> dict[str, str]:
    """Return the source of each overlay by its name."""
    return {data.poweroff.name: _poweroff(data.poweroff), data.uart.name: _uart(data.uart)}


def _poweroff(data: Poweroff) -> str:
    return _head(data) + _POWEROFF.format(
        pin=data.pi_gpio,
        output=OUTPUT,
        pull=NO_PULL,
        active_low=ACTIVE_LOW,
        active=data.active_delay_ms,
        inactive=data.inactive_delay_ms,
        timeout=data.timeout_ms,
    )


def _uart(data: Uart) -> str:
    return _head(data) + _UART.format(
        tx=data.tx_gpio, rx=data.rx_gpio, alt=data.alt_function, no_pull=NO_PULL, pull_up=PULL_UP
    )


def _head(data: Poweroff | Uart) -> str:
    return _HEAD.format(en=data.en.capitalize(), source=data.source, name=data.name)
