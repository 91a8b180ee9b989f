"""Debian's opensmtpd-filter-senderscore with every option, on a machine of its own whose DNS has the scores."""

import os
import re
import subprocess
import time
import unittest

import suite
import world

PROGRAM = "/usr/libexec/opensmtpd/filter-senderscore"
# Clients of the other machine, and what the list has on each; nothing of the last one.
SCORES = {"192.0.2.20": 5, "192.0.2.60": 60, "192.0.2.99": 99}
UNKNOWN = "192.0.2.77"


def listed(address):
    return ".".join(reversed(address.split("."))) + ".score.senderscore.com"


RECORDS = {(listed(address), "A"): [f"127.0.4.{score}"] for address, score in SCORES.items()}
CONFIG = """\
mailname "mx.athome.tld"
filter "under_test" proc-exec "filter-senderscore {options}"
listen on 192.0.2.1 port 25 filter "under_test"
listen on 127.0.0.1 port 25
action "deliver" maildir "/var/home/%{{user.username}}/Maildir" junk
match from any for domain "athome.tld" action "deliver"
"""

LOG = "/var/tmp/log"

load_tests = suite.load_tests


def read_log():
    with open(LOG, encoding="utf-8", errors="replace") as file:
        return file.read()


@unittest.skipUnless(os.path.exists(PROGRAM), "no opensmtpd-filter-senderscore")
class Senderscore(suite.Outside):
    inside = "test_senderscore"
    needs_suite = False


def setUpModule():
    suite.set_up(RECORDS, unprivileged=True)
    if world.inside():
        suite.MACHINE.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")
        for address in (*SCORES, UNKNOWN):
            suite.MACHINE.add_peer_address(address)


class Scores(unittest.TestCase):
    def serve(self, options):
        suite.MACHINE.clean()
        suite.MACHINE.write("/etc/mail/smtpd.conf", CONFIG.format(options=options))
        with open(LOG, "w", encoding="utf-8") as log:
            process = subprocess.Popen([suite.SMTPD, "-f", "/etc/mail/smtpd.conf"], stdout=log, stderr=log)

        def stop():
            process.terminate()
            self.assertEqual(process.wait(30), 0, read_log())
        self.addCleanup(stop)
        deadline = time.monotonic() + 60
        while " started " not in read_log():
            if process.poll() is not None or time.monotonic() > deadline:
                self.fail(f"the server did not start: {read_log()}")
            time.sleep(0.02)

    def converse(self, source):
        """What a client of that address hears, until it is sent away; and how long that took."""
        begun = time.monotonic()
        heard = []
        with suite.MACHINE.connect_from_peer(world.OUR_ADDRESS, 25, 30, source) as connection:
            file = connection.makefile("rwb", buffering=0)

            def reply():
                lines = []
                while True:
                    line = file.readline().decode().rstrip()
                    lines.append(line)
                    if line[3:4] != "-":
                        heard.append(line)
                        return line

            reply()
            for command in ("EHLO client.test", "MAIL FROM:<a@client.test>", "RCPT TO:<gilles@athome.tld>", "DATA",
                            "Subject: x\r\n\r\nbody\r\n.", "QUIT"):
                if heard[-1][:1] not in ("2", "3"):
                    break
                file.write(command.encode() + b"\r\n")
                reply()
        return heard, time.monotonic() - begun

    def delivered(self, count, junk=False):
        folder = "/var/home/gilles/Maildir" + ("/.Junk" if junk else "") + "/new"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            names = os.listdir(folder) if os.path.isdir(folder) else []
            if len(names) >= count:
                texts = []
                for name in names:
                    with open(f"{folder}/{name}", encoding="utf-8") as file:
                        texts.append(file.read())
                return texts
            time.sleep(0.05)
        self.fail(f"{folder} does not have {count} messages: {read_log()}")

    def test_who_is_blocked_and_when(self):
        self.serve("-blockBelow 50")
        heard, _ = self.converse("192.0.2.20")
        self.assertEqual(len(heard), 1, heard)
        self.assertRegex(heard[0], r"^550 .*reputation")
        for source in ("192.0.2.60", "192.0.2.99", UNKNOWN):
            heard, _ = self.converse(source)
            self.assertEqual([each[:3] for each in heard], ["220", "250", "250", "250", "354", "250", "221"], (source, heard))
        self.assertEqual(len(self.delivered(3)), 3)
        self.assertFalse(any("X-S" in text for text in self.delivered(3)))

    def test_block_phases(self):
        for phase, steps in (("ehlo", 2), ("mail-from", 3), ("rcpt-to", 4), ("quit", 7)):
            with self.subTest(phase=phase):
                self.serve(f"-blockBelow 50 -blockPhase {phase}")
                heard, _ = self.converse("192.0.2.20")
                self.assertEqual(len(heard), steps, heard)
                self.assertRegex(heard[-1], r"^550 .*reputation")
                self.doCleanups()

    def test_junk_header_and_delay(self):
        self.serve("-junkBelow 80 -scoreHeader -slowFactor 1000")
        heard, slow = self.converse("192.0.2.20")
        self.assertEqual(heard[-2][:3], "250", heard)
        heard, quick = self.converse("192.0.2.99")
        print(f"score 5 took {slow:.1f} s, score 99 {quick:.1f} s")
        # 950 ms an answer, and 10.
        self.assertGreater(slow, 4)
        spam, = self.delivered(1, junk=True)
        self.assertRegex(spam, re.compile(r"^X-Spam: yes$", re.M | re.I))
        self.assertIn("X-SenderScore: 5\n", spam)
        fine, = self.delivered(1)
        self.assertIn("X-SenderScore: 99\n", fine)
        self.assertNotRegex(fine, re.compile(r"^X-Spam:", re.M))


if __name__ == "__main__":
    unittest.main()
