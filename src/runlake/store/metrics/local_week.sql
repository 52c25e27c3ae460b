-- example: SELECT local_week(created_at, 'Europe/Berlin') AS monday, count(*) FROM runs GROUP BY ALL ORDER BY ALL
CREATE OR REPLACE MACRO local_week(instant, tz) AS date_trunc('week', timezone(tz, instant::TIMESTAMPTZ))::DATE;
COMMENT ON MACRO local_week IS 'Which week was it there? The Monday of the ISO week of an instant, by the clocks of a time zone of the IANA database.';
