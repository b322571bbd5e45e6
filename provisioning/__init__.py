"""Identities, programme keys and broker policy: what exists before a reader is switched on."""
