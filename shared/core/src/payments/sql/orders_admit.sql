-- What decides about new orders, for many players at once: the product, and what the player has bought or is buying.
-- $1: the orders, as JSON. $2: the players' ids, separated by commas; as an array, so that the planner uses the key.
-- The common case only: a product for sale, and a player who may buy; whatever is not in the result is decided by itself. The players
-- are locked. Postgres.
WITH wish AS (
    SELECT order_id, user_id, product_id
    FROM json_to_recordset(CAST($1 AS json)) AS wish (order_id TEXT, user_id TEXT, product_id TEXT)
)
SELECT wish.order_id, products.id, products.name, products.description, products.image_url, products.price,
    products.limit_per_user, products.stock, products.active, products.virtual_product_id, products.coin_price,
    products.coins, products.platforms,
    -- An array that is not known to the planner: with old statistics it takes 'pending' for a rare state, and reads all orders
    -- that are in it.
    (SELECT count(*) FROM orders
     WHERE orders.user_id = wish.user_id AND orders.status = ANY (ARRAY(SELECT 'pending'))) AS pending,
    CAST(CASE WHEN products.stock IS NULL THEN 0 ELSE
        (SELECT coalesce(sum(orders.quantity), 0) FROM orders
         WHERE orders.user_id = wish.user_id AND orders.status = ANY (ARRAY(SELECT 'pending'))
           AND orders.product_id = wish.product_id)
    END AS BIGINT) AS pieces,
    CAST(CASE WHEN products.limit_per_user IS NULL THEN 0 ELSE
        (SELECT coalesce(sum(orders.quantity), 0) FROM orders
         WHERE orders.user_id = wish.user_id AND orders.product_id = wish.product_id
           AND orders.status IN ('pending', 'paid', 'refunding'))
    END AS BIGINT) AS bought
FROM wish
    JOIN users ON users.id = wish.user_id AND users.id = ANY (string_to_array($2, ',')) AND users.banned_at IS NULL AND users.erased_at IS NULL
    JOIN products ON products.id = wish.product_id AND products.active = 1
