"""Webhooks of `avalon dev`, verified by the package `standardwebhooks`.

Run by scripts/check-clients, which sets AVALON_URL, SIMULATOR_URL, WEBHOOK_PORT and WEBHOOK_SECRET.
"""

import json
import os
import threading
import unittest
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

AVALON = os.environ["AVALON_URL"]
SIMULATOR = os.environ["SIMULATOR_URL"]
PORT = int(os.environ["WEBHOOK_PORT"])
SECRET = os.environ["WEBHOOK_SECRET"]
APP_ID = "wx0123456789abcdef"


def post(url, body, **headers):
    headers = {"Content-Type": "application/json"} | headers
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.status, json.load(response)


class GameServer(BaseHTTPRequestHandler):
    """Rejects the first delivery and accepts the later ones."""

    received = Queue()
    seen = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        GameServer.received.put((dict(self.headers.items()), body))
        GameServer.seen += 1
        self.send_response(503 if GameServer.seen == 1 else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


class Webhooks(unittest.TestCase):
    def setUp(self):
        server = ThreadingHTTPServer(("127.0.0.1", PORT), GameServer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)

    def test_webhook_of_a_paid_order_verifies_and_so_does_its_retry(self):
        _, session = post(AVALON + "/api/wx/login", {"code": "sim-webhooks"})
        status, order = post(
            AVALON + "/api/wx/createOrder",
            {"productId": "gems-60", "quantity": 1},
            **{"Authorization": f"Bearer {session['token']}", "Idempotency-Key": "webhook-1"},
        )
        self.assertEqual(status, 200, order)
        _, done = post(
            SIMULATOR + "/_sim/pay/request-payment", {"appId": APP_ID} | order["payParams"]
        )
        self.assertEqual(done["errMsg"], "requestPayment:ok")

        webhook = Webhook(SECRET)
        ids = set()
        for _ in range(2):
            headers, body = GameServer.received.get(timeout=20)
            event = webhook.verify(body, headers)
            self.assertEqual(event["type"], "order.paid")
            self.assertEqual(event["data"]["_id"], order["orderId"])
            ids.add({name.lower(): value for name, value in headers.items()}["webhook-id"])
            with self.assertRaises(WebhookVerificationError):
                webhook.verify(body.replace(b"order.paid", b"order.Paid"), headers)
            with self.assertRaises(WebhookVerificationError):
                Webhook("whsec_" + "A" * 32).verify(body, headers)
        self.assertEqual(len(ids), 1, "a retry has the same id")


if __name__ == "__main__":
    unittest.main()
