"""`queue compression` and `queue encryption`: what lies in the spool, and who can read it."""

import glob
import os
import smtplib
import subprocess
import unittest

import harness
from harness import DOMAIN

KEY = "0123456789abcdef0123456789abcdef"
LINE = "a line that nobody else shall read\r\n"
SIZES = (500, 100_000, 3_000_000)
OTHER = "fedcba9876543210fedcba9876543210"
# The next hop sleeps at first: the mail waits.
AWAY = 'action "away" relay host smtp+notls://127.0.0.1:{port}\nmatch from any for domain "away.test" action "away"\n'


class Seal(unittest.TestCase):
    def setUp(self):
        self.target = harness.Server(names=("bob",), domain="away.test")
        self.addCleanup(self.target.close)
        self.target.stop()
        self.server = harness.Server(extra=f"queue compression\nqueue encryption key {KEY}\nqueue retry-delay 1s\n",
                                     rules=AWAY.replace("{port}", str(self.target.ports["smtp"])))
        self.addCleanup(self.server.close)
        with open(self.server.config_path, encoding="utf-8") as file:
            self.text = file.read()

    def send(self, to, size):
        with smtplib.SMTP("127.0.0.1", self.server.ports["smtp"], timeout=20) as client:
            client.sendmail(f"secretsender@{DOMAIN}", [to], f"Subject: {size}\r\n\r\n" + LINE * (size // len(LINE)))

    def spool_says(self, what):
        for path in glob.glob(f"{self.server.home}/spool/**", recursive=True):
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    if what.encode() in file.read():
                        return path
        return None

    def refused(self, queue_lines):
        harness.write(self.server.config_path, self.text.replace(f"queue compression\nqueue encryption key {KEY}\n", queue_lines))
        done = subprocess.run([harness.POSTERN, "serve", "-f", self.server.config_path], capture_output=True, text=True, timeout=30,
                              check=False, stdin=subprocess.DEVNULL)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr

    def test_mail_waits_unreadable_and_is_delivered(self):
        for size in SIZES:
            self.send("bob@away.test", size)
            self.send(f"alice@{DOMAIN}", size)
        self.server.wait_for_messages("alice", 3)
        for secret in ("nobody else", "secretsender", "bob@away.test", KEY):
            self.assertIsNone(self.spool_says(secret), secret)
        self.assertLess(sum(os.path.getsize(path) for path in glob.glob(f"{self.server.home}/spool/bodies/*")), 500_000)
        self.server.stop()
        # Another key, none, or nobody to ask: said clearly, and the mail stays.
        for lines in ("", f"queue encryption {OTHER}\n"):
            said = self.refused(lines)
            self.assertIn("holds mail that is encrypted with the key", said)
            self.assertIn("Nothing is lost", said)
        self.assertIn("no key was given", self.refused("queue encryption stdin\n"))
        self.assertIn("the key of the queue has 5 characters", self.refused("queue encryption short\n"))
        # The key from the standard input.
        harness.write(self.server.config_path, self.text.replace(f"key {KEY}", "stdin").replace("queue compression\n", ""))
        read, write = os.pipe()
        os.write(write, f"{KEY}\n".encode())
        os.close(write)
        before = os.dup(0)
        os.dup2(read, 0)
        try:
            self.server.start()
        finally:
            os.dup2(before, 0)
            os.close(read)
        self.send(f"alice@{DOMAIN}", 500)
        self.server.wait_for_messages("alice", 4)
        self.target.start()
        lines = 0
        for path in self.target.wait_for_messages("bob", 3):
            with open(path, encoding="utf-8") as file:
                lines += file.read().count("nobody else")
        self.assertEqual(lines, sum(size // len(LINE) for size in SIZES))
        self.assertNotIn("damaged", self.server.log())


if __name__ == "__main__":
    unittest.main()
