"""Mail handed to others: LMTP servers (Dovecot, and one that dies half-way), and programs run as `mda` (procmail, scripts), with
what strangers write into local parts."""

import os
import pwd
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from harness import DOMAIN, Server, free_ports, write
from test_relay import parse, send

AS_ROOT = os.geteuid() == 0
UID, GID = (pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid) if AS_ROOT else (os.getuid(), os.getgid())

DOVECOT = """\
base_dir = {home}/run
state_dir = {home}/run
log_path = {home}/log
protocols = lmtp
ssl = no
listen = 127.0.0.1
default_internal_user = {internal}
default_internal_group = {internal_group}
default_login_user = {login}
first_valid_uid = 1
first_valid_gid = 1
mail_home = {home}/mail/%n
mail_location = maildir:{home}/mail/%n/Maildir
mail_plugins = quota
auth_username_format = %Ln
userdb {{
  driver = passwd-file
  args = {home}/users
}}
passdb {{
  driver = passwd-file
  args = {home}/users
}}
plugin {{
  quota = maildir:User quota
}}
service lmtp {{
  unix_listener {home}/lmtp {{
    mode = 0666
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


class Dovecot:
    """A Dovecot that speaks LMTP at a socket and a port. `users`: name -> extra fields of its userdb."""

    def __init__(self, users):
        self.home = tempfile.mkdtemp(prefix="postern-dovecot-")
        os.chmod(self.home, 0o755)
        self.port, = free_ports(1)
        os.makedirs(f"{self.home}/mail")
        os.chown(f"{self.home}/mail", UID, GID)
        write(f"{self.home}/users", "".join(f"{name}::{UID}:{GID}::{self.home}/mail/{name}::{extra}\n"
                                            for name, extra in users.items()), 0o644)
        me = pwd.getpwuid(os.getuid()).pw_name
        names = ("dovecot", "dovecot", "dovenull") if AS_ROOT else (me, me, me)
        write(f"{self.home}/conf", DOVECOT.format(home=self.home, port=self.port, internal=names[0], internal_group=names[1],
                                                  login=names[2]), 0o644)
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(["dovecot", "-F", "-c", f"{self.home}/conf"], stderr=subprocess.STDOUT,
                                        stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(f"{self.home}/lmtp")
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError(f"dovecot does not start:\n{self.log()}") from None
                time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def close(self):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def log(self):
        try:
            with open(f"{self.home}/log", encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def messages(self, name, folder=""):
        path = f"{self.home}/mail/{name}/Maildir/{folder}new"
        return [f"{path}/{each}" for each in sorted(os.listdir(path))] if os.path.isdir(path) else []

    def wait_for(self, name, count, folder="", seconds=20):
        deadline = time.monotonic() + seconds
        while len(self.messages(name, folder)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} has {len(self.messages(name, folder))} messages in Dovecot\n{self.log()}")
            time.sleep(0.05)
        return self.messages(name, folder)


def wait_for_log(test, server, pattern, seconds=20):
    deadline = time.monotonic() + seconds
    while not re.search(pattern, server.log()):
        test.assertLess(time.monotonic(), deadline, f"no {pattern} in\n{server.log()}")
        time.sleep(0.05)


def submit(server, recipients, subject="hello", sender=f"alice@{DOMAIN}", text="Text.\r\n"):
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], local_hostname="client.test", timeout=20) as smtp:
        smtp.sendmail(sender, recipients, f"Subject: {subject}\r\nFrom: <{sender}>\r\n\r\n{text}")


@unittest.skipUnless(shutil.which("dovecot") and os.path.exists("/usr/lib/dovecot/lmtp"), "dovecot-lmtpd is not installed")
class ToDovecot(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dovecot = Dovecot({"bob": "", "carol": "", "full": "userdb_quota_rule=*:storage=1"})

    @classmethod
    def tearDownClass(cls):
        cls.dovecot.close()

    def server(self, destination, names=("alice", "bob", "carol", "full", "gone"), options=""):
        server = Server(names=names, rules=(
            f'action "agent" lmtp "{destination}" {options} virtual <addresses> userbase <accounts>\n'
            f'match from any !rcpt-to "alice@{DOMAIN}" for domain "{DOMAIN}" action "agent"'))
        self.addCleanup(server.close)
        return server

    def test_a_fate_for_each_recipient_by_socket(self):
        server = self.server(f"{self.dovecot.home}/lmtp")
        had = len(self.dovecot.messages("bob"))
        submit(server, [f"{name}@{DOMAIN}" for name in ("bob", "gone", "full")], text="x" * 70 + "\r\n" * 2000)
        path = self.dovecot.wait_for("bob", had + 1)[-1]
        message = parse(path)
        self.assertEqual(message["Subject"], "hello")
        self.assertEqual(message["Return-Path"], f"<alice@{DOMAIN}>")
        notices = server.wait_for_messages("alice", 1)
        told = parse(notices[0]).as_string()
        self.assertIn("gone", told)
        self.assertIn("5.1.1", told)
        wait_for_log(self, server, r"to=<full@[^>]*> .*result=.?(TempFail|PermFail)")
        log = server.log()
        self.assertRegex(log, rf"mda delivery .*to=<bob@{DOMAIN}> .*user=bob .*result=Ok .*2\.0\.0")
        self.assertEqual(len(self.dovecot.messages("bob")), had + 1)

    def test_by_port_with_the_address(self):
        """rcpt-to: Dovecot sees the whole address, and its own sub-address rules apply."""
        server = self.server(f"127.0.0.1:{self.dovecot.port}", options="rcpt-to")
        submit(server, [f"carol+box@{DOMAIN}"])
        message = parse(self.dovecot.wait_for("carol", 1)[0])
        self.assertEqual(message["Delivered-To"], f"carol+box@{DOMAIN}")

    def test_it_waits_for_a_server_that_is_away(self):
        dovecot = Dovecot({"bob": ""})
        self.addCleanup(dovecot.close)
        server = self.server(f"{dovecot.home}/lmtp")
        dovecot.stop()
        submit(server, [f"bob@{DOMAIN}"])
        wait_for_log(self, server, r"to=<bob@[^>]*> .*result=TempFail")
        dovecot.start()
        dovecot.wait_for("bob", 1, seconds=60)
        time.sleep(1)
        self.assertEqual(len(dovecot.messages("bob")), 1)
        self.assertEqual(server.messages("alice"), [])


class HalfAnAnswer(unittest.TestCase):
    def test_missing_replies_are_failures_of_those_only(self):
        """Three recipients; the server answers for two of them and dies. The third is tried again, alone."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        seen = []

        def serve():
            for answers in (2, 1):
                connection, _ = listener.accept()
                with connection, connection.makefile("rwb", buffering=0) as file:
                    recipients = []
                    file.write(b"220 agent LMTP\r\n")
                    while line := file.readline():
                        word = line[:4].upper()
                        if word == b"RCPT":
                            recipients.append(line[8:].strip().decode())
                        if word == b"DATA":
                            file.write(b"354 go on\r\n")
                            while file.readline() != b".\r\n":
                                pass
                            seen.append(recipients)
                            for number in range(min(answers, len(recipients))):
                                file.write(b"250 2.0.0 taken\r\n" if number == 0 else b"550 5.2.1 not this one\r\n")
                            if answers == 2:
                                break
                            continue
                        file.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                        if word == b"QUIT":
                            break
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        server = Server(names=("alice", "a", "b", "c"), rules=(
            f'action "agent" lmtp "127.0.0.1:{listener.getsockname()[1]}" virtual <addresses> userbase <accounts>\n'
            f'match from any !rcpt-to "alice@{DOMAIN}" for domain "{DOMAIN}" action "agent"'))
        self.addCleanup(server.close)
        submit(server, [f"{name}@{DOMAIN}" for name in "abc"])
        deadline = time.monotonic() + 40
        while len(seen) < 2:
            self.assertLess(time.monotonic(), deadline, server.log())
            time.sleep(0.05)
        self.assertEqual(seen[0], ["<a>", "<b>", "<c>"])
        self.assertEqual(seen[1], ["<c>"])
        wait_for_log(self, server, r"to=<c@[^>]*> .*result=Ok")
        notice = parse(server.wait_for_messages("alice", 1)[0]).as_string()
        self.assertIn(f"b@{DOMAIN}", notice)
        self.assertIn("5.2.1", notice)
        self.assertNotIn(f"rfc822;c@{DOMAIN}", notice.replace(" ", ""))


