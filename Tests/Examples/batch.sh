#!/usr/bin/env bash
# Sends several messages with one request; each is accepted or rejected by itself. Needs curl; GATEWAY_URL and GATEWAY_KEY.
set -euo pipefail
curl -sS --fail-with-body "$GATEWAY_URL/v1/messages/batch" \
    -H "Authorization: Bearer $GATEWAY_KEY" -H "Content-Type: application/json" -H "Idempotency-Key: reminders-$(date +%s)-$$" \
    -d '{"messages": [
          {"to": "+628123456701", "type": "text", "text": {"body": "Your parcel is on its way."}},
          {"to": "08123", "type": "text", "text": {"body": "This number is not complete."}},
          {"to": "+628123456702", "type": "text", "text": {"body": "Your parcel is on its way."}, "priority": "low"}
        ]}'
echo
