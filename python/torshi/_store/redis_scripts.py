"""The scripts of the Redis backend: what Redis does alone, so that rows and index never differ.

Each gets the names' common beginning as its only key. Never takes a value apart beyond its header.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ALL"]

# What the others begin with: names, the clock of Redis, and forgetting a row with all that is known of it.
_BEGIN: Final = """
local base = KEYS[1]
local meta, index, about = base .. 'meta', base .. 'keys', base .. 'about'
local used, ends = base .. 'used', base .. 'ends'

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function known(key)
  local text = redis.call('HGET', about, key)
  if not text then return nil end
  local fine, value = pcall(cjson.decode, text)
  if fine and type(value) == 'table' then return value end
  return {}
end

-- Takes a row out of what is counted and tagged.
local function uncount(key)
  local old = known(key)
  if not old then return end
  if type(old.tags) == 'table' then
    for _, tag in ipairs(old.tags) do redis.call('SREM', base .. 'tag:' .. tostring(tag), key) end
  end
  redis.call('HDEL', about, key)
  redis.call('HINCRBY', meta, 'bytes', string.format('%d', -math.floor(tonumber(old.size) or 0)))
end

local function forget(key)
  redis.call('DEL', base .. 'row:' .. key)
  uncount(key)
  redis.call('ZREM', index, key)
  redis.call('ZREM', used, key)
  redis.call('ZREM', ends, key)
end
"""

# Store id, token, and four for each step: key, expectations, what is known of the new row ('' for a check, '-' for
# none), the row. 1: made, 0: an expectation did not hold, -1: another store. Nothing is written before all
# expectations have been looked at; the first write is one that Redis refuses when its memory is full, or frees memory.
_APPLY: Final = (
    _BEGIN
    + """
local id = redis.call('HGET', meta, 'id')
if id and id ~= ARGV[1] then return -1 end
local done = base .. 'done:' .. ARGV[2]
if ARGV[2] ~= '' then
  local answer = redis.call('GET', done)
  if answer then return tonumber(answer) end
end

-- Eight bytes; false for no row, and eight of 255 for one without a header.
local function version(key)
  local head = redis.pcall('GETRANGE', base .. 'row:' .. key, 0, 16)
  if type(head) ~= 'string' or #head == 0 then return false end
  if #head < 17 or string.byte(head, 1) ~= 1 then return string.rep('\\255', 8) end
  return string.sub(head, 2, 9)
end

local function holds(key, expected)
  local found = version(key)
  local at = 1
  while at <= #expected do
    if string.sub(expected, at, at) == '!' then
      if found then return false end
      at = at + 1
    else
      if found ~= string.sub(expected, at + 1, at + 8) then return false end
      at = at + 9
    end
  end
  return true
end

for at = 3, #ARGV, 4 do
  if ARGV[at + 1] ~= '' and not holds(ARGV[at], ARGV[at + 1]) then return 0 end
end

local now = clock()
for at = 3, #ARGV, 4 do
  local key, text = ARGV[at], ARGV[at + 2]
  if text == '-' then
    forget(key)
  elseif text ~= '' then
    local new = cjson.decode(text)
    local expires = tonumber(new.expires)
    if expires and expires <= now then
      forget(key)
    else
      redis.call('SET', base .. 'row:' .. key, ARGV[at + 3])
      uncount(key)
      redis.call('HSET', about, key, text)
      redis.call('HINCRBY', meta, 'bytes', string.format('%d', new.size))
      redis.call('ZADD', index, 0, key)
      redis.call('ZADD', used, string.format('%.6f', now), key)
      for _, tag in ipairs(new.tags) do redis.call('SADD', base .. 'tag:' .. tag, key) end
      if expires then
        redis.call('PEXPIREAT', base .. 'row:' .. key, string.format('%.0f', math.ceil(expires * 1000)))
        redis.call('ZADD', ends, string.format('%.6f', expires), key)
      else
        redis.call('ZREM', ends, key)
      end
    end
  end
end
if not id then redis.call('HSET', meta, 'id', ARGV[1], 'format', 1) end
if ARGV[2] ~= '' then redis.pcall('SET', done, '1', 'PX', 60000) end
return 1
"""
)

# Keys. Takes from the index those that have no row; how many.
_FORGET: Final = (
    _BEGIN
    + """
local gone = 0
for _, key in ipairs(ARGV) do
  if redis.call('EXISTS', base .. 'row:' .. key) == 0 then
    forget(key)
    gone = gone + 1
  end
end
return gone
"""
)

# At most how many. Removes rows whose time has come; how many.
_SWEEP: Final = (
    _BEGIN
    + """
local keys = redis.call('ZRANGEBYSCORE', ends, '-inf', string.format('%.6f', clock()), 'LIMIT', 0, ARGV[1])
for _, key in ipairs(keys) do forget(key) end
return #keys
"""
)

# Keys. How long the strings of their rows are, and how they begin; nothing of what is no string.
_SIZES: Final = """
local found = {}
for at, key in ipairs(ARGV) do
  local size = redis.pcall('STRLEN', KEYS[1] .. 'row:' .. key)
  local is_string = type(size) == 'number'
  found[2 * at - 1] = is_string and size or 0
  found[2 * at] = is_string and redis.call('GETRANGE', KEYS[1] .. 'row:' .. key, 0, 16) or ''
end
return found
"""

# Keys. Puts rows into the index that are there and not in it; how many.
_LIST: Final = (
    _BEGIN
    + """
local listed = 0
for _, key in ipairs(ARGV) do
  local size = redis.pcall('STRLEN', base .. 'row:' .. key)
  if type(size) == 'number' and size > 0 then
    if not known(key) then
      local now = clock()
      redis.call('HSET', about, key, string.format('{"size":%d,"written":%.6f,"tags":[]}', math.max(0, size - 17), now))
      redis.call('ZADD', used, string.format('%.6f', now), key)
    end
    redis.call('ZADD', index, 0, key)
    local left = redis.call('PTTL', base .. 'row:' .. key)
    if left > 0 then redis.call('ZADD', ends, string.format('%.6f', clock() + left / 1000), key) end
    listed = listed + 1
  end
end
return listed
"""
)

# Counts the bytes of all values anew; by how many it was wrong.
_COUNT: Final = (
    _BEGIN
    + """
local total = 0
for _, text in ipairs(redis.call('HVALS', about)) do
  local fine, value = pcall(cjson.decode, text)
  if fine and type(value) == 'table' then total = total + (tonumber(value.size) or 0) end
end
local before = tonumber(redis.call('HGET', meta, 'bytes') or 0)
redis.call('HSET', meta, 'bytes', string.format('%d', total))
return math.abs(total - before)
"""
)

# Token, milliseconds. Takes the lock or keeps it.
_LOCK: Final = """
local lock = KEYS[1] .. 'lock'
local holder = redis.call('GET', lock)
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', lock, ARGV[1], 'PX', ARGV[2])
return 1
"""

# Token. Gives the lock back.
_UNLOCK: Final = """
local lock = KEYS[1] .. 'lock'
if redis.call('GET', lock) == ARGV[1] then return redis.call('DEL', lock) end
return 0
"""

ALL: Final = {
    "apply": _APPLY,
    "forget": _FORGET,
    "sweep": _SWEEP,
    "sizes": _SIZES,
    "list": _LIST,
    "count": _COUNT,
    "lock": _LOCK,
    "unlock": _UNLOCK,
}
