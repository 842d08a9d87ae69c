-- Settles leased jobs. KEYS: ready, delayed, dead.
-- ARGV: base, changes channel, due channel, lane, then nine per job.
-- Returns 1 per job, or 0 if the lease was lost.
local ready, delayed, dead = KEYS[1], KEYS[2], KEYS[3]
local base, changes, due_channel, lane = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local time = redis.call('TIME')
local stamp = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local results = {}
local now, soonest, earlier

local function fields_of(entry)
  local found = redis.call('XRANGE', ready, entry, entry)[1]
  local fields = {}
  if found then
    for n = 1, #found[2], 2 do fields[found[2][n]] = found[2][n + 1] end
  end
  return fields
end

for i = 5, #ARGV, 9 do
  local op, entry, id, text = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local millis, key, key_ttl, attempt = tonumber(ARGV[i + 4]), ARGV[i + 5], ARGV[i + 6], ARGV[i + 7]
  local record = base .. 'job:' .. id
  if redis.call('XACK', ready, 'workers', entry) == 0 then
    results[#results + 1] = 0
  else
    results[#results + 1] = 1
    local holds_key = key ~= '' and redis.call('GET', base .. 'key:' .. key) == id
    if op == 'succeeded' or op == 'rejected' then
      redis.call('XDEL', ready, entry)
      -- A result replaces the error of an earlier attempt.
      if attempt ~= '1' and op == 'succeeded' then redis.call('HDEL', record, 'x') end
      redis.call('HSET', record, 's', op, 'f', stamp, 'a', attempt, op == 'succeeded' and 'r' or 'x', text)
      redis.call('PEXPIRE', record, millis)
      if holds_key then redis.call('PEXPIRE', base .. 'key:' .. key, key_ttl) end
    elseif op == 'back' then
      local f = fields_of(entry)
      redis.call('XDEL', ready, entry)
      local again = redis.call('XADD', ready, '*', 'i', id, 'j', f.j, 'a', f.a, 'l', f.l, 'm', f.m)
      redis.call('HSET', record, 's', 'ready', 'e', again)
    elseif op == 'retry' then
      local f = fields_of(entry)
      redis.call('XDEL', ready, entry)
      redis.call('HDEL', record, 'e')
      redis.call('HSET', record, 's', 'delayed', 'b', f.j, 'a', attempt, 'l', f.l, 'x', text)
      -- Only here, since it may write: the first write must be the acknowledgement, which is never
      -- refused for lack of memory.
      now = now or lane_time(base)
      soonest = soonest or redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
      redis.call('ZADD', delayed, string.format('%.0f', now + millis), id)
      if not soonest or now + millis < tonumber(soonest) then
        soonest = now + millis
        earlier = true
      end
    else -- dead
      if key == '' then -- an undecodable job: the key is in the record
        key = redis.call('HGET', record, 'i') or ''
        holds_key = key ~= '' and redis.call('GET', base .. 'key:' .. key) == id
      end
      local f = fields_of(entry)
      redis.call('XDEL', ready, entry)
      local letter = redis.call('XADD', dead, '*', 'i', id, 'j', f.j or '')
      redis.call('HSETNX', record, 'k', 'unknown')
      redis.call('HSETNX', record, 'c', stamp)
      redis.call('HSETNX', record, 'm', f.m or 1)
      redis.call('HSET', record, 's', 'dead', 'e', letter, 'f', stamp, 'a', attempt, 'x', text)
      if millis > 0 then redis.call('PEXPIRE', record, millis) end
      if holds_key then redis.call('DEL', base .. 'key:' .. key) end
    end
    local message = id
    if ARGV[i + 8] == '1' and (op == 'succeeded' or op == 'rejected' or op == 'dead') then
      message = id .. ' ' .. op .. ' ' .. text
    end
    redis.call('PUBLISH', changes, message)
  end
end

if earlier then redis.call('PUBLISH', due_channel, lane) end
return results
