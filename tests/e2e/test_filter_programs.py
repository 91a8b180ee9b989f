"""Filter programs behind real sessions: what they see and change, and what becomes of mail when one dies, stops, is slow, floods,
lies or talks nonsense, in each phase."""

import concurrent.futures
import os
import pwd
import shutil
import signal
import smtplib
import tempfile
import time
import unittest

import harness
from harness import DOMAIN

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = f"/usr/bin/python3 {HERE}/filter_program.py"

CONFIG = f"""\
mailname "{{domain}}"
{harness.HEAD}\
listen on 127.0.0.1 port {{smtp}} tls pki {{domain}} filter under_test
listen on 127.0.0.1 port {{submission}} tls pki {{domain}}
{harness.IMAP}\
{harness.DELIVER}\
match from any for domain "{{domain}}" action "deliver"
"""
# One that serves no IMAP, and so gives root's rights up.
UNPRIVILEGED = """\
mailname "{domain}"
spool "{data}/spool"
{extra}
listen on 127.0.0.1 port {smtp} filter under_test
listen on 127.0.0.1 port {submission}
listen on 127.0.0.1 port {imap}
listen on 127.0.0.1 port {imaps}
action "relay" relay host "smtp://127.0.0.1:9"
match from any for domain "{domain}" action "relay"
"""
# What a message of this machine would be completed with.
FIELDS = "Date: Tue, 1 Jul 2003 10:52:37 +0200\r\nMessage-ID: <1@client.test>\r\n"
PHASES = ("connect", "ehlo", "mail-from", "rcpt-to", "data", "data-line", "commit")


def make_root(folder):
    """A file system of a shell, and of a filter that lets everything through and notes who it is in /heard."""
    os.chmod(folder, 0o755)
    for program in ("/bin/sh", "/bin/cat"):
        libraries = harness.subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for path in [program, *(word for word in libraries.split() if word.startswith("/"))]:
            os.makedirs(folder + os.path.dirname(path), exist_ok=True)
            shutil.copy(os.path.realpath(path), folder + path)
    harness.write(f"{folder}/heard", "")
    os.chmod(f"{folder}/heard", 0o666)
    harness.write(f"{folder}/status", "")
    harness.write(f"{folder}/filter", """#!/bin/sh
[ -e /etc/passwd ] || echo "started $$ 65534" >> "$1"
while IFS='|' read -r kind version time where what session token rest; do
  [ "$kind|$version" = "config|ready" ] && printf 'register|filter|smtp-in|rcpt-to\\nregister|ready\\n'
  [ "$kind" = filter ] && echo "filter-result|$session|$token|proceed"
done
""")
    os.chmod(f"{folder}/filter", 0o755)


def conversation(port, subject="hello", timeout=200):
    """One message; the codes of all replies."""
    codes = []
    with harness.Session(port, timeout=timeout) as session:
        codes.append(session.reply()[:3])
        for line in ("EHLO client.test", "MAIL FROM:<x@client.test>", f"RCPT TO:<alice@{DOMAIN}>", "DATA",
                     f"Subject: {subject}\r\n\r\nbody\r\n..dot\r\n.", "QUIT"):
            if line.startswith("Subject") and codes[-1] != "354":
                continue
            if codes[-1] in ("421", ""):
                break
            codes.append(session.command(line)[:3])
    return codes


