-- Stores jobs. KEYS: ready, delayed. ARGV: base, due channel, lane, then ten per job.
-- Returns one value per job: '' if it is new, else the id of the existing job.
local ready, delayed = KEYS[1], KEYS[2]
local base, due_channel, lane = ARGV[1], ARGV[2], ARGV[3]
local results = {}
local now, soonest, earlier

for i = 4, #ARGV, 10 do
  local id, body, delay, kind = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local owner, created, max, trace, key = ARGV[i + 4], ARGV[i + 5], ARGV[i + 6], ARGV[i + 7], ARGV[i + 8]
  local dead_ttl = ARGV[i + 9]
  local record = base .. 'job:' .. id
  local existing = ''
  if redis.call('EXISTS', record) == 1 then
    existing = id
  elseif key ~= '' then
    local holder = redis.call('GET', base .. 'key:' .. key)
    if holder and redis.call('EXISTS', base .. 'job:' .. holder) == 1 then existing = holder end
  end
  if existing == '' then
    -- No TTL while the job is in flight; settling sets it.
    if key ~= '' then redis.call('SET', base .. 'key:' .. key, id) end
    local state, place, value
    if delay > 0 then
      if not now then
        now = lane_time(base)
        soonest = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
      end
      redis.call('ZADD', delayed, string.format('%.0f', now + delay), id)
      if not soonest or now + delay < tonumber(soonest) then
        soonest = now + delay
        earlier = true
      end
      state, place, value = 'delayed', 'b', body
    else
      state, place = 'ready', 'e'
      value = redis.call('XADD', ready, '*', 'i', id, 'j', body, 'a', 0, 'l', 0, 'm', max)
    end
    redis.call('HSET', record, 's', state, place, value, 'k', kind, 'o', owner, 'c', created,
      'm', max, 't', trace, 'i', key, 'a', 0, 'l', 0, 'd', dead_ttl)
  end
  results[#results + 1] = existing
end

if earlier then redis.call('PUBLISH', due_channel, lane) end
return results
