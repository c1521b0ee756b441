"""First migration: views and the guards of append-only tables, frozen as they were."""

from alembic import op

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
REFUSE = """
CREATE FUNCTION astrid_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP;
END $$
"""
_VIEWS = {
    "observation_status": OBSERVATION_STATUS,
    "labelled_detections": LABELLED_DETECTIONS,
    "stale_products": STALE_PRODUCTS,
}
_APPEND_ONLY = (
    "audit_log",
    "validation_events",
)


def create() -> None:
    """Create guards and views."""
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    if is_postgresql:
        op.execute(REFUSE)
    for table in _APPEND_ONLY:
        if is_postgresql:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
                f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION astrid_refuse_change()"
            )
            continue
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} BEGIN "
                f"SELECT RAISE(ABORT, '{table} is append-only: {action} is refused'); END"
            )
    for statement in _VIEWS.values():
        op.execute(statement)


def drop() -> None:
    """Drop views and guards; triggers of tables go with their tables."""
    for view in reversed(_VIEWS):
        op.execute(f"DROP VIEW {view}")
