// Sends one message and waits until it is settled. Node 18 or newer, nothing to install.
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

const { GATEWAY_URL, GATEWAY_KEY } = process.env;

// The answer as a value. Repeats what is worth repeating; with an idempotency key a repeated POST never sends twice.
async function call(method, path, body, idempotencyKey) {
  const headers = { Authorization: `Bearer ${GATEWAY_KEY}`, "Content-Type": "application/json" };
  if (idempotencyKey) headers["Idempotency-Key"] = idempotencyKey;
  for (let attempt = 0; ; attempt++) {
    let response;
    try {
      const signal = AbortSignal.timeout(30_000);
      response = await fetch(GATEWAY_URL + path, { method, headers, signal, body: body && JSON.stringify(body) });
    } catch (error) {
      if (attempt === 5) throw error;
      await pause(1000 * 2 ** attempt);
      continue;
    }
    if (response.ok) return response.json();
    const problem = await response.json();
    if (![429, 503].includes(response.status) || attempt === 5) {
      throw new Error(`${problem.code}: ${problem.detail} (request ${problem.request_id})`);
    }
    await pause(1000 * Number(response.headers.get("Retry-After") ?? 1));
  }
}

const order = `order-${randomUUID()}`;
let message = await call("POST", "/v1/messages", {
  to: "+628123456789",
  type: "text",
  text: { body: "Kode Anda 123456" },
  reference: order,
}, order);
console.log(message.id, "was accepted; nothing can lose it now");

while (["scheduled", "queued", "sending", "sent"].includes(message.status)) {
  await pause(500);
  message = await call("GET", `/v1/messages/${message.id}`);
}
const events = await call("GET", `/v1/messages/${message.id}/events`);
for (const event of events.data) console.log(event.at, event.status);
if (!["delivered", "read"].includes(message.status)) throw new Error(`it is ${message.status}`);
