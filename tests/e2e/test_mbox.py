"""An mbox that mutt reads and rewrites while mail is appended to it: every message is there once, whoever had the lock."""

import mailbox
import os
import shutil
import smtplib
import tempfile
import threading
import time
import unittest

import harness
from harness import DOMAIN, Server
from test_clients import in_terminal

MESSAGES = 120
RUNS = 12


@unittest.skipUnless(shutil.which("mutt"), "mutt is not installed")
class Mbox(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="postern-mbox-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.box, self.saved = f"{self.folder}/box", f"{self.folder}/saved"
        os.chmod(self.folder, 0o777)
        self.server = Server(rules=(f'action "box" maildir alias {{{{ box = "{self.box}" }}}}\n'
                                    f'match from any for rcpt-to "box@{DOMAIN}" action "box"'))
        self.addCleanup(self.server.close)

    def submit(self, first, count):
        with smtplib.SMTP("127.0.0.1", self.server.ports["smtp"], local_hostname="client.test", timeout=20) as smtp:
            for number in range(first, first + count):
                word = "drop" if number % 3 == 0 else "keep"
                smtp.sendmail(f"alice@{DOMAIN}", [f"box@{DOMAIN}"],
                              f"Subject: {word} {number}.\r\n\r\nFrom here on\r\n>From there\r\n" + "x" * (number * 50 % 3000))
                time.sleep(0.02)

    def mutt(self, keys):
        harness.write(f"{self.folder}/muttrc", f"""
set folder="{self.folder}"
set confirmappend=no
set confirmcreate=no
set delete=yes
set quit=yes
set move=no
set mark_old=no
set sleep_time=0
set wait_key=no
push "{keys}"
""")
        done, screen = in_terminal(["mutt", "-n", "-F", f"{self.folder}/muttrc", "-f", self.box],
                                   dict(os.environ, HOME=self.folder, TERM="xterm"), seconds=30)
        self.assertTrue(done, f"mutt waits for somebody. Its screen:\n{screen}")

    @staticmethod
    def subjects(path):
        box = mailbox.mbox(path, create=False)
        try:
            return [message["Subject"] for message in box]
        finally:
            box.close()

    def test_mutt_reads_and_rewrites_it_while_we_write_it(self):
        self.submit(0, 3)
        deadline = time.monotonic() + 20
        while not os.path.exists(self.box) or len(self.subjects(self.box)) < 3:
            self.assertLess(time.monotonic(), deadline, self.server.log())
            time.sleep(0.05)
        senders = [threading.Thread(target=self.submit, args=(3 + 60 * n, 60 if n == 0 else MESSAGES - 63)) for n in (0, 1)]
        for sender in senders:
            sender.start()
        runs = 0
        while runs < RUNS or any(sender.is_alive() for sender in senders):
            self.mutt("<tag-pattern>~s drop<enter><tag-prefix-cond><save-message><kill-line>=saved<enter><end-cond>"
                      "<sync-mailbox><quit>")
            runs += 1
        for sender in senders:
            sender.join()
        deadline = time.monotonic() + 90
        while self.server.log().count("result=Ok") < MESSAGES:
            self.assertLess(time.monotonic(), deadline, self.server.log()[-3000:])
            time.sleep(0.2)
        self.mutt("<tag-pattern>~s drop<enter><tag-prefix-cond><save-message><kill-line>=saved<enter><end-cond>"
                  "<sync-mailbox><quit>")
        kept, saved = self.subjects(self.box), self.subjects(self.saved)
        self.assertEqual(sorted(kept), sorted(f"keep {n}." for n in range(MESSAGES) if n % 3))
        self.assertEqual(sorted(saved), sorted(f"drop {n}." for n in range(MESSAGES) if n % 3 == 0))
        with open(self.box, encoding="utf-8") as file:
            text = file.read()
        self.assertIn("\n>From here on\n>>From there\n", text)
        print(f"mutt rewrote the mbox in {runs} runs; {self.server.log().count('locked')} attempts met its lock")


if __name__ == "__main__":
    unittest.main()
