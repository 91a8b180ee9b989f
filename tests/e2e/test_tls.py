"""TLS on the real server: the certificate follows the name that the client asks for, and another protocol is refused."""

import shutil
import subprocess
import tempfile
import unittest

import harness

CONFIG = """\
mailname "mx.example.test"
spool "{home}/spool"
pki mx.example.test cert "{folder}/mx.pem"
pki mx.example.test key "{folder}/mx.key"
pki other.test cert "{folder}/other.pem"
pki other.test key "{folder}/other.key"
listen on 127.0.0.1 port {smtp} tls
listen on 127.0.0.1 port {submission} smtps pki other.test
listen on 127.0.0.1 port {imap} proto imap tls pki mx.example.test auth
listen on 127.0.0.1 port {imaps} proto imap smtps pki mx.example.test pki other.test auth
action "a" relay
match for any action "a"
"""


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="postern-tls-")
        cls.addClassCleanup(shutil.rmtree, folder, True)
        for file, name in (("mx", "mx.example.test"), ("other", "*.other.test")):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                            "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
                            "-keyout", f"{folder}/{file}.key", "-out", f"{folder}/{file}.pem"], check=True, capture_output=True)
        cls.server = harness.Server(config=CONFIG.replace("{folder}", folder))
        cls.addClassCleanup(cls.server.close)

    def subject(self, port, *more):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.server.ports[port]}", *more], input=b"",
                              capture_output=True, timeout=20, check=False)
        for line in done.stdout.decode(errors="replace").splitlines():
            if line.startswith("subject="):
                return line.split("=", 1)[1].strip().replace(" ", "")
        return None

    def test_the_name_chooses_the_certificate(self):
        self.assertEqual(self.subject("imaps", "-servername", "mx.example.test"), "CN=mx.example.test")
        self.assertEqual(self.subject("imaps", "-servername", "mail.other.test"), "CN=*.other.test")
        self.assertEqual(self.subject("imaps", "-servername", "unknown.test"), "CN=mx.example.test", "the first is the default")
        self.assertEqual(self.subject("imaps", "-noservername"), "CN=mx.example.test")
        self.assertEqual(self.subject("submission", "-servername", "mx.example.test"), "CN=*.other.test")

    def test_without_pki_the_servers_name_is_the_default(self):
        starttls = ("-starttls", "smtp")
        self.assertEqual(self.subject("smtp", *starttls, "-noservername"), "CN=mx.example.test")
        self.assertEqual(self.subject("smtp", *starttls, "-servername", "a.other.test"), "CN=*.other.test")

    def test_another_protocol_is_refused(self):
        self.assertIsNone(self.subject("imaps", "-alpn", "h2,http/1.1"))
        self.assertIsNotNone(self.subject("imaps", "-alpn", "h2,imap"))
        self.assertIsNone(self.subject("submission", "-alpn", "imap"))


if __name__ == "__main__":
    unittest.main()
