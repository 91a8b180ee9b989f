"""postern spf, as people and scripts call it."""

import json
import subprocess
import tempfile
import unittest

import harness

ZONE = """\
$TTL 300
example.org. TXT "v=spf1 ip4:192.0.2.0/28 include:_spf.example.net ~all"
_spf.example.net. TXT "v=spf1 ip4:198.51.100.0/24 -all"
hard.example.org. TXT "v=spf1 -all exp=why.example.org"
why.example.org. TXT "%{i} may not send for %{d}"
mail.example.org. TXT "v=spf1 ip4:192.0.2.7 -all"
"""


class CliSpf(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="postern-e2e-")
        self.addCleanup(self.folder.cleanup)
        self.zone = f"{self.folder.name}/zone"
        harness.write(self.zone, ZONE)

    def spf(self, *arguments):
        return subprocess.run([harness.POSTERN, "spf", "--zone", self.zone, *arguments], capture_output=True, text=True, timeout=30,
                              check=False)

    def test_a_pass_through_an_include(self):
        done = self.spf("--ip", "198.51.100.1", "--from", "joe@example.org", "--helo", "mail.example.org")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines(), [
            "SPF pass: 198.51.100.1 matches include:_spf.example.net of example.org's record, through ip4:198.51.100.0/24 of "
            "_spf.example.net's",
            "  example.org: v=spf1 ip4:192.0.2.0/28 include:_spf.example.net ~all",
            "    at include:_spf.example.net",
            "  _spf.example.net: v=spf1 ip4:198.51.100.0/24 -all",
            "    at ip4:198.51.100.0/24",
            "  DNS lookups: 1 of 10; without an answer: 0 of 2"])

    def test_a_softfail_is_not_fine(self):
        done = self.spf("--ip=203.0.113.9", "--from=joe@example.org", "--header", "--receiver", "mx.example.com")
        self.assertEqual(done.returncode, 1)
        self.assertIn("SPF softfail: 203.0.113.9 matches no mechanism of example.org's record, which ends in ~all\n", done.stdout)
        self.assertIn("\nReceived-SPF: softfail (mx.example.com: 203.0.113.9 matches no mechanism of", done.stdout)

    def test_json(self):
        done = self.spf("--json", "--ip", "192.0.2.99", "--from", "joe@hard.example.org")
        self.assertEqual(done.returncode, 1)
        said = json.loads(done.stdout)
        self.assertEqual((said["result"], said["reason"], said["mechanism"]), ("fail", "matched_all", "-all"))
        self.assertEqual(said["published"], "192.0.2.99 may not send for hard.example.org")
        self.assertEqual(said["steps"], [{"domain": "hard.example.org", "record": "v=spf1 -all exp=why.example.org", "term": "-all"}])

    def test_the_helo_name(self):
        self.assertEqual(self.spf("--ip", "192.0.2.7", "--helo", "mail.example.org").returncode, 0)
        self.assertEqual(self.spf("--ip", "192.0.2.7", "--from", "", "--helo", "mail.example.org").returncode, 0)
        self.assertEqual(self.spf("--ip", "192.0.2.8", "--from", "", "--helo", "mail.example.org").returncode, 1)

    def test_wrong_calls(self):
        for arguments, said in [(["--from", "joe@example.org"], "postern spf: --ip is missing"),
                                (["--ip", "192.0.2.1"], "postern spf: --from (or --helo) is missing"),
                                (["--ip", "192.0.2", "--from", "a@example.org"], "postern: spf: '192.0.2' is not an IP address"),
                                (["--ip"], "postern spf: --ip needs a value"),
                                (["--ipp", "x"], "postern spf: --ipp is no option"),
                                (["--json=1"], "postern spf: --json=1 takes no value"),
                                (["word"], "postern spf: word is one word too many")]:
            done = self.spf(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertEqual(done.stderr.splitlines()[0], said)

    def test_a_wrong_zone_is_told_by_line(self):
        harness.write(self.zone, "example.org. TXT \"x\"\nexample.org. MX mail\n")
        done = self.spf("--ip", "192.0.2.1", "--from", "a@example.org")
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, rf"^postern: {self.zone}: line 2: ")
        self.assertRegex(subprocess.run([harness.POSTERN, "spf", "--zone", "/no/such", "--ip", "192.0.2.1", "--from", "a@b.c"],
                                        capture_output=True, text=True, check=False).stderr, "^postern: /no/such: No such file")

    def test_help(self):
        done = self.spf("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("--zone FILE", done.stdout)


if __name__ == "__main__":
    unittest.main()
