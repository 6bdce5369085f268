-- One index of all lines that hold units, by level, in place of that of the lines that expire:
-- `verify` sums what is held, and without it read every line there ever was, for each page of levels.
-- The strongest lock first: one that grows is a deadlock with whoever has read the table and writes it next.
DROP INDEX reservation_lines_expiring;
CREATE INDEX reservation_lines_open
  ON reservation_lines (tenant_id, warehouse, product, expires_at)
  WHERE shipped + released + expired < quantity;
