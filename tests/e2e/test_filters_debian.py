"""Debian's own filters, unmodified, under us: opensmtpd-filter-dkimsign, whose signatures our verifier passes,
opensmtpd-filter-rspamd with a real rspamd, opensmtpd-filter-senderscore."""

import base64
import os
import shutil
import smtplib
import socket
import subprocess
import time
import unittest

import harness
from harness import DOMAIN
from test_filter_programs import CONFIG

FOLDER = "/usr/libexec/opensmtpd"
RSPAMD = """\
options {{
  pidfile = "{home}/rspamd.pid"; tempdir = "{home}"; hs_cache_dir = "{home}"; control_socket = "{home}/control mode=0600";
  filters = ""; url_tld = "{home}/suffixes";
  dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "file"; filename = "{home}/rspamd.log"; level = "info"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
actions {{ reject = 15; "add header" = 6; }}
lua = "{home}/rules.lua";
"""
JUNK_RULE = """\
rspamd_config.TEST_JUNK = {
  callback = function(task) return task:get_header('Subject') == 'buy this' end,
  score = 8.0,
}
"""
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


def has(name):
    return os.path.exists(f"{FOLDER}/{name}")


class DebianFilters(unittest.TestCase):
    def serve(self, extra, prepare=None):
        server = harness.Server(config=CONFIG, extra=extra, prepare=prepare)
        self.addCleanup(server.close)
        return server

    def send(self, server, message, count=1):
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=120) as smtp:
            smtp.sendmail(f"bob@{DOMAIN}", [f"alice@{DOMAIN}"], message)
        with open(server.wait_for_messages("alice", count)[-1], "rb") as file:
            return file.read()

    @unittest.skipUnless(has("filter-dkimsign"), "no opensmtpd-filter-dkimsign")
    def test_what_dkimsign_signs_we_verify(self):
        def prepare(server):
            subprocess.run(["openssl", "genrsa", "-out", f"{server.home}/dkim.pem", "2048"], check=True, capture_output=True)

        server = self.serve(f'filter under_test proc-exec "filter-dkimsign -d {DOMAIN} -s sel -t -k {{home}}/dkim.pem"\n', prepare)
        public = subprocess.run(["openssl", "rsa", "-in", f"{server.home}/dkim.pem", "-pubout", "-outform", "DER"], check=True,
                                capture_output=True).stdout
        key = base64.b64encode(public).decode()
        harness.write(f"{server.home}/zone",
                      f'sel._domainkey.{DOMAIN}. IN TXT "v=DKIM1; k=rsa; p={key[:200]}" "{key[200:]}"\n')
        head = f"From: Bob <bob@{DOMAIN}>\r\nTo: alice@{DOMAIN}\r\nSubject: signed\r\nDate: Tue, 1 Jul 2003 10:52:37 +0200\r\n\r\n"
        bodies = ["body\r\n", ".\r\n..two\r\n. three\r\n", "", "x" * 900 + "\r\n\r\n\r\n", "line\r\n" * 20000]
        for number, body in enumerate(bodies, 1):
            with self.subTest(body=body[:20]):
                before = set(server.messages("alice"))
                with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=60) as smtp:
                    smtp.sendmail(f"bob@{DOMAIN}", [f"alice@{DOMAIN}"], head + body)
                new, = set(server.wait_for_messages("alice", number)) - before
                with open(new, "rb") as file:
                    text = file.read()
                self.assertIn(b"DKIM-Signature: v=1; a=rsa-sha256;", text)
                verified = subprocess.run([harness.POSTERN, "dkim", "verify", "--zone", f"{server.home}/zone"],
                                          input=text.replace(b"\n", b"\r\n"), capture_output=True, check=False)
                self.assertEqual(verified.returncode, 0, (verified.stdout, verified.stderr, text[:2000]))
                self.assertIn(b"pass", verified.stdout)

    def rspamd(self, extra):
        """A server whose filter `rspamd` is Debian's, with a real rspamd behind it."""
        port, = harness.free_ports(1)

        def prepare(server):
            harness.write(f"{server.home}/rspamd.conf", RSPAMD.format(home=server.home, port=port))
            harness.write(f"{server.home}/suffixes", "com\ntest\n")
            harness.write(f"{server.home}/rules.lua", JUNK_RULE)
            os.chmod(server.home, 0o755)
            rspamd = subprocess.Popen(["rspamd", "-f", "-i", "-c", f"{server.home}/rspamd.conf"], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            self.addCleanup(rspamd.wait)
            self.addCleanup(rspamd.terminate)
            deadline = time.monotonic() + 100
            while time.monotonic() < deadline:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    return
                except OSError:
                    time.sleep(0.1)
            self.fail("rspamd does not start")

        return self.serve(f'filter rspamd proc-exec "filter-rspamd -url http://127.0.0.1:{port}"\n{extra}', prepare)

    @unittest.skipUnless(has("filter-rspamd") and shutil.which("rspamd"), "no rspamd and opensmtpd-filter-rspamd")
    def test_rspamd_scans(self):
        server = self.rspamd("filter under_test chain {{ rspamd }}\n")
        head = f"From: Bob <bob@{DOMAIN}>\r\nTo: alice@{DOMAIN}\r\nMessage-ID: <1@{DOMAIN}>\r\nSubject: x\r\n\r\n"
        fine = self.send(server, head + "How are you?\r\n.dot\r\n")
        self.assertIn(b"\n\nHow are you?\n.dot\n", fine)
        self.assertNotIn(b"X-Spam", fine)
        # What rspamd was told of the message stands in its log.
        with open(f"{server.home}/rspamd.log", encoding="utf-8") as file:
            said = file.read()
        self.assertRegex(said, rf"qid: <[0-9a-f]{{8}}>, ip: 127\.0\.0\.1, from: <bob@{DOMAIN}>, \(default: F \(no action\)")
        self.assertIn(f"rcpts: <alice@{DOMAIN}>", said)

    @unittest.skipUnless(has("filter-rspamd") and shutil.which("rspamd"), "no rspamd and opensmtpd-filter-rspamd")
    def test_what_rspamd_decides_is_done(self):
        # A rule of ours before it, and one behind it that sees what it leaves.
        server = self.rspamd('filter ours phase rcpt-to match rcpt-to {{ "bob@example.test" }} reject "550 5.7.1 not bob"\n'
                             'filter quiet phase commit match ! src {{ "127.0.0.0/8" }} reject "550 5.7.1 not you"\n'
                             "filter under_test chain {{ ours, rspamd, quiet }}\n")
        head = f"From: Bob <bob@{DOMAIN}>\r\nTo: alice@{DOMAIN}\r\nMessage-ID: <1@{DOMAIN}>\r\nSubject: "
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=120) as smtp:
            # Several messages of one session: a verdict is of one message.
            with self.assertRaises(smtplib.SMTPDataError) as refused:
                smtp.sendmail(f"bob@{DOMAIN}", [f"alice@{DOMAIN}"], f"{head}x\r\n\r\n{GTUBE}\r\n\r\nmore\r\n")
            self.assertEqual(refused.exception.smtp_code, 550, refused.exception)
            smtp.sendmail(f"bob@{DOMAIN}", [f"alice@{DOMAIN}"], f"{head}buy this\r\n\r\nnow\r\n")
            refused = smtp.sendmail(f"bob@{DOMAIN}", [f"alice@{DOMAIN}", f"bob@{DOMAIN}"], f"{head}x\r\n\r\nharmless\r\n")
            self.assertEqual({to: code for to, (code, _) in refused.items()}, {f"bob@{DOMAIN}": 550})
        with open(server.wait_for_messages("alice", 1)[0], "rb") as file:
            fine = file.read()
        self.assertIn(b"\n\nharmless\n", fine)
        self.assertNotIn(b"X-Spam: yes", fine)
        with open(server.wait_for_messages("alice", 1, "/.Junk")[0], "rb") as file:
            junk = file.read()
        self.assertRegex(junk, rb"(?i)\nX-Spam: yes\n")
        self.assertRegex(junk, rb"\nX-Spam-Score: [0-9.]+")
        self.assertIn(b"Subject: buy this\n", junk)
        self.assertEqual((len(server.messages("alice")), len(server.messages("alice", "/.Junk"))), (1, 1))

    @unittest.skipUnless(has("filter-rspamd"), "no opensmtpd-filter-rspamd")
    def test_without_its_rspamd_mail_is_refused_for_now(self):
        port, = harness.free_ports(1)
        server = self.serve(f'filter under_test proc-exec "filter-rspamd -url http://127.0.0.1:{port}"\n')
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=120) as smtp:
            with self.assertRaises(smtplib.SMTPDataError) as refused:
                smtp.sendmail(f"bob@{DOMAIN}", [f"alice@{DOMAIN}"], "Subject: x\r\n\r\nbody\r\n")
        self.assertEqual(refused.exception.smtp_code, 421, "so the filter has it")
        self.assertNotIn("program-ended", server.log())

    @unittest.skipUnless(has("filter-senderscore"), "no opensmtpd-filter-senderscore")
    def test_senderscore_lets_through_whom_nobody_knows(self):
        server = self.serve('filter under_test proc-exec "filter-senderscore -blockBelow 10 -junkBelow 70 -slowFactor 100 -scoreHeader"\n')
        text = self.send(server, f"From: bob@{DOMAIN}\r\nSubject: x\r\n\r\nbody\r\n")
        self.assertIn(b"\n\nbody\n", text)


if __name__ == "__main__":
    unittest.main()
