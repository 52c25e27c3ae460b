-- example: SELECT local_day(created_at, 'Europe/Berlin') AS day, count(*) FROM runs GROUP BY ALL ORDER BY ALL
CREATE OR REPLACE MACRO local_day(instant, tz) AS timezone(tz, instant::TIMESTAMPTZ)::DATE;
COMMENT ON MACRO local_day IS 'Which day was it there? The date of an instant by the clocks of a time zone of the IANA database.';
