-- Deletes a dead letter. KEYS: record, dead. ARGV: id, changes channel.
if redis.call('HGET', KEYS[1], 's') ~= 'dead' then return 0 end
redis.call('XDEL', KEYS[2], redis.call('HGET', KEYS[1], 'e'))
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], ARGV[1])
return 1
