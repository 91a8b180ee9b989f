"""Where the log goes and in which form: files that are rotated, syslog, the journal, JSON; and that a stranger writes none of it."""

import json
import os
import re
import signal
import socket
import threading
import time
import unittest

import harness


def smtp(server, *lines):
    with harness.Session(server.ports["smtp"]) as session:
        session.line()
        for line in lines:
            session.send(line if isinstance(line, bytes) else line + "\r\n")
            session.reply()


def letter(server, recipient="alice@example.test"):
    with harness.Session(server.ports["smtp"]) as session:
        session.line()
        for line in ("HELO client.example", "MAIL FROM:<bob@example.test>", f"RCPT TO:<{recipient}>", "DATA"):
            session.send(line + "\r\n")
            session.line()
        session.send("Subject: x\r\n\r\nbody\r\n.\r\n")
        session.line()


def wait_until(case, what, ready, seconds=20):
    deadline = time.monotonic() + seconds
    while not ready():
        case.assertLess(time.monotonic(), deadline, what)
        time.sleep(0.05)


class Logs(unittest.TestCase):
    def server(self, *options, prepare=None):
        server = harness.Server(options=[option.replace("{data}", self.folder) for option in options], prepare=prepare)
        self.addCleanup(server.close)
        return server

    def setUp(self):
        self.folder = f"/tmp/postern-logs-{os.getpid()}-{id(self)}"
        os.mkdir(self.folder)
        self.addCleanup(lambda: [os.unlink(f"{self.folder}/{each}") for each in os.listdir(self.folder)] and None or
                        os.rmdir(self.folder))

    def read(self, name):
        with open(f"{self.folder}/{name}", encoding="utf-8") as file:
            return file.read()

    def test_opensmtpds_lines_in_a_file_that_is_rotated(self):
        server = self.server("-L", "file:{data}/maillog")
        letter(server)
        server.wait_for_messages("alice", 1)
        wait_until(self, "delivery line", lambda: "mda delivery" in self.read("maillog"))
        log = self.read("maillog")
        stamp = r"(?m)^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d [0-9a-f]{16} "
        for form in (r"smtp connected address=127\.0\.0\.1 host=\S+ listener=",
                     r"smtp message msgid=[0-9a-f]{8} size=\d+ nrcpt=1 proto=SMTP$",
                     r"smtp envelope evpid=[0-9a-f]{16} from=<bob@example\.test> to=<alice@example\.test>$",
                     r"smtp disconnected reason=disconnect$",
                     r"mda delivery evpid=[0-9a-f]{16} from=<bob@example\.test> to=<alice@example\.test> rcpt=<-> user=alice "
                     r"delay=\w+ result=Ok stat=Delivered$"):
            self.assertRegex(log, stamp + form)
        os.rename(f"{self.folder}/maillog", f"{self.folder}/maillog.1")
        server.process.send_signal(signal.SIGHUP)
        wait_until(self, "a new file", lambda: os.path.exists(f"{self.folder}/maillog"))
        letter(server)
        wait_until(self, "a line in it", lambda: "smtp message" in self.read("maillog"))

    @unittest.skipUnless(os.geteuid() == 0, "only root has rights to give up")
    def test_a_file_that_only_root_may_write_is_rotated_after_roots_rights_were_given_up(self):
        def prepare(server):
            os.chmod(server.home, 0o755)
            server.ports = {"smtp": server.ports["smtp"]}

        config = 'spool "{data}/spool"\nlisten on 127.0.0.1 port {smtp}\naction "a" maildir\nmatch for local action "a"\n'
        server = harness.Server(config=config, prepare=prepare, options=["-u", "nobody", "-L", f"file:{self.folder}/maillog"])
        self.addCleanup(server.close)
        wait_until(self, "another account", lambda: "privileges given up" in self.read("maillog"))
        for turn in (1, 2):
            os.rename(f"{self.folder}/maillog", f"{self.folder}/maillog.{turn}")
            if turn == 2:  # logrotate's `create`
                os.close(os.open(f"{self.folder}/maillog", os.O_CREAT | os.O_WRONLY, 0o640))
            server.process.send_signal(signal.SIGHUP)
            wait_until(self, "a line in the new file", lambda: os.path.exists(f"{self.folder}/maillog") and
                       "configuration reloaded" in self.read("maillog"))
            self.assertNotIn("not reopened", self.read("maillog") + self.read(f"maillog.{turn}"))

    def listen(self):
        """A log daemon: it reads all the time, as what it leaves unread is soon more than the socket holds."""
        daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        daemon.bind(f"{self.folder}/socket")
        datagrams = []

        def read():
            while datagram := daemon.recv(65536):
                datagrams.append(datagram)

        reader = threading.Thread(target=read)
        reader.start()

        def stop():
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"", f"{self.folder}/socket")
            reader.join()
            daemon.close()
            os.unlink(f"{self.folder}/socket")

        return datagrams, stop

    def take(self, datagrams, pattern):
        found = []

        def look():
            found[:] = [each for each in datagrams if re.search(pattern, each)]
            return found

        wait_until(self, pattern, look)
        return found[0]

    def test_syslog_and_the_journal(self):
        for target, pattern in (("syslog", rb"^<22>[A-Z][a-z]{2} [ \d]\d [\d:]{8} smtpd\[\d+\]: [0-9a-f]{16} smtp message msgid="),
                                ("syslog5424", rb"^<22>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ smtpd \d+ - - [0-9a-f]{16} smtp message msgid="),
                                ("journal", rb"(?s)^MESSAGE=[0-9a-f]{16} smtp message .*\nPRIORITY=6\nSYSLOG_IDENTIFIER=smtpd\n"
                                            rb".*POSTERN_SUBSYSTEM=smtp\n.*POSTERN_EVENT=message\nPOSTERN_MSGID=[0-9a-f]{8}\n")):
            with self.subTest(target):
                datagrams, stop = self.listen()
                try:
                    server = self.server("-L", f"{target}:{{data}}/socket")
                    letter(server)
                    self.assertRegex(self.take(datagrams, rb"smtp message "), pattern)
                    server.stop()
                finally:
                    stop()

    def test_what_a_client_says_is_one_line_in_each_form(self):
        server = self.server("-j", "-L", "file:{data}/log")
        hostile = (b"EHLO \x1b]0;owned\x07\x00\r\n", b"AUTH PLAIN \x80\r\n", b"MAIL FROM:<a@b>\xff\r\n", b"RCPT \"}\\n{\"\r\n")
        smtp(server, *hostile)
        wait_until(self, "the end of the session", lambda: "disconnected" in self.read("log"))
        lines = self.read("log").splitlines()
        records = [json.loads(line) for line in lines]
        self.assertTrue(all({"time", "level", "subsystem", "event"} <= set(record) for record in records))
        self.assertGreaterEqual(sum(record["event"] == "failed-command" for record in records), 2)
        self.assertFalse(any(ord(c) < 32 or ord(c) == 127 for line in lines for c in line))

    def test_a_daemon_that_rests_gets_every_line(self):
        daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(daemon.close)
        daemon.bind(f"{self.folder}/socket")
        server = self.server("-L", "syslog:{data}/socket")
        for _ in range(30):  # each leaves half a dozen lines, the socket holds some ten: mail does not wait for who reads them
            letter(server)
        server.wait_for_messages("alice", 30)
        daemon.settimeout(10)
        lines = []
        while sum(b" mda delivery " in line for line in lines) < 30:
            lines.append(daemon.recv(65536))
        for event in (b" smtp message ", b" smtp envelope ", b" mda delivery "):
            self.assertEqual(sum(event in line for line in lines), 30, event)
        self.assertFalse([line for line in lines if b"lines-lost" in line])

    def test_a_daemon_that_is_restarted_gets_every_line(self):
        server = self.server("-L", "syslog:{data}/socket")  # nobody is there yet
        letter(server)
        server.wait_for_messages("alice", 1)
        datagrams, stop = self.listen()
        try:
            self.take(datagrams, rb" mda delivery ")
            self.assertTrue([line for line in datagrams if b" smtp connected " in line])
            self.assertFalse([line for line in datagrams if b"lines-lost" in line])
        finally:
            stop()

    def test_a_pipe_that_nobody_empties_stops_no_mail(self):
        os.mkfifo(f"{self.folder}/pipe")
        reader = os.open(f"{self.folder}/pipe", os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        server = self.server("-v", "-L", "file:{data}/pipe")
        for _ in range(150):  # far more lines than a pipe's 64 KiB
            letter(server)
        server.wait_for_messages("alice", 150)
        text, deadline = b"", time.monotonic() + 30
        while text.count(b" mda delivery ") < 150:
            self.assertLess(time.monotonic(), deadline, text[-500:])
            try:
                text += os.read(reader, 65536)
            except BlockingIOError:
                time.sleep(0.05)
        self.assertNotIn(b"lines-lost", text)

    def test_a_target_that_is_none(self):
        with self.assertRaises(AssertionError) as refused:
            self.server("-L", "elsewhere")
        self.assertIn("journal", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
