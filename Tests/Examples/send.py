"""Sends one message and waits until it is settled. Python 3.9 or newer, nothing to install."""

import json
import os
import time
import urllib.error
import urllib.request
import uuid

URL, KEY = os.environ["GATEWAY_URL"], os.environ["GATEWAY_KEY"]


def call(method, path, body=None, idempotency_key=None):
    """The answer as a value. Repeats what is worth repeating; with an idempotency key a repeated POST never sends twice."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    if idempotency_key:
        headers["Idempotency-Key"] = idempotency_key
    data = None if body is None else json.dumps(body).encode()
    for attempt in range(6):
        try:
            request = urllib.request.Request(URL + path, data, headers, method=method)
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as refusal:
            problem = json.load(refusal)
            if refusal.code not in (429, 503) or attempt == 5:
                raise SystemExit(f"{problem['code']}: {problem['detail']} (request {problem['request_id']})")
            time.sleep(int(refusal.headers.get("Retry-After", 1)))
        except urllib.error.URLError:
            if attempt == 5:
                raise
            time.sleep(2**attempt)


order = f"order-{uuid.uuid4()}"
message = call("POST", "/v1/messages", {
    "to": "+628123456789",
    "type": "text",
    "text": {"body": "Kode Anda 123456"},
    "reference": order,
}, idempotency_key=order)
print(message["id"], "was accepted; nothing can lose it now")

while message["status"] in ("scheduled", "queued", "sending", "sent"):
    time.sleep(0.5)
    message = call("GET", f"/v1/messages/{message['id']}")
for event in call("GET", f"/v1/messages/{message['id']}/events")["data"]:
    print(event["at"], event["status"])
if message["status"] not in ("delivered", "read"):
    raise SystemExit(f"it is {message['status']}: {message.get('failure')}")
