-- What wrk sends in ./dev bench http: claims by users that nobody has been before. A user's
-- name is the prefix given after "--", the thread, and a number that runs.
local threads = 0

function setup(thread)
  thread:set("thread_number", threads)
  threads = threads + 1
end

local head, tail
local count = 1000000000 -- ten digits, and small enough for LuaJIT to print it quickly

function init(arguments)
  -- 24 characters in all, so that every request has one length.
  local name = string.format("%s-%d", arguments[1], thread_number)
  name = name .. string.rep("-", 14 - #name)
  wrk.headers["Content-Type"] = "application/json"
  local filled = wrk.format("POST", nil, nil, '{"userId":"' .. name .. '@@@@@@@@@@"}')
  local first, last = string.find(filled, "@@@@@@@@@@", 1, true)
  head, tail = string.sub(filled, 1, first - 1), string.sub(filled, last + 1)
end

function request()
  count = count + 1
  return head .. count .. tail
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'figures {"requests":%d,"duration_us":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,' ..
    '"status":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration, errors.connect, errors.read, errors.write,
    errors.timeout, errors.status, latency:percentile(50), latency:percentile(99)))
end
