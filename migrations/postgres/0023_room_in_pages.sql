-- An order's row grows after its creation: by the request to its channel and the offer. In a page with room for that, an update of columns
-- without an index writes none of the ten indexes (a heap-only tuple). Rows that exist stay where they are.
ALTER TABLE orders SET (fillfactor = 30);
