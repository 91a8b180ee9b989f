"""Two of our servers: mail goes on to the next hop, waits while that is down, and comes back as a notice when it cannot go."""

import email
import email.policy
import os
import re
import smtplib
import socket
import time
import unittest

import harness
from harness import DOMAIN, Server

NEXT = "next.test"
# SMTP's own port, of loopback addresses that nobody else uses.
MX_ADDRESS, DEAD_ADDRESS, PLAIN_ADDRESS = "127.99.77.25", "127.99.77.26", "127.99.77.27"
ZONE = f"""\
$ORIGIN test.
$TTL 60
@           SOA ns.test. root.test. 1 60 60 60 60
next        MX 5 dead.next.test.
next        MX 10 mx.next.test.
mx.next     A {MX_ADDRESS}
dead.next   A {DEAD_ADDRESS}
implicit    A {MX_ADDRESS}
nullmx      MX 0 .
loop        MX 10 example.test.
"""


def port_25_is_ours():
    try:
        with socket.socket() as probe:
            probe.bind((MX_ADDRESS, 25))
        return True
    except OSError:
        return False


def send(server, recipient, sender=f"alice@{DOMAIN}", subject="on its way", options=()):
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], local_hostname="client.test", timeout=20) as smtp:
        smtp.sendmail(sender, [recipient], f"Subject: {subject}\r\nFrom: <{sender}>\r\n\r\nText of {subject}.\r\n",
                      rcpt_options=options)


def parse(path):
    with open(path, "rb") as file:
        return email.message_from_bytes(file.read(), policy=email.policy.default)


