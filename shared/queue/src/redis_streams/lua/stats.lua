-- Counts the jobs of a lane. KEYS: ready, delayed, dead.
-- Returns ready, running, scheduled, dead, and the age of the oldest ready job in ms.
local running, last = 0, '-'
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if not groups.err then
  for _, group in ipairs(groups) do
    local info = {}
    for n = 1, #group, 2 do info[group[n]] = group[n + 1] end
    if info.name == 'workers' then
      running = info.pending
      last = '(' .. info['last-delivered-id']
    end
  end
end
local age = 0
local first = redis.call('XRANGE', KEYS[1], last, '+', 'COUNT', 1)[1]
if first then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  age = math.max(0, now - tonumber(string.match(first[1], '^(%d+)')))
end
local length = redis.call('XLEN', KEYS[1])
return { math.max(0, length - running), running, redis.call('ZCARD', KEYS[2]), redis.call('XLEN', KEYS[3]), age }
