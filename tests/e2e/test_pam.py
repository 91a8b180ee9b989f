"""Logins by PAM with the machine's own libpam and modules, in a world of its own: services in /etc/pam.d and in a folder of
ours, accounts that PAM refuses, modules that hang and die, and servers that cannot ask PAM."""

import base64
import imaplib
import os
import re
import signal
import smtplib
import socket
import statistics
import subprocess
import threading
import time
import unittest

import suite
import world
from harness import POSTERN
from suite import ELSEWHERE, Client, trusting_all

MACHINE = None

CONFIG = """\
mailname "athome.tld"
pki athome.tld cert "/etc/ssl/athome.tld.crt"
pki athome.tld key "/etc/ssl/private/athome.tld.key"
ca house cert "/etc/ssl/authority.crt"
smtp timeout auth-pam 3s
smtp limit max-auth-pam 2
listen on 127.0.0.1 port 587 tls-require pki athome.tld ca house auth pam "postern"
listen on 127.0.0.1 port 1587 tls-require pki athome.tld auth pam "virtual" folder "/etc/mail/pam.d"
listen on 127.0.0.1 port 2587 tls-require pki athome.tld auth-optional pam "Asked" folder "/etc/mail/pam.d"
listen on 127.0.0.1 port 3587 tls-require pki athome.tld auth pam "closed" folder "/etc/mail/pam.d"
action "local" maildir
match for local action "local"
"""
IMAP = 'listen on 127.0.0.1 port 143 proto imap tls-require pki athome.tld auth pam "postern"\n'
SERVICES = {
    "/etc/pam.d/postern": "auth required pam_unix.so\naccount required pam_unix.so\n",
    "/etc/mail/pam.d/virtual": "auth required pam_userdb.so db=/etc/mail/people\naccount required pam_permit.so\n",
    "/etc/mail/pam.d/asked": "auth [success=1 default=ignore] pam_exec.so expose_authtok stdout quiet /var/tmp/ask\n"
                              "auth requisite pam_deny.so\nauth required pam_permit.so\naccount required pam_permit.so\n",
    "/etc/mail/pam.d/closed": "auth required pam_permit.so\naccount required pam_deny.so\n",
    "/etc/mail/pam.d/other": "auth required pam_deny.so\naccount required pam_deny.so\n",
}
# A module of PAM as an administrator may write one, with its bad days.
ASK = """\
#!/bin/sh
case $PAM_USER in
  hangs*) exec sleep 4321 ;;
  dies*) kill -9 $PPID; exit 0 ;;
  says) echo "the account is in arrears"; exit 1 ;;
  whence) [ "$PAM_RHOST" = 127.0.0.1 ] && [ "$PAM_SERVICE" = asked ] && [ -z "$HOME$LANG$SECRET" ] ;;
  *) [ "$(tr -d '\\000')" = "Open, sesame" ] ;;
esac
"""

load_tests = suite.load_tests


class Pam(suite.Outside):
    inside = "test_pam"
    needs_suite = False


def setUpModule():
    global MACHINE  # pylint: disable=global-statement
    if not world.inside():
        return
    MACHINE = world.World(ELSEWHERE)
    MACHINE.clean()
    MACHINE.write("/etc/passwd", "postern:x:6100:6100::/var/spool/postern:/usr/sbin/nologin\n", "a")
    MACHINE.write("/etc/group", "postern:x:6100:\n", "a")
    authority = MACHINE.authority()
    MACHINE.make_certificate("/etc/ssl/athome.tld.crt", "/etc/ssl/private/athome.tld.key", "athome.tld")
    for name in ("alice", "bruce", "nobody-here"):
        MACHINE.make_certificate(f"/var/tmp/{name}.crt", f"/var/tmp/{name}.key", name, authority)
    os.makedirs("/etc/mail/pam.d")
    for path, text in SERVICES.items():
        MACHINE.write(path, text)
    MACHINE.write("/var/tmp/ask", ASK)
    os.chmod("/var/tmp/ask", 0o755)
    subprocess.run(["db5.3_load", "-T", "-t", "hash", "/etc/mail/people.db"], input="mary\nlamb\n", text=True, check=True)
    shadow = read("/etc/shadow")
    shadow = re.sub(r"(?m)^(bruce:[^:]*:.*?:7:):.*$", r"\1:1:", shadow)  # ended on the second day of 1970
    shadow = re.sub(r"(?m)^(username:[^:]*):\d+:", r"\1:0:", shadow)     # must choose another password
    MACHINE.write("/etc/shadow", re.sub(r"(?m)^jdoe:", "jdoe:!", shadow))  # is locked


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def children(pid):
    try:
        return [int(each) for each in read(f"/proc/{pid}/task/{pid}/children").split()]
    except FileNotFoundError:
        return []


