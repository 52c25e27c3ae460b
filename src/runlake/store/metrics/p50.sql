-- example: SELECT source, p50(duration_ms) FROM runs WHERE outcome = 'success' GROUP BY ALL ORDER BY ALL
CREATE OR REPLACE MACRO p50(x) AS quantile_cont(x, 0.5);
COMMENT ON MACRO p50 IS 'What is in the middle? The median, between the two middle values where their number is even; nulls are left out. An aggregate that takes no FILTER: write p50(CASE WHEN … THEN x END).';
