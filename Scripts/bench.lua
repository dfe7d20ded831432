-- What wrk sends for Scripts/bench: POST /v1/messages with about 316 bytes of JSON, each with an idempotency key of its own.
-- BENCH_KEY is the API key, BENCH_RUN tells this run's idempotency keys from those of others.
local count = 0
local run = os.getenv("BENCH_RUN")
local headers = {
    ["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY"),
    ["Content-Type"] = "application/json",
}
local body = '{"to":"+62812%08d","type":"text","text":{"body":"%s"},"reference":"order-%08d",'
    .. '"metadata":{"campaign":"november","order":"%08d"}}'
local text = "Hello, your order has been handed to the courier and arrives tomorrow between nine and noon. Please have somebody at home"
    .. " to receive it, or answer this message to choose another day of the week."

function request()
    count = count + 1
    headers["Idempotency-Key"] = run .. "-" .. count
    -- A thousand recipients; none of them is one of the simulator's special numbers.
    return wrk.format("POST", nil, headers, body:format(10000010 + count % 1000 * 100, text, count, count))
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format("bench %d %d %d %d %d\n", summary.requests, summary.duration,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout, latency:percentile(50), latency:percentile(99)))
end
