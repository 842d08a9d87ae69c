SELECT CAST(1 AS BIGINT) FROM reconciliations
WHERE day = $1
  AND NOT EXISTS (
      SELECT 1 FROM reconciliation_differences AS found
      JOIN orders ON orders.id = found.order_id
      WHERE found.day = $1 AND found.kind = 'unpaid_here'
        AND orders.status IN ('pending', 'closed', 'failed')
        AND orders.transaction_id IS NULL)
  AND NOT EXISTS (
      SELECT 1 FROM reconciliation_differences AS found
      JOIN refunds ON refunds.id = found.order_id
      WHERE found.day = $1 AND found.kind = 'refund_closed_here'
        AND refunds.status = 'closed' AND refunds.channel_refund_id IS NULL)
