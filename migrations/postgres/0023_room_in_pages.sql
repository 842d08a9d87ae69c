-- An update of columns without an index writes no index if the page has room for the new version of the row (a heap-only tuple).
-- Orders have ten indexes, and grow twice soon after their creation: by the request to the channel, and by its offer.
-- Players change with each sign-in. Rows that exist stay where they are.
ALTER TABLE orders SET (fillfactor = 40);
ALTER TABLE users SET (fillfactor = 70);
