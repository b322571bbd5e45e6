"""The agent on the reader: two processes, `tap` (cards, keys, journal) and `link` (network)."""
