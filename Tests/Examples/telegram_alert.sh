#!/usr/bin/env bash
# Links a Telegram chat to an account, so that alerts go there, and sends a test. Needs curl; GATEWAY_URL and GATEWAY_KEY.
# In the sandbox, where there is no Telegram, TELEGRAM_URL names the fake one, in which Siti presses Start.
set -euo pipefail
call() { curl -sS --fail-with-body -H "Authorization: Bearer $GATEWAY_KEY" "$@"; }

link=$(call -X POST "$GATEWAY_URL/v1/alerts/telegram-link")
id=$(grep -o 'lnk_[0-9a-z]*' <<<"$link" | head -n 1)
url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' <<<"$link")
echo "Open this in Telegram within an hour and press Start: $url"
if [ -n "${TELEGRAM_URL:-}" ]; then
    curl -sS -o /dev/null "$TELEGRAM_URL/control/say" -d "{\"chat\": 42, \"name\": \"Siti\", \"text\": \"/start ${url##*=}\"}"
fi

for _ in $(seq 3600); do
    link=$(call "$GATEWAY_URL/v1/alerts/telegram-link/$id")
    # A chat that gets this account's alerts already is confirmed at once.
    grep -qE '"state":"(linked|confirmed)"' <<<"$link" && break
    sleep 1
done
# Whoever had the link could take it, so a person looks who did before the chat gets anything.
echo "It was taken by: $(sed -n 's/.*"address":"\([^"]*\)".*/\1/p' <<<"$link")"
channel=$(call -X POST "$GATEWAY_URL/v1/alerts/telegram-link/$id/confirm" | grep -o 'chn_[0-9a-z]*' | head -n 1)
call -X POST "$GATEWAY_URL/v1/alerts/channels/$channel/test" >/dev/null
echo "$channel is linked; a test is on its way"
