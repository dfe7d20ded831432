#!/usr/bin/env bash
# Reads what happened since the last call: the pull twin of webhooks. Needs curl; GATEWAY_URL and GATEWAY_KEY.
# Keeps where it stopped in the file `cursor`; the first call begins at the oldest event that is kept.
set -euo pipefail
while true; do
    after=$(cat cursor 2>/dev/null || true)
    curl -sS --fail-with-body -G "$GATEWAY_URL/v1/events" -H "Authorization: Bearer $GATEWAY_KEY" \
        -d limit=200 ${after:+--data-urlencode "after=$after"} >page.json
    # An event for each line; handle it here, before the cursor moves on.
    grep -o '"id":"evt_[^}]*' page.json | sed 's/^"id":"\(evt_[^"]*\)".*"type":"\([^"]*\)".*/\1 \2/' || true
    sed -n 's/.*"next_cursor":"\([^"]*\)".*/\1/p' page.json >cursor
    grep -q '"has_more":true' page.json || break
done
