"""The options of a listen line with real clients: certificates of clients (openssl), a proxy in front, senders, the local socket."""

import base64
import os
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import time
import unittest

import harness
from harness import DOMAIN, PASSWORD

CONFIG = """\
mailname "mx.example.test"
spool "{data}/spool"
pki house cert "{home}/cert.pem" key "{home}/key.pem"
ca house cert "{folder}/ca.pem"
table logins file:{home}/logins
table addresses file:{home}/addresses
table accounts file:{home}/accounts
listen on 127.0.0.1 port {smtp} proxy-v2 hostnames {{ "198.51.100.9" = nine.example.test }}
listen on 127.0.0.1 port {submission} smtps pki house auth <logins> received-auth no-dsn \\
  senders {{ "alice@{domain}" = "alice@{domain}, @lists.test" }} masquerade
listen on 127.0.0.1 port {imap} tls-require verify pki house ca house protocols "TLSv1.2" ciphers "ECDHE+CHACHA20"
listen on 127.0.0.1 port {imaps} smtps verify pki house ca house
action "here" maildir "{data}/mail/%{{user.username}}" virtual <addresses> userbase <accounts>
action "away" relay
match from any for domain "{domain}" action "here"
match from any auth for any action "here"
match for any action "away"
"""
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ALICE = f"alice@{DOMAIN}"


def proxied(source, destination, tlvs=b"", family=0x11, command=0x21):
    """What haproxy's `send-proxy-v2` sends."""
    form = socket.AF_INET6 if family == 0x21 else socket.AF_INET
    rest = socket.inet_pton(form, source) + socket.inet_pton(form, destination) + struct.pack("!HH", 12345, 25) + tlvs
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(rest)) + rest


