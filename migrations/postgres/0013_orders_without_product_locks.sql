-- A foreign key locks the row that it refers to (FOR KEY SHARE). All orders of a product, grants and consumptions
-- shared that lock, and each sale of its stock had to add to the list of its holders, which halved the rate of sales.
-- Products are never deleted, and each order reads its product in the same transaction.
ALTER TABLE orders DROP CONSTRAINT IF EXISTS orders_product_id_fkey;
ALTER TABLE inventory DROP CONSTRAINT IF EXISTS inventory_product_id_fkey;
ALTER TABLE inventory_ledger DROP CONSTRAINT IF EXISTS inventory_ledger_product_id_fkey;
