-- Removes a consumer that holds no leases. KEYS: ready. ARGV: consumer.
local pending = redis.pcall('XPENDING', KEYS[1], 'workers', '-', '+', 1, ARGV[1])
if not pending.err and #pending == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], 'workers', ARGV[1])
end
return 0
