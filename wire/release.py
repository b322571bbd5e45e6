"""The version of this program, as readers say it (`agent` in their entries and statuses).

The same as in pyproject.toml; read from here, since asking for the installed package's costs a
reader 25 ms and the mail and archive libraries at every start.
"""

from typing import Final

VERSION: Final = "0.4.0"
