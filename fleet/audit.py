"""Who did what: one line for each thing that a person changed. Lines are never changed."""

import sqlalchemy as sa

from fleet import schema, webhook_events


def note(
    connection: sa.Connection, at_ms: int, who: str, what: str, subject: str, detail: str = ""
) -> None:
    """Write one line in the fleet's audit; `what` is a stable word such as `gap.written-off`."""
    _write(connection, schema.audit, at_ms, who, what, subject, detail)


def note_person(
    connection: sa.Connection, at_ms: int, who: str, what: str, subject: str, detail: str = ""
) -> None:
    """Write one line in the audit of persons; neither subject nor detail names a person.

    Other systems that want to hear of such a change will (webhook_events).
    """
    _write(connection, schema.person_audit, at_ms, who, what, subject, detail)
    webhook_events.write(connection, at_ms, what, subject)


def _write(
    connection: sa.Connection,
    table: sa.Table,
    at_ms: int,
    who: str,
    what: str,
    subject: str,
    detail: str,
) -> None:
    connection.execute(
        table.insert(),
        {"at_ms": at_ms, "who": who, "what": what, "subject": subject, "detail": detail},
    )
