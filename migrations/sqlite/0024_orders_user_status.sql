-- A player's unpaid orders, and what a player has bought of a product.
CREATE INDEX orders_user_status ON orders (user_id, status, product_id);
DROP INDEX orders_bought;
