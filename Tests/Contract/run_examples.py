"""Runs every example in Tests/Examples against a running sandbox, as a reader of the guides would, and looks at what it prints.

Takes GATEWAY_URL, METRICS_URL, SIMULATOR_URL, TELEGRAM_URL, GATEWAY_KEY, GATEWAY (the program) and the environment that the sandbox was started with."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "Examples"
RUNNERS = {".sh": ["bash"], ".py": ["python3"], ".mjs": ["node"]}
DEADLINE = 300

# What each must print; a list is the order of several. Webhook receivers and closing an account need more than a look, see below.
SENT = [r"msg_\w+ was accepted", r"queued$", r"sent$", r"delivered$"]
BATCH = [r"2 accepted, 1 rejected"]
EXPECTED = {
    "send.sh": [r"^/v1/messages/msg_\w+ is delivered$"], "send.py": SENT, "send.mjs": SENT,
    "batch.sh": [r'"accepted":2,"rejected":1', r'"pointer":"/messages/1/to"'],
    "batch.py": [r"^1 rejected: \[\('/messages/1/to', 'invalid_number'\)\]"] + BATCH,
    "batch.mjs": [r"^1 rejected: \[ '/messages/1/to invalid_number' \]"] + BATCH,
    "pair_sender.sh": [r"^snd_\w+ is paired$"],
    "check.sh": [r"^gateway_senders", r"^well$"],
}


def run(name, *arguments, folder, **environment):
    path = EXAMPLES / name
    result = subprocess.run(
        [*RUNNERS[path.suffix], str(path), *arguments], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=DEADLINE)
    if result.returncode != 0:
        raise Wrong(f"exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


def verb(*arguments):
    """What `gateway` prints as JSON, in the sandbox's own data directory."""
    command = [os.environ["GATEWAY"], *arguments, "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE).stdout)


class Wrong(Exception):
    pass


def expect(patterns, output):
    place = 0
    for pattern in patterns:
        found = re.compile(pattern, re.M).search(output, place)
        if not found:
            raise Wrong(f"does not print {pattern!r}:\n{output}")
        place = found.end()


def plain(name):
    with tempfile.TemporaryDirectory() as folder:
        expect(EXPECTED[name], run(name, folder=folder))


def hourly(name):
    result = subprocess.run(["bash", EXAMPLES / name], capture_output=True, text=True, timeout=DEADLINE)
    if result.returncode != 0:
        raise Wrong(result.stdout + result.stderr)
    expect([r'"job":"message_bodies","succeeded":true'], result.stdout)


def pull_events(name):
    """The first call begins the log; what is sent after it is in the second one."""
    with tempfile.TemporaryDirectory() as folder:
        run(name, folder=folder)
        message = re.search(r"msg_\w+", run("send.py", folder=folder))[0]
        seen = ""
        end = time.monotonic() + DEADLINE
        while "message.delivered" not in seen:
            if time.monotonic() > end:
                raise Wrong(f"no message.delivered in:\n{seen}")
            seen += run(name, folder=folder)
        if message not in seen and not name.endswith(".sh"):
            raise Wrong(f"no {message} in:\n{seen}")


def receive_webhooks(name):
    """Starts the receiver, sends a message, and waits for the line that tells of its delivery."""
    path = EXAMPLES / name
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        receiver = subprocess.Popen(
            [*RUNNERS[path.suffix], str(path)], cwd=folder, env={**os.environ, "WEBHOOK_URL": f"http://127.0.0.1:{port}/hooks"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            line = receiver.stdout.readline()
            if not re.match(r"registered whk_\w+$", line):
                raise Wrong(line + receiver.stdout.read())
            end = time.monotonic() + DEADLINE
            while '"status":"enabled"' not in api(f"/v1/webhook-endpoints/{line.split()[1]}"):
                if time.monotonic() > end:
                    raise Wrong("the endpoint was not enabled: the challenge was not answered")
                time.sleep(0.2)
            message = re.search(r"msg_\w+", run("send.py", folder=folder))[0]
            for line in receiver.stdout:
                if line.split() == ["message.delivered", message]:
                    return
            raise Wrong("the receiver ended")
        finally:
            receiver.kill()
            receiver.wait()


def telegram_alert(name):
    """Links a chat. The first alert is already waiting for one: the demonstration's API key was made. A button under it acknowledges it."""
    with tempfile.TemporaryDirectory() as folder:
        expect([r"https://t.me/\w+\?start=[\w-]{43}$", r"^It was taken by: Siti$", r"^chn_\w+ is linked"], run(name, folder=folder))
    telegram = os.environ["TELEGRAM_URL"]
    start = time.monotonic()

    def wait(what, look):
        while not (found := look()):
            if time.monotonic() > start + DEADLINE:
                raise Wrong(f"no {what}; the chat has {get(telegram + '/control/messages?chat=42')}")
            time.sleep(0.5)
        return found

    def alerts():
        return [m for m in json.loads(get(telegram + "/control/messages?chat=42"))["messages"] if m["buttons"]]

    alert = wait("alert", alerts)[0]
    print(f"examples: the first alert was in the chat {time.monotonic() - start:.1f} s after it was linked")
    get(telegram + "/control/press", "-d", json.dumps({"chat": 42, "message": alert["message"], "button": 1}))
    wait("acknowledgement", lambda: '"acknowledged_by":{"channel":"chn_' in api("/v1/alerts/history?kind=key_created"))
    complaints = get(telegram + "/control/complaints")
    if "[]" not in complaints.replace(" ", ""):
        raise Wrong(f"the fake Telegram complains: {complaints}")


def get(url, *headers):
    return subprocess.run(["curl", "-sS", "--max-time", "30", url, *headers], capture_output=True, text=True, check=True).stdout


def api(path):
    return get(os.environ["GATEWAY_URL"] + path, "-H", f"Authorization: Bearer {os.environ['GATEWAY_KEY']}")


def close_account(name):
    """With an account of its own, made as an operator makes one."""
    account = verb("account", "create", "To be closed")["id"]
    key = verb("key", "create", "--account", account, "--label", "owner")
    with tempfile.TemporaryDirectory() as folder:
        expect([r'"receipt":"\w+"', r"^closed$"], run(name, account, folder=folder, GATEWAY_KEY=key["secret"]))


SPECIAL = {
    **{name: pull_events for name in ("pull_events.sh", "pull_events.py", "pull_events.mjs")},
    **{name: receive_webhooks for name in ("receive_webhooks.py", "receive_webhooks.mjs")},
    "close_account.sh": close_account, "hourly.sh": hourly, "telegram_alert.sh": telegram_alert,
}


def main():
    failed = skipped = 0
    names = sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in RUNNERS)
    unknown = set(names) - set(EXPECTED) - set(SPECIAL)
    if unknown:
        sys.exit(f"examples: nobody says what {', '.join(sorted(unknown))} should print")
    for name in names:
        if not shutil.which(RUNNERS[Path(name).suffix][0]):
            skipped += 1
            print(f"examples: {name} left out: there is no {RUNNERS[Path(name).suffix][0]}")
            continue
        start = time.monotonic()
        try:
            SPECIAL.get(name, plain)(name)
            print(f"examples: {name} in {time.monotonic() - start:.1f} s")
        except (Wrong, subprocess.SubprocessError, KeyError, TypeError) as wrong:
            failed += 1
            print(f"examples: {name} FAILED: {wrong}")
    print(f"examples: {len(names) - failed - skipped} ran, {failed} failed, {skipped} left out")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
