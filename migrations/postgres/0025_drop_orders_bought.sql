-- no-transaction
-- `orders_user_status` serves its query as well.
DROP INDEX CONCURRENTLY IF EXISTS orders_bought;
