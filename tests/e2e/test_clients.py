"""Real clients: curl, swaks, mutt and openssl s_client send and read mail."""

import base64
import fcntl
import imaplib
import os
import pty
import re
import select
import shutil
import signal
import smtplib
import socket
import ssl
import struct
import subprocess
import tempfile
import termios
import time
import unittest

import harness
from harness import DOMAIN, PASSWORD

ALICE, BOB = f"alice@{DOMAIN}", f"bob@{DOMAIN}"


def run(*command, stdin=None, timeout=120, ok=True):
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, check=False)
    if ok and done.returncode != 0:
        raise AssertionError(f"{command[0]} ended with {done.returncode}\n{done.stdout.decode(errors='replace')[-3000:]}\n"
                             f"{done.stderr.decode(errors='replace')[-3000:]}")
    return done


def tls_context(server):
    return ssl.create_default_context(cafile=f"{server.home}/cert.pem")


def uids_and_flags(imap):
    """{UID: flags} of the selected mailbox."""
    imap.response("FETCH")  # forget what was told unasked: it has no UIDs
    _, lines = imap.uid("FETCH", "1:*", "(FLAGS)")
    return {int(re.search(rb"UID (\d+)", line).group(1)): {flag.decode() for flag in imaplib.ParseFlags(line)}
            for line in lines if line is not None}


