"""The simulator as the WeChat Pay of `wechatpayv3`, a public SDK, in both key modes.

Run by scripts/check-clients, which sets SIMULATOR_URL. The SDK is used as published; only its gateway is
replaced. Callbacks are passed to it with the header names that arrived, which it looks up case-sensitively.
"""

import gzip
import hashlib
import json
import os
import threading
import time
import unittest
import urllib.request
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue

from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpayv3.core import Core

SIMULATOR = os.environ["SIMULATOR_URL"]
KEYS = Path(__file__).parents[2] / "simulator/src/pay/test_keys"

# The public test merchant of the simulator.
APP_ID = "wx0123456789abcdef"
MCH_ID = "1900012345"
MERCHANT_SERIAL = "3A7C19E45B08D2F6617B90AC4E5D83F1276BC05E"
API_V3_KEY = "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0u"
PUBLIC_KEY_ID = "PUB_KEY_ID_0119000123452026010100000000000001"
OPEN_ID = "oTest_0123456789abcdefghijkl"

# The SDK has no setting for it: its constructor assigns the official gateway, which this ignores.
Core._gate_way = property(lambda core: SIMULATOR, lambda core, official: None)


def control(method, path, body=None):
    """Calls a control route of the simulator; returns its JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(SIMULATOR + "/_sim" + path, data, method=method)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read() or b"null")


def merchant(notify_url, **keys):
    return WeChatPay(
        wechatpay_type=WeChatPayType.MINIPROG,
        mchid=MCH_ID,
        private_key=(KEYS / "merchant_key.pem").read_text(),
        cert_serial_no=MERCHANT_SERIAL,
        appid=APP_ID,
        apiv3_key=API_V3_KEY,
        notify_url=notify_url,
        timeout=(5, 10),
        **keys,
    )


class Inbox:
    """An endpoint that acknowledges callbacks and records headers and body."""

    def __init__(self):
        received = self.received = Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.put((dict(self.headers.items()), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/notify"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self):
        return self.received.get(timeout=10)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class BothModes:
    """The tests, run once per key mode."""

    key_mode = None
    signer_prefix = None

    def client(self):
        raise NotImplementedError

    def setUp(self):
        request = urllib.request.Request(SIMULATOR + "/_sim/reset", b"", method="POST")
        urllib.request.urlopen(request, timeout=10).close()
        control("PUT", "/pay/settings", {"keyMode": self.key_mode, "refundDelayMs": 50})
        self.inbox = Inbox()
        self.addCleanup(self.inbox.close)
        self.pay = self.client()

    def ok(self, answer, status=200):
        code, message = answer
        self.assertEqual(code, status, message)
        return json.loads(message) if message else None

    def order(self, number, total=648):
        answer = self.pay.pay(
            description="星尘礼包 x1",
            out_trade_no=number,
            amount={"total": total, "currency": "CNY"},
            payer={"openid": OPEN_ID},
            attach="player=42",
        )
        return self.ok(answer)["prepay_id"]

    def paid(self, number, total=648):
        self.order(number, total)
        control("POST", f"/pay/orders/{number}/pay", {})
        return self.callback("TRANSACTION.SUCCESS")

    def callback(self, event_type):
        """Returns the resource of the next callback, verified and decrypted by the SDK."""
        headers, body = self.inbox.next()
        self.assertTrue(headers["Wechatpay-Serial"].startswith(self.signer_prefix), headers)
        event = self.pay.callback(headers, body)
        self.assertIsNotNone(event, "signature or decryption")
        self.assertEqual(event["event_type"], event_type)
        # A changed body must fail.
        self.assertIsNone(self.pay.callback(headers, body.replace(b'"summary"', b'"Summary"')))
        return event["resource"]

    def test_order_is_paid_with_the_parameters_of_the_client(self):
        prepay_id = self.order("T-000001")
        package, stamp, nonce = f"prepay_id={prepay_id}", str(int(time.time())), "nonce"
        signature = self.pay.sign([APP_ID, stamp, nonce, package])
        parameters = {
            "appId": APP_ID,
            "timeStamp": stamp,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": signature,
        }
        done = control("POST", "/pay/request-payment", parameters)
        self.assertEqual(done["errMsg"], "requestPayment:ok")
        paid = self.callback("TRANSACTION.SUCCESS")
        self.assertEqual(paid["out_trade_no"], "T-000001")
        self.assertEqual(paid["amount"]["total"], 648)
        by_number = self.ok(self.pay.query(out_trade_no="T-000001"))
        by_id = self.ok(self.pay.query(transaction_id=paid["transaction_id"]))
        self.assertEqual(by_number, by_id)
        self.assertEqual(by_number["trade_state"], "SUCCESS")

    def test_unpaid_order_is_closed(self):
        self.order("T-000001")
        self.assertEqual(self.ok(self.pay.query(out_trade_no="T-000001"))["trade_state"], "NOTPAY")
        self.assertIsNone(self.ok(self.pay.close("T-000001"), 204))
        self.assertEqual(self.ok(self.pay.query(out_trade_no="T-000001"))["trade_state"], "CLOSED")

    def test_errors_are_returned(self):
        error = self.ok(self.pay.query(out_trade_no="T-000001"), 404)
        self.assertEqual(error["code"], "ORDER_NOT_EXIST")

    def test_payment_is_refunded(self):
        transaction_id = self.paid("T-000001")["transaction_id"]
        refund = self.ok(
            self.pay.refund(
                out_refund_no="R-1",
                transaction_id=transaction_id,
                amount={
                    "refund": 300,
                    "total": 648,
                    "currency": "CNY",
                    "from": [{"account": "AVAILABLE", "amount": 300}],
                },
            )
        )
        self.assertEqual(refund["status"], "PROCESSING")
        self.assertEqual(refund["amount"]["from"], [{"account": "AVAILABLE", "amount": 300}])
        self.assertEqual(self.callback("REFUND.SUCCESS")["refund_status"], "SUCCESS")
        self.assertEqual(self.ok(self.pay.query_refund("R-1"))["status"], "SUCCESS")

    def test_abnormal_refund_is_sent_to_another_card(self):
        control("PUT", "/pay/settings", {"refundOutcome": "abnormal"})
        self.paid("T-000001")
        amount = {"refund": 648, "total": 648, "currency": "CNY"}
        answer = self.pay.refund(out_refund_no="R-1", out_trade_no="T-000001", amount=amount)
        refund = self.ok(answer)
        self.assertEqual(self.callback("REFUND.ABNORMAL")["refund_status"], "ABNORMAL")
        control("PUT", "/pay/settings", {"refundOutcome": "success"})
        answer = self.pay.abnormal_refund(
            refund_id=refund["refund_id"],
            out_refund_no="R-1",
            type="USER_BANK_CARD",
            bank_type="ICBC_DEBIT",
            bank_account="6222020000000000123",
            real_name="张三",
        )
        self.assertEqual(self.ok(answer)["status"], "PROCESSING")
        done = self.callback("REFUND.SUCCESS")
        self.assertTrue(done["user_received_account"].endswith("0123"), done)

    def test_bill_matches_its_hash(self):
        control("PUT", "/pay/settings", {"billsAtOnce": True})
        self.paid("T-000001")
        today = datetime.now(timezone(timedelta(hours=8))).date().isoformat()
        compressed = self.ok(self.pay.trade_bill(today))
        status, content = self.pay.download_bill(compressed["download_url"])
        self.assertEqual(status, 200)
        csv = gzip.decompress(content)
        self.assertEqual(hashlib.sha1(csv).hexdigest(), compressed["hash_value"])
        self.assertIn("`T-000001", csv.decode("utf-8-sig"))
        plain = self.ok(self.pay._core.request(f"/v3/bill/tradebill?bill_date={today}"))
        self.assertEqual(self.pay.download_bill(plain["download_url"]), (200, csv))


class PublicKeyMode(BothModes, unittest.TestCase):
    key_mode = "publicKeyOnly"
    signer_prefix = "PUB_KEY_ID_"

    def client(self):
        return merchant(
            self.inbox.url,
            public_key=(KEYS / "platform_public_key.pem").read_text(),
            public_key_id=PUBLIC_KEY_ID,
        )


class CertificateMode(BothModes, unittest.TestCase):
    """The SDK downloads and decrypts the platform certificates."""

    key_mode = "certificateOnly"
    signer_prefix = "5D20E6B1"

    def client(self):
        return merchant(self.inbox.url)

    def test_newer_certificate_is_fetched_when_it_signs(self):
        control("POST", "/pay/certificates/rotate", {})
        self.order("T-000001")
        self.signer_prefix = "6E31F7C2"
        control("POST", "/pay/orders/T-000001/pay", {})
        self.callback("TRANSACTION.SUCCESS")

    def test_merchant_without_certificates_needs_the_public_key(self):
        control("PUT", "/pay/settings", {"keyMode": "publicKeyOnly"})
        with self.assertRaisesRegex(Exception, "No wechatpay platform certificate"):
            self.client()


if __name__ == "__main__":
    unittest.main()
