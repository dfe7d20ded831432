#!/usr/bin/env bash
# Sends one message and waits until it is settled. Needs curl; GATEWAY_URL and GATEWAY_KEY from the environment.
set -euo pipefail

call() { curl -sS --fail-with-body --retry 5 -H "Authorization: Bearer $GATEWAY_KEY" "$@"; }

# The same Idempotency-Key never sends twice, so curl may repeat the request (429, 503, no answer) without harm.
order="order-$(date +%s)-$$"
location=$(call "$GATEWAY_URL/v1/messages" -o /dev/null -w '%header{location}' \
    -H "Content-Type: application/json" -H "Idempotency-Key: $order" \
    -d '{"to": "+628123456789", "type": "text", "text": {"body": "Kode Anda 123456"}}')

for _ in $(seq 60); do
    status=$(call "$GATEWAY_URL$location" | grep -o '"status":"[a-z]*"' | head -n 1 | cut -d '"' -f 4)
    case "$status" in
        scheduled | queued | sending | sent) sleep 1 ;;
        *) break ;;
    esac
done
echo "$location is $status"
