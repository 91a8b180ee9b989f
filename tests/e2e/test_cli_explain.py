"""postern explain: where mail would go, and why; the answers are those of a running server with the same file."""

import json
import os
import shutil
import smtplib
import subprocess
import tempfile
import unittest

import harness

ZONE = "$TTL 300\n9.113.0.203.in-addr.arpa. PTR client.friend.test.\n"
CONFIG = """\
resolver zone "{folder}/zone"
mailname "mail.us.test"
spool "{folder}/spool"
table virtuals {{ "bob@us.test" = me, "team@us.test" = "bob@us.test, far@else.test", "gone@us.test" = "error:551 moved" }}
table accounts {{ me = "{uid}:{gid}:{folder}/home" }}
table owners {{ carol = "carol@us.test" }}
pki us cert "{folder}/cert.pem"
pki us key "{folder}/key.pem"
listen on 127.0.0.1 port {smtp}
listen on 0.0.0.0 port {open} tls pki us
listen on 0.0.0.0 port {submission} tls-require pki us auth <virtuals> senders <owners>
listen on 127.0.0.1 port {tagged} tag BACK
action "box" maildir "{folder}/mail/%{{dest.user}}" junk virtual <virtuals> userbase <accounts>
action "out" relay
match from rdns "*.spam.test" for any reject
match tag BACK for any reject
match from any for domain us.test action "box"
match from auth for any action "out"
match for any action "out"
"""


