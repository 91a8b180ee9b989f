"""The suite's configurations that must be refused, word for word and at their paths: by postern-smtpd -n, by postern check and by
the start of a server, each with exit status 1, first of all with the error that the suite names, and with nothing listened to."""

import os
import re
import shutil
import subprocess
import unittest

import suite
import world
from harness import POSTERN

REJECTS = os.path.join(suite.SUITE, "rejects")


load_tests = suite.load_tests


class RejectsOutside(suite.Outside):
    inside = "test_suite_rejects"


def setUpModule():
    suite.set_up(suite.ELSEWHERE)


def expectation(name):
    """What NAME.expected.txt says: {field: text}."""
    with open(os.path.join(REJECTS, f"{name}.expected.txt"), encoding="utf-8") as file:
        return dict(re.findall(r"(?m)^([a-z]+): (.*)$", file.read()))


def mismatch(expected, error):
    """What is wrong with an `error`, a line of the program's, or ''."""
    if expected["line"] == "0":
        place = re.escape(expected["file"]) + r"(?::\d+(?::\d+)?)?"
    else:
        place = rf"{re.escape(expected['file'])}:(?:{expected['line']}):\d+"
    found = re.fullmatch(rf"(?:/\S*/)?{place}: error: (.*)", error)
    if not found:
        return "another place"
    for word in expected["keywords"].split(","):
        if not any(choice.strip().lower() in found[1].lower() for choice in word.split("|")):
            return f"does not say {word.strip()}"
    return ""


class Rejects(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        suite.MACHINE.clean()
        suite.MACHINE.write("/etc/mail/mailname", "mail.example.org\n")
        suite.MACHINE.make_certificate("/etc/mail/m.crt", "/etc/mail/m.key", "mail.example.org")
        for name in os.listdir(REJECTS):
            if name.endswith(".conf"):
                shutil.copy(os.path.join(REJECTS, name), f"/etc/mail/{name}")
        cls.names = sorted(name[:-5] for name in os.listdir("/etc/mail") if re.match(r"\d\d-.*\.conf$", name))

    def refused_by(self, *command):
        self.assertGreaterEqual(len(self.names), 48)
        for name in self.names:
            with self.subTest(name):
                done = subprocess.run([*command, "-f", f"/etc/mail/{name}.conf"], capture_output=True, text=True, timeout=20,
                                      check=False)
                self.assertEqual(done.returncode, 1, done.stderr)
                errors = [line for line in done.stderr.splitlines() if ": error: " in line]
                self.assertTrue(errors, done.stderr)
                self.assertEqual(mismatch(expectation(name), errors[0]), "", done.stderr)
        self.assertEqual(suite.InWorld.listening(), set())
        self.assertFalse(os.path.exists("/var/spool/postern"))

    def test_by_the_daemons_test(self):
        self.refused_by(suite.SMTPD, "-n")

    def test_by_check(self):
        self.refused_by(POSTERN, "check")

    def test_by_the_daemons_start(self):
        self.refused_by(suite.SMTPD)

    def test_what_the_comparison_would_find(self):
        expected = {"file": "a.conf", "line": "3|4", "keywords": "action|dispatcher, out"}
        self.assertEqual(mismatch(expected, "/etc/mail/a.conf:4:7: error: no such action: out"), "")
        self.assertEqual(mismatch(expected, "/etc/mail/a.conf:5:7: error: no such action: out"), "another place")
        self.assertEqual(mismatch(expected, "/etc/mail/b.conf:4:7: error: no such action: out"), "another place")
        self.assertEqual(mismatch(expected, "a.conf:3:7: error: no such action"), "does not say out")


if __name__ == "__main__":
    unittest.main()
