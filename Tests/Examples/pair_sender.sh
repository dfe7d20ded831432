#!/usr/bin/env bash
# Makes a sender and shows its QR code until a phone has scanned it. Needs curl; GATEWAY_URL and GATEWAY_KEY.
# In the sandbox, where there is no phone, SIMULATOR_URL names the simulator, which scans it.
set -euo pipefail
call() { curl -sS --fail-with-body -H "Authorization: Bearer $GATEWAY_KEY" -H "Content-Type: application/json" "$@"; }

sender=$(call "$GATEWAY_URL/v1/senders" -d '{"label": "CS 3"}' | grep -o 'snd_[0-9a-z]*' | head -n 1)
call -X POST "$GATEWAY_URL/v1/senders/$sender/pairing" >/dev/null
for _ in $(seq 120); do
    pairing=$(call "$GATEWAY_URL/v1/senders/$sender/pairing")
    case "$pairing" in
        *'"state":"paired"'*) echo "$sender is paired" && exit 0 ;;
        *'"state":"ended"'*) echo "$sender was not paired: $pairing" >&2 && exit 1 ;;
        *'"state":"showing"'*)
            # The code changes while it is shown; open qr.svg again when it does. Whoever scans it links their phone.
            call "$GATEWAY_URL/v1/senders/$sender/pairing" -H "Accept: image/svg+xml" >qr.svg || true
            if [ -n "${SIMULATOR_URL:-}" ]; then
                code=$(sed -n 's/.*"qr":"\([^"]*\)".*/\1/p' <<<"$pairing")
                curl -sS -o /dev/null "$SIMULATOR_URL/control/scan" -d "{\"qr\": \"$code\"}"
            fi
            ;;
    esac
    sleep 1
done
echo "$sender was not paired in time" >&2 && exit 1
