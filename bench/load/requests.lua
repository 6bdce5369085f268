-- The requests of wrk; load/requests.ts makes the same ones for autocannon. From the environment:
--   BENCH_TARGETS   host:port,…   one thread each
--   BENCH_KIND      receipt | shipment | transfer | reservation | replay | batch | tenants | read
--   BENCH_PICK      uniform | hot | zipf, over BENCH_PRODUCTS products
--   BENCH_LINES     lines of a command
--   BENCH_RUN       prefix of the idempotency keys, unique to this run
--   BENCH_SECRET    prefix of the API keys, before the tenant
--   BENCH_TENANTS   tenants of kind tenants, with BENCH_TENANT_PRODUCTS products each
--   BENCH_REPLAYS   keys of kind replay
--   BENCH_DELAY_MS  mean pause of a connection between an answer and the next request; 0 = none

local function number(name) return tonumber(os.getenv(name)) end

local kind, pick, run = os.getenv("BENCH_KIND"), os.getenv("BENCH_PICK"), os.getenv("BENCH_RUN")
local secret = os.getenv("BENCH_SECRET")
local products, lines = number("BENCH_PRODUCTS"), number("BENCH_LINES")
local tenants, tenant_products = number("BENCH_TENANTS"), number("BENCH_TENANT_PRODUCTS")
local replays, delay_ms = number("BENCH_REPLAYS"), number("BENCH_DELAY_MS")
local zipf_exponent, batch_commands = number("BENCH_ZIPF"), number("BENCH_BATCH")

local started = 0
local targets = {}
for host, port in os.getenv("BENCH_TARGETS"):gmatch("([^:,]+):(%d+)") do
  targets[#targets + 1] = { host = host, port = port }
end

-- In the main state, once per thread.
function setup(thread)
  started = started + 1
  thread:set("id", started)
  local target = targets[(started - 1) % #targets + 1]
  thread.addr = wrk.lookup(target.host, target.port)[1]
end

local counter, reserved, cumulated = 0, {}, {}

function init()
  math.randomseed(number("BENCH_SEED") * 1000 + id)
  if pick ~= "zipf" then return end
  local sum = 0
  for rank = 1, products do
    sum = sum + rank ^ -zipf_exponent
    cumulated[rank] = sum
  end
end

-- The first rank whose cumulated weight is above a random one.
local function zipf()
  local wanted, low, high = math.random() * cumulated[products], 1, products
  while low < high do
    local middle = math.floor((low + high) / 2)
    if cumulated[middle] < wanted then low = middle + 1 else high = middle end
  end
  return low
end

local function product(number_of_it) return string.format("SKU-%04d", number_of_it) end

local function any_product()
  if pick == "hot" then return product(1) end
  return product(pick == "zipf" and zipf() or math.random(products))
end

local function command_lines()
  local list, seen = {}, {}
  while #list < lines do
    local code = any_product()
    if not seen[code] then
      seen[code] = true
      list[#list + 1] = '{"product":"' .. code .. '","quantity":1}'
    end
  end
  return '"lines":[' .. table.concat(list, ",") .. "]"
end

local function key()
  counter = counter + 1
  return run .. "-" .. id .. "-" .. counter
end

local function post(path, idempotency_key, body, tenant)
  return table.concat({
    "POST ", path, " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer ", secret, tenant or "demo",
    "\r\nContent-Type: application/json\r\nIdempotency-Key: ", idempotency_key,
    "\r\nContent-Length: ", #body, "\r\n\r\n", body,
  })
end

local make = {}

function make.receipt()
  return post("/v1/receipts", key(), '{"warehouse":"W1","reference":"PO-1",' .. command_lines() .. "}")
end

function make.shipment()
  return post("/v1/shipments", key(), '{"warehouse":"W1","reference":"SO-1",' .. command_lines() .. "}")
end

function make.transfer()
  local way = math.random(2) == 1 and '"from":"W1","to":"W2",' or '"from":"W2","to":"W1",'
  return post("/v1/transfers", key(), "{" .. way .. command_lines() .. "}")
end

-- Ships what was reserved, else reserves.
function make.reservation()
  local found = table.remove(reserved)
  if found then return post("/v1/reservations/" .. found .. "/ship", key(), "{}") end
  return post("/v1/reservations", key(), '{"warehouse":"W1","ttlSeconds":3600,' .. command_lines() .. "}")
end

function make.replay()
  local at = math.random(replays)
  local line = '"lines":[{"product":"' .. product((at - 1) % products + 1) .. '","quantity":1}]}'
  return post("/v1/receipts", "replay-" .. at, '{"warehouse":"W1","reference":"PO-1",' .. line)
end

function make.batch()
  local list = {}
  for at = 1, batch_commands do
    list[at] = '{"type":"receipt","idempotencyKey":"' .. key()
      .. '","warehouse":"W1","reference":"PO-1",' .. command_lines() .. "}"
  end
  return post("/v1/batches", "none", '{"commands":[' .. table.concat(list, ",") .. "]}")
end

function make.tenants()
  local line = '"lines":[{"product":"' .. product(math.random(tenant_products)) .. '","quantity":1}]}'
  local tenant = string.format("t%04d", math.random(tenants))
  return post("/v1/receipts", key(), '{"warehouse":"W1","reference":"PO-1",' .. line, tenant)
end

function make.read()
  return "GET /v1/stock/W1/" .. any_product() .. " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer "
    .. secret .. "demo\r\n\r\n"
end

request = make[kind]

if delay_ms > 0 then
  function delay() return math.random(0, 2 * delay_ms) end
end

-- Reading answers costs wrk time, so only where the next request needs one.
if kind == "reservation" then
  function response(status, _, body)
    if status == 201 and body:find('"status":"active"', 1, true) then
      reserved[#reserved + 1] = body:match('^{"id":"([^"]+)"')
    end
  end
end

-- The last line is read by load/wrk.ts: seconds, microseconds of latency, and counts.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"seconds":%f,"answers":%d,"p50":%d,"p99":%d,"p999":%d,"refused":%d,"broken":%d}\n',
    summary.duration / 1e6, summary.requests, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
