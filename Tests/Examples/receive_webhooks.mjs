// Receives webhooks: registers itself, verifies every signature, answers the challenge, and handles each event once.
// Node 18 or newer, nothing to install. WEBHOOK_URL is how the gateway reaches this program. In production register once, keep the secret,
// remember the handled ids in your database, and stand behind TLS.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const { GATEWAY_URL, GATEWAY_KEY, WEBHOOK_URL } = process.env;
let learnSecret;
const secret = new Promise((resolve) => { learnSecret = resolve; });
const handled = new Set();

// https://www.standardwebhooks.com: HMAC-SHA256 over id, time and body, compared in constant time.
function isGenuine(key, headers, body) {
  if (Math.abs(Date.now() / 1000 - Number(headers["webhook-timestamp"])) > 300) return false;
  const signed = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`), body]);
  const wanted = Buffer.from("v1," + createHmac("sha256", key).update(signed).digest("base64"));
  return headers["webhook-signature"].split(" ").map((text) => Buffer.from(text))
    .some((given) => given.length === wanted.length && timingSafeEqual(given, wanted));
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  // The first request may be here before the answer with the secret is.
  if (!isGenuine(await secret, request.headers, body)) return response.writeHead(401).end();
  const event = JSON.parse(body);
  if (event.type === "webhook_endpoint.verification") return response.end(event.data.challenge);
  if (!handled.has(event.id)) {
    handled.add(event.id);
    console.log(event.type, event.data.message ?? "");
  }
  response.writeHead(204).end();
});

server.listen(new URL(WEBHOOK_URL).port || 80, "127.0.0.1", async () => {
  const answer = await fetch(`${GATEWAY_URL}/v1/webhook-endpoints`, {
    method: "POST",
    headers: { Authorization: `Bearer ${GATEWAY_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ url: WEBHOOK_URL, events: ["message.delivered", "message.failed"] }),
  });
  const endpoint = await answer.json();
  if (!answer.ok) throw new Error(`${endpoint.code}: ${endpoint.detail}`);
  learnSecret(Buffer.from(endpoint.secret.slice("whsec_".length), "base64"));
  console.log("registered", endpoint.id);
});