class Relay(unittest.TestCase):
    def next_hop(self, **more):
        server = Server(domain=NEXT, **more)
        self.addCleanup(server.close)
        return server

    def first_hop(self, action, extra="", domain=f'"{NEXT}"'):
        server = Server(extra="queue retry-delay 1s\n" + extra,
                        rules=f'action "onward" {action}\nmatch for domain {domain} action "onward"',
                        files={"zone": ZONE})
        self.addCleanup(server.close)
        return server

    def wait_for_log(self, server, pattern, seconds=15):
        deadline = time.monotonic() + seconds
        while not re.search(pattern, server.log()):
            self.assertLess(time.monotonic(), deadline, f"no {pattern} in\n{server.log()}")
            time.sleep(0.05)

    def notice(self, server, status, about):
        """The one notice that alice gets: checked as RFC 3464 and RFC 3461 §6 want it."""
        path = server.wait_for_messages("alice", 1)[0]
        message = parse(path)
        self.assertEqual(message.get_content_type(), "multipart/report")
        self.assertEqual(message.get_param("report-type"), "delivery-status")
        self.assertEqual(message["Return-Path"], "<>")
        parts = list(message.iter_parts())
        self.assertEqual(parts[1].get_content_type(), "message/delivery-status")
        of_recipient = parts[1].get_payload()[1]
        self.assertEqual(of_recipient["Action"], "failed")
        self.assertRegex(of_recipient["Status"], status)
        self.assertEqual(of_recipient["Final-Recipient"].replace(" ", ""), f"rfc822;{about}")
        self.assertIn(parts[2].get_content_type(), ("message/rfc822", "text/rfc822-headers"))
        self.assertIn("on its way", parts[2].as_string())
        return message

    def test_to_a_host_with_opportunistic_tls(self):
        last = self.next_hop()
        first = self.first_hop(f'relay host "smtp://127.0.0.1:{last.ports["smtp"]}"')
        send(first, f"bob@{NEXT}")
        message = parse(last.wait_for_messages("bob", 1)[0])
        self.assertEqual(message.get_content().strip(), "Text of on its way.")
        self.assertEqual(message["Return-Path"], f"<alice@{DOMAIN}>")
        received = message.get_all("Received")
        self.assertEqual(len(received), 2)
        self.assertIn("ESMTPS", received[0])
        self.assertIn(f"from {DOMAIN}", received[0])
        self.assertIn("from client.test", received[1])

    def test_to_a_host_without_tls(self):
        last = self.next_hop()
        first = self.first_hop(f'relay host "smtp+notls://127.0.0.1:{last.ports["smtp"]}"')
        send(first, f"bob@{NEXT}")
        received = parse(last.wait_for_messages("bob", 1)[0]).get_all("Received")
        self.assertNotIn("ESMTPS", received[0])

    def test_a_certificate_that_must_be_right_and_is_not(self):
        """smtp+tls verifies: a self-signed certificate gets no mail, and the mail waits."""
        last = self.next_hop()
        first = self.first_hop(f'relay host "smtp+tls://127.0.0.1:{last.ports["smtp"]}"')
        send(first, f"bob@{NEXT}")
        self.wait_for_log(first, "result=.?TempFail|tempfail")
        self.assertEqual(last.messages("bob"), [])

    @unittest.skipUnless(port_25_is_ours(), "may not listen on port 25 of a loopback address")
    def test_by_mx(self):
        last = self.next_hop(extra=f"listen on {MX_ADDRESS} port 25 tls pki {NEXT}")
        first = self.first_hop("relay", extra='resolver zone "{home}/zone"', domain='{{ "next.test", "implicit.test" }}')
        send(first, f"bob@{NEXT}")
        message = parse(last.wait_for_messages("bob", 1)[0])
        self.assertIn("ESMTPS", message.get_all("Received")[0])

    def test_next_hop_down_then_back(self):
        last = self.next_hop()
        last.stop()
        first = self.first_hop(f'relay host "smtp://127.0.0.1:{last.ports["smtp"]}"')
        send(first, f"bob@{NEXT}")
        send(first, f"alice@{NEXT}")
        self.wait_for_log(first, "result=.?TempFail|tempfail")
        self.assertEqual(first.stop(), 0)
        first.start()  # what waits survives
        last.start()
        last.wait_for_messages("bob", 1)
        last.wait_for_messages("alice", 1)
        time.sleep(1)
        self.assertEqual((len(last.messages("bob")), len(last.messages("alice"))), (1, 1))
        self.assertEqual(first.messages("alice"), [], "nobody is bothered while there is hope")

    def test_refused_for_good(self):
        last = self.next_hop()
        first = self.first_hop(f'relay host "smtp://127.0.0.1:{last.ports["smtp"]}"',
                               domain='{{ "next.test", "stranger.test" }}')
        # Nobody there has that name; the next hop does not relay for that domain.
        for recipient, code in ((f"nobody@{NEXT}", "524"), ("bob@stranger.test", "550")):
            with self.subTest(recipient=recipient):
                send(first, recipient)
                path = first.wait_for_messages("alice", 1)[0]
                message = self.notice(first, r"^5\.\d\.\d$", recipient)
                self.assertRegex(message.as_string(), rf"Diagnostic-Code: smtp; ?{code}")
                self.assertRegex(message["Auto-Submitted"], "^auto-replied")
                os.unlink(path)

    def test_domains_that_take_no_mail(self):
        first = self.first_hop("relay", extra='resolver zone "{home}/zone"', domain='{{ "nowhere.test", "nullmx.test" }}')
        for domain, status in (("nowhere.test", r"^5\.1\.2"), ("nullmx.test", r"^5\.1\.10|^5\.1\.2")):
            with self.subTest(domain=domain):
                send(first, f"bob@{domain}")
                path = first.wait_for_messages("alice", 1)[0]
                self.notice(first, status, f"bob@{domain}")
                os.unlink(path)

    def test_it_gives_up_when_its_time_is_over(self):
        first = self.first_hop(f'relay host "smtp://127.0.0.1:{harness.free_ports(1)[0]}" ttl 2s')
        send(first, f"bob@{NEXT}")
        self.notice(first, r"^[45]\.4\.\d", f"bob@{NEXT}")

    def test_nobody_is_told_about_a_notice(self):
        """RFC 5321 §6.1: a failure of mail with a null sender ends there; NOTIFY=NEVER (RFC 3461 §4.1) wants the same."""
        last = self.next_hop()
        first = self.first_hop(f'relay host "smtp://127.0.0.1:{last.ports["smtp"]}"')
        send(first, f"nobody@{NEXT}", sender="")
        send(first, f"nobody@{NEXT}", options=("NOTIFY=NEVER",))
        self.wait_for_log(first, r"(?s)(PermFail|permfail).*(PermFail|permfail)")
        time.sleep(2.5)  # longer than a notice waits for other recipients
        for server in (first, last):
            for name in ("alice", "bob"):
                self.assertEqual(server.messages(name), [])

    def test_success_is_told_when_asked_for(self):
        last = self.next_hop()
        first = self.first_hop(f'relay host "smtp://127.0.0.1:{last.ports["smtp"]}"')
        send(first, f"bob@{NEXT}", options=("NOTIFY=SUCCESS",))
        last.wait_for_messages("bob", 1)
        # The next hop knows DSN and says it itself: its notice has no way back here, so nothing more comes of it.
        time.sleep(1.5)
        self.assertEqual(first.messages("alice"), [])


if __name__ == "__main__":
    unittest.main()
