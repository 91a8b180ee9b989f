"""SIGHUP: certificates, tables and rules change under a running server; a wrong file changes nothing."""

import glob
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
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

    def change(self, *pairs):
        with open(self.server.config_path, encoding="utf-8") as file:
            text = file.read()
        for old, new in pairs:
            self.assertIn(old, text)
            text = text.replace(old, new, 1)
        harness.write(self.server.config_path, text)

    def test_limits_and_the_name_are_those_of_new_sessions(self):
        with harness.Session(self.server.ports["smtp"]) as old:
            self.assertIn(DOMAIN, old.reply())
            self.change((f'mailname "{DOMAIN}"', 'mailname "other.test"\nsmtp limit max-errors 3'))
            self.hang_up("configuration reloaded")
            with harness.Session(self.server.ports["smtp"]) as new:
                self.assertTrue(new.reply().startswith("220 other.test "))
                for _ in range(3):
                    self.assertTrue(new.command("NONSENSE").startswith("500"))
                self.assertTrue(new.reply().startswith("421"))
            for _ in range(4):
                self.assertTrue(old.command("NONSENSE").startswith("500"))
            self.assertTrue(old.command("EHLO client.test").startswith(f"250-{DOMAIN} "))

    def test_another_spool_is_told_to_take_a_restart(self):
        self.change((f'spool "{self.server.data}/spool"', f'spool "{self.server.data}/other"'))
        self.hang_up("configuration reloaded")
        self.assertRegex(self.server.log(), f"warn: .*{self.server.config_path}:2:7: warning: spool .*takes a restart")
        with harness.Session(self.server.ports["smtp"]) as session:
            self.assertTrue(session.reply().startswith("220"))

    def test_the_lines_of_a_reload_have_time_and_level(self):
        self.hang_up("configuration reloaded")
        self.assertRegex(self.server.log(), r"(?m)^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d server configuration reloaded$")
        self.change(("listen on", "lisen on"))
        self.hang_up("configuration not reloaded")
        self.assertRegex(self.server.log(),
                         r"(?m)^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d warn: server configuration not reloaded: .*lisen")

    def test_a_wrong_file_leaves_the_old_one_in_force(self):
        with open(self.server.config_path, "a", encoding="utf-8") as file:
            file.write("lisen on lo0\n")
        self.hang_up("configuration not reloaded")
        self.assertEqual(self.server.log().count('unknown directive "lisen"'), 1)
        with harness.Session(self.server.ports["smtp"]) as session:
            self.assertTrue(session.reply().startswith("220"))

    def test_reloads_under_load_lose_nothing_and_drop_nobody(self):
        """Four clients send without pause, with TLS and AUTH, while good and wrong files take turns 40 times."""
        accepted, failures, stop = [], [], threading.Event()

        def send(number):
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            try:
                with smtplib.SMTP("127.0.0.1", self.server.ports["submission"], timeout=20) as smtp:
                    smtp.starttls(context=context)
                    smtp.login(f"alice@{DOMAIN}", harness.PASSWORD)
                    for turn in range(100000):
                        if stop.is_set() or turn == 90:  # a session takes 100 messages
                            return
                        subject = f"load {number}-{turn}"
                        smtp.sendmail(f"alice@{DOMAIN}", [f"bob@{DOMAIN}"], f"Subject: {subject}\r\n\r\nhello\r\n")
                        accepted.append(subject)
            except (OSError, smtplib.SMTPException) as error:
                failures.append(repr(error))

        def run(number):
            for session in range(1000):
                if stop.is_set() or failures:
                    return
                send(f"{number}.{session}")

        threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
        with open(self.server.config_path, encoding="utf-8") as file:
            good = file.read()
        for thread in threads:
            thread.start()
        try:
            for turn in range(20):
                harness.write(self.server.config_path, good + f"queue ttl {turn + 1}d\n")
                self.hang_up("configuration reloaded")
                harness.write(self.server.config_path, good + "lisen on lo0\n")
                self.hang_up("configuration not reloaded")
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
        self.assertEqual(failures, [])
        self.assertGreater(len(accepted), 20)
        found = self.server.wait_for_messages("bob", len(accepted), seconds=60)
        subjects = []
        for path in found:
            with open(path, encoding="utf-8") as file:
                subjects += [line[9:].strip() for line in file if line.startswith("Subject: ")]
        self.assertEqual(sorted(subjects), sorted(accepted))

    def test_mail_keeps_its_action_over_a_kill_and_a_start_with_another_file(self):
        away = (f'action "away" maildir "{self.server.data}/away/%{{user.username}}" virtual <addresses> userbase <accounts>\n'
                f'match from any for rcpt-to "bob@{DOMAIN}" action "away"\n')
        deliver = f'match from any for domain "{DOMAIN}" action "deliver"\n'
        self.rewrite(deliver, away + deliver)
        self.hang_up("configuration reloaded")
        harness.write(f"{self.server.data}/away", "no folder")
        with smtplib.SMTP("127.0.0.1", self.server.ports["smtp"], timeout=20) as smtp:
            smtp.sendmail("a@client.test", [f"bob@{DOMAIN}"], "Subject: x\r\n\r\nhi\r\n")
        self.server.stop(signal.SIGKILL)
        os.unlink(f"{self.server.data}/away")
        self.rewrite(away + deliver, deliver)
        self.server.start()
        deadline = time.monotonic() + 40
        while not glob.glob(f"{self.server.data}/away/bob/new/*"):
            self.assertLess(time.monotonic(), deadline, self.server.log())
            time.sleep(0.1)
        self.assertEqual(self.server.messages("bob"), [])
        copies = f"{self.server.data}/spool/config"
        self.assertEqual(os.stat(copies).st_mode & 0o777, 0o700)
        self.assertEqual({os.stat(f"{copies}/{name}").st_mode & 0o777 for name in os.listdir(copies)}, {0o600})

    def rewrite(self, old, new):
        with open(self.server.config_path, encoding="utf-8") as file:
            text = file.read()
        self.assertIn(old, text)
        harness.write(self.server.config_path, text.replace(old, new))

    @staticmethod
    def greeting(port):
        try:
            with harness.Session(port) as session:
                return session.reply()
        except OSError:
            return ""

    def test_listeners_come_and_go_and_sessions_stay(self):
        added, first = harness.free_ports(1)[0], self.server.ports["smtp"]
        with harness.Session(first) as session:
            session.reply()
            self.rewrite(f"listen on 127.0.0.1 port {first} tls", f"listen on 127.0.0.1 port {added} hostname new.example.test tls")
            self.hang_up("configuration reloaded")
            self.assertTrue(self.greeting(added).startswith("220 new.example.test "))
            self.assertEqual(self.greeting(first), "")
            session.command("EHLO client.test")
            session.command("MAIL FROM:<a@client.test>")
            self.assertTrue(session.command(f"RCPT TO:<alice@{DOMAIN}>").startswith("250"))
            session.command("DATA")
            self.assertTrue(session.command("Subject: x\r\n\r\nhi\r\n.").startswith("250"))
        self.server.wait_for_messages("alice", 1)
        self.rewrite(f"listen on 127.0.0.1 port {added} hostname new.example.test tls", f"listen on 127.0.0.1 port {first} tls")
        self.hang_up("configuration reloaded")
        self.assertTrue(self.greeting(first).startswith("220 "))
        self.assertEqual(self.greeting(added), "")

    def test_a_port_that_is_taken_leaves_the_old_ones_in_force(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            with open(self.server.config_path, "a", encoding="utf-8") as file:
                file.write(f"listen on 127.0.0.1 port {port}\n")
            self.hang_up("configuration not reloaded")
            self.assertRegex(self.server.log(), f"{self.server.config_path}:[0-9]+:1: error: .*in use")
            self.assertTrue(self.greeting(self.server.ports["smtp"]).startswith("220 "))
        self.hang_up("configuration reloaded")
        self.assertTrue(self.greeting(port).startswith("220 "))

    def test_listeners_that_change_all_the_time_lose_nobody(self):
        """A listener comes and goes 30 times while clients of another one send without a pause."""
        port = harness.free_ports(1)[0]
        stop, accepted, failures = threading.Event(), [], []

        def send():
            while not stop.is_set():
                try:
                    with smtplib.SMTP("127.0.0.1", self.server.ports["smtp"], timeout=20) as smtp:
                        smtp.sendmail("a@client.test", [f"bob@{DOMAIN}"], "Subject: x\r\n\r\nhi\r\n")
                    accepted.append(1)
                except (OSError, smtplib.SMTPException) as error:
                    failures.append(repr(error))
                    return

        threads = [threading.Thread(target=send) for _ in range(3)]
        for thread in threads:
            thread.start()
        with open(self.server.config_path, encoding="utf-8") as file:
            text = file.read()
        try:
            for _ in range(30):
                harness.write(self.server.config_path, text + f"listen on 127.0.0.1 port {port}\n")
                self.hang_up("configuration reloaded")
                self.assertTrue(self.greeting(port).startswith("220 "))
                harness.write(self.server.config_path, text)
                self.hang_up("configuration reloaded")
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
        self.assertEqual(failures, [])
        self.server.wait_for_messages("bob", len(accepted), seconds=60)

    def test_queued_mail_keeps_its_action(self):
        next_hop = harness.Server(domain="next.test")
        self.addCleanup(next_hop.close)
        port = next_hop.ports["smtp"]
        next_hop.stop()
        rule = (f'queue retry-delay 1s\naction "onward" relay host "smtp+notls://127.0.0.1:{port}"\n'
                'match from any for domain "next.test" action "onward"\n')
        with open(self.server.config_path, encoding="utf-8") as file:
            text = file.read()
        harness.write(self.server.config_path, text + rule)
        self.server.stop()
        self.server.start()
        with smtplib.SMTP("127.0.0.1", self.server.ports["smtp"], timeout=20) as smtp:
            smtp.sendmail("a@client.test", ["bob@next.test"], "Subject: kept\r\n\r\nhi\r\n")
        harness.write(self.server.config_path, text + "queue retry-delay 1s\n")
        self.hang_up("configuration reloaded")
        next_hop.start()
        next_hop.wait_for_messages("bob", 1, seconds=60)


if __name__ == "__main__":
    unittest.main()
