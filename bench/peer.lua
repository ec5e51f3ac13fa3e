-- What ./dev bench distributed and peers measure us against: nginx with this in front of Redis, with the
-- script that the original coupon system has. Not for: anybody's use; a queue that somebody would
-- have to work off is all it leaves behind.
--
-- It does less than the original did around the script, so that it is a hard rival: no coupon is
-- looked up, no period is judged, and the user is cut out of the body instead of parsing it.
local redis = require "nginx.redis"

-- LuaJIT makes one trace after the other of the calls below, hundreds, and none that stays: without
-- them this file needs half the time.
jit.off(true, true)

local SCRIPT = [[
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then
    return '2'
end

if tonumber(ARGV[2]) > redis.call('SCARD', KEYS[1]) then
    redis.call('SADD', KEYS[1], ARGV[1])
    redis.call('RPUSH', KEYS[2], ARGV[3])
    return '1'
end

return '3'
]]
local ISSUED, QUEUE = "issued:1", "queue"
local QUANTITY = "2147483647"
local TIMEOUT_MS, IDLE_MS, CONNECTIONS_MAX = 10000, 60000, 1024

local peer = { settings = nil }

-- The name that Redis gives the script.
local function name_of(script)
  return (string.gsub(ngx.sha1_bin(script), ".", function(byte)
    return string.format("%02x", string.byte(byte))
  end))
end
local NAME = name_of(SCRIPT)

-- A connection that was used before, or a new one that says who we are.
local function connected()
  local connection = redis:new()
  connection:set_timeout(TIMEOUT_MS)
  local settings = peer.settings
  local fine, why = connection:connect("127.0.0.1", settings.port)
  if fine and connection:get_reused_times() == 0 then
    fine, why = connection:auth(settings.user, settings.password)
  end
  return fine and connection, why
end

local function ask(connection, user)
  local entry = '{"couponId":1,"userId":"' .. user .. '"}'
  local told, why = connection:evalsha(NAME, 2, ISSUED, QUEUE, user, QUANTITY, entry)
  if not told and string.find(why, "NOSCRIPT", 1, true) then
    told, why = connection:eval(SCRIPT, 2, ISSUED, QUEUE, user, QUANTITY, entry)
  end
  return told, why
end

local STATUS = { ["1"] = 200, ["2"] = 409, ["3"] = 409 }

-- One request: {"userId":"..."} -> 200 true.
function peer.claim()
  ngx.req.read_body()
  local body = ngx.req.get_body_data() or ""
  local _, first = string.find(body, '"userId":"', 1, true)
  local last = first and string.find(body, '"', first + 1, true)
  if not last then
    return ngx.exit(400)
  end
  local user = string.sub(body, first + 1, last - 1)
  local connection, why = connected()
  local told
  if connection then
    told, why = ask(connection, user)
    connection:set_keepalive(IDLE_MS, CONNECTIONS_MAX)
  end
  if not told then
    ngx.log(ngx.ERR, "Redis: ", why)
    return ngx.exit(503)
  end
  ngx.status = STATUS[told]
  ngx.header["Content-Length"] = 4
  ngx.print(told == "1" and "true" or "null")
end

return peer