class Explain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="postern-e2e-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cert, key = harness.certificate()
        shutil.copy(cert, f"{cls.folder}/cert.pem")
        shutil.copy(key, f"{cls.folder}/key.pem")
        os.chmod(f"{cls.folder}/key.pem", 0o600)
        os.mkdir(f"{cls.folder}/home")
        harness.write(f"{cls.folder}/zone", ZONE)
        cls.path = f"{cls.folder}/smtpd.conf"
        cls.ports = dict(zip(("smtp", "open", "submission", "tagged"), harness.free_ports(4)))
        cls.text = CONFIG.format(folder=cls.folder, uid=os.getuid(), gid=os.getgid(), **cls.ports)
        cls.lines = cls.text.splitlines()
        harness.write(cls.path, cls.text)

    def line(self, front):
        return next(i + 1 for i, line in enumerate(self.lines) if line.startswith(front))

    def explain(self, *arguments, data=None):
        return subprocess.run([harness.POSTERN, "explain", "-f", self.path, *arguments], input=data, capture_output=True,
                              text=True, timeout=30, check=False)

    def said(self, *arguments, data=None):
        done = self.explain("--json", *arguments, data=data)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        said = json.loads(done.stdout)
        self.assertEqual(said["accepted"], done.returncode == 0)
        return said

    def test_a_virtual_user_from_outside(self):
        said = self.said("--from", "a@b.test", "--to", "bob+x@us.test", "--client", "203.0.113.9")
        self.assertTrue(said["accepted"])
        self.assertEqual(said["reverse_name"], "client.friend.test")
        self.assertEqual(said["listener"]["line"], self.line("listen on 0.0.0.0"))
        (recipient,) = said["recipients"]
        self.assertRegex(recipient["reply"], "^250 ")
        rules = recipient["steps"][0]["rules"]
        self.assertEqual([(rule["matches"], rule["condition"]) for rule in rules], [(False, "from"), (False, "from"), (True, "")])
        self.assertEqual([rule["line"] for rule in rules],
                         [self.line("match from rdns"), self.line("match tag"), self.line("match from any")])
        self.assertEqual(rules[0]["why"], 'client.friend.test is not in "*.spam.test"')
        self.assertEqual(rules[0]["text"], 'match from rdns "*.spam.test" for any reject')
        lookups = [(step["key"], step["value"]) for step in recipient["steps"] if step["step"] == "lookup"]
        self.assertEqual(lookups[:2], [("bob+x@us.test", None), ("bob@us.test", "me")])
        (destination,) = recipient["destinations"]
        self.assertEqual((destination["kind"], destination["user"], destination["action"]["line"]),
                         ("account", "me", self.line('action "box"')))
        self.assertIn(f"{self.folder}/mail/bob+x", destination["where"])
        self.assertFalse(os.path.exists(f"{self.folder}/mail"), "nothing is delivered")
        self.assertFalse(os.path.exists(f"{self.folder}/spool"), "nor queued")

    def test_expansion_goes_through_the_rules_again(self):
        said = self.said("--from", "", "--to", "team@us.test", "--client", "203.0.113.9", "--rdns", "x.test")
        again = [step for step in said["recipients"][0]["steps"] if step["step"] == "rules" and step["internal"]]
        self.assertEqual([step["address"] for step in again], ["bob@us.test", "far@else.test"])
        self.assertEqual([d["kind"] for d in said["recipients"][0]["destinations"]], ["relay", "account"])

    def test_refusals(self):
        for arguments, reply, reason in (
                (("--to", "far@else.test", "--client", "203.0.113.9"), "550 ", "no rule takes far@else.test"),
                (("--to", "bob@us.test", "--client", "203.0.113.9", "--rdns", "a.spam.test"), "550 ",
                 f":{self.line('match from rdns')}"),
                (("--to", "nobody@us.test", "--client", "203.0.113.9"), "524 ", "no virtual user"),
                (("--to", "gone@us.test", "--client", "203.0.113.9"), "551 ", "the alias says so"),
                (("--to", "bob@us.test", "--tag", "BACK"), "550 ", f":{self.line('match tag')}")):
            said = self.said("--from", "a@b.test", *arguments)
            self.assertFalse(said["accepted"])
            self.assertTrue(said["recipients"][0]["reply"].startswith(reply), said["recipients"][0])
            self.assertIn(reason, said["recipients"][0]["reason"])

    def test_logins(self):
        sends = ("--to", "far@else.test", "--client", "203.0.113.9")
        said = self.said("--from", "carol@us.test", "--auth", "carol", *sends)
        self.assertTrue(said["accepted"], said)
        self.assertEqual(said["listener"]["line"], self.line(f"listen on 0.0.0.0 port {self.ports['submission']}"))
        self.assertEqual([each["client"] for each in said["dialog"]][2:5],
                         ["STARTTLS", "EHLO client.invalid", "AUTH PLAIN ..."])
        said = self.said("--from", "boss@us.test", "--auth", "carol", *sends)
        self.assertEqual(said["dialog"][-1]["server"][:3], "530", "the senders table is asked")
        # Without TLS or a login the submission port says what it wants.
        port = ("--port", str(self.ports["submission"]))
        self.assertRegex(self.said("--from", "carol@us.test", *sends, *port)["dialog"][-1]["server"], "^530 .*STARTTLS")
        self.assertRegex(self.said("--from", "carol@us.test", *sends, *port, "--tls")["dialog"][-1]["server"], "^530 .*AUTH")

    def test_the_local_socket(self):
        said = self.said("--from", "me@us.test", "--to", "far@else.test")
        self.assertEqual((said["client"], said["accepted"]), ("local", True))
        self.assertEqual(said["recipients"][0]["steps"][0]["rules"][-1]["line"], self.line("match from auth"))

    def test_a_message(self):
        arguments = ("--from", "a@b.test", "--to", "bob@us.test", "--client", "203.0.113.9", "-")
        said = self.said(*arguments, data="Subject: x\nX-Spam: yes\n\n.dots\n.\nmore\n")
        self.assertTrue(said["accepted"])
        self.assertIn("/.Junk", said["recipients"][0]["destinations"][0]["where"])
        said = self.said(*arguments, data="Received: x\n" * 101 + "\nloop\n")
        self.assertFalse(said["accepted"])
        self.assertRegex(said["dialog"][-1]["server"], "^554 ")

    def test_for_people(self):
        done = self.explain("--from", "a@b.test", "--to", "bob@us.test", "--client", "203.0.113.9")
        self.assertEqual(done.returncode, 0)
        self.assertIn(f'{self.path}:{self.line("match from any")} match from any for domain "us.test" action "box"'.split()[0],
                      done.stdout)
        self.assertIn("no, from: client.friend.test is not in", done.stdout)
        self.assertIn("yes: every condition holds", done.stdout)
        self.assertTrue(done.stdout.endswith("Accepted. Nothing was sent.\n"))
        for line in done.stdout.splitlines():
            self.assertTrue(len(line) <= 80 or self.folder in line, line)

    def test_wrong_calls(self):
        sends = ("--from", "a@b.test", "--to", "b@c.test")
        for call in ((), ("--from", "a@b.test"), (*sends, "--client", "nowhere"), (*sends, "--port", "x"), (*sends, "--what")):
            self.assertEqual(self.explain(*call).returncode, 2, call)
        said = self.said(*sends, "--tag", "NONE")
        self.assertIn("no SMTP listener", said["problem"])
        harness.write(f"{self.folder}/bad.conf", "lisen on lo0\n")
        done = subprocess.run([harness.POSTERN, "explain", "-f", f"{self.folder}/bad.conf", *sends], capture_output=True, text=True,
                              timeout=30, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("bad.conf:1:1: error: ", done.stdout)

    def test_a_running_server_says_the_same(self):
        log = open(f"{self.folder}/log", "w", encoding="utf-8")
        self.addCleanup(log.close)
        server = subprocess.Popen([harness.POSTERN, "serve", "-f", self.path, "-s", f"{self.folder}/other-spool"], stdout=log, stderr=log)
        self.addCleanup(server.wait, 30)
        self.addCleanup(server.terminate)
        client = self.connect()
        self.addCleanup(client.close)
        for address in ("bob@us.test", "bob+x@us.test", "team@us.test", "gone@us.test", "nobody@us.test", "far@else.test",
                        "x@localhost", "no at", '"quoted one"@us.test', "x@us.test.", "postmaster"):
            client.rset()
            client.docmd("MAIL FROM:<a@b.test>")
            code, text = client.docmd(f"RCPT TO:<{address}>")
            said = self.said("--from", "a@b.test", "--to", address, "--client", "127.0.0.1", "--port", str(self.ports["smtp"]))
            self.assertEqual(said["recipients"][0]["reply"], f"{code} {text.decode()}", address)

    def connect(self):
        for _ in range(200):
            try:
                client = smtplib.SMTP("127.0.0.1", self.ports["smtp"], local_hostname="client.invalid", timeout=20)
                client.ehlo()
                return client
            except OSError:
                harness.time.sleep(0.05)
        raise AssertionError("the server did not start")


if __name__ == "__main__":
    unittest.main()
