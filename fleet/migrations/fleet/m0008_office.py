"""Rights, second factors, rule tables that wait for approval, budgets, other systems."""

import sqlalchemy as sa
from alembic import op

from fleet.grants import make_append_only

revision = "fleet_8"
down_revision = "fleet_7"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; who is a clerk now may do all that a clerk may, in every programme."""
    op.create_table(
        "api_client",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("programme", sa.Text(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_api_client")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_api_client_token_sha256")),
    )
    op.create_table(
        "budget",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("programme", sa.Text(), nullable=False),
        sa.Column("fiscal_year", sa.BigInteger(), nullable=False),
        sa.Column("yen", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget")),
    )
    op.create_index(op.f("ix_budget_programme"), "budget", ["programme"], unique=False)
    op.create_table(
        "rule_proposal",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("programme", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("proposed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("decided_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.Text(), server_default="", nullable=False),
        sa.Column("decided_why", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_proposal")),
        sa.CheckConstraint(
            "state NOT IN ('approved', 'rejected') OR decided_by <> proposed_by",
            name=op.f("ck_rule_proposal_second_person"),
        ),
    )
    op.create_index(
        op.f("ix_rule_proposal_programme"), "rule_proposal", ["programme"], unique=False
    )
    op.create_table(
        "account_right",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("programme", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("given_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account"], ["account.name"], name=op.f("fk_account_right_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "account", "programme", "role", "organisation", name=op.f("pk_account_right")
        ),
    )
    op.create_table(
        "second_factor",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("counter", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account"], ["account.name"], name=op.f("fk_second_factor_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_second_factor")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_second_factor_credential_id")),
    )
    op.create_index(op.f("ix_second_factor_account"), "second_factor", ["account"], unique=False)
    op.add_column("account", sa.Column("oidc_subject", sa.Text(), nullable=True))
    for name in ("once_until_ms", "closed_at_ms", "signed_in_at_ms"):
        op.add_column("account", sa.Column(name, sa.BigInteger(), nullable=True))
    op.create_index("ix_account_oidc_subject", "account", ["oidc_subject"], unique=True)
    op.add_column("rule", sa.Column("approved_by", sa.Text(), server_default="", nullable=False))
    op.add_column("rule", sa.Column("why", sa.Text(), server_default="", nullable=False))
    op.add_column("session", sa.Column("seen_at_ms", sa.BigInteger(), nullable=True))
    op.add_column("session", sa.Column("second_at_ms", sa.BigInteger(), nullable=True))
    op.add_column("session", sa.Column("agent", sa.Text(), server_default="", nullable=False))
    op.execute(
        "INSERT INTO account_right (account, programme, role, organisation, since_ms, given_by) "
        "SELECT name, '*', 'clerk', '', added_at_ms, 'migration' FROM account WHERE role = 'clerk'"
    )
    for table in ("budget",):
        make_append_only(op.get_bind(), table)
