"""postern explain with filters on the listener, and with a login where there is none."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = """\
mailname "mail.us.test"
spool "{folder}/spool"
table virtuals {{ "bob@us.test" = me, "carol@us.test" = me }}
table accounts {{ me = "{uid}:{gid}:{folder}/home" }}
filter strangers phase connect match !rdns disconnect "550 who are you"
filter liars phase ehlo match helo {{ "liar.test" }} reject "550 5.7.1 no, you are not"
filter suspects phase mail-from match mail-from {{ "s@spam.test" }} junk
filter moved phase rcpt-to match rcpt-to {{ "old@us.test" }} rewrite "bob@us.test"
filter closed phase rcpt-to match rcpt-to {{ "carol@us.test" }} reject "550 5.7.1 carol takes no mail"
filter seen phase data match helo {{ "client.test" }} report "seen"
filter agent proc-exec "/usr/bin/python3 {here}/filter_program.py {folder}/heard mail-from,data-line"
filter all chain {{ strangers, liars, suspects, moved, closed, seen, agent }}
listen on 0.0.0.0 port {port} filter all
action "box" maildir "{folder}/mail/%{{dest.user}}" junk virtual <virtuals> userbase <accounts>
match from any for domain us.test action "box"
"""


class ExplainFilters(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="postern-e2e-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        os.mkdir(f"{cls.folder}/home")
        cls.path = f"{cls.folder}/smtpd.conf"
        cls.text = CONFIG.format(folder=cls.folder, here=HERE, uid=os.getuid(), gid=os.getgid(), port=harness.free_ports(1)[0])
        harness.write(cls.path, cls.text)

    def line(self, front):
        return next(i + 1 for i, line in enumerate(self.text.splitlines()) if line.startswith(front))

    def explain(self, *arguments, data=None):
        return subprocess.run([harness.POSTERN, "explain", "-f", self.path, *arguments], input=data, capture_output=True,
                              text=True, timeout=60, check=False)

    def ask(self, *arguments, sender="x@far.test", to="bob@us.test", name="client.test", helo="client.test", data=None):
        done = self.explain("--json", "--client", "203.0.113.9", f"--rdns={name}", "--helo", helo, "--from", sender, "--to", to,
                            *arguments, data=data)
        self.assertEqual(done.stderr, "")
        answer = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if answer["accepted"] else 1, done.stdout)
        return answer

    def said(self, answer):
        return {(step["name"], step["phase"]): step["decision"] for step in answer["filter_steps"]}

    def test_each_phase(self):
        answer = self.ask("-", data="Subject: x\n\nbody\n")
        self.assertTrue(answer["accepted"])
        self.assertEqual(self.said(answer), {("strangers", "connect"): "", ("liars", "ehlo"): "", ("suspects", "mail-from"): "",
                                             ("moved", "rcpt-to"): "", ("closed", "rcpt-to"): "", ("seen", "data"): "report"})
        for step in answer["filter_steps"]:
            self.assertEqual((step["file"], step["line"]), (self.path, self.line(f"filter {step['name']} ")))
        self.assertEqual([each["asked"] for each in answer["filters"]], [True] * 6 + [False])
        self.assertFalse(os.path.exists(f"{self.folder}/heard"))

    def test_what_they_decide(self):
        answer = self.ask(name="")
        self.assertEqual(self.said(answer), {("strangers", "connect"): "disconnect"})
        self.assertFalse(answer["accepted"])
        answer = self.ask(helo="liar.test")
        self.assertEqual(self.said(answer)[("liars", "ehlo")], "reject")
        self.assertFalse(answer["accepted"])
        answer = self.ask(to="carol@us.test")
        self.assertEqual(self.said(answer)[("closed", "rcpt-to")], "reject")
        self.assertIn("carol takes no mail", answer["recipients"][0]["reply"])
        answer = self.ask(to="old@us.test")
        self.assertTrue(answer["accepted"])
        self.assertEqual(answer["recipients"][0]["destinations"][0]["address"], "bob@us.test")
        answer = self.ask(sender="s@spam.test")
        self.assertIn("/.Junk", answer["recipients"][0]["destinations"][0]["where"])

    def test_for_people(self):
        done = self.explain("--client", "203.0.113.9", "--rdns", "client.test", "--from", "x@far.test", "--to", "carol@us.test")
        text = " ".join(done.stdout.split())
        self.assertIn(f'{self.path}:{self.line("filter closed")} filter "closed" at rcpt-to in rcpt-to, for carol@us.test: rejects: '
                      "550 5.7.1 carol takes no mail", text)
        self.assertIn('in ehlo: its condition does not hold', text)
        self.assertIn("Filter, not asked without --ask-filters:", text)

    def test_a_program_is_asked_when_that_is_wanted(self):
        self.addCleanup(os.unlink, f"{self.folder}/heard")
        answer = self.ask("--ask-filters", "-", data="Subject: x\n\nbody\n.dot\n")
        self.assertTrue(answer["accepted"], answer)
        said = self.said(answer)
        self.assertEqual(said[("agent", "mail-from")], "proceed")
        self.assertEqual(said[("agent", "content")], "proceed")
        self.assertTrue(all(each["asked"] for each in answer["filters"]))
        with open(f"{self.folder}/heard", encoding="utf-8") as file:
            self.assertIn("|tx-data|", file.read())

    def test_a_login_where_there_is_none(self):
        done = self.explain("--client", "203.0.113.9", "--auth", "me", "--from", "bob@us.test", "--to", "x@far.test")
        self.assertEqual(done.returncode, 1)
        self.assertIn("lets anybody log in", " ".join(done.stdout.split()))
        listener = self.line("listen on 0.0.0.0")
        answer = self.explain("--json", "--listener", str(listener), "--auth", "me", "--from", "bob@us.test", "--to", "x@far.test")
        problem = json.loads(answer.stdout)["problem"]
        self.assertIn(f"{self.path}:{listener}", problem)
        self.assertIn("nobody log in", problem)


if __name__ == "__main__":
    unittest.main()
