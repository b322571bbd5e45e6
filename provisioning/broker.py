"""What the broker lets whom do: mosquitto's configuration and access lists, from `wire.topics`.

Rules: two TLS listeners, each with its own root and its own list. On the readers' listener the
certificate's name is user name and client id at once, so no reader can write another's topics nor
throw another off by its client id. On the fleet's listener the client id is free, so that workers
can share a subscription and revocation can take a session over. Lists name each leaf: a new leaf
is closed until it stands in UP or DOWN. Nothing rests on the broker: both ends say again what is
retained, and a reader keeps its entries until the ledger has them.
"""

import getpass
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provisioning.authority import FLEET_CLIENT
from wire.limits import PAYLOAD_BYTES_MAX
from wire.topics import DOWN, PREFIX, UP, every_reader

PACKET_OVERHEAD_BYTES: Final = 1024
"""Topic (at most 90 bytes), properties and header of a packet around its payload, with room. There
is no `message_size_limit` beside it: its PUBACK carries a reason code that MQTT 5 does not know."""
QUEUED_MESSAGES_MAX: Final = 10_000
"""Per client, beyond those in flight: one batch of every reader of a large city."""
QUEUED_BYTES_MAX: Final = 256 * 1024 * 1024
"""Per client: 10,000 batches of usual size (25 kB). Both limits stand, since the message limit
alone breaks QoS 0 in mosquitto 2.0.2 to 2.0.16. What is dropped is sent again: nothing is lost."""
INFLIGHT_MAX: Final = 300
"""Unacknowledged messages a client may send or get: two groups of an ingest worker, and room; a
reader has one batch and some statuses."""
BROKER_DROPPED: Final = "$SYS/broker/publish/messages/dropped"
"""mosquitto's count of messages that did not fit its limits: the fleet sounds an alarm."""
CONNECTIONS_MAX: Final = 12_000
"""Per listener: the most places of one tenant and a fifth more that are just reconnecting."""


@dataclass(frozen=True)
class BrokerFiles:
    """What the broker is told about certificates; absolute paths, since it knows no other."""

    server_certificate: Path
    server_key: Path
    readers_root: Path
    fleet_root: Path


def readers_acl() -> str:
    """Return what readers may do: write their own UP leaves, read their own DOWN leaves.

    `%u` is the certificate's name, `tenant/reader`. A name of one level would make a topic that is
    one level too short: denied by name, whatever root has signed it.
    """
    lines = [f"pattern deny {PREFIX}/+/{leaf}" for leaf in (*UP, *DOWN)]
    lines += [f"pattern write {PREFIX}/%u/{leaf}" for leaf in UP]
    lines += [f"pattern read {PREFIX}/%u/{leaf}" for leaf in DOWN]
    return "\n".join(lines) + "\n"


def fleet_acl() -> str:
    """Return what the fleet may do: read every reader's UP leaves, write its DOWN leaves.

    Of the broker's own figures it may read one.
    """
    lines = [f"user {FLEET_CLIENT}"]
    lines += [f"topic read {every_reader(leaf)}" for leaf in UP]
    lines += [f"topic write {every_reader(leaf)}" for leaf in DOWN]
    lines += [f"topic read {BROKER_DROPPED}"]
    return "\n".join(lines) + "\n"


def _listener(at: str, root: Path, acl: Path, files: BrokerFiles) -> list[str]:
    return [
        f"listener {at}",
        f"cafile {root}",
        f"certfile {files.server_certificate}",
        f"keyfile {files.server_key}",
        "tls_version tlsv1.2",
        "require_certificate true",
        "use_identity_as_username true",
        "allow_anonymous false",
        f"max_connections {CONNECTIONS_MAX}",
        f"acl_file {acl}",
    ]


def mosquitto_conf(
    folder: Path, files: BrokerFiles, readers_port: int, fleet_port: int, elsewhere: bool = False
) -> str:
    """Return the configuration; the lists are expected in `folder` under their usual names.

    `elsewhere`: readers call from other machines; the fleet's listener is always local.
    """
    readers_at = str(readers_port) if elsewhere else f"{readers_port} 127.0.0.1"
    lines = [
        "# Made by kazasu-provision; change town.toml and run it again.",
        "per_listener_settings true",
        "# Started by root, mosquitto would become another user, who cannot read the 0600 key.",
        f"user {getpass.getuser()}",
        "persistence false",
        "log_dest stdout",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "set_tcp_nodelay true",
        f"max_packet_size {PAYLOAD_BYTES_MAX + PACKET_OVERHEAD_BYTES}",
        f"max_inflight_messages {INFLIGHT_MAX}",
        f"max_queued_messages {QUEUED_MESSAGES_MAX}",
        f"max_queued_bytes {QUEUED_BYTES_MAX}",
        "",
        *_listener(readers_at, files.readers_root, folder / "readers.acl", files),
        "use_username_as_clientid true",
        "",
        *_listener(f"{fleet_port} 127.0.0.1", files.fleet_root, folder / "fleet.acl", files),
    ]
    return "\n".join(lines) + "\n"
