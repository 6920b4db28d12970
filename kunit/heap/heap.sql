-- SPDX-License-Identifier: MIT OR Apache-2.0
-- A database in memory: what each query must give follows from how the rows were made.
-- KTAP on stdout.
.bail on
SELECT 'KTAP version 1' || char(10) || '1..7';
CREATE TABLE rows(key INTEGER PRIMARY KEY, half INTEGER, text TEXT);
INSERT INTO rows
WITH RECURSIVE keys(key) AS (SELECT 1 UNION ALL SELECT key + 1 FROM keys WHERE key < 2000)
SELECT key, key / 2, printf('%d:%.*c', key, key % 60, 'x') FROM keys;
CREATE INDEX by_text ON rows(text);
CREATE INDEX by_half ON rows(half, key);
SELECT CASE WHEN (SELECT sum(key) FROM rows) = 2000 * 2001 / 2
    THEN 'ok' ELSE 'not ok' END || ' 1 sqlite_sum';
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM rows WHERE text <> printf('%d:%.*c', key, key % 60, 'x'))
    THEN 'ok' ELSE 'not ok' END || ' 2 sqlite_text';
SELECT CASE WHEN (SELECT count(*) FROM rows a JOIN rows b ON a.half = b.key) = 1999
    THEN 'ok' ELSE 'not ok' END || ' 3 sqlite_join';
UPDATE rows SET text = text || ':' || half WHERE key % 3 = 0;
DELETE FROM rows WHERE key % 5 = 0;
SELECT CASE WHEN (SELECT count(*) FROM rows) = 1600
    THEN 'ok' ELSE 'not ok' END || ' 4 sqlite_delete';
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM rows WHERE text <> printf('%d:%.*c', key, key % 60, 'x') ||
        CASE WHEN key % 3 = 0 THEN ':' || half ELSE '' END)
    THEN 'ok' ELSE 'not ok' END || ' 5 sqlite_update';
SELECT CASE WHEN (SELECT length(group_concat(text, ',')) FROM (SELECT text FROM rows ORDER BY text DESC)) =
        (SELECT sum(length(text) + 1) - 1 FROM rows)
    THEN 'ok' ELSE 'not ok' END || ' 6 sqlite_concat';
SELECT CASE WHEN (SELECT group_concat(integrity_check) FROM pragma_integrity_check) = 'ok'
    THEN 'ok' ELSE 'not ok' END || ' 7 sqlite_integrity';
