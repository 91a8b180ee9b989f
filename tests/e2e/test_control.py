"""`postern ctl`, also as `smtpctl`, against a running server: what it prints beside what the tutorials print, who may ask, and what
happens to the queue."""

import crypt
import json
import os
import re
import signal
import subprocess
import time
import unittest

import harness

POSTERN = harness.POSTERN
SMTPCTL = os.path.join(harness.BIN, "smtpctl")
NOBODY = 65534
RULES = 'action "away" relay host "smtp://127.0.0.1:1"\nmatch from local for domain "far.example" action "away"'
MONITOR_HEADER = """\
--- client ---  -- envelope --   ---- relay/delivery --- ------- misc -------
curr conn disc  curr  enq  deq   ok tmpfail prmfail loop expire remove bounce
"""


def ctl(server, *words, user=None, program=(POSTERN, "ctl"), data=None):
    """The finished program. As another user the spool is named: the configuration is not his to read."""
    where = ["-f", server.config_path] if user is None else ["-s", f"{server.data}/spool"]
    return subprocess.run([*program, *where, *words], input=data, capture_output=True, text=True, check=False, timeout=60, user=user)


def wait_for_socket(server):
    """The ports are open a moment before the socket in the spool."""
    while ctl(server, "show", "status").returncode != 0:
        time.sleep(0.02)