def sleepers():
    return subprocess.run(["pgrep", "-fx", "sleep 4321"], check=False, capture_output=True, text=True).stdout.split()


class Served(unittest.TestCase):
    config = ""

    @classmethod
    def setUpClass(cls):
        MACHINE.write("/etc/mail/smtpd.conf", cls.config)
        with open("/var/tmp/log", "w", encoding="utf-8") as log:
            cls.process = subprocess.Popen([POSTERN, "serve", "-f", "/etc/mail/smtpd.conf", "-s", "/var/spool/postern"],
                                           stdout=log, stderr=log, env={**os.environ, "SECRET": "x"})
        cls.wait_for(lambda: "started" in cls.log() or cls.process.poll() is not None, "no start")
        assert cls.process.poll() is None, cls.log()

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        assert cls.process.wait(30) == 0, cls.log()
        log = cls.log()
        assert not any(each in log for each in ("alice-pass", "lamb", "sesame", "never-right")), log

    @staticmethod
    def log():
        return read("/var/tmp/log")

    @classmethod
    def wait_for(cls, condition, what, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what}\n{cls.log()}"
            time.sleep(0.02)

    @staticmethod
    def secured(port=587, certificate=""):
        client = Client("127.0.0.1", port)
        client.timeout = 60
        client.sock.settimeout(60)
        client.ehlo()
        context = trusting_all()
        if certificate:
            context.load_cert_chain(f"/var/tmp/{certificate}.crt", f"/var/tmp/{certificate}.key")
        client.starttls(context=context)
        client.ehlo()
        return client

    def login(self, user, password, port=587):
        """The reply to AUTH PLAIN."""
        with self.secured(port) as client:
            return client.text("AUTH", "PLAIN " + suite.plain(user, password))

    def reasons(self, user):
        return re.findall(rf'pam refused.* user="?{user}"? .*reason="?(.*?)"?$', self.log(), re.M)


