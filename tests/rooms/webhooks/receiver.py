"""Receives spadework's webhooks: checks the signature first, does the work once for each id, and answers 2xx."""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# The secrets of `spadework webhooks list --secrets`; while one replaces the other, both, with a space between.
SECRETS = os.environ["WEBHOOK_SECRETS"].split()
TOLERANCE_S = 300


def signed(headers, body):
    """Whether one of our secrets signed this, within the last five minutes."""
    stamp = headers.get("webhook-timestamp", "")
    if not stamp.isascii() or not stamp.isdigit() or abs(time.time() - int(stamp)) > TOLERANCE_S:
        return False
    message = f"{headers.get('webhook-id', '')}.{stamp}.".encode() + body
    sent = headers.get("webhook-signature", "").encode().split(b" ")
    for secret in SECRETS:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        mine = b"v1," + base64.b64encode(hmac.digest(key, message, hashlib.sha256))
        if any(hmac.compare_digest(mine, one) for one in sent):
            return True
    return False


def work(event):
    """Whatever has to happen, once for each job that has ended."""
    print(event["type"], event["data"]["job_id"], flush=True)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(min(int(self.headers.get("content-length", 0)), 20_000))
        if not signed(self.headers, body):
            return self.answer(401)
        # Work and memory in one transaction: if the work fails, the id is forgotten and the next try does it.
        with sqlite3.connect("webhooks.db") as seen:
            seen.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY)")
            new = seen.execute("INSERT OR IGNORE INTO seen VALUES (?)", [self.headers["webhook-id"]]).rowcount
            if new:
                work(json.loads(body))
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8008"))), Receiver).serve_forever()
