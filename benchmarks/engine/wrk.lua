-- Any workload for wrk (`wrk -s wrk.lua URL`): the request comes from the environment, the result leaves as one JSON line.
wrk.method = os.getenv("BENCH_METHOD") or "GET"
local body = os.getenv("BENCH_BODY") or ""
if body ~= "" then
  wrk.body = body
  wrk.headers["content-type"] = "application/json"
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    "\nRESULT {\"requests\": %d, \"us\": %d, \"p50_us\": %d, \"p99_us\": %d, \"status\": %d, \"socket\": %d}\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
