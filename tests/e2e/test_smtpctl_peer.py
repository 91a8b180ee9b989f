"""Our smtpctl beside Debian's: both servers get the same mail, one after the other on the same machine, and each verb's whole output
is compared. What differs in every run (ids, times, seconds, pids) has its place in the line and is left out by its form; every other
difference is named below with its reason."""

import glob
import grp
import importlib.machinery
import importlib.util
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import world
from harness import BIN, POSTERN

DIFFERENTIAL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../differential")
WORK = "POSTERN_TEST_SMTPCTL"  # the folder with the package, inside
CONFIG = """\
table aliases file:/etc/mail/aliases-of-test
listen on 127.0.0.1 port 25
action "here" maildir alias <aliases>
action "away" relay host smtp://127.0.0.1:1
action "slow" mda "sleep 600"
match for domain "slow.test" action "slow"
match for local action "here"
match from any for domain "far.example" action "away"
"""

# Verbs whose whole outputs, with {evpid} and {msgid} those of the mail for far.example, are the same. The status is zero or not.
RUNNING = """\
show envelope {evpid}
show message {evpid}
show message {msgid}
show hosts
show routes
sh ro
show status
log brief
log verbose
log
pause
pause m
show queue zz
show envelope
show envelope zzz
trace smtp
untrace smtp
pause envelope {evpid}
pause envelope {evpid}
resume envelope {evpid}
resume envelope all
pause mda
show status
resume mda
pause mta
show status
resume mta
pause smtp
show status
resume smtp
resume route 1
discover {evpid}
discover {msgid}
discover 1234567812345678
update table aliases
show mta paused
pause mta from 127.0.0.1 for far.example
show mta paused
resume mta from 127.0.0.1 for far.example
show mta paused
remove 1234567812345678
"""
# Both say no; what they say is each one's own.
FAILING = ("pause mda,pause mda", "resume mda,resume mda", "resume smtp", "update table nothing", "show envelope 1234567812345678",
           "show message 12345678", "xx", "")
STOPPED = """\
show queue
show envelope {evpid}
show message {evpid}
show message {msgid}
"""

SPF = {
    ("one.test", "TXT"): ["v=spf1 ip4:192.0.2.0/24 include:two.test a mx -all"],
    ("one.test", "A"): ["198.51.100.7"],
    ("one.test", "MX"): [(10, "mail.one.test")],
    ("mail.one.test", "A"): ["198.51.100.8"],
    ("two.test", "TXT"): ["v=spf1 ip6:2001:db8::/32 ip4:192.0.2.64/26 -ip4:203.0.113.1 ~a:mail.one.test redirect=three.test"],
    ("three.test", "TXT"): ["v=spf1 ip4:203.0.113.9 include:one.test ?all"],
    ("four.test", "TXT"): ["no such thing"],
}


def inside_world():
    return os.environ.get(WORK, "")


class Debian:
    """OpenSMTPD 6.8, unpacked; the names are laid over /usr only for it."""

    name = "opensmtpd"

    def __init__(self, work):
        package = f"{work}/package"
        smtpctl = f"{package}/usr/sbin/smtpctl"
        os.chown(smtpctl, 0, grp.getgrnam("opensmtpq").gr_gid)
        os.chmod(smtpctl, 0o2755)
        world.run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={package}/usr:/usr", "/usr")
        self.serve = ["/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf"]
        self.ctl = ["/usr/sbin/smtpctl"]


class Ours:
    name = "postern"

    def __init__(self, work):
        del work
        self.serve = [POSTERN, "serve", "-f", "/etc/smtpd.conf", "-s", "/var/spool/postern", "-u", "root"]
        self.ctl = [os.path.join(BIN, "smtpctl"), "-f", "/etc/smtpd.conf", "-s", "/var/spool/postern"]


