-- Any workload for wrk (`wrk -s wrk.lua URL`): the request comes from the environment, the result leaves as one JSON line.
wrk.method = os.getenv("BENCH_METHOD") or "GET"
local body = os.getenv("BENCH_BODY") or ""
if body ~= "" then
  wrk.body = body
  wrk.headers["content-type"] = "application/json"
end
if (os.getenv("BENCH_CLOSE") or "") ~= "" then
  wrk.headers["connection"] = "close"
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    "\nRESULT {\"requests\": %d, \"us\": %d, \"mean_us\": %d, \"p50_us\": %d, \"p95_us\": %d, \"p99_us\": %d, "
      .. "\"status\": %d, \"socket\": %d}\n",
    summary.requests, summary.duration, latency.mean, latency:percentile(50), latency:percentile(95),
    latency:percentile(99), errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
