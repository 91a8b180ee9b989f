"""Milters that do not behave, at each step: the mail in hand gets what the filter's default says, in time, and other mail goes on.
And one that does: on a Unix socket, in a chain, and what `postern check` says when nobody is there."""

import os
import signal
import smtplib
import subprocess
import sys
import threading
import time
import unittest

import harness
from harness import DOMAIN

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = "OCHMRTLNBE"
TEXT = "From: a@client.test\r\nTo: alice@example.test\r\nSubject: {subject}\r\n\r\nbody of {subject}\r\n"

# The submission port has no filter: what comes there is the other mail.
CONFIG = harness.CONFIG.replace("port {smtp} tls pki {domain}", "port {smtp} tls pki {domain} filter tested").replace(
    "tls-require pki {domain} auth <logins>\nlisten on 127.0.0.1 port {imap} ",
    "tls pki {domain}\nlisten on 127.0.0.1 port {imap} ")
TIMES = "connect-timeout 2s command-timeout 2s content-timeout 2s"


class Milter:
    """A milter_program.py."""

    def __init__(self, test, home, where, mode="good"):
        self.where = str(where)
        self.path = f"{home}/mode-{abs(hash(self.where))}"
        self.process = None
        self.mode(mode)
        self.start()
        test.addCleanup(self.close)

    def mode(self, mode):
        harness.write(self.path + ".new", mode)
        os.rename(self.path + ".new", self.path)

    def start(self):
        self.close()
        if not self.where.isdigit() and os.path.exists(self.where):
            os.unlink(self.where)
        self.process = subprocess.Popen([sys.executable, f"{HERE}/milter_program.py", self.where, self.path])
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if not self.where.isdigit():
                if os.path.exists(self.where):
                    return
            else:
                try:
                    harness.socket.create_connection(("127.0.0.1", int(self.where)), 1).close()
                    return
                except OSError:
                    pass
            time.sleep(0.02)
        raise AssertionError("the milter did not start")

    def alive(self):
        """Whether it still answers: it may have been told to die or to stop."""
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as stat:
            return self.process.poll() is None and stat.read().rsplit(")", 1)[1].split()[0] not in "TtZ"

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(10)


def send(port, subject, sender="a@client.test"):
    """The code that a message ends with, wherever it is refused."""
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
            client.sendmail(sender, [f"alice@{DOMAIN}"], TEXT.format(subject=subject))
            return 250
    except smtplib.SMTPRecipientsRefused as refused:
        return list(refused.recipients.values())[0][0]
    except smtplib.SMTPResponseException as refused:
        return refused.smtp_code


