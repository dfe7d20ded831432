// Reads what happened since the last call: the pull twin of webhooks. Node 18 or newer, nothing to install.
// Keeps where it stopped in the file `cursor`; the first call begins at the oldest event that is kept.
import { existsSync, readFileSync, writeFileSync } from "node:fs";

for (let more = true; more; ) {
  const url = new URL("/v1/events?limit=200", process.env.GATEWAY_URL);
  if (existsSync("cursor")) url.searchParams.set("after", readFileSync("cursor", "utf8"));
  const response = await fetch(url, { headers: { Authorization: `Bearer ${process.env.GATEWAY_KEY}` } });
  const page = await response.json();
  if (!response.ok) throw new Error(`${page.code}: ${page.detail}`);
  for (const event of page.data) {
    // Handle it here, before the cursor moves on: then nothing is missed, though something may come twice.
    console.log(event.id, event.type, event.data.message ?? "", event.data.reference ?? "");
  }
  writeFileSync("cursor", page.next_cursor);
  more = page.has_more;
}