def send(server, recipient, sender="alice@example.test", helo="client.example"):
    with harness.Session(server.ports["smtp"]) as session:
        session.line()
        for line in (f"HELO {helo}", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA"):
            session.send(line + "\r\n")
            session.line()
        session.send("Subject: x\r\n\r\nbody\r\n.\r\n")
        return session.line()


class Control(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(rules=RULES)
        os.chmod(cls.server.home, 0o711)
        os.chmod(f"{cls.server.data}/spool", 0o711)
        wait_for_socket(cls.server)

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def tearDown(self):
        for words in (("resume", "mda"), ("resume", "mta"), ("resume", "smtp"), ("resume", "mta", "from", "any", "for", "far.example"),
                      ("remove", "all")):
            ctl(self.server, *words)
        for line in ctl(self.server, "show", "routes").stdout.splitlines():
            ctl(self.server, "resume", "route", line.split(".")[0])

    def wait_for(self, words, pattern, seconds=10):
        deadline = time.monotonic() + seconds
        while True:
            text = ctl(self.server, *words).stdout
            if re.search(pattern, text):
                return text
            self.assertLess(time.monotonic(), deadline, text)
            time.sleep(0.1)

    def test_the_queue_as_smtpctl_prints_it(self):
        self.assertEqual(ctl(self.server, "pause", "mda").stdout, "command succeeded\n")
        self.assertIn("250", send(self.server, "alice@example.test", "bob@elsewhere.example"))
        self.assertIn("250", send(self.server, "x@far.example", "alice@example.test"))
        listing = self.wait_for(("show", "queue"), r"(?s)\|mta\|.*\|1\|pending\|")
        lines = sorted(listing.splitlines(), key=lambda line: line.split("|")[2])
        self.assertEqual(len(lines), 2)
        # EVPID|inet4|mda|flags|sender|rcpt|dest|ctime|expire|last-try|retries|pending|secs|error
        self.assertRegex(lines[0], r"^[0-9a-f]{16}\|inet4\|mda\|\|bob@elsewhere\.example\|alice@example\.test\|alice@example\.test\|"
                                   r"\d{10}\|\d{10}\|0\|0\|pending\|-?\d+\|$")
        self.assertRegex(lines[1], r"^[0-9a-f]{16}\|inet4\|mta\|\|alice@example\.test\|x@far\.example\|x@far\.example\|"
                                   r"\d{10}\|\d{10}\|\d{10}\|1\|pending\|\d+\|\S.*$")
        fields = lines[0].split("|")
        self.assertEqual(len(fields), 14)
        self.assertEqual(int(fields[8]) - int(fields[7]), 345600)  # the tutorials' four days
        # In ids' order, and one message alone.
        self.assertEqual(listing.splitlines(), sorted(listing.splitlines()))
        self.assertEqual(ctl(self.server, "show", "queue", fields[0][:8]).stdout, lines[0] + "\n")
        self.assertEqual(ctl(self.server, "show", "q", program=(SMTPCTL,)).stdout.count("\n"), 2)
        rows = json.loads(ctl(self.server, "--json", "show", "queue").stdout)
        self.assertEqual({row["recipient"] for row in rows}, {"alice@example.test", "x@far.example"})
        # The message and the envelope.
        self.assertRegex(ctl(self.server, "show", "message", fields[0]).stdout, r"(?s)^Received: .*Subject: x\n\nbody\n$")
        self.assertIn("sender: bob@elsewhere.example\n", ctl(self.server, "show", "envelope", fields[0]).stdout)
        # Held, let go, and away.
        self.assertEqual(ctl(self.server, "pause", "envelope", fields[0]).stdout, "1 envelope paused\n")
        self.assertIn("|suspend|", ctl(self.server, "show", "queue").stdout)
        self.assertEqual(ctl(self.server, "resume", "envelope", "all").stdout, "1 envelope resumed\n")
        self.assertEqual(ctl(self.server, "schedule", "all").stdout, "2 envelopes scheduled\n")
        self.assertEqual(ctl(self.server, "remove", fields[0]).stdout, "1 envelope removed\n")

    def test_json_of_what_needs_no_server_and_of_mistakes(self):
        made = json.loads(ctl(self.server, "--json", "encrypt", "secret").stdout)
        self.assertEqual(list(made), ["hash"])
        self.assertRegex(made["hash"], r"^\$")
        for words in (("encrypt", "x" * 600), ("nonsense",), ("show", "nonsense"), ("remove", "0123456789abcdeg"),
                      ("show", "message", "0123456789abcdef"), ("update", "table", 'no "such"')):
            with self.subTest(words):
                done = ctl(self.server, "--json", *words)
                self.assertEqual((done.returncode, done.stderr), (1, ""))
                said = json.loads(done.stdout)
                self.assertIs(said["ok"], False)
                self.assertTrue(said["error"])
        self.assertIn("possibilities are:\n", json.loads(ctl(self.server, "--json", "nonsense").stdout)["error"])
        done = subprocess.run([harness.POSTERN, "ctl", "-S", "/nowhere/control.sock", "--json", "show", "status"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("doesn't seem to be running", json.loads(done.stdout)["error"])

    def test_a_paused_server(self):
        self.assertEqual(ctl(self.server, "show", "status").stdout, "MDA running\nMTA running\nSMTP running\n")
        ctl(self.server, "pause", "smtp")
        self.assertEqual(ctl(self.server, "show", "status").stdout, "MDA running\nMTA running\nSMTP paused\n")
        with harness.Session(self.server.ports["smtp"], timeout=1) as session:
            with self.assertRaises(OSError):
                session.line()
            ctl(self.server, "resume", "smtp")
        self.assertIn("250", send(self.server, "bob@example.test"))

    def test_words_that_are_not_known(self):
        for words, wanted in ((("show", "ho"), "possibilities are:\nshow hosts\nshow hoststats\n"),
                              (("log",), "possibilities are:\nlog brief\nlog verbose\n"),
                              (("show", "envelope"), "possibilities are:\nshow envelope <evpid>\n")):
            done = ctl(self.server, *words)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", wanted))

    def test_stats_and_metrics(self):
        send(self.server, "alice@example.test")
        self.server.wait_for_messages("alice", 1)
        stats = self.wait_for(("show", "stats"), r"scheduler\.delivery\.ok=")
        keys = [line.split("=")[0] for line in stats.splitlines()]
        self.assertEqual(keys[:-2], sorted(keys[:-2]))
        self.assertEqual(keys[-2:], ["uptime", "uptime.human"])
        self.assertRegex(stats, r"uptime\.human=(\d+d)?(\d+h)?(\d+m)?(\d+s)?\n$")
        for key in ("control.session", "scheduler.delivery.ok", "scheduler.envelope", "smtp.session", "smtp.session.inet4"):
            self.assertIn(key, keys)
        metrics = ctl(self.server, "metrics").stdout
        self.assertTrue(metrics.endswith("# EOF\n"))
        for line in metrics.splitlines()[:-1]:
            self.assertRegex(line, r'^(# (TYPE|HELP) postern_\w+ .+|postern_\w+(\{[a-z]+="[^"]+"(,[a-z]+="[^"]+")*\})? -?\d+)$')

    def test_monitor(self):
        for form in ((), ("--json",)):
            with subprocess.Popen([POSTERN, "ctl", "-f", self.server.config_path, *form, "monitor"], stdout=subprocess.PIPE,
                                  text=True) as monitor:
                if form:
                    self.assertIn("clients", json.loads(monitor.stdout.readline()))
                else:
                    self.assertEqual(monitor.stdout.readline() + monitor.stdout.readline(), MONITOR_HEADER)
                    first = monitor.stdout.readline()
                    self.assertEqual(len(first), len(MONITOR_HEADER.splitlines()[0]) + 1)
                    self.assertEqual(len(first.split()), 13)
                    # The first line is what the counters stand at: sessions that came are gone again.
                    self.assertEqual(first.split()[1], first.split()[2])
                    send(self.server, "bob@example.test")
                    # A second later it was counted: one connection, one envelope in.
                    seen = [monitor.stdout.readline().split() for _ in range(2)]
                    self.assertEqual(sum(int(line[1]) for line in seen), 1, seen)
                    self.assertEqual(sum(int(line[4]) for line in seen), 1, seen)
                monitor.send_signal(signal.SIGINT)

    def test_trace_of_an_address(self):
        with subprocess.Popen([POSTERN, "ctl", "-f", self.server.config_path, "trace", "traced@far.example"], stdout=subprocess.PIPE,
                              text=True) as trace:
            time.sleep(0.5)
            send(self.server, "bob@example.test")
            send(self.server, "traced@far.example")
            line = trace.stdout.readline()
            trace.send_signal(signal.SIGINT)
            self.assertIn("traced@far.example", line + trace.stdout.read())

    def test_log_levels_and_tables(self):
        for words in (("log", "verbose"), ("log", "brief"), ("trace", "smtp"), ("untrace", "smtp"), ("update", "table", "addresses"),
                      ("reload",)):
            done = ctl(self.server, *words)
            self.assertEqual((done.returncode, done.stdout), (0, "command succeeded\n"), (words, done.stderr))
        done = ctl(self.server, "update", "table", "nothing")
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stderr.startswith("command failed"), done.stderr)

    def test_who_may_ask(self):
        if os.geteuid() != 0:
            self.skipTest("only root can be somebody else")
        for words in (("show", "queue"), ("remove", "all"), ("show", "stats"), ("reload",), ("trace", "a@b"), ("metrics",)):
            done = ctl(self.server, *words, user=NOBODY)
            self.assertEqual((done.returncode, done.stdout), (1, ""), words)
            self.assertIn("needs root", done.stderr)
        self.assertRegex(self.server.log(), r'control refused command="show queue" .*uid=65534')

    def test_one_user_does_not_take_all_sessions(self):
        if os.geteuid() != 0:
            self.skipTest("only root can be somebody else")
        code = ("import socket,sys,time\nall=[]\n"
                "for i in range(100):\n s=socket.socket(socket.AF_UNIX)\n s.connect(sys.argv[1])\n all.append(s)\n"
                "print('there', flush=True)\ntime.sleep(30)\n")
        with subprocess.Popen(["python3", "-c", code, f"{self.server.data}/spool/control.sock"], stdout=subprocess.PIPE,
                              text=True, user=NOBODY) as crowd:
            self.assertEqual(crowd.stdout.readline(), "there\n")
            self.assertIn("MDA running", ctl(self.server, "show", "status").stdout)
            crowd.kill()

    def test_what_a_client_says_stays_on_its_line(self):
        ctl(self.server, "pause", "mda")
        before = self.server.log().count("\n")
        with harness.Session(self.server.ports["smtp"]) as session:
            session.line()
            session.send(b"EHLO \x1b]0;owned\x07\r\n")
            session.reply()
            session.send(b"HELO x\x1b[2J\r\n")
            session.reply()
        send(self.server, "alice@example.test", '"a|b\\\\c"@elsewhere.example')
        lines = ctl(self.server, "show", "queue").stdout.splitlines()
        self.assertEqual([line.count("|") for line in lines], [13] * len(lines))
        log = self.server.log()
        self.assertGreater(log.count("\n"), before)
        self.assertFalse(set(log) & set(map(chr, [*range(0, 10), *range(11, 32), 127])))

    def test_a_destination_is_paused(self):
        self.assertEqual(ctl(self.server, "pause", "mta", "from", "any", "for", "Far.Example").stdout, "command succeeded\n")
        self.assertEqual(ctl(self.server, "show", "mta", "paused").stdout, "any -> far.example\n")
        again = ctl(self.server, "pause", "mta", "from", "any", "for", "far.example")
        self.assertEqual((again.returncode, again.stdout, again.stderr.split(":")[0]), (1, "", "command failed"))
        self.assertIn("250", send(self.server, "held@far.example"))
        # Nobody was asked: there was no attempt, and the log says why.
        listing = self.wait_for(("show", "queue"), r"(?m)held@far\.example.*\|0\|0\|pending\|\d+\|$")
        self.assertEqual(listing.count("\n"), 1)
        self.assertRegex(self.server.log(), r"mta delivery .*to=<held@far\.example>.* result=\"TempFail\" stat=\"451 4\.3\.2 Paused by the operator")
        self.assertEqual(ctl(self.server, "resume", "mta", "from", "any", "for", "far.example").stdout, "command succeeded\n")
        self.assertEqual(ctl(self.server, "show", "mta", "paused").stdout, "")
        ctl(self.server, "schedule", "all")
        self.wait_for(("show", "queue"), r"held@far\.example.*\|1\|pending\|")

    def test_routes_and_hosts_of_a_server_that_is_down(self):
        self.assertIn("250", send(self.server, "x@far.example"))
        self.wait_for(("show", "queue"), r"x@far\.example.*\|\d+\|pending\|")
        self.assertRegex(ctl(self.server, "show", "routes").stdout,
                         r"\A\d+\. \[\] <-> 127\.0\.0\.1 \(127\.0\.0\.1\) N[D-][Q-]- nconn=0 nerror=0 penalty=\d+ timeout=(-|[\dhms]+)\n\Z")
        self.assertRegex(ctl(self.server, "show", "hosts").stdout, r"\A127\.0\.0\.1 127\.0\.0\.1 refcount=2 nconn=0 lastconn=\d[\dms]*\n\Z")
        self.assertEqual(ctl(self.server, "show", "relays").stdout, "")

    def test_what_is_so_already(self):
        for kind in ("mda", "mta", "smtp"):
            for verb in ("pause", "resume"):
                self.assertEqual(ctl(self.server, verb, kind).stdout, "command succeeded\n")
                done = ctl(self.server, verb, kind)
                self.assertEqual((done.returncode, done.stdout, done.stderr.split(":")[0]), (1, "", "command failed"))


class Stopped(unittest.TestCase):
    """The queue of a server that does not run."""

    def serve(self, extra=""):
        server = harness.Server(rules=RULES, extra=extra)
        self.addCleanup(server.close)
        wait_for_socket(server)
        ctl(server, "pause", "mta")
        for recipient in ("one@far.example", "two@far.example"):
            self.assertIn("250", send(server, recipient))
        running = ctl(server, "show", "queue").stdout.splitlines()
        self.assertEqual(len(running), 2)
        return server, running

    def look(self, server, running):
        offline = [re.sub(r"\|pending\|-?\d+\|", "|offline||", line) for line in running]
        done = ctl(server, "show", "queue")
        self.assertEqual((done.returncode, done.stdout.splitlines(), done.stderr), (0, offline, ""))
        evpid = running[0].split("|")[0]
        self.assertEqual(ctl(server, "sh", "q", evpid[:8], program=(SMTPCTL,)).stdout.splitlines(), offline[:1])
        self.assertEqual(subprocess.run([os.path.join(harness.BIN, "mailq"), "-f", server.config_path], capture_output=True, text=True,
                                        check=True).stdout.splitlines(), offline)
        rows = json.loads(ctl(server, "--json", "show", "queue").stdout)
        self.assertEqual([row["state"] for row in rows], ["offline", "offline"])
        self.assertIn("\ntype: mta\n", ctl(server, "show", "envelope", evpid).stdout)
        for name in (evpid, evpid[:8]):
            self.assertRegex(ctl(server, "show", "message", name).stdout, r"(?s)^Received: .*Subject: x\n\nbody\n$")
        missing = ctl(server, "show", "envelope", "1234567812345678")
        self.assertEqual((missing.returncode, missing.stdout), (1, ""))

    def test_is_shown(self):
        server, running = self.serve()
        server.stop()
        self.look(server, running)
        for words in (("show", "stats"), ("show", "status"), ("monitor",), ("remove", "all"), ("log", "brief")):
            done = ctl(server, *words)
            self.assertEqual((done.returncode, done.stdout), (1, ""), words)
            self.assertEqual(done.stderr.splitlines()[0], "smtpd doesn't seem to be running", words)
        # Nothing of it was changed: the server goes on where it was.
        server.start()
        wait_for_socket(server)
        self.assertEqual([line.split("|")[0] for line in ctl(server, "show", "queue").stdout.splitlines()],
                         [line.split("|")[0] for line in running])

    def test_is_shown_after_a_crash(self):
        server, running = self.serve()
        server.process.kill()
        server.process.wait()
        self.look(server, running)
        self.look(server, running)
        server.start()
        wait_for_socket(server)
        self.assertEqual(len(ctl(server, "show", "queue").stdout.splitlines()), 2)

    def test_is_shown_though_it_is_encrypted(self):
        server, running = self.serve("queue compression\nqueue encryption 0123456789abcdef0123456789abcdef")
        server.stop()
        self.look(server, running)
        done = ctl(server, "show", "queue", user=0)  # by the spool alone: the key stands in the configuration
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("key", done.stderr)

    def test_is_nobody_elses_business(self):
        if os.geteuid() != 0:
            self.skipTest("only root can be somebody else")
        server, _ = self.serve()
        server.stop()
        done = ctl(server, "show", "queue", user=NOBODY)
        self.assertEqual((done.returncode != 0, done.stdout), (True, ""))

    def test_is_not_there(self):
        done = subprocess.run([SMTPCTL, "-s", "/nonexistent", "show", "queue"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))


class WithoutAServer(unittest.TestCase):
    def test_encrypt(self):
        one = subprocess.run([SMTPCTL, "encrypt", "correct horse"], capture_output=True, text=True, check=True).stdout.strip()
        self.assertTrue(one.startswith("$2b$"), one)
        self.assertEqual(crypt.crypt("correct horse", one), one)
        many = subprocess.run([SMTPCTL, "encrypt"], input="a\nb\n", capture_output=True, text=True, check=True).stdout.split()
        self.assertEqual([crypt.crypt(word, made) == made for word, made in zip("ab", many)], [True, True])
        self.assertNotEqual(subprocess.run([SMTPCTL, "encrypt", "x" * 73], capture_output=True, check=False).returncode, 0)

    def test_spf_walk(self):
        zone = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"postern-zone-{os.getpid()}")
        harness.write(zone, """\
one.example. TXT "v=spf1 ip4:192.0.2.0/24 include:two.example a mx -all"
one.example. A 198.51.100.7
one.example. MX 10 mail.one.example.
mail.one.example. A 198.51.100.8
two.example. TXT "v=spf1 ip6:2001:db8::/32 ip4:192.0.2.0/24 -ip4:203.0.113.1 exists:%{i}.x.example redirect=three.example"
three.example. TXT "v=spf1 ip4:203.0.113.9 include:one.example ~all"
""")
        self.addCleanup(os.unlink, zone)
        done = subprocess.run([SMTPCTL, "--zone", zone, "spf", "walk"], input="one.example\nnowhere.example\nthree.example\n", capture_output=True,
                              text=True, check=True)
        self.assertEqual(sorted(done.stdout.split()),
                         ["192.0.2.0/24", "198.51.100.7", "198.51.100.8", "2001:db8::/32", "203.0.113.9"])
        self.assertIn("macro", done.stderr)


if __name__ == "__main__":
    unittest.main()
