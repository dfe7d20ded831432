"""Receives webhooks: registers itself, verifies every signature, answers the challenge, and handles each event once.

Python 3.9 or newer, nothing to install. WEBHOOK_URL is how the gateway reaches this program. In production register once, keep the secret,
remember the handled ids in your database, and stand behind TLS."""

import base64
import hashlib
import hmac
import json
import os
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

URL, KEY, WEBHOOK_URL = os.environ["GATEWAY_URL"], os.environ["GATEWAY_KEY"], os.environ["WEBHOOK_URL"]
secret = threading.Event()
secret.value = b""
handled = set()


def is_genuine(headers, body):
    """https://www.standardwebhooks.com: HMAC-SHA256 over id, time and body, compared in constant time."""
    if abs(time.time() - int(headers["webhook-timestamp"])) > 300:
        return False
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.new(secret.value, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(wanted, given) for given in headers["webhook-signature"].split())


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        # The first request may be here before the answer with the secret is.
        if not secret.wait(timeout=10) or not is_genuine(self.headers, body):
            return self.answer(401)
        event = json.loads(body)
        if event["type"] == "webhook_endpoint.verification":
            return self.answer(200, event["data"]["challenge"])
        if event["id"] not in handled:
            handled.add(event["id"])
            print(event["type"], event["data"].get("message", ""), flush=True)
        self.answer(204)

    def answer(self, status, text=""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments):
        pass


def register():
    request = urllib.request.Request(
        f"{URL}/v1/webhook-endpoints", json.dumps({"url": WEBHOOK_URL, "events": ["message.delivered", "message.failed"]}).encode(),
        {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        endpoint = json.load(response)
    secret.value = base64.b64decode(endpoint["secret"].removeprefix("whsec_"))
    secret.set()
    print("registered", endpoint["id"], flush=True)


server = ThreadingHTTPServer(("127.0.0.1", urllib.parse.urlsplit(WEBHOOK_URL).port or 80), Receiver)
threading.Thread(target=register, daemon=True).start()
server.serve_forever()
