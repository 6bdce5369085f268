-- POST /things with a key per request: BENCH_PREFIX, then a counter, modulo BENCH_KEYS.
local prefix, keys = os.getenv("BENCH_PREFIX"), tonumber(os.getenv("BENCH_KEYS"))
local body = '{"warehouse":"W1","lines":[{"product":"SKU-1","quantity":5}],"reference":"PO-1"}'
local counter = 0

function request()
  counter = counter + 1
  local headers = {
    ["Content-Type"] = "application/json",
    ["Idempotency-Key"] = prefix .. (counter % keys),
  }
  return wrk.format("POST", "/things", headers, body)
end
