"""postern dkim and arc, as people and scripts call them: what is no number is never taken for one."""

import re
import subprocess
import tempfile
import unittest

import harness

MESSAGE = "From: Joe <joe@example.org>\nSubject: hello\n\nhello\n"


class CliDkim(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="postern-e2e-")
        self.addCleanup(self.folder.cleanup)
        self.key = f"{self.folder.name}/key.pem"
        done = self.run_verb("dkim", "keygen", "--type", "ed25519", "--domain", "example.org", "--selector", "s",
                             "--out", self.key)
        self.assertEqual(done.returncode, 0, done.stderr)

    def run_verb(self, *arguments):
        return subprocess.run([harness.POSTERN, *arguments], input=MESSAGE, capture_output=True, text=True, timeout=60,
                              check=False)

    def sign(self, *arguments):
        return self.run_verb("dkim", "sign", "--key", self.key, "--domain", "example.org", "--selector", "s",
                             "--header-only", *arguments)

    def test_times_that_people_write(self):
        for told, seconds in (("90", 90), ("90s", 90), ("5m", 300), ("12h", 43200), ("7d", 604800), ("1w", 604800),
                              ("4294967295", 4294967295)):
            with self.subTest(told=told):
                done = self.sign("--now", "1000", "--expires", told)
                self.assertEqual(done.returncode, 0, done.stderr)
                field = re.sub(r"\s", "", done.stdout)
                self.assertIn(f"t=1000;x={1000 + seconds};", field)

    def test_what_is_no_number_is_refused(self):
        for told in ("-1", "+5", " 5", "", "0", "4294967296", "4294967301", "abc", "7 d", "7dd", "1.5d", "8000w"):
            with self.subTest(expires=told):
                done = self.sign("--now", "1000", "--expires", told)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn(f"--expires {told}: a length of time is wanted, in seconds or as in 90s", done.stderr)
        for told in ("2026-03-02", "abc", "-1", "", "99999999999999999999", "253402300800"):
            with self.subTest(now=told):
                for done in (self.sign("--now", told), self.run_verb("dkim", "verify", "--now", told),
                             self.run_verb("arc", "seal", "--key", self.key, "--domain", "example.org", "--selector", "s",
                                           "--now", told)):
                    self.assertEqual((done.returncode, done.stdout), (2, ""))
                    self.assertIn(f"--now {told}: seconds since 1970 are wanted", done.stderr)

    def test_numbers_of_other_verbs(self):
        calls = ((("dkim", "keygen", "--domain", "e.example", "--selector", "s", "--bits"), ("abc", "-1", "4294969344", "1024")),
                 (("explain", "--from", "", "--to", "a@b.example", "--port"), ("", "65536", "25x", "0")),
                 (("explain", "--from", "", "--to", "a@b.example", "--listener"), ("", "-1", "99999999999999999999")),
                 (("parse", "--part"), ("", "-1", "+1", " 1", "99999999999999999999")))
        for verb, values in calls:
            for told in values:
                with self.subTest(verb=verb, told=told):
                    done = self.run_verb(*verb, told)
                    self.assertEqual((done.returncode, done.stdout), (2, ""))
                    self.assertRegex(done.stderr, re.escape(f"{verb[-1]} {told}: a number from ") + "[0-9]+ to [0-9]+ is wanted")

    def test_fields_that_cannot_be_signed(self):
        for arguments, said in ((("--oversign", "from:DKIM-Signature"), "DKIM-Signature cannot be oversigned"),
                                (("--fields", "to:cc"), "do not name From")):
            done = self.sign(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(said, done.stderr)

    def test_a_server_that_is_none(self):
        done = self.run_verb("dkim", "verify", "--server", "127.0.0.1:5399")
        self.assertEqual(done.returncode, 2)
        self.assertIn("with a port 192.0.2.53@5353", done.stderr)


if __name__ == "__main__":
    unittest.main()
