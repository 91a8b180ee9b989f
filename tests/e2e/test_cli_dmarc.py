"""postern dmarc and postern auth, as people and scripts call them."""

import gzip
import json
import subprocess
import tempfile
import unittest

import harness

ZONE = """\
$TTL 300
_dmarc.example.org. TXT "v=DMARC1; p=reject; sp=none; pct=50; rua=mailto:dmarc@example.org"
example.org. TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.silent.example. SERVFAIL
_dmarc.broken.example. TXT "v=DMARC1; p=what"
_dmarc.three.example. TXT "v=DMARC1; p=reject; sp=quarantine; np=none"
below.three.example. A 192.0.2.7
_dmarc.multi.example. TXT "v=DMARC1; p=reject"
_dmarc.multi.example. TXT "v=DMARC1; p=none"
1.2.0.192.in-addr.arpa. PTR mail.example.org.
mail.example.org. A 192.0.2.1
"""

MESSAGE = "From: Joe <joe@example.org>\nSubject: hello\n\nhello\n"

REPORT = """<?xml version="1.0"?><feedback><report_metadata><org_name>Receiver</org_name><email>r@receiver.example</email>
<report_id>1</report_id><date_range><begin>1700000000</begin><end>1700086399</end></date_range></report_metadata>
<policy_published><domain>example.org</domain><p>reject</p></policy_published>
<record><row><source_ip>192.0.2.9</source_ip><count>3</count><policy_evaluated><disposition>reject</disposition><dkim>fail</dkim>
<spf>fail</spf></policy_evaluated></row><identifiers><header_from>example.org</header_from></identifiers>
<auth_results><spf><domain>example.org</domain><result>fail</result></spf></auth_results></record></feedback>"""


