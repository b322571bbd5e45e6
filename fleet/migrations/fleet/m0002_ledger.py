"""What a reader signed of each journal, and under which key; quarantine taken in again."""

import sqlalchemy as sa
from alembic import op
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fleet.grants import make_append_only
from wire.envelope import PublicKey, key_id

revision = "fleet_2"
down_revision = "fleet_1"
branch_labels = None
depends_on = None

_SIGNED = (
    ("signed_first", sa.BigInteger()),
    ("signed_lost", sa.BigInteger()),
    ("signed_last", sa.BigInteger()),
    ("signed_before", sa.LargeBinary()),
    ("signed_key", sa.Text()),
    ("signature", sa.LargeBinary()),
)
_RESOLVED = (
    ("resolved_at_ms", sa.BigInteger()),
    ("resolved_by", sa.Text()),
    ("resolved_how", sa.Text()),
)


def upgrade() -> None:
    """Keep signatures and keys; find a journal by its id alone; say how quarantine ended."""
    for name, kind in _SIGNED:
        op.add_column("journal", sa.Column(name, kind, nullable=True))
    op.create_index("ix_journal_journal", "journal", ["journal"], unique=False)
    for name, kind in _RESOLVED:
        op.add_column("quarantine", sa.Column(name, kind, nullable=True))
    made = op.create_table(
        "reader_key",
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["reader"], ["reader.name"], name=op.f("fk_reader_key_reader")),
        sa.PrimaryKeyConstraint("reader", "key_id", name=op.f("pk_reader_key")),
    )
    _keep_present_keys(op.get_bind(), made)
    make_append_only(op.get_bind(), "reader_key")


def _keep_present_keys(connection: sa.Connection, made: sa.Table) -> None:
    readers = connection.execute(sa.text("SELECT name, public_key, enrolled_at_ms FROM reader"))
    for name, pem, at_ms in readers.all():
        key = load_pem_public_key(pem.encode())
        if not isinstance(key, PublicKey):
            raise TypeError(f"the key of {name} is not one that a reader signs with")
        row = {"reader": name, "key_id": key_id(key), "public_key": pem, "added_at_ms": at_ms}
        connection.execute(made.insert(), row)
