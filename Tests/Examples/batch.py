"""Sends several messages with one request; each is accepted or rejected by itself. Python 3.9 or newer, nothing to install."""

import json
import os
import urllib.request
import uuid

messages = [
    {"to": "+628123456701", "type": "text", "text": {"body": "Your parcel is on its way."}},
    {"to": "08123", "type": "text", "text": {"body": "This number is not complete."}},
    {"to": "+628123456702", "type": "text", "text": {"body": "Your parcel is on its way."}, "priority": "low"},
]
request = urllib.request.Request(
    os.environ["GATEWAY_URL"] + "/v1/messages/batch",
    data=json.dumps({"messages": messages}).encode(),
    headers={
        "Authorization": f"Bearer {os.environ['GATEWAY_KEY']}",
        "Content-Type": "application/json",
        "Idempotency-Key": f"reminders-{uuid.uuid4()}",
    },
)
with urllib.request.urlopen(request, timeout=60) as response:
    outcome = json.load(response)
for item in outcome["results"]:
    if item["status"] == "accepted":
        print(item["index"], item["message"]["id"])
    else:
        print(item["index"], "rejected:", [(place["pointer"], place["code"]) for place in item["problem"]["errors"]])
print(outcome["accepted"], "accepted,", outcome["rejected"], "rejected")
