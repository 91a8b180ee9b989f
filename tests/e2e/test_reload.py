"""SIGHUP: certificates, tables and rules change under a running server; a wrong file changes nothing."""

import signal
import socket
import ssl
import subprocess
import time
import unittest

import harness
from harness import DOMAIN


class Reload(unittest.TestCase):
    def setUp(self):
        self.server = harness.Server()
        self.addCleanup(self.server.close)

    def hang_up(self, expected):
        before = self.server.log().count(expected)
        self.server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while self.server.log().count(expected) == before:
            self.assertLess(time.monotonic(), deadline, self.server.log())
            time.sleep(0.02)

    def certificate_in_use(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.server.ports["imaps"]), 10) as plain:
            with context.wrap_socket(plain) as secured:
                return secured.getpeercert(binary_form=True)

    def test_a_new_certificate_is_seen_and_an_old_session_goes_on(self):
        before = self.certificate_in_use()
        with harness.Session(self.server.ports["smtp"]) as session:
            session.reply()
            session.command("EHLO client.test")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={DOMAIN}",
                            "-keyout", f"{self.server.home}/key.pem", "-out", f"{self.server.home}/cert.pem"],
                           check=True, capture_output=True)
            self.hang_up("configuration reloaded")
            self.assertNotEqual(self.certificate_in_use(), before)
            self.assertTrue(session.command("NOOP").startswith("250"))

    def test_a_table_is_read_anew(self):
        with harness.Session(self.server.ports["smtp"]) as session:
            session.reply()
            session.command("EHLO client.test")
            session.command("MAIL FROM:<a@client.test>")
            self.assertTrue(session.command(f"RCPT TO:<new@{DOMAIN}>").startswith("524"))
            with open(f"{self.server.home}/addresses", "a", encoding="utf-8") as file:
                file.write(f"new@{DOMAIN} alice\n")
            self.hang_up("configuration reloaded")
            self.assertTrue(session.command(f"RCPT TO:<new@{DOMAIN}>").startswith("250"))

    def test_a_wrong_file_leaves_the_old_one_in_force(self):
        with open(self.server.config_path, "a", encoding="utf-8") as file:
            file.write("lisen on lo0\n")
        self.hang_up("configuration not reloaded")
        self.assertIn("lisen", self.server.log())
        with harness.Session(self.server.ports["smtp"]) as session:
            self.assertTrue(session.reply().startswith("220"))

    def test_other_listeners_want_a_restart(self):
        with open(self.server.config_path, "a", encoding="utf-8") as file:
            file.write(f"listen on 127.0.0.1 port {harness.free_ports(1)[0]}\n")
        self.hang_up("configuration not reloaded")
        self.assertIn("restart", self.server.log())


if __name__ == "__main__":
    unittest.main()
