-- Removes every version, where a full Redis cannot hold fresh ones (rule V4); returns versions that
-- never stood in Redis, so they are nobody's.
--
-- A version that somebody else marks stays: readers go past it until its last deadline, and its
-- nonce never stands without a mark. Removing it would clear the mark.
--
-- KEYS  version keys
-- ARGV  channel that is told what changed ('': none), token of the caller's own mark ('-': none),
--       then for each key a number without meaning here and a nonce, as for the other scripts
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local channel, own = ARGV[1], ARGV[2]
local FAR = 1e15 -- as in op.lua

local function is_marked(current)
  if type(current) == 'string' and string.sub(current, 1, 1) == '!' then
    for token, digits in string.gmatch(current, '([%w_-]+)@(%d+)') do
      local deadline = tonumber(digits)
      if token ~= own and deadline > now and deadline < FAR then
        return true
      end
    end
  end
  return false
end

local versions, changed = {}, {}
for i, key in ipairs(KEYS) do
  if not is_marked(redis.pcall('GET', key)) then
    redis.call('UNLINK', key)
  end
  versions[i] = 'n0.' .. ARGV[2 + 2 * i]
  changed[i] = string.sub(key, #channel + 2) -- behind <ns>:v:, which is longer by one
end
if channel ~= '' then
  redis.call('PUBLISH', channel, table.concat(changed, '\n'))
end
return versions