class FilterPrograms(unittest.TestCase):
    def serve(self, extra, options=()):
        server = harness.Server(config=CONFIG, extra=extra, options=options)
        self.addCleanup(server.close)
        return server

    def heard(self, server, name="heard"):
        with open(f"{server.home}/{name}", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    def test_what_it_sees_and_changes(self):
        server = self.serve(f'filter under_test proc-exec "{PROGRAM} {{home}}/heard {",".join(PHASES)},noop,quit"\n')
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"]) as smtp:
            smtp.sendmail("x@client.test", [f"alice@{DOMAIN}"], f"{FIELDS}Subject: mark me\r\n\r\n.dot\r\nbody\r\n")
        with open(server.wait_for_messages("alice", 1)[0], encoding="utf-8") as file:
            text = file.read()
        self.assertIn("Subject: mark me\nX-Marked: by the filter\n\n.dot\nbody\n", text)
        heard = self.heard(server)
        events = [line.split("|")[4] for line in heard.splitlines() if line.startswith("report|0.7|")]
        for event in ("link-connect", "link-greeting", "link-identify", "tx-begin", "tx-mail", "tx-envelope", "tx-rcpt", "tx-data",
                      "tx-commit", "tx-reset", "link-disconnect", "protocol-client", "protocol-server", "filter-response"):
            self.assertIn(event, events)
        self.assertIn("config|subsystem|smtp-in\n", heard)
        self.assertRegex(heard, r"link-connect\|[0-9a-f]{16}\|localhost\|pass\|127\.0\.0\.1:\d+\|127\.0\.0\.1:\d+\n")
        self.assertIn("filter=under_test text=ready to filter", server.log().replace('"', ""))

    def test_a_chain_of_programs_and_rules(self):
        server = self.serve(
            f'proc one "{PROGRAM} {{home}}/one data-line"\nfilter first proc one\n'
            f'filter second proc-exec "{PROGRAM} {{home}}/two rcpt-to,data-line"\n'
            'filter no phase rcpt-to match rcpt-to {{ "bob@example.test" }} reject "550 5.7.1 not bob"\n'
            "filter under_test chain {{ first, no, second }}\n")
        big = f"{FIELDS}Subject: big\r\n\r\n" + "".join(f"line {i} " + "x" * 60 + "\r\n" for i in range(60000))
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=120) as smtp:
            refused = smtp.sendmail("x@client.test", [f"alice@{DOMAIN}", f"bob@{DOMAIN}"], big)
        self.assertEqual({to: code for to, (code, _) in refused.items()}, {f"bob@{DOMAIN}": 550})
        with open(server.wait_for_messages("alice", 1)[0], encoding="utf-8", newline="") as file:
            text = file.read()
        self.assertTrue(text.endswith(big.replace("\r\n", "\n")), "word for word through two programs")
        self.assertIn("|rcpt-to|reject|550 5.7.1 not bob", self.heard(server, "two"))

    # What a client hears when the program misbehaves in a phase: for now, and never a promise.
    OUTCOMES = {
        "connect": ["451"], "ehlo": ["220", "451"], "mail-from": ["220", "250", "451"], "rcpt-to": ["220", "250", "250", "451"],
        "data": ["220", "250", "250", "250", "451"], "data-line": ["220", "250", "250", "250", "354", "451"],
        "commit": ["220", "250", "250", "250", "354", "451"],
    }
    FINE = ["220", "250", "250", "250", "354", "250", "221"]

    # What takes the whole of a filter's patience to be seen: a minute and two if the file does not say otherwise.
    PATIENT = ("stop", "lie", "mute")

    def outcome(self, how, phase):
        # Its first run misbehaves, the one that is started in its place does not.
        patience = " timeout answer 4s content 5s" if how in self.PATIENT else ""
        server = self.serve(f'filter under_test proc-exec "{PROGRAM} {{home}}/heard {",".join(PHASES)} {how} {phase}"{patience}\n')
        harness.write(f"{server.home}/heard.go", "")
        begun = time.monotonic()
        codes = conversation(server.ports["smtp"])
        took = time.monotonic() - begun
        # Mail that has nothing to do with it goes on meanwhile: asked while the other still waits, and behind it.
        beside = conversation(server.ports["submission"])
        again = []
        # A liar is not taken for dead, and goes on lying.
        for _ in range(0 if how == "lie" else 40):
            again = conversation(server.ports["smtp"])
            if again == self.FINE:
                break
            time.sleep(0.5)
        return how, phase, codes, took, beside, again, server.log()

    def test_the_table_of_outcomes(self):
        rows = [(how, phase) for how in self.PATIENT for phase in ("connect", "rcpt-to", "data-line", "commit")]
        rows += [("die", phase) for phase in PHASES]
        rows += [(how, phase) for how in ("nonsense", "slow") for phase in ("connect", "rcpt-to", "data-line", "commit")]
        rows += [("flood", "data-line")]
        # Most of them wait most of the time.
        with concurrent.futures.ThreadPoolExecutor(8) as workers:
            results = list(workers.map(lambda row: self.outcome(*row), rows))
        for how, phase, codes, took, beside, again, log in results:
            with self.subTest(how=how, phase=phase):
                print(f"{how:9} {phase:10} {' '.join(codes):31} {took:5.1f} s, then {' '.join(again)}")
                self.assertEqual(beside, self.FINE)
                if how == "slow":
                    self.assertEqual(codes, self.FINE)
                    continue
                expected = self.OUTCOMES[phase]
                self.assertEqual(codes[:len(expected)], expected)
                self.assertNotIn("250", codes[len(expected):][:1])
                if how != "lie":
                    self.assertEqual(again, self.FINE, "the program was started again")
                    self.assertIn("program-ended", log)

    def test_killed_and_stopped_from_outside(self):
        server = self.serve(f'filter under_test proc-exec "{PROGRAM} {{home}}/heard mail-from,data-line"\n')
        self.assertEqual(conversation(server.ports["smtp"]), self.FINE)
        pid = int(self.heard(server).split("started ")[-1].split()[0])
        with harness.Session(server.ports["smtp"]) as session:
            session.reply()
            session.command("EHLO client.test")
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.3)
            self.assertEqual(session.command("MAIL FROM:<x@client.test>")[:3], "421", "the new one knows nothing of this session")
        for _ in range(40):
            if conversation(server.ports["smtp"]) == self.FINE:
                break
            time.sleep(0.25)
        else:
            self.fail(server.log())
        self.assertEqual(self.heard(server).count("started "), 2)

    def test_a_program_that_is_missing(self):
        begun = time.monotonic()
        server = self.serve('filter under_test proc-exec "/does/not/exist"\n', options=("-u", "root"))
        took = time.monotonic() - begun
        print(f"listens after {took:.1f} s")
        # It has said that it cannot be started: nobody waits for it to register.
        self.assertLess(took, 25)
        said = harness.subprocess.run([harness.POSTERN, "check", server.config_path], capture_output=True, text=True, check=False)
        self.assertIn("filter under_test: its program cannot be started: /does/not/exist", said.stderr)
        self.assertIn("[filter-away]", said.stderr)
        self.assertEqual(conversation(server.ports["smtp"])[0], "421")
        self.assertEqual(conversation(server.ports["submission"]), self.FINE)

    @unittest.skipUnless(os.getuid() == 0, "only root becomes another user")
    def test_user_group_and_chroot(self):
        server = self.serve(f'filter under_test proc-exec "{PROGRAM} /tmp/postern-heard-{os.getpid()} mail-from" user nobody group mail\n',
                            options=("-u", "root"))
        path = f"/tmp/postern-heard-{os.getpid()}"
        self.addCleanup(os.unlink, path)
        self.assertEqual(conversation(server.ports["smtp"]), self.FINE)
        with open(path, encoding="utf-8") as file:
            self.assertRegex(file.read(), r"started \d+ 65534:8\n")

    @unittest.skipUnless(os.getuid() == 0, "only root becomes another user")
    def test_user_group_and_chroot_of_a_server_that_is_not_root(self):
        path = f"/tmp/postern-heard-{os.getpid()}-unprivileged"
        root = tempfile.mkdtemp(prefix="postern-root-")
        self.addCleanup(shutil.rmtree, root, True)
        make_root(root)
        server = harness.Server(
            config=UNPRIVILEGED, options=("-u", "daemon"), prepare=lambda server: os.chmod(server.home, 0o755),
            extra=f'filter one proc-exec "{PROGRAM} {path}-one mail-from,commit" user nobody group mail\n'
                  f'filter two proc-exec "/filter /heard" user nobody chroot "{root}"\n'
                  f'filter three proc-exec "{PROGRAM} {path}-three rcpt-to"\n'
                  "filter under_test chain {{ one, two, three }}\n")
        self.addCleanup(server.close)
        for name in ("one", "three"):
            self.addCleanup(os.unlink, f"{path}-{name}")

        def started(name):
            with open(name, encoding="utf-8") as file:
                return [line.split()[1:] for line in file if line.startswith("started ")]

        self.assertEqual(conversation(server.ports["smtp"]), self.FINE, server.log())
        # (Its ports are open before it is nobody but its account; it greets afterwards.)
        self.assertEqual(os.stat(f"/proc/{server.process.pid}").st_uid, pwd.getpwnam("daemon").pw_uid, server.log())
        self.assertEqual([who for _, who in started(f"{path}-one")], ["65534:8"])
        self.assertEqual([who for _, who in started(f"{path}-three")], ["1:1"], "the server's own account")
        self.assertEqual([who for _, who in started(f"{root}/heard")], ["65534"])
        # One that dies is started again, by whoever may.
        killed = {name: int(started(name)[0][0]) for name in (f"{path}-one", f"{root}/heard")}
        for pid in killed.values():
            os.kill(pid, signal.SIGKILL)
        for _ in range(100):
            if all(len(started(name)) == 2 for name in killed) and conversation(server.ports["smtp"]) == self.FINE:
                break
            time.sleep(0.2)
        else:
            self.fail(server.log())
        # A reload goes on with what is there, and cannot add what nobody named at the start.
        with open(server.config_path, encoding="utf-8") as file:
            text = file.read()
        harness.write(server.config_path, text + 'table unused { "x" }\n')
        server.process.send_signal(signal.SIGHUP)
        self.wait_for_log(server, "configuration reloaded")
        self.assertEqual(conversation(server.ports["smtp"]), self.FINE, server.log())
        self.assertEqual(len(started(f"{path}-one")), 2)
        harness.write(server.config_path, text.replace("chain {", "chain { four,").replace(
            "filter under_test", f'filter four proc-exec "{PROGRAM} {path}-four mail-from" user root\nfilter under_test', 1))
        server.process.send_signal(signal.SIGHUP)
        self.wait_for_log(server, "takes a restart")
        self.assertEqual(conversation(server.ports["smtp"]), self.FINE, server.log())
        self.assertFalse(os.path.exists(f"{path}-four"))
        # What it started ends with it, though it could not kill them itself.
        pids = [int(started(name)[-1][0]) for name in (f"{path}-one", f"{path}-three", f"{root}/heard")]
        server.stop(signal.SIGKILL)
        deadline = time.monotonic() + 30
        while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual([pid for pid in pids if os.path.exists(f"/proc/{pid}")], [])

    def wait_for_log(self, server, text):
        deadline = time.monotonic() + 30
        while text not in server.log():
            if time.monotonic() > deadline:
                self.fail(f"no {text!r} in\n{server.log()}")
            time.sleep(0.05)


if __name__ == "__main__":
    unittest.main()