AGENT = """\
#!/bin/sh
# Keeps what it is given: arguments, environment, message.
n=$(mktemp {home}/seen/XXXXXX)
for each; do printf '%s\\0' "$each"; done > "$n.args"
env -0 > "$n.env"
case "$1" in
  later*) echo "some chatter"; echo "come back later" >&2; exit 75;;
  never*) echo "no such folder"; exit 77;;
  early*) exit 0;;
  slow*) sleep 60;;
esac
cat > "$n.msg"
mv "$n.msg" "$n.done"
"""


class Programs(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="postern-mda-")
        self.addCleanup(shutil.rmtree, self.home, True)
        for folder in ("", "/seen", "/canary", "/mail"):
            os.makedirs(self.home + folder, exist_ok=True)
            os.chown(self.home + folder, UID, GID)
            os.chmod(self.home + folder, 0o755)
        write(f"{self.home}/agent", AGENT.format(home=self.home), 0o755)
        os.chmod(f"{self.home}/agent", 0o755)

    def server(self, action, extra="", addresses=None, match=f'for domain "{DOMAIN}"'):
        people = f"bob {UID}:{GID}:{self.home}\n"
        server = Server(extra=extra + "\ntable people file:{home}/people\ntable catch file:{home}/catch\n", rules=(
            f'action "agent" {action} virtual <catch> userbase <people>\n'
            f'match from any !rcpt-to "alice@{DOMAIN}" {match} action "agent"').replace("{", "{{").replace("}", "}}"),
            files={"people": people, "catch": addresses or f"@{DOMAIN} bob\n"})
        self.addCleanup(server.close)
        return server

    def seen(self, ending, count=1, seconds=20):
        """What the agent kept, in the order it came."""
        deadline = time.monotonic() + seconds
        while True:
            paths = [f"{self.home}/seen/{each}" for each in os.listdir(f"{self.home}/seen") if each.endswith(ending)]
            if len(paths) >= count:
                return sorted(paths, key=os.path.getmtime)
            self.assertLess(time.monotonic(), deadline, f"{len(paths)} of {count} {ending}")
            time.sleep(0.05)

    @staticmethod
    def parts(path):
        with open(path, "rb") as file:
            return file.read().decode().split("\0")[:-1]

    def test_environment_arguments_and_message(self):
        server = self.server(f'mda "{self.home}/agent %{{sender}} \'%{{rcpt}}\' %{{user.username}} %{{dest.user:strip}}" ')
        submit(server, [f"Team+lists@{DOMAIN}"])
        done, = self.seen(".done")
        self.assertEqual(self.parts(done.replace(".done", ".args")),
                         [f"alice@{DOMAIN}", f"Team+lists@{DOMAIN}", "bob", "Team"])
        environment = dict(each.split("=", 1) for each in self.parts(done.replace(".done", ".env")))
        for name in ("PWD", "_", "OLDPWD", "SHLVL"):
            environment.pop(name, None)
        self.assertTrue(environment.pop("PATH"))
        self.assertEqual({name: value for name, value in environment.items() if not name.startswith("POSTERN_")},
                         {"DOMAIN": DOMAIN, "HOME": self.home, "ORIGINAL_RECIPIENT": f"Team+lists@{DOMAIN}",
                          "RECIPIENT": f"Team+lists@{DOMAIN}", "SHELL": "/bin/sh", "LOCAL": "Team+lists", "LOGNAME": "bob",
                          "USER": "bob", "SENDER": f"alice@{DOMAIN}"})
        with open(done, "rb") as file:
            text = file.read()
        self.assertTrue(text.startswith(f"Return-Path: <alice@{DOMAIN}>\nDelivered-To: Team+lists@{DOMAIN}\n".encode()), text)
        self.assertTrue(text.endswith(b"\n\nText.\n"), text)
        self.assertEqual(os.stat(done).st_uid, UID)
        self.assertRegex(server.log(), r"mda delivery .*user=bob .*result=Ok .*stat=.?Delivered")

    def test_hostile_local_parts(self):
        """Nothing of what a stranger writes is run, in whatever quotes the operator put it."""
        server = self.server(
            f'mda "{self.home}/agent %{{dest.user:raw}} \\"%{{dest.user:raw}}\\" \'%{{sender.user:raw}}\' '
            f'$(printf %%s \\"%{{rcpt.user:raw}}\\") `printf %%s %{{rcpt.user:raw}}` %{{dest}}"')
        marks = [";touch {c}/a;", "`touch {c}/b`", "$(touch {c}/c)", "|touch {c}/d", "& touch {c}/e &", "'; touch {c}/f; '",
                 "\\\"; touch {c}/g; \\\"", "${{run{{touch {c}/h}}}}", "() {{ :;}}; touch {c}/i", "-oX{c}/j", "> {c}/k",
                 "\\\\", "*", "~root", "%{{rcpt}}", "#", "!!", "a\\$(touch {c}/l)"]
        for number, mark in enumerate(marks):
            local = mark.format(c=self.home + "/canary")
            with smtplib.SMTP("127.0.0.1", server.ports["smtp"], local_hostname="client.test", timeout=20) as smtp:
                smtp.ehlo()
                self.assertEqual(smtp.docmd("MAIL", f'FROM:<"{local}"@elsewhere.test>')[0], 250, local)
                code, text = smtp.docmd("RCPT", f'TO:<"{local}"@{DOMAIN}>')
                self.assertEqual(code, 250, (local, text))
                self.assertEqual(smtp.data(f"Subject: {number}\r\n\r\n$(touch {self.home}/canary/m)\r\n")[0], 250)
            self.seen(".done", number + 1)
        self.assertEqual(os.listdir(f"{self.home}/canary"), [])
        for done in self.seen(".done", len(marks)):
            arguments = self.parts(done.replace(".done", ".args"))
            self.assertGreaterEqual(len(arguments), 5, arguments)
            self.assertEqual(arguments[0], arguments[1])
            self.assertFalse(arguments[0].startswith("-"))

    def test_exit_codes(self):
        server = self.server(f'mda "{self.home}/agent %{{dest.user}}"')
        submit(server, [f"later@{DOMAIN}"])
        wait_for_log(self, server, r"to=<later@[^>]*> .*result=TempFail stat=.?come back later")
        submit(server, [f"never@{DOMAIN}"])
        notice = parse(server.wait_for_messages("alice", 1)[0]).as_string()
        self.assertIn("no such folder", notice.lower())
        self.assertIn(f"never@{DOMAIN}", notice)
        submit(server, [f"early@{DOMAIN}"], text="x" * 76 + "\r\n" * 200_000)
        wait_for_log(self, server, r"to=<early@[^>]*> .*result=TempFail stat=.?mda exited prematurely")
        submit(server, [f"slow@{DOMAIN}"])
        self.seen(".args", 4)
        begun = time.monotonic()
        self.assertEqual(server.stop(signal.SIGTERM), 0)
        self.assertLess(time.monotonic() - begun, 20)

    def test_wrapper_and_a_program_that_is_not_there(self):
        server = self.server(f'mda "{self.home}/agent wrapped %{{dest.user}}" wrapper outer',
                             extra=f'mda wrapper outer "WRAPPED=yes sh -c \'%{{{{mda}}}}\'"')
        submit(server, [f"x@{DOMAIN}"])
        done, = self.seen(".done")
        self.assertEqual(self.parts(done.replace(".done", ".args")), ["wrapped", "x"])
        self.assertIn("WRAPPED=yes", self.parts(done.replace(".done", ".env")))
        other = self.server('mda "/no/such/program"')
        submit(other, [f"x@{DOMAIN}"])
        self.assertIn("not found", parse(other.wait_for_messages("alice", 1)[0]).as_string())

    @unittest.skipUnless(shutil.which("procmail"), "procmail is not installed")
    def test_procmail(self):
        write(f"{self.home}/rc", f"MAILDIR={self.home}/mail\nDEFAULT={self.home}/mail/in/\nLOGFILE={self.home}/mail/log\n"
                                 ":0\n* ^Subject:.*\\[list\\]\nlists/\n\n:0\n* ^Subject:.*refuse\n"
                                 "{\n  EXITCODE=77\n  :0\n  /dev/null\n}\n", 0o644)
        os.chown(f"{self.home}/rc", UID, GID)
        server = self.server(f'mda "/usr/bin/procmail -f %{{sender}} {self.home}/rc"')
        for subject in ("one", "[list] two", "please refuse"):
            submit(server, [f"bob@{DOMAIN}"], subject=subject)
        server.wait_for_messages("alice", 1)
        deadline = time.monotonic() + 20
        while not all(os.path.isdir(f"{self.home}/mail/{each}/new") and os.listdir(f"{self.home}/mail/{each}/new")
                      for each in ("in", "lists")):
            self.assertLess(time.monotonic(), deadline, server.log())
            time.sleep(0.05)
        path, = os.listdir(f"{self.home}/mail/lists/new")
        self.assertEqual(parse(f"{self.home}/mail/lists/new/{path}")["Subject"], "[list] two")

    def test_a_loop_ends_with_a_notice_that_names_it(self):
        """The program hands the mail in again, for the same address."""
        server = self.server(f'mda "{self.home}/again"')
        write(f"{self.home}/again", f"""#!/usr/bin/python3
import os, smtplib, sys
with smtplib.SMTP("127.0.0.1", {server.ports["smtp"]}) as smtp:
    smtp.sendmail(os.environ["SENDER"], [os.environ["RECIPIENT"]], sys.stdin.buffer.read().replace(b"\\n", b"\\r\\n"))
""", 0o755)
        os.chmod(f"{self.home}/again", 0o755)
        submit(server, [f"round@{DOMAIN}"])
        notice = parse(server.wait_for_messages("alice", 1)[0]).as_string()
        self.assertIn("Loop detected", notice.replace("\n    ", " "))
        self.assertIn(f"round@{DOMAIN}", notice)
        self.assertEqual(server.log().count("result=PermFail"), 1)


if __name__ == "__main__":
    unittest.main()
