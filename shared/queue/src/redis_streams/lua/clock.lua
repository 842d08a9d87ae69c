-- The lane's clock in Unix ms, to which due times refer. It is Redis' clock except that it does not step
-- back: after a correction (or a failover to a server that is behind) delayed jobs would wait for the
-- difference. The hash `clock` has the latest time `t` and the offset `o` to Redis' clock; it is written
-- at most once a second.
local function lane_time(base)
  local time = redis.call('TIME')
  local clock = redis.call('HMGET', base .. 'clock', 't', 'o')
  local latest, offset = tonumber(clock[1] or 0), tonumber(clock[2] or 0)
  local now = time[1] * 1000 + math.floor(time[2] / 1000) + offset
  local back = latest - now
  if back > 0 then
    offset = offset + back
    now = latest
  end
  if back > 0 or back <= -1000 then
    redis.call('HSET', base .. 'clock', 't', string.format('%.0f', now), 'o', string.format('%.0f', offset))
  end
  return now
end

