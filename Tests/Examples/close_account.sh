#!/usr/bin/env bash
# Closes an account and keeps the deletion receipt. There is no way back. Needs curl; GATEWAY_URL, GATEWAY_KEY, and the account's id.
set -euo pipefail
account=${1:?which account: acc_…}
curl -sS --fail-with-body "$GATEWAY_URL/v1/account/close" -H "Authorization: Bearer $GATEWAY_KEY" -H "Content-Type: application/json" \
    -d "{\"confirm\": \"$account\"}" | tee receipt.json
echo
# From now on the key is refused, and nothing can be asked about the account.
status=$(curl -sS -o /dev/null -w '%{http_code}' "$GATEWAY_URL/v1/messages" -H "Authorization: Bearer $GATEWAY_KEY")
[ "$status" = 401 ] && echo "closed"
