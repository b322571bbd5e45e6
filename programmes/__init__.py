"""The rulebooks: pure functions that the reader and the ledger share, one module a programme."""
