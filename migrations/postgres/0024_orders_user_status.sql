-- no-transaction
-- A player's unpaid orders, and what a player has bought of a product.
CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_user_status ON orders (user_id, status, product_id);