class Unprivileged(Served):
    config = CONFIG

    def test_accounts_of_the_system(self):
        self.assertEqual(self.login("alice", "alice-pass")[:4], "235 ")
        self.assertEqual(self.login("alice@athome.tld", "alice-pass")[:4], "235 ")
        refusals = {self.login(user, "never-right") for user in ("gilles", "no-such-account")}
        self.assertEqual(len(refusals), 1, refusals)
        self.assertEqual(refusals.pop()[:9], "535 5.7.8")
        self.assertRegex(self.reasons("gilles")[0], r"^pam_authenticate: .*\(7\)")
        self.assertRegex(self.reasons("no-such-account")[0], r"^pam_authenticate: .*\(10\)")
        self.assertEqual(self.login("gilles", "gilles-pass")[:4], "235 ")
        self.assertEqual(self.login("gilles", "")[:4], "501 ")

    def test_accounts_that_pam_refuses(self):
        for user, why in (("jdoe", "pam_authenticate"), ("bruce", r"pam_acct_mgmt: .*\(13\)"),
                          ("username", r"pam_acct_mgmt: .*\(12\)"), ("root", "root")):
            with self.subTest(user):
                self.assertEqual(self.login(user, f"{user}-pass")[:9], "535 5.7.8")
                self.assertRegex(self.reasons(user)[-1], why)
        self.assertEqual(self.login("alice", "any", 3587)[:9], "535 5.7.8")
        self.assertIn("pam_acct_mgmt", self.reasons("alice")[-1])

    def test_certificates_of_accounts(self):
        for name, code in (("alice", "235 "), ("bruce", "535 "), ("nobody-here", "535 ")):
            with self.subTest(name), self.secured(certificate=name) as client:
                self.assertEqual(client.text("AUTH", "EXTERNAL =")[:4], code)
        self.assertIn("pam_acct_mgmt", self.reasons("bruce")[-1])
        self.assertIn("no account", self.reasons("nobody-here")[-1])

    def test_services_in_a_folder_of_ours(self):
        self.assertEqual(self.login("mary", "lamb", 1587)[:4], "235 ")
        self.assertEqual(self.login("mary", "never-right", 1587)[:4], "535 ")
        self.assertEqual(self.login("alice", "alice-pass", 1587)[:4], "535 ")
        self.assertEqual(self.login("who", "Open, sesame", 2587)[:4], "235 ")
        self.assertEqual(self.login("whence", "x", 2587)[:4], "235 ")
        self.assertEqual(self.login("says", "x", 2587)[:4], "535 ")
        self.assertEqual(self.login("who", "never-right", 2587)[:4], "535 ")
        self.assertIn("the account is in arrears", self.reasons("says")[-1])
        with self.secured() as client:
            self.assertNotIn("SCRAM", client.esmtp_features["auth"], "there is nothing stored for it")

    def test_a_refusal_takes_the_same_time(self):
        took = {}
        for user in ("john", "nobody-knows"):
            took[user] = []
            for _ in range(3):
                with self.secured() as client:
                    begun = time.monotonic()
                    self.assertEqual(client.text("AUTH", "PLAIN " + suite.plain(user, "never-right"))[:4], "535 ")
                    took[user].append(time.monotonic() - begun)
        self.assertGreater(min(took["nobody-knows"]), 0.9, took)
        # Behind the refusal the session waits for up to a second by chance: that is in all of them.
        self.assertLess(abs(statistics.median(took["john"]) - statistics.median(took["nobody-knows"])), 1.9, took)
        print(took, end=" ... ", flush=True)

    def test_modules_are_in_processes_of_their_own(self):
        helper, = children(self.process.pid)
        waiting = threading.Thread(target=self.login, args=("hangs", "x", 2587))
        waiting.start()
        self.wait_for(sleepers, "nobody asks")
        asking, = children(helper)
        self.assertIn("libpam.so", read(f"/proc/{asking}/maps"))
        for pid in (self.process.pid, helper):
            self.assertNotIn("libpam", read(f"/proc/{pid}/maps"))
        waiting.join()
        self.wait_for(lambda: not children(helper) and not sleepers(), "it is still there")

    def test_modules_that_hang_and_die(self):
        begun = time.monotonic()
        self.assertEqual(self.login("dies", "x", 2587)[:9], "454 4.7.0")
        self.assertLess(time.monotonic() - begun, 30)
        self.assertRegex(self.log(), r"user=dies result=tempfail .*the process that asked PAM died")
        self.assertEqual(self.login("who", "Open, sesame", 2587)[:4], "235 ")
        # More than may be asked at once: they take their turns.
        helper, = children(self.process.pid)
        most, answers = 0, []
        waiting = [threading.Thread(target=lambda n=n: answers.append(self.login(f"hangs{n}", "x", 2587)[:9])) for n in range(3)]
        for each in waiting:
            each.start()
        while any(each.is_alive() for each in waiting):
            most = max(most, len(children(helper)))
            time.sleep(0.02)
        self.assertEqual(answers, ["454 4.7.0"] * 3)
        self.assertEqual(most, 2)
        self.assertRegex(self.log(), r"user=hangs\d result=tempfail .*PAM did not answer within 3s")
        self.wait_for(lambda: not sleepers(), "what they ran is still there")
        # Three in a row: it has a pause, and then it is asked again.
        self.wait_for(lambda: self.login("who", "Open, sesame", 2587)[:4] == "235 ", "it does not recover")
        for _ in range(3):
            self.assertEqual(self.login("dies2", "x", 2587)[:9], "454 4.7.0")
        self.assertRegex(self.log(), r"pam silent .*pause=1s")
        self.wait_for(lambda: self.login("alice", "alice-pass")[:4] == "235 ", "it does not recover")

    def reload(self, config):
        before = len(self.log())
        MACHINE.write("/etc/mail/smtpd.conf", config)
        self.process.send_signal(signal.SIGHUP)
        self.wait_for(lambda: "reloaded" in self.log()[before:], "no reload")
        return self.log()[before:]

    def test_a_reload_asks_the_services_of_the_start(self):
        self.assertNotIn("not reloaded", self.reload(CONFIG.replace("port 3587", "port 4587")))
        self.assertEqual(self.login("alice", "any", 4587)[:9], "535 5.7.8")
        MACHINE.write("/etc/mail/pam.d/late", SERVICES["/etc/mail/pam.d/closed"])
        said = self.reload(CONFIG.replace('"closed"', '"late"'))
        self.assertRegex(said, r'not reloaded: .*smtpd.conf:10:\d+: error: auth pam "late" takes a restart')
        self.assertNotIn("not reloaded", self.reload(CONFIG))


