"""The subscriber that anyone would write: one message, INSERT, UPDATE, COMMIT, acknowledge.

`python -m tests.bench.obvious PORT DSN` runs until it is stopped. It verifies no signature, keeps
no chain and decides nothing: it looks the card up, stores the row, counts the ride and commits.
"""

import json
import sys
from typing import Any

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

TOPICS = "tap/+"
TABLES = """
CREATE TABLE member (credential text PRIMARY KEY, used bigint NOT NULL);
CREATE TABLE tap (
    reader text, journal text, n bigint, at_ms bigint, programme text, outcome text, code text,
    credential text, category text, rider_pays_yen integer, rule text, body text,
    PRIMARY KEY (reader, journal, n)
);
"""
"""What this subscriber and Node-RED store into: one row a tap, its key, and a count a member."""
KNOWN = "SELECT used FROM member WHERE credential = %s"
ADD = (
    "INSERT INTO tap VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
COUNT = "UPDATE member SET used = used + 1 WHERE credential = %s"


def main(port: int, dsn: str) -> None:
    """Take taps in until stopped."""
    database = psycopg.connect(dsn)

    def ready(client: mqtt.Client, *_: Any) -> None:
        client.subscribe(TOPICS, qos=1)
        print("ready", flush=True)

    def take(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        tap = json.loads(message.payload)
        with database.cursor() as cursor:
            cursor.execute(KNOWN, (tap["credential"],))
            if cursor.fetchone() is None:
                return
            reader = message.topic.split("/")[1]
            names = ("journal", "n", "at_ms", "programme", "outcome", "code", "credential")
            more = ("category", "rider_pays_yen", "rule")
            row = (reader, *(tap[name] for name in (*names, *more)), message.payload.decode())
            cursor.execute(ADD, row)
            if cursor.rowcount:
                cursor.execute(COUNT, (tap["credential"],))
        database.commit()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = ready
    client.on_message = take
    client.connect("127.0.0.1", port)
    client.loop_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