class Milters(unittest.TestCase):
    def serve(self, extra):
        server = harness.Server(extra=extra, config=CONFIG)
        self.addCleanup(server.close)
        return server

    def subjects(self, server, name="alice"):
        found = {}
        for path in server.messages(name):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            found[text.split("Subject: ", 1)[1].split("\n", 1)[0]] = text
        return found

    def come_back(self, server, milter, subject):
        """Has the milter do well. One for whose greeting a session waited in vain is left alone for a while. How many messages
        were taken meanwhile."""
        if not milter.alive():
            milter.start()
        milter.mode("good")
        taken, deadline = 0, time.monotonic() + 70
        while f"[seen] {subject}" not in self.subjects(server):
            self.assertLess(time.monotonic(), deadline, "it is not asked any more")
            taken += send(server.ports["smtp"], subject) == 250
            time.sleep(0.2)
        return taken

    def outcomes(self, default, refused, whats, steps=STEPS):
        port = harness.free_ports(1)[0]
        server = self.serve(f'filter tested milter "inet:127.0.0.1:{port}" default {default} {TIMES}')
        milter = Milter(self, server.home, port)
        self.assertEqual(send(server.ports["smtp"], "before"), 250)
        passed, more = [], 0
        for what in whats:
            for step in steps:
                if not milter.alive():
                    milter.start()
                milter.mode(f"{what} {step} 1")
                subject = f"{what}-{step}"
                other = threading.Thread(target=lambda: passed.append(send(server.ports["submission"], f"other-{subject}")))
                begin = time.monotonic()
                other.start()
                with self.subTest(what=what, step=step, default=default):
                    code = send(server.ports["smtp"], subject)
                    self.assertLess(time.monotonic() - begin, 12)
                    self.assertEqual(code, refused)
                other.join()
                self.assertIn("filter-failed", server.log())
                if step == "O":
                    more += self.come_back(server, milter, f"back-{what}")
        self.assertEqual(set(passed), {250})
        # It goes on as soon as the milter does.
        milter.start()
        milter.mode("good")
        self.assertEqual(send(server.ports["smtp"], "after"), 250)
        self.assertIsNone(server.process.poll())
        server.wait_for_messages("alice", 2 + more + len(passed) + (len(passed) if refused == 250 else 0))
        subjects = self.subjects(server)
        self.assertIn("[seen] after", subjects)
        for what in whats:
            for step in steps:
                self.assertIn(f"other-{what}-{step}", subjects)
                self.assertEqual(f"{what}-{step}" in subjects, refused == 250)

    def test_what_dies_or_lies_costs_a_temporary_failure(self):
        self.outcomes("tempfail", 451, ["die", "kill", "lie", "nonsense", "change", "huge"])

    def test_what_hangs_or_floods_costs_a_temporary_failure(self):
        self.outcomes("tempfail", 451, ["hang", "stop", "flood"], "OME")

    def test_signs_of_life_before_the_end_gain_no_time(self):
        self.outcomes("tempfail", 451, ["progress"], "MB")

    def test_default_accept_lets_mail_through_as_it_came(self):
        self.outcomes("accept", 250, ["die", "kill", "lie"])

    def test_default_reject_refuses_for_good(self):
        self.outcomes("reject", 550, ["die", "lie"], "OMBE")

    def test_a_slow_one_is_waited_for(self):
        port = harness.free_ports(1)[0]
        server = self.serve(f'filter tested milter "inet:127.0.0.1:{port}" {TIMES}')
        milter = Milter(self, server.home, port)
        for step in STEPS:
            milter.mode(f"slow {step} 0.7")
            self.assertEqual(send(server.ports["smtp"], f"slow-{step}"), 250)

    def test_verdicts(self):
        port = harness.free_ports(1)[0]
        server = self.serve(f'filter tested milter "inet:127.0.0.1:{port}" {TIMES}')
        milter = Milter(self, server.home, port)
        before = server.log().count("filter-failed")  # the start's own look at the port came before the milter
        for what, code in (("reject", 550), ("temp", 451), ("reply", 554), ("accept", 250), ("discard", 250)):
            for step in "MRTLNBE":
                milter.mode(f"{what} {step}")
                with self.subTest(what=what, step=step):
                    self.assertEqual(send(server.ports["smtp"], f"{what}-{step}"), code)
        server.wait_for_messages("alice", 7)
        time.sleep(0.5)
        self.assertEqual(sorted(self.subjects(server)), sorted(f"accept-{step}" for step in "MRTLNBE"))
        self.assertEqual(server.log().count("filter-failed"), before)

    def test_a_chain_over_both_kinds_of_socket(self):
        ports = harness.free_ports(2)
        folder = harness.tempfile.mkdtemp(prefix="postern-milter-")
        self.addCleanup(harness.shutil.rmtree, folder, True)
        server = self.serve(
            'filter no_evil phase mail-from match mail-from {{ "evil@client.test" }} reject "550 evil"\n'
            f'filter one milter "inet:127.0.0.1:{ports[0]}" {TIMES}\n'
            f'filter two milter "unix:{folder}/socket" {TIMES}\n'
            'filter tested chain {{ no_evil, one, two }}')
        Milter(self, server.home, ports[0])
        two = Milter(self, server.home, f"{folder}/socket")
        self.assertEqual(send(server.ports["smtp"], "evil", "evil@client.test"), 550)
        self.assertEqual(send(server.ports["smtp"], "chained"), 250)
        path = server.wait_for_messages("alice", 1)[0]
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertIn("\nSubject: [seen] [seen] chained\n", text)
        self.assertEqual(text.count("X-Milter: seen\n\ttwice\n"), 2)
        # Above all that came stands our own trace field, and the milters' fields below it.
        self.assertLess(text.index("Received: "), text.index("X-Milter"))
        two.mode("reject R")
        self.assertEqual(send(server.ports["smtp"], "refused"), 550)

    def test_a_large_message(self):
        port = harness.free_ports(1)[0]
        server = self.serve(f'filter tested milter "inet:127.0.0.1:{port}" {TIMES}')
        Milter(self, server.home, port)
        body = "".join(f"line {i} of a long message\r\n" for i in range(200000))
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=60) as client:
            client.sendmail("a@client.test", [f"alice@{DOMAIN}"], TEXT.format(subject="large") + body)
        path = server.wait_for_messages("alice", 1)[0]
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertTrue(text.endswith(body.replace("\r\n", "\n")))
        self.assertIn("\nX-Milter: seen\n", text)
        self.assertEqual([each for each in os.listdir(f"{server.data}/spool") if each.startswith("filter.")], [])

    def test_check_says_that_nobody_is_there(self):
        port = harness.free_ports(1)[0]
        server = self.serve(f'filter tested milter "inet:127.0.0.1:{port}"')
        check = subprocess.run([harness.POSTERN, "check", "-f", server.config_path], capture_output=True, text=True, check=False)
        said = check.stdout + check.stderr
        self.assertIn(f"filter tested: no milter can be reached at 127.0.0.1:{port}", said)
        Milter(self, server.home, port)
        check = subprocess.run([harness.POSTERN, "check", "-f", server.config_path], capture_output=True, text=True, check=False)
        self.assertNotIn("no milter can be reached", check.stdout + check.stderr)


if __name__ == "__main__":
    unittest.main()