def in_terminal(command, environment, seconds):
    """Runs `command` in a pseudo terminal until it ends: (whether it did, what it wrote)."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    screen, deadline, ended = b"", time.monotonic() + seconds, False
    while not ended and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                screen += os.read(terminal, 4096)
            except OSError:  # the other side is closed
                ended = True
    if not ended:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(terminal)
    return ended, re.sub(rb"\x1b[\[(][0-9;?]*[A-Za-z]", b" ", screen).decode(errors="replace")


class LocalSocket(unittest.TestCase):
    """`listen on socket`: a UNIX socket in the spool, at which the system says who somebody is."""

    def test_a_local_user_hands_in_mail(self):
        server = harness.Server(extra='listen on socket tag "local"',
                                rules='action "relay" relay host smtp+notls://127.0.0.1:9\n'
                                      'match tag "local" from socket for domain "elsewhere.test" action "relay"')
        self.addCleanup(server.close)
        path = f"{server.data}/spool/submit.sock"
        deadline = time.monotonic() + 10
        while not os.path.exists(path) and time.monotonic() < deadline:
            time.sleep(0.02)  # the ports are bound first
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o666)
        client = smtplib.SMTP()
        client.sock = socket.socket(socket.AF_UNIX)
        client.sock.connect(path)
        client.sock.settimeout(20)
        self.assertEqual(client.getreply()[0], 220)
        client.ehlo("localhost")
        client.sendmail(ALICE, [BOB], "Subject: by hand\r\n\r\ntext\r\n")
        client.mail(ALICE)
        self.assertEqual(client.rcpt("x@elsewhere.test")[0], 250, "the rule for the socket matches")
        client.quit()
        with open(server.wait_for_messages("bob", 1)[0], encoding="utf-8") as file:
            text = file.read()
        self.assertIn("(localhost local socket)", text)
        self.assertRegex(text, "(?m)^Message-ID: ")
        self.assertRegex(server.log(), rf"connected.*\buid=.?{os.getuid()}\b")
        # From elsewhere the same recipient is refused.
        with harness.Session(server.ports["smtp"]) as remote:
            remote.reply()
            remote.command("EHLO client.test")
            remote.command(f"MAIL FROM:<{ALICE}>")
            self.assertTrue(remote.command("RCPT TO:<x@elsewhere.test>").startswith("5"))
        server.stop()
        self.assertFalse(os.path.exists(path))


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(rules='action "relay" relay host smtp+notls://127.0.0.1:9\n'
                                          'match from any auth for domain "elsewhere.test" action "relay"')
        cls.addClassCleanup(cls.server.close)

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="postern-e2e-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        shutil.rmtree(f"{self.server.home}/mail/bob", ignore_errors=True)

    def message_file(self, size, subject):
        path = f"{self.folder}/message"
        line = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_+*\r\n"
        with open(path, "wb") as file:
            file.write(f"From: {ALICE}\r\nTo: {BOB}\r\nSubject: {subject}\r\n\r\n".encode())
            file.write(line * (size // len(line)))
        return path

    def read_with_curl(self, url, *more):
        return run("curl", "-sS", "--cacert", f"{self.server.home}/cert.pem", "--user", f"{BOB}:{PASSWORD}", *more, url).stdout

    def send_with_curl(self, path, tls):
        scheme_port = self.server.ports["submission" if tls else "smtp"]
        command = ["curl", "-sS", f"smtp://localhost:{scheme_port}/client.test", "--mail-from", ALICE, "--mail-rcpt", BOB,
                   "--upload-file", path]
        if tls:
            command += ["--ssl-reqd", "--cacert", f"{self.server.home}/cert.pem", "--user", f"{ALICE}:{PASSWORD}"]
        run(*command)

    def test_curl_sends_plain_and_reads_over_imaps(self):
        for size in (100 * 1024, 30 * 1000 * 1000):
            with self.subTest(size=size):
                shutil.rmtree(f"{self.server.home}/mail/bob", ignore_errors=True)
                path = self.message_file(size, f"plain {size}")
                self.send_with_curl(path, tls=False)
                self.server.wait_for_messages("bob", 1, seconds=60)
                text = self.read_with_curl(f"imaps://localhost:{self.server.ports['imaps']}/INBOX;MAILINDEX=1")
                with open(path, "rb") as file:
                    self.assertTrue(text.endswith(file.read()), "what is read is not what was sent")
                self.assertIn(b"Received: from client.test", text[:2000])

    def test_binary_sent_by_bdat_comes_back_octet_for_octet(self):
        # RFC 3030: every octet, line ends that are none, and no line end at the end.
        content = bytes(range(256)) * 400 + b"\r\n.\r\n\n\r\r\n--x"
        head = (f"From: {ALICE}\r\nTo: {BOB}\r\nSubject: binary\r\nMIME-Version: 1.0\r\n"
                'Content-Type: multipart/mixed; boundary="bnd"\r\nContent-Transfer-Encoding: binary\r\n\r\n'
                "--bnd\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n").encode()
        note = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + "Grüße\r\n".encode()
        message = head + content + b"\r\n--bnd\r\n" + note + b"\r\n--bnd--\r\n"
        with harness.Session(self.server.ports["smtp"]) as client:
            client.reply()
            self.assertIn("BINARYMIME", client.command("EHLO client.test"))
            self.assertTrue(client.command(f"MAIL FROM:<{ALICE}> BODY=BINARYMIME").startswith("250"))
            self.assertTrue(client.command(f"RCPT TO:<{BOB}>").startswith("250"))
            client.send(b"BDAT 70000\r\n" + message[:70000])
            self.assertTrue(client.reply().startswith("250"))
            rest = message[70000:]
            client.send(f"BDAT {len(rest)} LAST\r\n".encode() + rest)
            self.assertTrue(client.reply().startswith("250"))
        self.server.wait_for_messages("bob", 1)
        with imaplib.IMAP4_SSL("127.0.0.1", self.server.ports["imaps"], ssl_context=tls_context(self.server)) as imap:
            imap.login(BOB, PASSWORD)
            imap.select()
            self.assertEqual(base64.b64decode(imap.fetch("1", "(BODY[1])")[1][0][1]), content)
            self.assertEqual(imap.fetch("1", "(BODY[2])")[1][0][1], "Grüße\r\n".encode())
            structure = imap.fetch("1", "(BODYSTRUCTURE)")[1][0].upper()
            self.assertNotIn(b"BINARY", structure)
            self.assertIn(b'"BASE64"', structure)

    def test_curl_submits_with_starttls_and_auth(self):
        for size in (100 * 1024, 30 * 1000 * 1000):
            with self.subTest(size=size):
                shutil.rmtree(f"{self.server.home}/mail/bob", ignore_errors=True)
                path = self.message_file(size, f"tls {size}")
                self.send_with_curl(path, tls=True)
                found = self.server.wait_for_messages("bob", 1, seconds=60)
                with open(found[0], "rb") as file:
                    head = file.read(4000)
                self.assertIn(b"ESMTPSA", head)
                self.assertIn(b"\nDate: ", head.replace(b"\r", b""))
                self.assertIn(b"\nMessage-ID: <", head.replace(b"\r", b""))
                with open(found[0], "rb") as file:
                    stored = file.read()
                with open(path, "rb") as file:
                    sent = file.read().replace(b"\r\n", b"\n")  # a Maildir has LF line ends
                self.assertTrue(stored.endswith(sent), "what is stored is not what was sent")

    def test_curl_is_refused_with_a_wrong_password(self):
        path = self.message_file(1000, "no")
        done = run("curl", "-sS", f"smtp://localhost:{self.server.ports['submission']}/c.test", "--mail-from", ALICE,
                   "--mail-rcpt", BOB, "--upload-file", path, "--ssl-reqd", "--cacert", f"{self.server.home}/cert.pem",
                   "--user", f"{ALICE}:wrong", ok=False)
        self.assertEqual(done.returncode, 67, done.stderr)

    def swaks(self, *more, port="smtp", ok=True):
        return run("swaks", "--server", "127.0.0.1", "--port", str(self.server.ports[port]), "--from", ALICE, "--to", BOB,
                   "--ehlo", "swaks.test", *more, ok=ok)

    def test_swaks_plain_starttls_and_auth(self):
        login = ("--auth-user", ALICE, "--auth-password", PASSWORD)
        ways = {"ESMTP": ("smtp",), "ESMTPS": ("smtp", "--tls"), "ESMTPSA": ("submission", "--tls", "--auth", "PLAIN", *login),
                "ESMTPSA by LOGIN": ("submission", "--tls", "--auth", "LOGIN", *login)}
        for size in (100 * 1024, 30 * 1000 * 1000):
            for way, (port, *options) in ways.items():
                with self.subTest(way=way, size=size):
                    shutil.rmtree(f"{self.server.home}/mail/bob", ignore_errors=True)
                    path = self.message_file(size, f"swaks {way}")
                    self.swaks("--data", f"@{path}", *options, port=port)
                    found = self.server.wait_for_messages("bob", 1, seconds=60)
                    with open(found[0], "rb") as file:
                        stored = file.read().replace(b"\r\n", b"\n")
                    with open(path, "rb") as file:
                        sent = file.read().replace(b"\r\n", b"\n")
                    self.assertIn(sent, stored, "what is stored is not what was sent")
                    self.assertLess(len(stored), len(sent) + 2000)
                    self.assertRegex(stored[:2000].decode(), rf"(?m)^Received: from swaks\.test [^;]*with {way.split()[0]}\b")

    def test_swaks_pipelines(self):
        self.swaks("--pipeline", "--header", "Subject: pipelined")
        self.server.wait_for_messages("bob", 1)

    def test_mutt_reads_over_imaps(self):
        self.swaks("--header", "Subject: for mutt", "--body", "mutt shall read this")
        self.server.wait_for_messages("bob", 1)
        self.mutt("<tag-pattern>~s mutt<enter><tag-prefix><copy-message><kill-line>=saved<enter><quit>")
        with open(f"{self.folder}/mutt/saved", encoding="utf-8") as file:
            self.assertIn("mutt shall read this", file.read())

    def test_mutt_flags_and_expunges_over_imaps(self):
        for subject in ("keep", "drop"):
            self.swaks("--header", f"Subject: {subject}")
        self.server.wait_for_messages("bob", 2)
        self.mutt("<tag-pattern>~s drop<enter><tag-prefix><delete-message><tag-pattern>~s keep<enter>"
                  "<tag-prefix><flag-message><sync-mailbox><quit>")
        left = self.server.messages("bob")
        self.assertEqual(len(left), 1, left)
        self.assertRegex(left[0], r":2,.*F")

    def mutt(self, keys):
        """Runs mutt on bob's INBOX over IMAPS, in a terminal of its own, with `keys` typed."""
        home = f"{self.folder}/mutt"
        os.makedirs(home)
        harness.write(f"{home}/muttrc", f"""
set folder="{home}"
set imap_user="{BOB}"
set imap_pass="{PASSWORD}"
set certificate_file="{self.server.home}/cert.pem"
set confirmappend=no
set confirmcreate=no
set delete=yes
set quit=yes
set sleep_time=0
set wait_key=no
push "{keys}"
""")
        done, screen = in_terminal(["mutt", "-n", "-F", f"{home}/muttrc", "-f", f"imaps://localhost:{self.server.ports['imaps']}/INBOX"],
                                   dict(os.environ, HOME=home, TERM="xterm"), seconds=30)
        self.assertTrue(done, f"mutt waits for somebody. Its screen:\n{screen}")

    def test_openssl_completes_starttls_on_both_protocols(self):
        for protocol, port in (("smtp", "smtp"), ("imap", "imap")):
            for version in ("-tls1_2", "-tls1_3"):
                with self.subTest(protocol=protocol, version=version):
                    done = run("openssl", "s_client", "-connect", f"127.0.0.1:{self.server.ports[port]}", "-starttls", protocol,
                               "-servername", DOMAIN, "-CAfile", f"{self.server.home}/cert.pem", "-verify_return_error",
                               "-quiet", version, stdin=b"QUIT\r\n" if protocol == "smtp" else b"a LOGOUT\r\n")
                    self.assertIn(b"221" if protocol == "smtp" else b"BYE", done.stdout)

    def test_old_tls_is_refused(self):
        done = run("openssl", "s_client", "-connect", f"127.0.0.1:{self.server.ports['imaps']}", "-tls1_1", "-cipher",
                   "DEFAULT@SECLEVEL=0", stdin=b"", ok=False)
        self.assertNotEqual(done.returncode, 0)

    def test_what_another_program_does_to_the_maildir_is_seen(self):
        """A client on the Maildir itself (as mutt is) takes a message from new to cur and flags it by renaming its file."""
        for subject in ("one", "two", "three"):
            self.swaks("--header", f"Subject: {subject}")
        self.server.wait_for_messages("bob", 3)
        with imaplib.IMAP4_SSL("localhost", self.server.ports["imaps"], ssl_context=tls_context(self.server)) as imap:
            imap.login(BOB, PASSWORD)
            imap.select()
            before = uids_and_flags(imap)
            self.assertEqual(len(before), 3)
            files = self.server.messages("bob")
            uid = {path: self.uid_of(imap, path) for path in files}
            maildir = self.server.maildir("bob")
            name = os.path.basename(files[0]).split(":")[0]
            os.rename(files[0], f"{maildir}/cur/{name}:2,FRS")
            os.unlink(files[1])
            imap.noop()
            after = uids_and_flags(imap)
            self.assertEqual(set(after), set(before) - {uid[files[1]]})
            self.assertLessEqual({r"\Flagged", r"\Answered", r"\Seen"}, after[uid[files[0]]])
            os.rename(f"{maildir}/cur/{name}:2,FRS", f"{maildir}/cur/{name}:2,S")
            imap.noop()
            self.assertFalse({r"\Flagged", r"\Answered"} & uids_and_flags(imap)[uid[files[0]]])
            validity = imap.response("UIDVALIDITY")
        self.server.stop()
        self.server.start()
        with imaplib.IMAP4_SSL("localhost", self.server.ports["imaps"], ssl_context=tls_context(self.server)) as imap:
            imap.login(BOB, PASSWORD)
            imap.select()
            self.assertEqual(imap.response("UIDVALIDITY"), validity)
            again = uids_and_flags(imap)
            self.assertEqual(set(again), {uid[files[0]], uid[files[2]]})
            self.assertIn(r"\Seen", again[uid[files[0]]])

    def uid_of(self, imap, path):
        with open(path, encoding="utf-8") as file:
            subject = re.search("^Subject: (.*)$", file.read(), re.MULTILINE).group(1)
        _, found = imap.uid("SEARCH", "SUBJECT", subject)
        return int(found[0])

    def test_the_memory_for_a_large_message_is_given_back(self):
        """What a search or a FETCH of 24 MiB took is not the server's for good."""
        with open(f"/proc/{self.server.process.pid}/maps", encoding="utf-8") as maps:
            if "san.so" in maps.read():
                self.skipTest("a sanitizer keeps what is freed")
        for part in ("cur", "new", "tmp"):
            os.makedirs(f"{self.server.maildir('bob')}/{part}")
        shutil.copy(self.message_file(24 << 20, "large"), f"{self.server.maildir('bob')}/new/1.M1.host")
        with imaplib.IMAP4_SSL("localhost", self.server.ports["imaps"], ssl_context=tls_context(self.server)) as imap:
            imap.login(BOB, PASSWORD)
            imap.select()
            before = self.resident_mib()
            for _ in range(3):
                self.assertEqual(imap.search(None, "TEXT", "nowhere")[1], [b""])
                _, found = imap.fetch("1", "(BODY.PEEK[TEXT])")
                self.assertGreater(len(found[0][1]), 23 << 20)
        self.assertLess(self.resident_mib() - before, 24)

    def resident_mib(self):
        with open(f"/proc/{self.server.process.pid}/status", encoding="utf-8") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) >> 10

    def test_mail_survives_a_restart(self):
        self.swaks("--header", "Subject: before the restart")
        self.server.wait_for_messages("bob", 1)
        before = self.read_with_curl(f"imaps://localhost:{self.server.ports['imaps']}/INBOX", "-X", "UID FETCH 1:* (UID FLAGS)")
        self.read_with_curl(f"imaps://localhost:{self.server.ports['imaps']}/INBOX", "-X", r"STORE 1 +FLAGS (\Flagged)")
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        after = self.read_with_curl(f"imaps://localhost:{self.server.ports['imaps']}/INBOX", "-X", "UID FETCH 1:* (UID FLAGS)")
        self.assertIn(b"UID 1", before)
        self.assertIn(b"UID 1", after)
        self.assertIn(rb"\Flagged", after)


if __name__ == "__main__":
    unittest.main()