class WithImap(Served):
    """A server that keeps root's rights has its helper for PAM all the same."""
    config = CONFIG + IMAP

    def test_both_protocols(self):
        self.assertIn("privileges kept", self.log())
        self.assertEqual(self.login("alice", "alice-pass")[:4], "235 ")
        self.assertNotIn("libpam", read(f"/proc/{self.process.pid}/maps"))
        for password, well in (("alice-pass", True), ("never-right", False)):
            with imaplib.IMAP4("127.0.0.1", 143, timeout=60) as client:
                client.starttls(trusting_all())
                if well:
                    self.assertEqual(client.login("alice", password)[0], "OK")
                    self.assertEqual(client.select("INBOX")[0], "OK")
                    continue
                with self.assertRaisesRegex(imaplib.IMAP4.error, "AUTHENTICATIONFAILED"):
                    client.login("alice", password)

    def test_a_reload_takes_another_service(self):
        MACHINE.write("/etc/mail/pam.d/later", SERVICES["/etc/mail/pam.d/asked"])
        MACHINE.write("/etc/mail/smtpd.conf", self.config.replace('"closed"', '"later"'))
        self.process.send_signal(signal.SIGHUP)
        self.wait_for(lambda: "reloaded" in self.log(), "no reload")
        self.assertNotIn("not reloaded", self.log())
        self.assertEqual(self.login("who", "Open, sesame", 3587)[:4], "235 ")


class Refused(unittest.TestCase):
    """What is said of a configuration that asks PAM where it cannot be asked."""

    def said(self, config, *options, as_user=None, verb="serve"):
        MACHINE.write("/var/tmp/other.conf", config)
        command = [POSTERN, verb, "-f", "/var/tmp/other.conf", *options]
        if as_user:
            command = ["setpriv", f"--reuid={as_user}", "--clear-groups", *command]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    def test_without_a_helper(self):
        # One that is not root cannot have its certificates' keys either, but is told of PAM first.
        config = CONFIG.replace("127.0.0.1 port 587", "127.0.0.1 port 5587")
        code, said = self.said(config, "-u", "root", "-s", "/var/tmp/spool-r")
        self.assertNotEqual(code, 0)
        self.assertRegex(said, r"other.conf:7:\d+: error: auth pam takes a helper process")
        for path in ("/etc/ssl/private", "/etc/ssl/private/athome.tld.key"):
            os.chmod(path, 0o755 if path.endswith("private") else 0o644)
            self.addCleanup(os.chmod, path, 0o700 if path.endswith("private") else 0o600)
        code, said = self.said(config, "-s", "/var/tmp/spool-n", as_user="nobody")
        self.assertNotEqual(code, 0)
        self.assertRegex(said, r"other.conf:7:\d+: error: auth pam takes a helper process")

    def test_files_of_services(self):
        code, said = self.said(CONFIG.replace('"closed"', '"nowhere"'), verb="check")
        self.assertEqual(code, 1, said)
        self.assertRegex(said, r"other.conf:10:\d+: error: auth pam: there is no file /etc/mail/pam.d/nowhere")
        code, said = self.said(CONFIG.replace('"postern"', '"nowhere"'), verb="check")
        self.assertRegex(said, r"other.conf:7:\d+: warning: .*there is no file /etc/pam.d/nowhere.*\[pam-service\]")
        code, said = self.said(CONFIG, verb="check")
        self.assertNotIn("pam", said)
        os.chmod("/etc/mail/pam.d", 0o775)
        self.addCleanup(os.chmod, "/etc/mail/pam.d", 0o755)
        code, said = self.said(CONFIG, "-s", "/var/tmp/spool-r")
        self.assertNotEqual(code, 0)
        self.assertRegex(said, r"other.conf:8:\d+: error: auth pam: /etc/mail/pam.d must be root's")


if __name__ == "__main__":
    unittest.main()
