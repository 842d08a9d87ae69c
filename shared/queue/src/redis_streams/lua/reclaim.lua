-- Reclaims jobs whose leases have expired, at most one batch. KEYS: ready, dead.
-- ARGV: base, changes channel, lease timeout in ms, maximum of lost leases, batch size, the errors of
-- exhausted and of poisoned jobs, ms after which an idle consumer without leases is removed.
-- Returns the numbers of jobs requeued, exhausted and poisoned, and whether more have expired.
local ready, dead = KEYS[1], KEYS[2]
local base, changes, idle, max_lost, batch = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local time = redis.call('TIME')
local stamp = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local requeued, exhausted, poisoned = 0, 0, 0

local expired = redis.pcall('XPENDING', ready, 'workers', 'IDLE', idle, '-', '+', batch)
if expired.err then return { 0, 0, 0, 0 } end -- no group yet: nothing was ever leased

-- After the clock stepped back, the leases granted before would expire late by the difference: renew them.
local offset = redis.call('HGET', base .. 'clock', 'o')
if offset and offset ~= '0' and offset ~= redis.call('HGET', base .. 'clock', 'r') then
  local from = '-'
  repeat
    local page = redis.call('XPENDING', ready, 'workers', from, '+', 100)
    for _, pending in ipairs(page) do
      redis.call('XCLAIM', ready, 'workers', pending[2], 0, pending[1], 'IDLE', 0, 'JUSTID')
      from = '(' .. pending[1]
    end
  until #page < 100
  redis.call('HSET', base .. 'clock', 'r', offset)
end

local function dead_letter(record, id, fields, attempt, err)
  local letter = redis.call('XADD', dead, '*', 'i', id, 'j', fields.j)
  redis.call('HSET', record, 's', 'dead', 'e', letter, 'f', stamp, 'a', attempt, 'x', err)
  local ttl = tonumber(redis.call('HGET', record, 'd') or 0)
  if ttl > 0 then redis.call('PEXPIRE', record, ttl) end
  local key = redis.call('HGET', record, 'i')
  if key and key ~= '' and redis.call('GET', base .. 'key:' .. key) == id then
    redis.call('DEL', base .. 'key:' .. key)
  end
end

for _, pending in ipairs(expired) do
  local entry = pending[1]
  local found = redis.call('XRANGE', ready, entry, entry)[1]
  redis.call('XACK', ready, 'workers', entry)
  if found then
    local fields = {}
    for n = 1, #found[2], 2 do fields[found[2][n]] = found[2][n + 1] end
    redis.call('XDEL', ready, entry)
    local id = fields.i or ('entry-' .. entry)
    local record = base .. 'job:' .. id
    local attempt, lost = (tonumber(fields.a) or 0) + 1, (tonumber(fields.l) or 0) + 1
    if lost >= max_lost then
      dead_letter(record, id, fields, attempt, ARGV[7])
      poisoned = poisoned + 1
    elseif attempt >= (tonumber(fields.m) or 1) then
      dead_letter(record, id, fields, attempt, ARGV[6])
      exhausted = exhausted + 1
    else
      local again = redis.call('XADD', ready, '*', 'i', id, 'j', fields.j, 'a', attempt, 'l', lost, 'm', fields.m)
      redis.call('HSET', record, 's', 'ready', 'e', again, 'a', attempt, 'l', lost)
      requeued = requeued + 1
    end
    redis.call('PUBLISH', changes, id)
  end
end

for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', ready, 'workers')) do
  local info = {}
  for n = 1, #consumer, 2 do info[consumer[n]] = consumer[n + 1] end
  if info.pending == 0 and info.idle > tonumber(ARGV[8]) then
    redis.call('XGROUP', 'DELCONSUMER', ready, 'workers', info.name)
  end
end

-- Deletes the oldest dead letters whose records have expired.
for _, letter in ipairs(redis.call('XRANGE', dead, '-', '+', 'COUNT', batch)) do
  local id
  for n = 1, #letter[2], 2 do if letter[2][n] == 'i' then id = letter[2][n + 1] end end
  if redis.call('EXISTS', base .. 'job:' .. id) == 0 then redis.call('XDEL', dead, letter[1]) end
end

return { requeued, exhausted, poisoned, #expired == tonumber(batch) and 1 or 0 }
