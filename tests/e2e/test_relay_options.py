"""The options of a relay action between two of our servers: names, certificates, rewritten senders and their way back."""

import os
import re
import shutil
import smtplib
import subprocess
import tempfile
import time
import unittest

import harness
from harness import DOMAIN

NEXT = "next.test"
NEXT_CONFIG = """\
mailname "mx.next.test"
spool "{data}/spool"
pki house cert "{folder}/server.pem" key "{folder}/server.key"
ca house cert "{folder}/ca.pem"
table addresses file:{home}/addresses
table accounts file:{home}/accounts
listen on 127.0.0.1 port {smtp}
listen on 127.0.0.1 port {submission} smtps verify pki house ca house protocols "TLSv1.2"
listen on 127.0.0.1 port {imap} tag A
listen on 127.0.0.1 port {imaps} tag B
action "here" maildir "{data}/mail/%{{user.username}}" virtual <addresses> userbase <accounts>
match from any for domain "next.test" action "here"
"""


class RelayOptions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="postern-relay-options-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)

        def run(*command):
            subprocess.run(command, check=True, capture_output=True, cwd=cls.folder)

        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=House CA", "-keyout", "ca.key",
            "-out", "ca.pem")
        for name, alternative in (("server", "IP:127.0.0.1"), ("client", "DNS:client.test")):
            run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-addext",
                f"subjectAltName={alternative}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            run("openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                "2", "-copy_extensions", "copy", "-out", f"{name}.pem")
            os.chmod(f"{cls.folder}/{name}.key", 0o600)

    def setUp(self):
        self.next = harness.Server(config=NEXT_CONFIG.replace("{folder}", self.folder), domain=NEXT)
        self.addCleanup(self.next.close)

    def first_hop(self, action, extra="", rules="", files=None):
        head = f'pki client cert "{self.folder}/client.pem" key "{self.folder}/client.key"\nca house cert "{self.folder}/ca.pem"\n'
        server = harness.Server(extra="queue retry-delay 1s\n" + head + extra,
                                rules=f'action "onward" {action}\nmatch from any for domain "{NEXT}" action "onward"\n' + rules, files=files)
        self.addCleanup(server.close)
        return server

    @staticmethod
    def send(server, recipient, sender, subject="x"):
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], local_hostname="client.test", timeout=20) as smtp:
            smtp.sendmail(sender, [recipient], f"Subject: {subject}\r\n\r\nhello\r\n")

    def arrived(self, name="bob", count=1):
        with open(self.next.wait_for_messages(name, count)[-1], encoding="utf-8") as file:
            return file.read()

    def wait_for_log(self, server, pattern, seconds=15):
        deadline = time.monotonic() + seconds
        while not re.search(pattern, server.log()):
            self.assertLess(time.monotonic(), deadline, f"no {pattern} in\n{server.log()}")
            time.sleep(0.05)

    def test_a_client_certificate_to_a_server_that_demands_one(self):
        url = f"smtps://127.0.0.1:{self.next.ports['submission']}"
        server = self.first_hop(f'relay host "{url}" pki client ca house protocols "TLSv1.2" ciphers "ECDHE+CHACHA20"')
        self.send(server, f"bob@{NEXT}", f"alice@{DOMAIN}")
        self.assertRegex(self.arrived(), r"\(TLSv1\.2:ECDHE-RSA-CHACHA20-POLY1305:256:YES\)")
        # Without it there is no handshake, and the mail waits.
        bare = self.first_hop(f'relay host "{url}" ca house')
        self.send(bare, f"bob@{NEXT}", f"alice@{DOMAIN}")
        self.wait_for_log(bare, 'result="TempFail"')
        self.wait_for_log(self.next, "gave no certificate, and one is required")
        self.assertEqual(len(self.next.messages("bob")), 1)

    def test_a_server_of_another_authority_is_not_given_the_mail(self):
        url = f"smtps://127.0.0.1:{self.next.ports['submission']}"
        server = self.first_hop(f'relay host "{url}" pki client ca other', extra='ca other cert "{home}/cert.pem"\n')
        self.send(server, f"bob@{NEXT}", f"alice@{DOMAIN}")
        self.wait_for_log(server, 'result="TempFail"')
        self.assertEqual(self.next.messages("bob"), [])

    def test_the_name_and_the_next_hop_come_from_tables(self):
        server = self.first_hop(f'relay domain {{{{ {NEXT} = "smtp+notls://127.0.0.1:{self.next.ports["smtp"]}" }}}} '
                                'helo-src {{ "127.0.0.1" = source.example.test }}')
        self.send(server, f"bob@{NEXT}", f"alice@{DOMAIN}")
        self.assertIn("from source.example.test (", self.arrived())

    def test_a_source_that_cannot_be_bound_holds_nothing_up(self):
        """The table gives one after the other: an address that is not ours, one of the other family as SMTP writes it,
        and one that works."""
        server = self.first_hop(f'relay host "smtp+notls://127.0.0.1:{self.next.ports["smtp"]}" src <sources>',
                                extra='table sources file:{home}/sources\n',
                                files={"sources": "192.0.2.77\n[2001:db8::7]\n127.0.0.1\n"})
        for _ in range(4):
            self.send(server, f"bob@{NEXT}", f"alice@{DOMAIN}")
        self.arrived(count=4)
        self.assertNotIn("TempFail", server.log())

    def test_a_forwarded_message_and_its_bounce(self):
        next_url = f"smtp+notls://127.0.0.1:{self.next.ports['smtp']}"
        server = self.first_hop(f'relay host "{next_url}" srs', extra='srs key "s3cret"\n')
        with open(f"{server.home}/addresses", "a", encoding="utf-8") as file:
            file.write(f"list@{DOMAIN} bob@{NEXT}\n")
        server.process.send_signal(1)
        self.wait_for_log(server, "configuration reloaded")
        # alice@next.test writes to the list here, which goes on to bob@next.test.
        self.send(server, f"list@{DOMAIN}", f"alice@{NEXT}")
        text = self.arrived()
        made = re.search(r"Return-Path: <(SRS0=....=..=next\.test=alice@example\.test)>", text)
        self.assertIsNotNone(made, text)
        # A bounce to that address goes to alice; one to an address that is none of ours goes nowhere.
        self.send(server, made.group(1), "", "the bounce")
        self.assertIn("Subject: the bounce", self.arrived("alice"))
        for wrong in (made.group(1).replace("alice", "bob"), made.group(1).replace("SRS0=", "SRS0=x")):
            with self.assertRaises(smtplib.SMTPRecipientsRefused):
                self.send(server, wrong, "")
        # Only bounces are: whoever has a name of his own cannot relay that way.
        with self.assertRaises(smtplib.SMTPRecipientsRefused):
            self.send(server, made.group(1), f"spammer@{NEXT}")


if __name__ == "__main__":
    unittest.main()