class Listeners(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="postern-listeners-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        cls.run_quietly(*make, "-subj", "/CN=House CA", "-keyout", f"{cls.folder}/ca.key", "-out", f"{cls.folder}/ca.pem")
        cls.run_quietly(*make, "-subj", "/CN=stranger", "-keyout", f"{cls.folder}/stranger.key", "-out",
                        f"{cls.folder}/stranger.pem")
        cls.run_quietly("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=client.test", "-keyout",
                        f"{cls.folder}/client.key", "-out", f"{cls.folder}/client.csr")
        cls.run_quietly("openssl", "x509", "-req", "-in", f"{cls.folder}/client.csr", "-CA", f"{cls.folder}/ca.pem", "-CAkey",
                        f"{cls.folder}/ca.key", "-CAcreateserial", "-days", "2", "-out", f"{cls.folder}/client.pem")

    @staticmethod
    def run_quietly(*command):
        subprocess.run(command, check=True, capture_output=True)

    def setUp(self):
        self.server = harness.Server(config=CONFIG.replace("{folder}", self.folder))
        self.addCleanup(self.server.close)

    def s_client(self, port, script, *more):
        done = subprocess.run(["openssl", "s_client", "-quiet", "-crlf", "-connect", f"127.0.0.1:{self.server.ports[port]}", *more],
                              input=script.encode(), capture_output=True, timeout=30, check=False)
        return done.stdout.decode(errors="replace")

    def swaks(self, *more):
        done = subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(self.server.ports["submission"]), "--tls-on-connect",
                               "--auth", "PLAIN", "--auth-user", ALICE, "--auth-password", PASSWORD, *more],
                              capture_output=True, timeout=60, check=False)
        return done.returncode, done.stdout.decode(errors="replace")

    def text_of(self, name, count):
        path = self.server.wait_for_messages(name, count)[-1]
        with open(path, encoding="utf-8") as file:
            return file.read()

    def test_openssl_with_a_client_certificate(self):
        good = ("-cert", f"{self.folder}/client.pem", "-key", f"{self.folder}/client.key")
        bad = ("-cert", f"{self.folder}/stranger.pem", "-key", f"{self.folder}/stranger.key")
        script = f"EHLO c.test\nMAIL FROM:<a@c.test>\nRCPT TO:<bob@{DOMAIN}>\nDATA\nSubject: x\n\nhi\n.\nQUIT\n"
        for port, more in (("imaps", ()), ("imap", ("-starttls", "smtp"))):
            with self.subTest(port):
                before = len(self.server.messages("bob"))
                self.assertIn("250 2.0.0", self.s_client(port, script, *good, *more))
                text = self.text_of("bob", before + 1)
                self.assertRegex(text, r"\(TLSv1\.[23]:[A-Z0-9_-]+:[0-9]+:YES\)")
                for worse in (bad, ()):
                    self.assertNotIn("250 2.1.0", self.s_client(port, script, *worse, *more))
                self.assertEqual(len(self.server.messages("bob")), before + 1)
        self.assertIn("ECDHE-RSA-CHACHA20-POLY1305", self.server.log())
        self.assertIn("verified=yes", self.server.log())
        self.assertIn("gave no certificate", self.server.log())

    def test_protocols_and_ciphers_bind(self):
        good = ("-cert", f"{self.folder}/client.pem", "-key", f"{self.folder}/client.key", "-starttls", "smtp")
        self.assertIn("221", self.s_client("imap", "QUIT\n", *good, "-tls1_2"))
        self.assertNotIn("221", self.s_client("imap", "QUIT\n", *good, "-tls1_3"))
        self.assertNotIn("221", self.s_client("imap", "QUIT\n", *good, "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"))

    def test_swaks_as_who_it_may_be(self):
        code, _ = self.swaks("--from", ALICE, "--to", f"bob@{DOMAIN}", "--header-From", "The Boss <boss@bank.test>")
        self.assertEqual(code, 0)
        text = self.text_of("bob", 1)
        self.assertIn(f"\nFrom: The Boss <{ALICE}>\n", text)
        self.assertNotIn("bank.test", text)
        self.assertIn(f" auth=yes user={ALICE};", text.replace("\n\tfor", ";\n\tfor"))
        code, told = self.swaks("--from", f"bob@{DOMAIN}", "--to", f"bob@{DOMAIN}")
        self.assertNotEqual(code, 0)
        self.assertIn("530 5.7.1 Sender rejected", told)
        self.assertNotRegex(told, "250[- ]DSN")

    def raw(self, first, script=""):
        """What a client behind a proxy hears until the end."""
        with harness.Session(self.server.ports["smtp"]) as session:
            try:
                session.send(first)
                session.send(script)
                return session.rest().decode(errors="replace")
            except ConnectionError:  # it hung up before all was said
                return ""

    def test_behind_a_proxy(self):
        script = f"EHLO c.test\r\nMAIL FROM:<a@c.test>\r\nRCPT TO:<alice@{DOMAIN}>\r\nDATA\r\nSubject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n"
        heard = self.raw(proxied("203.0.113.5", "198.51.100.9", b"\x04\x00\x02ab" + b"\x20\x00\x05" + b"12345"), script)
        self.assertTrue(heard.startswith("220 nine.example.test "), heard)
        self.assertIn("[203.0.113.5]", heard)
        self.assertIn("[203.0.113.5])", self.text_of("alice", 1))
        self.assertIn("connected address=203.0.113.5", self.server.log())
        heard = self.raw(proxied("2001:db8::5", "2001:db8::9", family=0x21), script)
        self.assertIn("[IPv6:2001:db8::5]", heard)
        # haproxy's own check
        self.assertTrue(self.raw(SIGNATURE + b"\x20\x00\x00\x00", "QUIT\r\n").startswith("220 "))
        # One octet at a time is as good.
        with harness.Session(self.server.ports["smtp"]) as session:
            for octet in proxied("203.0.113.6", "198.51.100.9"):
                session.send(bytes([octet]))
            self.assertTrue(session.reply().startswith("220 "))

    def test_a_client_elsewhere_relays_nothing_through_the_proxy(self):
        script = "EHLO c.test\r\nMAIL FROM:<a@c.test>\r\nRCPT TO:<victim@elsewhere.test>\r\nQUIT\r\n"
        self.assertIn("550 5.1.1", self.raw(proxied("203.0.113.5", "198.51.100.9"), script))
        self.assertEqual(self.raw(script), "", "who says nothing of the client is not served")

    def test_wrong_headers_are_hung_up_on(self):
        good = proxied("203.0.113.5", "198.51.100.9")
        for first in (b"PROXY TCP4 203.0.113.5 198.51.100.9 1 25\r\n", b"\0" * 64, good[:12] + b"\x31" + good[13:],
                      good[:13] + b"\x00" + good[14:], good[:13] + b"\x12" + good[14:], good[:14] + b"\xff\xff" + b"x" * 5000,
                      good[:14] + b"\x00\x02ab", proxied("0.0.0.0", "198.51.100.9")):
            with self.subTest(first[:20]):
                begun = time.monotonic()
                self.assertEqual(self.raw(first, "EHLO c.test\r\n"), "")
                self.assertLess(time.monotonic() - begun, 5)
        begun = time.monotonic()
        self.assertEqual(self.raw(good[:20]), "", "half a header is waited for no longer than 10 seconds")
        self.assertLess(time.monotonic() - begun, 15)

    def test_the_local_socket_is_there_without_a_line(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            # It is opened behind the ports, once the queue is there.
            deadline = time.monotonic() + 20
            while not os.path.exists(f"{self.server.data}/spool/submit.sock"):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)
            client.connect(f"{self.server.data}/spool/submit.sock")
            client.sendall(f"EHLO localhost\r\nMAIL FROM:<a@{DOMAIN}>\r\nRCPT TO:<bob@{DOMAIN}>\r\nDATA\r\n"
                           "Subject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n".encode())
            while client.recv(4096):
                pass
        text = self.text_of("bob", 1)
        self.assertIn("local socket", text)
        self.assertIn("\nMessage-ID: ", text)

    def test_python_logs_in(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.server.ports["submission"]), 20) as plain:
            with context.wrap_socket(plain) as secured:
                login = base64.b64encode(f"\0{ALICE}\0{PASSWORD}".encode()).decode()
                secured.sendall(f"EHLO c\r\nAUTH PLAIN {login}\r\nMAIL FROM:<x@lists.test>\r\nRSET\r\nMAIL FROM:<x@other.test>\r\n"
                                "QUIT\r\n".encode())
                heard = b""
                while True:
                    try:
                        got = secured.recv(4096)
                    except ssl.SSLError:
                        break
                    if not got:
                        break
                    heard += got
        self.assertIn(b"250 2.0.0 Ok", heard)
        self.assertIn(b"530 5.7.1 Sender rejected", heard)


if __name__ == "__main__":
    unittest.main()
