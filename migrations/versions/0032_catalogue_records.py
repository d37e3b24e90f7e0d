"""Cities and stops have a state, what administrators keep has a version; calendars and templates"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

VERSIONED = (
    *("cities", "stops", "routes", "timetables", "promotions", "products"),
    *("merchants", "venues", "terminals", "partners"),
)
WITH_STATE = ("cities", "stops")
CALENDARS = {
    "HK": ("Hong Kong general holidays", "香港公众假期"),
    "MO": ("Macau public and government days", "澳门公众假期及政府假期"),
    "CN": ("Mainland break days and make-up workdays", "内地放假调休"),
}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in VERSIONED:
        op.add_column(table, sa.Column("version", sa.Integer, nullable=False, server_default="1"))
    for table in WITH_STATE:
        op.add_column(table, sa.Column("state", sa.Text, nullable=False, server_default="ACTIVE"))
        op.create_check_constraint(
            op.f(f"ck_{table}_state"), table, "state IN ('ACTIVE', 'ARCHIVED')"
        )
    op.add_column(
        "holidays", sa.Column("origin", sa.Text, nullable=False, server_default="OPERATOR")
    )
    op.create_check_constraint(
        op.f("ck_holidays_origin"), "holidays", "origin IN ('OPERATOR', 'SHIPPED')"
    )
    calendars = op.create_table(
        "holiday_calendars",
        sa.Column("calendar_code", sa.Text, primary_key=True),
        sa.Column("display_name_en", sa.Text, nullable=False),
        sa.Column("display_name_zh", sa.Text, nullable=False),
        sa.Column("known_until", sa.Date),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.CheckConstraint(
            "state IN ('ACTIVE', 'ARCHIVED')", name=op.f("ck_holiday_calendars_state")
        ),
    )
    op.create_table(
        "holiday_years",
        sa.Column("calendar_code", sa.Text, primary_key=True),
        sa.Column("year", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("edition", sa.Integer, nullable=False, server_default="1"),
        sa.CheckConstraint(
            "origin IN ('OPERATOR', 'SHIPPED')", name=op.f("ck_holiday_years_origin")
        ),
    )
    op.create_table(
        "entitlement_templates",
        sa.Column("template_code", sa.Text, primary_key=True),
        sa.Column("function_code", sa.Text, nullable=False),
        sa.Column("display_name_en", sa.Text, nullable=False),
        sa.Column("display_name_zh", sa.Text, nullable=False),
        sa.Column("total_uses", sa.Integer, nullable=False),
        sa.Column("use_mode", sa.Text, nullable=False),
        sa.Column("guard_seconds", sa.Integer, nullable=False),
        sa.Column("shared", sa.Boolean, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.CheckConstraint(
            "use_mode IN ('ONCE_PER_QR', 'MULTI_USE')",
            name=op.f("ck_entitlement_templates_use_mode"),
        ),
        sa.CheckConstraint("total_uses > 0", name=op.f("ck_entitlement_templates_total_uses")),
        sa.CheckConstraint(
            "state IN ('ACTIVE', 'ARCHIVED')", name=op.f("ck_entitlement_templates_state")
        ),
    )
    op.bulk_insert(
        calendars,
        [
            {
                "calendar_code": code,
                "display_name_en": english,
                "display_name_zh": chinese,
                "state": "ACTIVE",
            }
            for code, (english, chinese) in CALENDARS.items()
        ],
    )
    # calendars that were in use before there was a list of them
    op.execute(
        "INSERT INTO holiday_calendars (calendar_code, display_name_en, display_name_zh, state)"
        " SELECT calendar_code, calendar_code, calendar_code, 'ACTIVE'"
        " FROM (SELECT calendar_code FROM holidays UNION SELECT calendar_code FROM products) used"
        " ON CONFLICT DO NOTHING"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("entitlement_templates")
    op.drop_table("holiday_years")
    op.drop_table("holiday_calendars")
    op.drop_constraint(op.f("ck_holidays_origin"), "holidays")
    op.drop_column("holidays", "origin")
    for table in WITH_STATE:
        op.drop_constraint(op.f(f"ck_{table}_state"), table)
        op.drop_column(table, "state")
    for table in VERSIONED:
        op.drop_column(table, "version")
