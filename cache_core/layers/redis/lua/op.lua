-- Gives every key a fresh version; adds and removes marks on the way (rules K2, V3, I5, T5).
--
-- A version is n<birth>.<nonce>, or !<birth>.<nonce>|<token>@<deadline>,... while it is marked. Each
-- token has a deadline of its own, so nobody shortens or clears the mark of somebody else. A marked
-- key lives until its last deadline; its absence then makes the next reader create a new version.
--
-- KEYS  version keys
-- ARGV  channel that is told what changed ('': none), token to remove ('-': none), token to add,
--       its life in ms (0: add none), then for each key the life of an unmarked version in ms (0: no
--       expiry) and a nonce
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local channel, remove, add, hold = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local FAR = 1e15 -- no deadline of ours is so late: foreign bytes must not become a mark for ever

local function integer(number)
  return string.format('%.0f', number)
end

-- The tokens that stay, as text, and the latest of their deadlines (0 when none stays).
local function marks(current)
  local kept, last, added = {}, 0, hold > 0 and now + hold or 0
  local function keep(token, deadline)
    kept[#kept + 1] = token .. '@' .. integer(deadline)
    last = math.max(last, deadline)
  end
  if type(current) == 'string' and string.sub(current, 1, 1) == '!' then
    for token, digits in string.gmatch(current, '([%w_-]+)@(%d+)') do
      local deadline = tonumber(digits)
      local stays = token ~= remove and deadline > now and deadline < FAR
      if stays and added > 0 and token == add then
        added = math.max(added, deadline) -- a token stands once, and is never cut short
      elseif stays then
        keep(token, deadline)
      end
    end
  end
  if added > 0 then
    keep(add, added)
  end
  return table.concat(kept, ','), last
end

local versions, changed = {}, {}
for i, key in ipairs(KEYS) do
  local ttl, nonce = ARGV[3 + 2 * i], ARGV[4 + 2 * i]
  -- pcall: a key of another type has no marks, and SET replaces it whatever it is.
  local kept, last = marks(redis.pcall('GET', key))
  local version = integer(now) .. '.' .. nonce
  if last > 0 then
    version = '!' .. version .. '|' .. kept
    redis.call('SET', key, version, 'PX', integer(last - now))
  else
    version = 'n' .. version
    if tonumber(ttl) > 0 then
      redis.call('SET', key, version, 'PX', ttl)
    else
      redis.call('SET', key, version)
    end
  end
  versions[i] = version
  changed[i] = string.sub(key, #channel + 2) -- behind <ns>:v:, which is longer by one
end
if channel ~= '' then
  redis.call('PUBLISH', channel, table.concat(changed, '\n'))
end
return versions
