-- What is kept of a number is the three digits that tell one HTTP status or exit code from another: RE2 cannot look
-- back, so these are matched together with the word before them, put back, and followed by a # that goes again.
-- Logs come with their colours (ESC [ 31 m): these go whole, before spaces and controls are made one space.
-- Whether anything is left to say is asked of the text as it came: nullif would do all of the work again.
-- example: SELECT error_signature(error_code, error_message), count(*) FROM runs WHERE outcome = 'failure' GROUP BY ALL
CREATE OR REPLACE MACRO error_signature(error_code, error_message) AS
CASE WHEN regexp_matches(concat(left(error_code, 200), left(error_message, 1000)), '[^\pZ\pC]') THEN left(concat_ws(': ',
  CASE WHEN regexp_matches(left(error_code, 200), '[^\pZ\pC]') THEN
    trim(regexp_replace(left(error_code, 200), '(?:[\pZ\s]*\x1b\[[0-9;]*[A-Za-z])+[\pZ\s]*|[\pZ\pC]{2,}|\pC|[^\PZ ]', ' ', 'g')) END,
  CASE WHEN regexp_matches(left(error_message, 1000), '[^\pZ\pC]') THEN
    trim(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(
      left(error_message, 1000),
      '(?:[\pZ\s]*\x1b\[[0-9;]*[A-Za-z])+[\pZ\s]*|[\pZ\pC]{2,}|\pC|[^\PZ ]', ' ', 'g'),
      '"[^"]*"|`[^`]*`|\B''[^'']*''\B', '"…"', 'g'),
      '(?i)(\b(?:http|status|code|exit)[ :=]{1,2}[0-9]{1,3}\b)|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{12,}\b|[a-z]*[0-9]+[a-z][0-9a-z]*|[0-9]+', '\1#', 'g'),
      '([0-9])#', '\1', 'g'),
      '#(?:[-.,:+]? ?#)+', '#', 'g')) END), 200) END;
COMMENT ON MACRO error_signature IS 'Is it the same error as that one? The code as it is, then the message on one line with what changes from run to run taken out: quoted values become "…"; numbers, ids, hashes, UUIDs and times become #, save up to three digits after the words http, status, code and exit. Of the message the first 1,000 characters are looked at, of the signature 200 are kept. Null where there is neither code nor message.';
