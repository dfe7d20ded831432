#!/usr/bin/env bash
# Is the gateway well? For a monitor that can run a command: exit code 0, or 1 with the reason. Needs curl; GATEWAY_URL, METRICS_URL.
set -euo pipefail
codes=$(curl -sS --max-time 10 "$GATEWAY_URL/readyz") || { echo "no answer from $GATEWAY_URL"; exit 1; }
grep -q '"status":"ready"' <<<"$codes" || { echo "not ready: $codes"; exit 1; }
curl -sS --max-time 10 --fail-with-body "$METRICS_URL/health/details" >details.json || { echo "not well:"; cat details.json; exit 1; }
# How many senders are ready, and how long the oldest message that is due has waited.
curl -sS --max-time 10 "$METRICS_URL/metrics" | grep -E '^gateway_(senders|queue_oldest_seconds|queued_messages)' || true
echo "well"
