-- For wrk: requests drawn at random from a file of prepared ones, and the outcome as a line of JSON.
--
--   wrk ... -s draw.lua URL -- FILE PATH SEED RUN
--
-- A line of FILE is the body of a POST to PATH, or where PATH is -, the address of a GET. In place of
-- @@@@@@@@@@@@@@@@ each request gets a number of its own, which RUN tells from those of other runs.

local MARK = ("@"):rep(16)
local requests, run, count, marked = {}, 0, 0, false

function init(args)
  local path = args[2]
  math.randomseed(tonumber(args[3]))
  run = tonumber(args[4])
  for line in io.lines(args[1]) do
    marked = marked or line:find(MARK, 1, true) ~= nil
    if path == "-" then
      requests[#requests + 1] = wrk.format("GET", line)
    else
      requests[#requests + 1] = wrk.format("POST", path, { ["Content-Type"] = "application/json" }, line)
    end
  end
end

function request()
  local drawn = requests[math.random(#requests)]
  if marked then
    count = count + 1
    return (drawn:gsub(MARK, ("%06d%010d"):format(run, count)))
  end
  return drawn
end

function done(summary, latency)
  local errors = summary.errors
  print(("{\"requests\": %d, \"microseconds\": %d, \"failed\": %d, \"p50\": %d, \"p99\": %d}"):format(
    summary.requests,
    summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50),
    latency:percentile(99)
  ))
end
