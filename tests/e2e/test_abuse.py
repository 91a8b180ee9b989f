"""Clients that speak something else, too much, too little or in bad faith: a clear answer, one log line a record, a bounded cost,
and the honest client beside them does not notice."""

import base64
import os
import re
import resource
import smtplib
import socket
import ssl
import time
import unittest

import harness
from harness import DOMAIN, PASSWORD, Server, Session

ALICE, BOB = f"alice@{DOMAIN}", f"bob@{DOMAIN}"
TICKS = os.sysconf("SC_CLK_TCK")


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def cpu_seconds(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(process):
    with open(f"/proc/{process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def tls_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Abuse(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(rules='action "onward" relay host smtp+notls://127.0.0.1:9\n'
                                  'match from any auth for any action "onward"')
        cls.addClassCleanup(cls.server.close)

    def tearDown(self):
        self.assertIsNone(self.server.process.poll(), f"the server is gone\n{self.server.log()[-3000:]}")
        self.honest()

    def honest(self):
        """An honest client is served; returns how long that took."""
        begun = time.monotonic()
        with smtplib.SMTP("127.0.0.1", self.server.ports["smtp"], local_hostname="honest.test", timeout=20) as smtp:
            smtp.sendmail(BOB, [ALICE], "Subject: honest\r\n\r\nx\r\n")
        return time.monotonic() - begun

    def smtp(self, port="smtp"):
        session = Session(self.server.ports[port])
        self.addCleanup(session.close)
        self.assertRegex(session.reply(), "^220 ")
        return session

    def imap(self, port="imap"):
        session = Session(self.server.ports[port])
        self.addCleanup(session.close)
        self.assertRegex(session.line(), r"^\* OK ")
        return session

    def tls(self, session):
        """TLS over a session whose STARTTLS was answered."""
        session.file.close()
        session.socket = tls_context().wrap_socket(session.socket, server_hostname=DOMAIN)
        session.file = session.socket.makefile("rb")

    # Other protocols.

    def test_http_on_a_mail_port(self):
        request = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nEHLO x\r\nMAIL FROM:<{BOB}>\r\nRCPT TO:<{ALICE}>\r\n"
        for method in ("GET", "POST"):
            with self.subTest(protocol="smtp", method=method):
                session = self.smtp()
                session.send(request.replace("POST", method))
                self.assertNotIn(b"250", session.rest())
        session = self.imap()
        session.send(request)
        answer = session.rest()
        self.assertNotIn(b" OK", answer)
        self.assertLess(answer.count(b"BAD"), 3)

    def test_tls_on_a_plain_port_and_plain_on_a_tls_port(self):
        for port in ("smtp", "submission", "imap"):
            with self.subTest(port=port), self.assertRaises((ssl.SSLError, OSError)):
                with socket.create_connection(("127.0.0.1", self.server.ports[port]), 20) as plain:
                    tls_context().wrap_socket(plain, server_hostname=DOMAIN)
        session = Session(self.server.ports["imaps"])
        self.addCleanup(session.close)
        session.send("a LOGIN bob x\r\n")
        self.assertNotIn(b" OK", session.rest())

    def test_junk(self):
        for port in ("smtp", "imap", "imaps", "submission"):
            for junk in (bytes(range(256)) * 20, b"\0" * 5000, b"\xff\r\n" * 300, os.urandom(20000)):
                with self.subTest(port=port, junk=junk[:4]):
                    session = Session(self.server.ports[port])
                    try:
                        session.send(junk)
                        session.socket.shutdown(socket.SHUT_WR)
                        answer = session.rest()
                    except OSError:
                        answer = b""
                    finally:
                        session.close()
                    self.assertNotIn(b"Message accepted", answer)
                    self.assertLess(len(answer), 40000)

    # Too much.

    def flood(self, session, chunk, megabytes):
        """Sends until the other side has enough or all is sent; returns what it answered."""
        try:
            for _ in range(megabytes * (1 << 20) // len(chunk)):
                session.send(chunk)
            session.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        try:
            return session.rest()
        except OSError:
            return b""

    def test_a_line_without_an_end(self):
        before = resident_bytes(self.server.process)
        for make in (self.smtp, self.imap):
            answer = self.flood(make(), b"A" * 65536, 32)
            self.assertNotIn(b"250", answer)
        session = self.imap()
        answer = self.flood(session, b"(" * 65536, 8)
        self.assertNotIn(b" OK", answer)
        self.assertLess(resident_bytes(self.server.process) - before, 16 << 20)

    def test_a_line_without_an_end_in_a_message(self):
        session = self.smtp()
        for command in ("EHLO x", f"MAIL FROM:<{BOB}>", f"RCPT TO:<{ALICE}>", "DATA"):
            self.assertRegex(session.command(command), "^[23]")
        before = resident_bytes(self.server.process)
        session.send(b"Subject: long\r\n\r\n" + b"y" * (20 << 20) + b"\r\n.\r\n")
        self.assertRegex(session.reply(), "^(250|500|552|554) ")
        self.assertLess(resident_bytes(self.server.process) - before, 32 << 20)

    def test_imap_literals(self):
        before = resident_bytes(self.server.process)
        for line in ("a LOGIN {2147483647}", "a LOGIN {4294967296}", "a LOGIN {18446744073709551617}", "a LOGIN {-1}", "a LOGIN {1000000+}"):
            with self.subTest(line=line[:40]):
                session = self.imap()
                session.send(line + "\r\n")
                self.assertNotRegex(session.line(), r"^\+")
        self.assertNotIn(b"a OK", self.flood(self.imap(), b"a LOGIN " + b"{1+}\r\nx " * 5000 + b"\r\n", 1))
        self.assertLess(resident_bytes(self.server.process) - before, 8 << 20)

    def test_sasl_garbage(self):
        victim = self.smtp("submission")
        for mechanism in ("PLAIN", "LOGIN"):
            for response in ("*", "!!!!", "====", "", b64(b"\0"), b64(b"\0\0\0\0"), b64(b"\xff\xfe\0\xff\0\xff"), "A" * 9000,
                             b64("\0" + ALICE + "\0" + "wrong"), b64("x\0" + ALICE + "\0" + PASSWORD)):
                with self.subTest(mechanism=mechanism, response=response[:20]):
                    session = self.smtp("submission")
                    session.command("EHLO x")
                    self.assertRegex(session.command("STARTTLS"), "^220 ")
                    self.tls(session)
                    session.command("EHLO x")
                    session.send(f"AUTH {mechanism}\r\n{response}\r\n" + (f"{response}\r\n" if mechanism == "LOGIN" else ""))
                    answer = session.reply()
                    while answer.startswith("334"):
                        answer = session.reply()
                    self.assertRegex(answer, "^5[03]")
                    session.close()
        # Dropped in the middle of an exchange, many times.
        for _ in range(60):
            session = self.smtp("submission")
            session.send("EHLO x\r\nSTARTTLS\r\n")
            session.close()
        self.assertRegex(victim.command("NOOP"), "^250", "another session suffers")

    def test_auth_in_the_clear(self):
        session = self.smtp("submission")
        self.assertNotIn("AUTH", session.command("EHLO x"))
        self.assertRegex(session.command("AUTH PLAIN " + b64("\0" + ALICE + "\0" + PASSWORD)), "^5")
        session = self.imap()
        session.send(f'a LOGIN {ALICE} "{PASSWORD}"\r\n')
        self.assertRegex(session.line(), r"^a NO \[PRIVACYREQUIRED\]")

    # What was said before TLS.

    def test_starttls_injection(self):
        for glued in ("EHLO injected.example\r\n", "QUIT\r\n", f"EHLO x\r\nMAIL FROM:<{BOB}>\r\n", "NOOP\r\n" * 500, "EHL"):
            with self.subTest(protocol="smtp", glued=glued[:20]):
                session = self.smtp()
                session.command("EHLO x")
                session.send("STARTTLS\r\n" + glued)
                self.nothing_answered_within_tls(session, "220", "NOOP", "250")
        for glued in ("a2 NOOP\r\n", "a2 CAPABILITY\r\n", "a2 LOGIN a b\r\n", "a2 LOGOUT\r\n", "a2 NO"):
            with self.subTest(protocol="imap", glued=glued[:20]):
                session = self.imap()
                session.send("a1 STARTTLS\r\n" + glued)
                self.nothing_answered_within_tls(session, "a1 OK", "a3 NOOP", "a3 OK")

    def nothing_answered_within_tls(self, session, go_ahead, command, answer):
        line = session.line()
        if not line.startswith(go_ahead):
            return  # refused or cut: as good
        try:
            self.tls(session)
            session.send(command + "\r\n")
            line = session.line()
        except OSError:
            return
        self.assertTrue(line == "" or line.startswith(answer), line)

    def test_state_is_forgotten_with_starttls(self):
        session = self.smtp()
        for command in ("EHLO x", f"MAIL FROM:<{BOB}>", f"RCPT TO:<{ALICE}>"):
            session.command(command)
        answer = session.command("STARTTLS")
        if answer.startswith("220"):
            self.tls(session)
            self.assertRegex(session.command("DATA"), "^503")
            self.assertRegex(session.command(f"MAIL FROM:<{BOB}>"), "^503", "the greeting is forgotten too")
        else:
            self.assertRegex(answer, "^503")

    # Smuggling.

    def test_smuggling(self):
        inner = f"MAIL FROM:<evil@{DOMAIN}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n".encode()
        ends = [b"\n.\n", b"\r.\r", b"\n.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\r\n.\r\r\n", b"\n\n.\r\n",
                b"\r\n.\0\r\n", b"\r\n\0.\r\n", b"\r\n. \r\n", b"\r\n.\t\r\n", b"\r\n \r\n.\n", b"\r\n\xae\r\n", b"\r\r\n.\r\r\n",
                b"\0.\0", b"\r\n.\x0b\r\n", b"\r\n.\x85\r\n", b"\xe2\x80\xa8.\xe2\x80\xa8"]
        for end in ends:
            with self.subTest(end=end):
                session = self.smtp()
                for command in ("EHLO x", f"MAIL FROM:<{BOB}>", f"RCPT TO:<{ALICE}>", "DATA"):
                    self.assertRegex(session.command(command), "^[23]")
                session.send(b"Subject: outer\r\n\r\nbody" + end + inner)
                try:
                    session.socket.shutdown(socket.SHUT_WR)
                    answer = session.rest()
                except OSError:
                    answer = b""
                # At the beginning of a line: the id of a message may have any digits in it.
                self.assertNotRegex(answer, rb"(?m)^354", "the second DATA was a command")
                self.assertLessEqual(len(re.findall(rb"(?m)^250", answer)), 1)
        time.sleep(0.5)
        for path in self.server.messages("bob"):
            with open(path, "rb") as file:
                self.assertNotIn(b"smuggled", file.read().split(b"\n\n")[0])

    # Logs.

    def test_one_log_line_a_record(self):
        evil = "x\x1b]0;owned\x07\x1b[31m"
        session = self.smtp("submission")
        session.command(f"EHLO {evil}")
        session.command("EHLO x\rfake-record")
        session = self.smtp("submission")
        session.command("EHLO x")
        session.command("STARTTLS")
        self.tls(session)
        session.command("EHLO x")
        user = f"{evil}\r\n2026-01-01 fake record user=\xe9\u202e{ALICE}"
        session.command("AUTH PLAIN " + b64("\0" + user + "\0x"))
        session.command(f'MAIL FROM:<"{evil}"@x.test>')
        session = self.smtp()
        session.command("EHLO x")
        session.command(f"MAIL FROM:<{BOB}>")
        session.command(f'RCPT TO:<"{evil}"@{DOMAIN}>')
        session.command(f"RCPT TO:<nobody@{DOMAIN}> ORCPT=rfc822;a+0D+0Afake+20record")
        session = self.imap("imap")
        session.send("a STARTTLS\r\n")
        session.line()
        self.tls(session)
        login = user.encode()
        session.send(b"a LOGIN {%d}\r\n" % len(login))
        self.assertRegex(session.line(), r"^\+")
        session.send(login + b' "x"\r\n')
        self.assertRegex(session.line(), "^a (NO|BAD)")
        time.sleep(0.2)
        with open(self.server.log_path, "rb") as file:
            log = file.read()
        self.assertNotRegex(log, rb"[\x00-\x09\x0b-\x1f\x7f]", "control characters in the log")
        for line in log.splitlines():
            self.assertFalse(line.startswith(b"2026-01-01 fake") or line.startswith(b"fake"), line)
        self.assertIn(b"fake record", log, "the attempt itself is told")

    # Open relay (reliability row 24).

    def test_no_open_relay(self):
        there, ours = "victim@elsewhere.test", DOMAIN
        recipients = [
            there, "victim%elsewhere.test@" + ours, "victim%elsewhere.test", "elsewhere.test!victim@" + ours,
            "elsewhere.test!victim", f"@{ours}:{there}", f"@{ours},@elsewhere.test:{there}", f'"{there}"@{ours}', f'"{there}"',
            f'"victim%elsewhere.test"@{ours}', f'"elsewhere.test!victim"@{ours}', f"{there}@{ours}", f"victim@{ours}@elsewhere.test",
            "victim@[203.0.113.9]", "victim@[IPv6:2001:db8::9]", "victim@203.0.113.9", "victim@[127.0.0.2]x", f"{there}.",
            f"victim@{ours}.elsewhere.test", f"victim@elsewhere.test.{ours}", f"victim@x{ours}", f"victim@sub.{ours}",
            f"victim@{ours}\\@elsewhere.test", f"victim\uff20elsewhere.test@{ours}", "victim@elsewhere\uff0etest",
            "victim@elsewhere\u3002test", f"victim@xn--{ours}", "victim@xn--elsewhere-9za.test", "victim@ex\u0430mple.test",
            "victim@EXAMPLE.TEST.", f"victim@{ours}%00elsewhere.test", f"victim@{ours}\x00elsewhere.test", "victim@", "@elsewhere.test",
            f"victim@{ours},{there}", f"victim@{ours} {there}", f"<victim@{ours}>{there}", f"victim@{ours}>,<{there}",
            "victim@localhost", "victim@localhost.localdomain", "victim", "", f"nobody@{ours}", f"alice%elsewhere.test@{ours}",
            f"alice@{ours}@{ours}", f"| touch /tmp/x@{ours}", f'"|touch /tmp/x"@{ours}', f"/etc/passwd@{ours}", f"../alice@{ours}",
        ]
        for sender in (BOB, "", there, f"postmaster@{ours}", "bob"):
            for recipient in recipients:
                with self.subTest(sender=sender, recipient=recipient), Session(self.server.ports["smtp"]) as session:
                    session.reply()
                    session.command("EHLO stranger.test")
                    session.command(f"MAIL FROM:<{sender}>")
                    self.assertRegex(session.command(f"RCPT TO:<{recipient}>"), "^5")
        with Session(self.server.ports["smtp"]) as session:
            session.reply()
            for command in ("EHLO stranger.test", f"MAIL FROM:<{there}>", f"RCPT TO:<{ALICE}>"):
                self.assertRegex(session.command(command), "^250", "our own mail is taken from anybody")
        for command in ("XCLIENT ADDR=127.0.0.1 LOGIN=alice", "XFORWARD ADDR=127.0.0.1", "PROXY TCP4 127.0.0.1 127.0.0.1 1 25"):
            session = self.smtp()
            session.command("EHLO x")
            self.assertRegex(session.command(command), "^5")

    # Many.

    def test_a_thousand_idle_clients(self):
        before = resident_bytes(self.server.process)
        idle = []
        self.addCleanup(lambda: [each.close() for each in idle])
        for _ in range(1000):
            idle.append(socket.create_connection(("127.0.0.1", self.server.ports["smtp"]), 20))
        for each in idle[::2]:
            each.recv(200)
            each.sendall(b"EHLO idle.test\r\n")
        each = idle[0]
        each.recv(1000)
        self.assertLess(max(self.honest() for _ in range(5)), 1.0)
        grown = (resident_bytes(self.server.process) - before) / len(idle)
        print(f"{grown / 1024:.1f} KiB each", end=" ... ", flush=True)
        used = cpu_seconds(self.server.process)
        time.sleep(1)
        self.assertLess(cpu_seconds(self.server.process) - used, 0.1, "idle clients cost nothing")


class FewDescriptors(unittest.TestCase):
    def test_100_clients_and_64_descriptors(self):
        server = Server(limits=((resource.RLIMIT_NOFILE, 64),))
        self.addCleanup(server.close)
        clients, told = [], 0
        for _ in range(100):
            client = socket.create_connection(("127.0.0.1", server.ports["smtp"]), 10)
            client.settimeout(2)
            clients.append(client)
        used = cpu_seconds(server.process)
        time.sleep(2)
        self.assertLess((cpu_seconds(server.process) - used) / 2, 0.05, "spinning")
        for client in clients:
            try:
                told += client.recv(200).startswith(b"421")
            except OSError:
                pass
        self.assertGreater(told, 20, "told to come again")
        for client in clients:
            client.close()
        deadline = time.monotonic() + 10
        while True:
            try:
                with smtplib.SMTP("127.0.0.1", server.ports["smtp"], local_hostname="later.test", timeout=5) as smtp:
                    smtp.sendmail(BOB, [ALICE], "Subject: later\r\n\r\nx\r\n")
                break
            except (OSError, smtplib.SMTPException):
                self.assertLess(time.monotonic(), deadline, server.log()[-3000:])
                time.sleep(0.2)
        server.wait_for_messages("alice", 1)
        self.assertLess(server.log().count("\n"), 2000, "the log is not flooded")
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
