-- Replaces overrides, all or none, where each is still what was read before.
-- KEYS: revision, records, history. ARGV: the new revision, the most lines of history, how many
-- overrides; for each its name, what was read and what is to be written (both empty for none); then
-- the lines of history, the oldest first. Returns 1, or 0 where somebody was quicker.
local number = tonumber(ARGV[3])
for i = 0, number - 1 do
  local at = 4 + 3 * i
  if (redis.call('HGET', KEYS[2], ARGV[at]) or '') ~= ARGV[at + 1] then
    return 0
  end
end
for i = 0, number - 1 do
  local at = 4 + 3 * i
  if ARGV[at + 2] == '' then
    redis.call('HDEL', KEYS[2], ARGV[at])
  else
    redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 2])
  end
end
for at = 4 + 3 * number, #ARGV do
  redis.call('LPUSH', KEYS[3], ARGV[at])
end
redis.call('LTRIM', KEYS[3], 0, tonumber(ARGV[2]) - 1)
redis.call('SET', KEYS[1], ARGV[1])
return 1
