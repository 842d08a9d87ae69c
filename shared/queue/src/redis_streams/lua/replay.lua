-- Makes a dead letter ready again. KEYS: record, ready, dead. ARGV: id, base, changes channel.
if redis.call('HGET', KEYS[1], 's') ~= 'dead' then return 0 end
local letter = redis.call('HGET', KEYS[1], 'e')
local found = redis.call('XRANGE', KEYS[3], letter, letter)[1]
if not found then return 0 end
local body = ''
for n = 1, #found[2], 2 do
  if found[2][n] == 'j' then body = found[2][n + 1] end
end
local job = redis.call('HMGET', KEYS[1], 'm', 'i')
local entry = redis.call('XADD', KEYS[2], '*', 'i', ARGV[1], 'j', body, 'a', 0, 'l', 0, 'm', job[1])
redis.call('XDEL', KEYS[3], letter)
redis.call('HDEL', KEYS[1], 'f', 'x')
redis.call('PERSIST', KEYS[1])
redis.call('HSET', KEYS[1], 's', 'ready', 'e', entry, 'a', 0, 'l', 0)
-- The job holds its key again, unless another one has acquired it since.
if job[2] and job[2] ~= '' then redis.call('SET', ARGV[2] .. 'key:' .. job[2], ARGV[1], 'NX') end
redis.call('PUBLISH', ARGV[3], ARGV[1])
return 1
