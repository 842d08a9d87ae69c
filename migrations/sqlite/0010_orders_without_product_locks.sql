-- SQLite has one writer and no locks of rows: its foreign keys to products stay.
SELECT 1;
