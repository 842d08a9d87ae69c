-- Reads a job in flight or a dead letter. KEYS: record, ready, delayed, dead. ARGV: id, base.
-- Returns the record's fields and values, whether it is leased, its envelope and its due time (or -1).
local record = redis.call('HGETALL', KEYS[1])
local f = {}
for n = 1, #record, 2 do f[record[n]] = record[n + 1] end
local leased, body, due = 0, f.b or '', -1
if f.s == 'ready' then
  local pending = redis.pcall('XPENDING', KEYS[2], 'workers', f.e, f.e, 1)
  if not pending.err and #pending > 0 then leased = 1 end
end
if f.s == 'ready' or f.s == 'dead' then
  local found = redis.call('XRANGE', f.s == 'ready' and KEYS[2] or KEYS[4], f.e, f.e)[1]
  if found then
    for n = 1, #found[2], 2 do
      if found[2][n] == 'j' then body = found[2][n + 1] end
    end
  end
elseif f.s == 'delayed' then
  local score = redis.call('ZSCORE', KEYS[3], ARGV[1])
  -- By Redis' clock, not the lane's.
  if score then due = math.max(0, score - (redis.call('HGET', ARGV[2] .. 'clock', 'o') or 0)) end
end
return { record, leased, body, due }
