-- example: SELECT source, p95(duration_ms) FROM runs WHERE outcome = 'success' GROUP BY ALL ORDER BY ALL
CREATE OR REPLACE MACRO p95(x) AS quantile_cont(x, 0.95);
COMMENT ON MACRO p95 IS 'What do 95 of 100 stay below? The 95th percentile: of n values in order, counted from 0, the one at 0.95 * (n - 1), between its neighbours in proportion; nulls are left out. An aggregate that takes no FILTER: write p95(CASE WHEN … THEN x END).';