class CliDmarc(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="postern-e2e-")
        self.addCleanup(self.folder.cleanup)
        self.zone = f"{self.folder.name}/zone"
        harness.write(self.zone, ZONE)
        self.message = f"{self.folder.name}/message.eml"
        harness.write(self.message, MESSAGE)

    def run_verb(self, *arguments, data=None):
        return subprocess.run([harness.POSTERN, *arguments], input=data, capture_output=True, timeout=30, check=False)

    def lines(self, done):
        return done.stdout.decode().splitlines()

    def test_the_policy_of_a_domain(self):
        done = self.run_verb("dmarc", "--zone", self.zone, "news.example.org")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = self.lines(done)
        self.assertEqual(lines[0], "news.example.org: policy at _dmarc.example.org")
        self.assertIn("  organisational domain: example.org", lines)
        self.assertTrue(any("\"pct\" is of RFC 7489" in line for line in lines), lines)

    def test_a_domain_without_a_policy(self):
        done = self.run_verb("dmarc", "nothing.example", "--zone", self.zone)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.lines(done)[0], "nothing.example has no DMARC policy")

    def test_nobody_answers(self):
        done = self.run_verb("dmarc", "silent.example", "--zone", self.zone)
        self.assertEqual(done.returncode, 75)
        self.assertIn("silent.example: temporary failure", done.stdout.decode())
        self.assertEqual(self.run_verb("dmarc", "--json", "silent.example", "--zone", self.zone).returncode, 75)

    def test_a_name_with_its_final_dot(self):
        done = self.run_verb("dmarc", "EXAMPLE.org.", "--zone", self.zone)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_names_that_are_not_ascii(self):
        how = ("--zone", self.zone, "--from", "m\u00e9@b\u00fccher.test", "--ip", "192.0.2.1", "--id", "b\u00fccher.example")
        done = self.run_verb("auth", "--header", "--utf8", "no", *how, self.message).stdout.decode()
        self.assertIn("smtp.mailfrom=@xn--bcher-kva.test", done)
        self.assertIn("Authentication-Results: xn--bcher-kva.example;", done)
        for options in ((), ("--utf8", "yes")):
            done = self.run_verb("auth", "--header", *options, *how, self.message).stdout.decode()
            self.assertIn("smtp.mailfrom=m\u00e9@b\u00fccher.test", done)
        self.assertEqual(self.run_verb("auth", "--utf8", "maybe", self.message).returncode, 2)

    def test_reports_that_cannot_be_right(self):
        for wrong, line in (("<count>-3</count>", 4), ("<count>3</count><source_ip>x</source_ip>", 4)):
            done = self.run_verb("dmarc", "report", data=REPORT.replace("<count>3</count>", wrong).encode())
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"line {line}: ", done.stderr.decode())

    def test_a_broken_record(self):
        done = self.run_verb("dmarc", "broken.example", "--zone", self.zone)
        self.assertEqual(done.returncode, 1)
        self.assertIn("not none, quarantine or reject", done.stdout.decode())
        self.assertEqual(self.run_verb("dmarc", "record", "v=DMARC1; p=none").returncode, 0)
        self.assertEqual(self.run_verb("dmarc", "record", "v=spf1 -all").returncode, 1)

    def test_the_questions_in_json(self):
        said = json.loads(self.run_verb("dmarc", "--json", "--zone", self.zone, "a.b.example.org").stdout)
        self.assertEqual(said["policy_domain"], "example.org")
        self.assertEqual([step["name"] for step in said["questions"]],
                         ["_dmarc.a.b.example.org", "_dmarc.b.example.org", "_dmarc.example.org", "_dmarc.org"])

    def test_a_message(self):
        how = ("--zone", self.zone, "--from", "joe@example.org", "--helo", "mail.example.org")
        done = self.run_verb("dmarc", "check", *how, "--ip", "192.0.2.1", self.message)
        self.assertEqual((done.returncode, self.lines(done)),
                         (0, ["DMARC pass: SPF passed for example.org, aligned with the author's domain example.org"]))
        done = self.run_verb("dmarc", "check", *how, "--ip", "192.0.2.2", "--json", data=MESSAGE.encode())
        self.assertEqual(done.returncode, 1)
        said = json.loads(done.stdout)
        self.assertEqual((said["result"], said["reason"], said["disposition"]), ("fail", "not_aligned", "reject"))

    def test_everything_about_a_message(self):
        how = ("--zone", self.zone, "--from", "joe@example.org", "--helo", "mail.example.org", "--ip", "192.0.2.1", "--id", "mx")
        done = self.run_verb("auth", *how, self.message)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([line.split(":")[0].lower() for line in self.lines(done)][-1], "dmarc pass")
        done = self.run_verb("auth", *how, "--header", self.message)
        self.assertTrue(done.stdout.startswith(b"Authentication-Results: mx;\r\n\tiprev=pass"), done.stdout)
        said = json.loads(self.run_verb("auth", *how, "--json", self.message).stdout)
        self.assertEqual([said[name]["result"] for name in ("iprev", "spf", "dkim", "arc", "dmarc")],
                         ["pass", "pass", "none", "none", "pass"])

    def test_reports(self):
        for octets in (REPORT.encode(), gzip.compress(REPORT.encode())):
            done = self.run_verb("dmarc", "report", data=octets)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("messages 3, of which 0 passed DMARC and 3 did not", done.stdout.decode())
        said = json.loads(self.run_verb("dmarc", "report", "--json", "-", data=REPORT.encode()).stdout)
        self.assertEqual((said["form"], said["records"][0]["source_ip"]), ("rfc7489", "192.0.2.9"))
        done = self.run_verb("dmarc", "report", data=b"<!DOCTYPE a [<!ENTITY b 'c'>]><feedback/>")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"document type", done.stderr)

    def test_wrong_calls(self):
        for arguments in (("dmarc",), ("dmarc", "record"), ("dmarc", "--no", "x"), ("auth", "/no/such/file"),
                          ("auth", "--zone", "/no/such/zone", self.message), ("auth", "--zone", self.zone, "--ip", "x", self.message)):
            done = self.run_verb(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertTrue(done.stderr.startswith(b"postern"), done.stderr)


    def test_which_policy_applies(self):
        for domain, policy, tag in (("three.example", "reject", "p"), ("below.three.example", "quarantine", "sp"),
                                    ("nx.three.example", "none", "np")):
            with self.subTest(domain=domain):
                said = self.run_verb("dmarc", domain, "--zone", self.zone)
                self.assertIn(f"  applies: {policy} ({tag})\n", said.stdout.decode())
                told = json.loads(self.run_verb("dmarc", domain, "--zone", self.zone, "--json").stdout)
                self.assertEqual((told["policy"], told["policy_tag"]), (policy, tag))
        said = self.run_verb("dmarc", "multi.example", "--zone", self.zone)
        self.assertIn("multi.example has no DMARC policy\n  _dmarc.multi.example has several DMARC records", said.stdout.decode())

    def test_utf8_of_reports_is_shown(self):
        harness.write(f"{self.folder.name}/r.xml", REPORT.replace("Receiver<", "Örg \x9b&amp; Co<"))
        said = self.run_verb("dmarc", "report", f"{self.folder.name}/r.xml")
        self.assertIn("from Örg \\xc2\\x9b& Co", said.stdout.decode())


if __name__ == "__main__":
    unittest.main()
