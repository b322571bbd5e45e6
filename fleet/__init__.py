"""The backend: ingest, ledger, members, registry, telemetry and the pages of the people who use it.

In reading order: `groups` (what arrives), `ingest` (what becomes of it), `ledger` (where it rests),
`gaps` (what is missing); then `registry`, `members`, `rules`, `rosters` (what readers are told),
`dispatch` (who tells them) and `devices` (where they fetch it).
"""
