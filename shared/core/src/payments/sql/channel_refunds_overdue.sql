SELECT channel_refunds.id FROM channel_refunds
JOIN orders ON orders.id = channel_refunds.out_trade_no
WHERE channel_refunds.order_id IS NULL AND channel_refunds.out_trade_no IS NOT NULL
  AND orders.status = 'paid'
UNION
SELECT channel_refunds.id FROM channel_refunds
JOIN store_orders ON store_orders.out_trade_no = channel_refunds.out_trade_no
JOIN orders ON orders.id = store_orders.order_id
WHERE channel_refunds.order_id IS NULL AND channel_refunds.out_trade_no IS NOT NULL
  AND orders.status = 'paid'
UNION
SELECT channel_refunds.id FROM channel_refunds
JOIN orders ON orders.channel = 'virtual_payment'
           AND orders.transaction_id = channel_refunds.transaction_id
WHERE channel_refunds.order_id IS NULL AND channel_refunds.transaction_id IS NOT NULL
  AND orders.status = 'paid'
LIMIT $1
