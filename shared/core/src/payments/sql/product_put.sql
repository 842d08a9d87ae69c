INSERT INTO products (id, name, description, image_url, price, limit_per_user, stock,
                      active, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, description = excluded.description,
    image_url = excluded.image_url, price = excluded.price,
    limit_per_user = excluded.limit_per_user, stock = excluded.stock,
    active = excluded.active, updated_at = excluded.updated_at
RETURNING id, name, description, image_url, price, limit_per_user, stock, active
