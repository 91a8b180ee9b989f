"""spampd in the set-up that OpenSMTPD's examples have for proxies: mail goes out to it on loopback and comes back on a listener with
a tag; what SpamAssassin marked lies in the folder Junk."""

import os
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time
import unittest

import harness
from harness import DOMAIN

CONFIG = f"""\
mailname "mx.{{domain}}"
{harness.HEAD}\
listen on 127.0.0.1 port {{smtp}} tls pki {{domain}}
listen on 127.0.0.1 port {{submission}} tag CHECKED
{harness.IMAP}\
{harness.DELIVER}\
action "check" relay host "smtp+notls://127.0.0.1:{{proxy}}"
match tag CHECKED from any for domain "{{domain}}" action "deliver"
match from any for domain "{{domain}}" action "check"
"""
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
# Its own rules take a minute to compile on a slow machine, and want the network.
RULES = """\
body TEST_OF_SPAM /XJS\\*C4JDBQADN1\\.NSBN3\\*2IDNEN\\*GTUBE/
describe TEST_OF_SPAM the test for spam
score TEST_OF_SPAM 1000
add_header all Status _YESNO_ score=_SCORE_ tests=_TESTS_
add_header spam Flag _YESNOCAPS_
report_safe 0
use_bayes 0
"""
PLUGINS = "loadplugin Mail::SpamAssassin::Plugin::Check\n"
START_SECONDS = 60
MAIL_UID = 8


@unittest.skipUnless(shutil.which("spampd", path="/usr/sbin:" + os.environ["PATH"]) and os.getuid() == 0,
                     "no spampd, or not root, from whom it becomes another user")
class Spampd(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="postern-spampd-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        for name in ("rules", "home", "empty"):
            os.mkdir(f"{self.folder}/{name}", 0o755)
        os.chmod(self.folder, 0o755)
        os.chown(f"{self.folder}/home", MAIL_UID, MAIL_UID)
        harness.write(f"{self.folder}/rules/own.cf", RULES, 0o644)
        harness.write(f"{self.folder}/rules/own.pre", PLUGINS, 0o644)
        self.proxy, = harness.free_ports(1)
        self.server = harness.Server(config=CONFIG.replace("{proxy}", str(self.proxy)), options=("-u", "root"))
        self.addCleanup(self.server.close)
        self.process = None

    def start_spampd(self):
        # Where no syslogd is its log goes to a port of loopback that nobody listens on.
        # SpamAssassin looks for its rules and keeps its state at fixed places: it gets ours there, for itself alone.
        script = (f"set -e; for place in /usr/share/spamassassin /etc/spamassassin; do mount --bind {self.folder}/rules $place; done; "
                  f"[ ! -d /var/lib/spamassassin ] || mount --bind {self.folder}/empty /var/lib/spamassassin; "
                  f"mount --bind {self.folder}/home /var/cache/spampd; "
                  f"exec spampd --nodetach --host=127.0.0.1:{self.proxy} --relayhost=127.0.0.1:{self.server.ports['submission']} "
                  f"--children=2 --pid={self.folder}/home/pid --local-only --tagall --logsock=inet")
        with open(f"{self.folder}/said", "ab") as said:
            self.process = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "sh", "-c", script],
                                            stdout=said, stderr=said, env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin"))
        self.addCleanup(self.end_spampd)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.proxy), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        with open(f"{self.folder}/said", encoding="utf-8", errors="replace") as said:
            self.fail("spampd does not start:\n" + said.read())

    def end_spampd(self):
        """Ends all of its world, by the first process in it: that one has become another user, and with that it lost the signal
        that unshare's end would have sent it."""
        if self.process.poll() is not None:
            return
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            first = file.read().split()
        for each in first or [self.process.pid]:
            os.kill(int(each), signal.SIGKILL)
        self.process.wait(60)

    def send(self, body, to=(f"alice@{DOMAIN}",), subject="x"):
        with smtplib.SMTP("127.0.0.1", self.server.ports["smtp"], timeout=60) as smtp:
            smtp.sendmail("ann@client.test", to, f"From: ann@client.test\r\nTo: you@{DOMAIN}\r\nSubject: {subject}\r\n"
                          f"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <{subject}@client.test>\r\n\r\n{body}\r\n")

    def text(self, count, folder=""):
        with open(self.server.wait_for_messages("alice", count, folder, seconds=90)[-1], "rb") as file:
            return file.read()

    def test_mail_goes_through_it_and_comes_back(self):
        self.start_spampd()
        self.send(".a dot\r\n.\x2e two\r\nharmless", to=(f"alice@{DOMAIN}", f"bob@{DOMAIN}"), subject="fine")
        fine = self.text(1)
        self.assertRegex(fine, rb"\nX-Spam-Status: No")
        self.assertIn(b"\n\n.a dot\n.. two\nharmless\n", fine)
        self.server.wait_for_messages("bob", 1, seconds=90)
        self.send(GTUBE, subject="spam")
        spam = self.text(1, "/.Junk")
        self.assertRegex(spam, rb"\nX-Spam-Flag: YES\n")
        self.assertRegex(spam, rb"\nX-Spam-Status: Yes")
        self.assertIn(b"TEST_OF_SPAM", spam)
        # It was received twice, and checked once.
        self.assertEqual(spam.count(b"\nReceived: "), 2, spam)
        self.assertEqual((len(self.server.messages("alice")), len(self.server.messages("bob", "/.Junk"))), (1, 0))


if __name__ == "__main__":
    unittest.main()
