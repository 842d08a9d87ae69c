-- Makes due jobs ready, at most one batch. KEYS: ready, delayed. ARGV: base, batch size.
-- Returns the number of jobs that were due, and the ms until the next one is (-1: none is delayed).
local ready, delayed, base = KEYS[1], KEYS[2], ARGV[1]
local now = lane_time(base)
local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[2])

for _, id in ipairs(due) do
  local record = base .. 'job:' .. id
  local job = redis.call('HMGET', record, 'b', 'a', 'l', 'm')
  if job[1] then
    local entry = redis.call('XADD', ready, '*', 'i', id, 'j', job[1], 'a', job[2], 'l', job[3], 'm', job[4])
    redis.call('HSET', record, 's', 'ready', 'e', entry)
    redis.call('HDEL', record, 'b')
  end
  redis.call('ZREM', delayed, id)
end

local soonest = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
return { #due, soonest and math.max(0, tonumber(soonest) - now) or -1 }