def normal(text):
    """The text without what is another one in every run."""
    text = text.replace("(Postern)", "(OpenSMTPD)")  # each says who it is
    text = re.sub(r" \+0000( \(UTC\))?$", " +0000", text, flags=re.M)
    # The name of an address that was named: theirs asks for it.
    text = text.replace("127.0.0.1 (127.0.0.1)", "127.0.0.1 (localhost)").replace("127.0.0.1 127.0.0.1 ", "127.0.0.1 localhost ")
    text = re.sub(r"\b[0-9a-f]{16}\b", "EVPID", text)
    text = re.sub(r"\bid [0-9a-f]{8}\b", "id MSGID", text)
    text = re.sub(r"<[0-9a-zA-Z.-]+@host\.example\.test>", "<MESSAGE-ID>", text)
    text = re.sub(r"\b1[0-9]{9}\b", "TIME", text)
    text = re.sub(r"\b\w{3}, +\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "DATE", text)
    return re.sub(r"(lastconn|timeout)=\d[\dhms]*", r"\1=SECONDS", text)


class Side:
    """One server, what it was asked and what it said."""

    def __init__(self, server, machine):
        self.server = server
        self.machine = machine
        self.said = {}

    def ask(self, words, data=""):
        done = subprocess.run([*self.server.ctl, *words.split()], input=data, capture_output=True, text=True, check=False, timeout=30)
        return done.returncode, done.stdout, done.stderr

    def keep(self, key, answer):
        code, out, error = answer
        self.said[key] = (code != 0, normal(out), normal(error.replace("smtpctl: ", "")))

    def send(self, recipient, sender="bob@host.example.test"):
        with socket.create_connection(("127.0.0.1", 25), 30) as connection:
            file = connection.makefile("rb")
            file.readline()
            for line in ("HELO client.example", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA",
                         "Subject: x\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000 (UTC)\r\nMessage-ID: <1@client.example>\r\n\r\nbody\r\n.",
                         "QUIT"):
                connection.sendall(line.encode() + b"\r\n")
                reply = file.readline()
                assert reply[:1] in b"23", (line, reply)

    def monitor(self):
        """The first three lines of `monitor`, which theirs buffers unless it writes to a terminal."""
        ours, theirs = pty.openpty()
        with subprocess.Popen([*self.server.ctl, "monitor"], stdout=theirs, stdin=subprocess.DEVNULL) as process:
            os.close(theirs)
            text = b""
            while text.count(b"\n") < 3:
                text += os.read(ours, 1000)
            process.kill()
        os.close(ours)
        return text.decode().replace("\r\n", "\n").splitlines()[:3]

    def rows(self, status):
        """`show queue` by recipient, once each envelope has `status`."""
        end = time.monotonic() + 60
        while True:
            code, out, error = self.ask("show queue")
            rows = {line.split("|")[5]: line.split("|") for line in out.splitlines()}
            if code == 0 and len(rows) == 2 and all(row[11] in status for row in rows.values()):
                return rows
            assert time.monotonic() < end, (code, out, error)
            time.sleep(0.2)

    def run(self):
        self.machine.clean()
        self.machine.write("/etc/smtpd.conf", CONFIG)
        os.chmod("/etc/smtpd.conf", 0o600)
        self.machine.write("/etc/mail/aliases-of-test", "bob: bob\nlist: alice, carol\n")
        with open(f"{inside_world()}/{self.server.name}.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(self.server.serve, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                self.work(process)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()

    def work(self, process):
        end = time.monotonic() + 60
        while self.ask("show status")[0] != 0:
            assert process.poll() is None and time.monotonic() < end, self.server.name
            time.sleep(0.1)
        self.send("alice@slow.test", "")
        self.send("x@far.example")
        self.send("alice@host.example.test")
        rows = self.rows(("pending", "inflight"))
        while "penalty=1" not in self.ask("show routes")[1]:
            assert time.monotonic() < end, self.ask("show routes")
            time.sleep(0.2)
        self.said["queue"] = {name: normal("|".join(row[1:7] + row[12:12])) for name, row in rows.items()}
        self.said["fields"] = sorted({len(row) for row in rows.values()})
        names = {"evpid": rows["x@far.example"][0], "msgid": rows["x@far.example"][0][:8]}
        for number, words in enumerate(RUNNING.splitlines()):
            self.keep(f"{number} {words}", self.ask(words.format(**names)))
        for each in FAILING:
            last = [self.ask(words) for words in each.split(",")][-1]
            self.said[f"failing {each}"] = last[0] != 0
            self.ask("resume mda")
        self.said["stats"] = {line.split("=")[0] for line in self.ask("show stats")[1].splitlines()}
        header, names_of, numbers = self.monitor()
        self.said["monitor"] = (False, f"{header}\n{names_of}\n{len(numbers)} {len(numbers.split())}", "")
        process.terminate()
        process.wait(60)
        time.sleep(1)
        for words in STOPPED.splitlines():
            code, out, error = self.ask(words.format(**names))
            if words == "show queue":
                # The order of theirs is that of a folder; theirs forgets the last try (the checklist: expire is ctime in 7.8, too).
                out = "\n".join(sorted(normal("|".join(line.split("|")[:8] + line.split("|")[11:13])) for line in out.splitlines()))
            self.keep(f"stopped {words}", (code, out, error))
        code, out, error = self.ask("spf walk", "one.test\nfour.test\nnowhere.test\ntwo.test\n")
        # Answers come in any order. 6.8 passes over ip6.
        self.said["spf walk"] = (code, sorted(each for each in out.split() if ":" not in each), error)
        self.said["spf walk of ip6"] = "2001:db8::/32" in out or self.server.name == "opensmtpd"
        for words in ("show stats", "monitor", "log brief", "remove all", "update table aliases"):
            code, out, error = self.ask(words)
            self.said[f"stopped {words}"] = (code != 0, out, error.splitlines()[0].replace("smtpctl: ", ""))


class Compared:
    """Made a test inside the namespaces, below."""

    maxDiff = None

    def test_each_verb(self):
        sys.path.insert(0, DIFFERENTIAL)
        fixtures = importlib.import_module("fixtures")
        fixtures.DNS.update(SPF)
        machine = fixtures.Machine()
        said = {}
        for server in (Debian, Ours):
            side = Side(server(inside_world()), machine)
            side.run()
            said[server.name] = side.said
        theirs, ours = said["opensmtpd"], said["postern"]
        self.assertEqual(theirs.keys(), ours.keys())
        for key, wanted in theirs.items():
            with self.subTest(key):
                got = ours[key]
                if key == "stats":
                    # Theirs count a cache that we do not have; ours has more to tell.
                    lacking = {each for each in wanted - got if not each.startswith(("queue.evpcache.", "scheduler.ramqueue."))}
                    self.assertLessEqual(lacking, {"mda.pending", "mda.user"})
                elif isinstance(wanted, tuple) and wanted[2].startswith("possibilities are:"):
                    # What 6.8 shows is all that may follow the last good word; ours what may still be meant (7.x: exit code 1).
                    self.assertTrue(got[0])
                    self.assertEqual(got[1], "")
                    self.assertEqual(got[2].splitlines()[0], wanted[2].splitlines()[0])
                    known = {each for each in wanted[2].splitlines()[1:]}
                    self.assertTrue(known & set(got[2].splitlines()[1:]), got[2])
                elif "show envelope" in key and isinstance(wanted, tuple) and not wanted[0]:
                    self.compare_envelopes(wanted[1], got[1])
                else:
                    self.assertEqual(got, wanted)

    def compare_envelopes(self, wanted, got):
        """Theirs word for word, but for what the checklist has otherwise, and ours behind."""
        theirs, ours = (dict(line.split(": ", 1) for line in text.splitlines()) for text in (wanted, got))
        self.assertEqual([name for name in ours if name in theirs], list(theirs))
        for name in ("ttl", "last-try", "last-bounce", "retry", "errorline"):  # 6.8 leaves the action's ttl out
            theirs.pop(name, None)
            ours.pop(name, None)
        self.assertEqual({name: ours[name] for name in theirs}, theirs)
        self.assertEqual(set(ours) - set(theirs), set())


class Peer(unittest.TestCase):
    def test_beside_debians_smtpctl(self):
        reason = world.available()
        if reason:
            self.skipTest(reason)
        if not shutil.which("apt-get") or not shutil.which("dpkg"):
            self.skipTest("no apt-get to fetch OpenSMTPD with")
        loader = importlib.machinery.SourceFileLoader("differential_run", f"{DIFFERENTIAL}/run")
        sys.path.insert(0, DIFFERENTIAL)
        run = importlib.util.module_from_spec(importlib.util.spec_from_loader("differential_run", loader))
        loader.exec_module(run)
        reason = run.why_not()
        if reason:
            self.skipTest(reason)
        work = tempfile.mkdtemp(prefix="postern-smtpctl-")
        self.addCleanup(shutil.rmtree, work, True)
        reason = run.fetch(work)
        if reason:
            self.skipTest(reason)
        self.assertTrue(glob.glob(f"{work}/package/usr/sbin/smtpctl"))
        done = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--propagation",
                               "private", sys.executable, "-m", "unittest", "-v", "test_smtpctl_peer.Inside"],
                              cwd=os.path.dirname(os.path.abspath(__file__)), env=dict(os.environ, **{world.MARK: "1", WORK: work}),
                              check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=280)
        self.assertEqual(done.returncode, 0, done.stdout)


if inside_world():
    class Inside(Compared, unittest.TestCase):
        pass


if __name__ == "__main__":
    unittest.main()
