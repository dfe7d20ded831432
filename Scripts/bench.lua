-- What wrk sends for Scripts/bench: POST /v1/messages with about 316 bytes of JSON, each with an idempotency key of its own.
-- BENCH_KEY is the API key, BENCH_RUN tells this run's idempotency keys from those of others; BENCH_BATCH is how many messages one
-- request holds, for POST /v1/messages/batch.
local count = 0
local run = os.getenv("BENCH_RUN")
local batch = tonumber(os.getenv("BENCH_BATCH") or "")
local headers = {
    ["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY"),
    ["Content-Type"] = "application/json",
}
local body = '{"to":"+62812%08d","type":"text","text":{"body":"%s"},"reference":"order-%08d",'
    .. '"metadata":{"campaign":"november","order":"%08d"}}'
local text = "Hello, your order has been handed to the courier and arrives tomorrow between nine and noon. Please have somebody at home"
    .. " to receive it, or answer this message to choose another day of the week."

-- A thousand recipients; none of them is one of the simulator's special numbers.
local function message()
    count = count + 1
    return body:format(10000010 + count % 1000 * 100, text, count, count)
end

function request()
    local content
    if batch then
        local messages = {}
        for index = 1, batch do messages[index] = message() end
        content = '{"messages":[' .. table.concat(messages, ",") .. "]}"
    else
        content = message()
    end
    headers["Idempotency-Key"] = run .. "-" .. count
    return wrk.format("POST", nil, headers, content)
end

-- Every thread has globals of its own; `done` asks for those of the one thread. Names, since wrk copies tables with text keys only.
refusals = {}
local threads = {}

function setup(thread)
    threads[#threads + 1] = thread
end

function response(status)
    if status ~= 202 then
        local name = tostring(status)
        refusals[name] = (refusals[name] or 0) + 1
    end
end

-- bench <answers> <microseconds> <requests without answer> <p50> <p99> and <status>=<count> for every status but 202.
function done(summary, latency)
    local errors = summary.errors
    io.write(string.format("bench %d %d %d %d %d", summary.requests, summary.duration,
        errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(50), latency:percentile(99)))
    for _, thread in ipairs(threads) do
        for status, count in pairs(thread:get("refusals") or {}) do io.write(string.format(" %s=%d", status, count)) end
    end
    io.write("\n")
end
