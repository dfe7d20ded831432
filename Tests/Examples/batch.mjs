// Sends several messages with one request; each is accepted or rejected by itself. Node 18 or newer, nothing to install.
import { randomUUID } from "node:crypto";

const messages = [
  { to: "+628123456701", type: "text", text: { body: "Your parcel is on its way." } },
  { to: "08123", type: "text", text: { body: "This number is not complete." } },
  { to: "+628123456702", type: "text", text: { body: "Your parcel is on its way." }, priority: "low" },
];
const response = await fetch(`${process.env.GATEWAY_URL}/v1/messages/batch`, {
  method: "POST",
  headers: {
    Authorization: `Bearer ${process.env.GATEWAY_KEY}`,
    "Content-Type": "application/json",
    "Idempotency-Key": `reminders-${randomUUID()}`,
  },
  body: JSON.stringify({ messages }),
});
const outcome = await response.json();
if (!response.ok) throw new Error(`${outcome.code}: ${outcome.detail}`);
for (const item of outcome.results) {
  if (item.status === "accepted") console.log(item.index, item.message.id);
  else console.log(item.index, "rejected:", item.problem.errors.map((place) => `${place.pointer} ${place.code}`));
}
console.log(outcome.accepted, "accepted,", outcome.rejected, "rejected");
