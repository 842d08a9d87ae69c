INSERT INTO products (id, name, description, image_url, price, limit_per_user, stock,
                      active, created_at, updated_at, virtual_product_id, coin_price, coins, platforms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11, $12, $13)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, description = excluded.description,
    image_url = excluded.image_url, price = excluded.price,
    limit_per_user = excluded.limit_per_user, stock = excluded.stock,
    active = excluded.active, updated_at = excluded.updated_at,
    virtual_product_id = excluded.virtual_product_id, coin_price = excluded.coin_price,
    coins = excluded.coins, platforms = excluded.platforms
RETURNING id, name, description, image_url, price, limit_per_user, stock, active, virtual_product_id,
    coin_price, coins, platforms
