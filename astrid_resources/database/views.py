"""What the schema holds beside tables: derived views and the guards of append-only tables.

The migrations carry their own frozen copies; a test compares both by the DDL they leave.
"""

from __future__ import annotations

import sqlalchemy as sa

from astrid_resources.database.base import Base

OBSERVATION_STATUS = """
CREATE VIEW observation_status AS
SELECT o.id AS observation_row_id,
       CASE
         WHEN NOT o.is_current THEN 'archived'
         WHEN EXISTS (SELECT 1 FROM products p WHERE p.observation_id = o.id AND p.is_current
                      AND p.verdict = 'failed') THEN 'failed'
         WHEN EXISTS (SELECT 1 FROM products p WHERE p.observation_id = o.id AND p.is_current
                      AND p.verdict = 'passed' AND p.asset = 'candidates') THEN 'searched'
         WHEN EXISTS (SELECT 1 FROM products p WHERE p.observation_id = o.id AND p.is_current
                      AND p.verdict = 'passed' AND p.asset = 'difference_images')
           THEN 'differenced'
         WHEN EXISTS (SELECT 1 FROM products p WHERE p.observation_id = o.id AND p.is_current
                      AND p.verdict = 'passed' AND p.asset = 'calibrated_exposures')
           THEN 'calibrated'
         ELSE 'ingested'
       END AS status
FROM observations o
"""

LABELLED_DETECTIONS = """
CREATE VIEW labelled_detections AS
SELECT d.*,
       e.id IS NOT NULL AS is_validated,
       e.is_valid AS human_is_valid,
       e.confidence_level AS validation_confidence,
       e.label AS human_label
FROM detections d
LEFT JOIN validation_events e ON e.id = (
  SELECT v.id FROM validation_events v WHERE v.detection_id = d.id
  ORDER BY v.created_at DESC, v.id DESC LIMIT 1)
"""

STALE_PRODUCTS = """
CREATE VIEW stale_products AS
WITH RECURSIVE stale (id, product_id) AS (
  SELECT p.id, p.product_id
  FROM products p JOIN product_inputs i ON i.product_row_id = p.id
  WHERE p.is_current
    AND EXISTS (SELECT 1 FROM products u WHERE u.product_id = i.input_product_id)
    AND NOT EXISTS (SELECT 1 FROM products u
                    WHERE u.product_id = i.input_product_id AND u.is_current)
    AND NOT EXISTS (SELECT 1 FROM reference_images r WHERE r.product_id = i.input_product_id)
  UNION
  SELECT p.id, p.product_id
  FROM stale s
  JOIN product_inputs i ON i.input_product_id = s.product_id
  JOIN products p ON p.id = i.product_row_id
  WHERE p.is_current
)
SELECT id, product_id FROM stale
"""

VIEWS = {
    "observation_status": OBSERVATION_STATUS,
    "labelled_detections": LABELLED_DETECTIONS,
    "stale_products": STALE_PRODUCTS,
}

REFUSE_FUNCTION = """
CREATE FUNCTION astrid_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP;
END $$
"""


def append_only_tables(metadata: sa.MetaData) -> list[str]:
    """Return the names of the tables that refuse UPDATE and DELETE."""
    return sorted(table.name for table in metadata.tables.values() if table.info.get("append_only"))


def sqlite_guard(table: str, action: str) -> str:
    """Return the SQLite trigger that refuses `action` on `table`."""
    return (
        f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} BEGIN "
        f"SELECT RAISE(ABORT, '{table} is append-only: {action} is refused'); END"
    )


def postgresql_guard(table: str) -> str:
    """Return the PostgreSQL trigger that refuses every change of `table` but INSERT."""
    return (
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION astrid_refuse_change()"
    )


def _create(metadata: sa.MetaData, connection: sa.Connection, **kwargs: object) -> None:
    del kwargs
    is_postgresql = connection.dialect.name == "postgresql"
    if is_postgresql:
        connection.exec_driver_sql(REFUSE_FUNCTION.replace("%", "%%"))
    for table in append_only_tables(metadata):
        if is_postgresql:
            connection.exec_driver_sql(postgresql_guard(table))
        else:
            for action in ("UPDATE", "DELETE"):
                connection.exec_driver_sql(sqlite_guard(table, action))
    for statement in VIEWS.values():
        connection.exec_driver_sql(statement)


sa.event.listen(Base.metadata, "after_create", _create)
