"""Mail that goes through the wrapper of an action on its way into a Maildir, an mbox, or to an LMTP server."""

import os
import re
import shutil
import socketserver
import tempfile
import threading
import time
import unittest

from harness import DOMAIN, Server, free_ports, write
from test_agents import GID, UID, submit, wait_for_log
from test_relay import parse


class Lmtp(socketserver.StreamRequestHandler):
    """A delivery agent that keeps what it gets in server.kept, and puts off the recipients in server.later."""

    def handle(self):
        def say(text):
            self.wfile.write(text.encode() + b"\r\n")

        say("220 agent.test")
        recipients = []
        for raw in self.rfile:
            line = raw.decode().strip()
            verb = line.split(" ")[0].upper()
            if verb == "LHLO":
                say("250-agent.test\r\n250-8BITMIME\r\n250 PIPELINING")
            elif verb == "RCPT":
                recipients.append(re.search("<(.*?)>", line).group(1))
                say("250 ok")
            elif verb == "DATA":
                say("354 go")
                text = b""
                while not text.endswith(b"\r\n.\r\n"):
                    text += self.rfile.readline()
                for each in recipients:
                    self.server.kept.append((each, text[:-3]))
                    say("451 4.2.0 later" if each in self.server.later else "250 ok")
                recipients = []
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")


class Agent(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class Wrappers(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="postern-wrapper-")
        self.addCleanup(shutil.rmtree, self.home, True)
        os.chown(self.home, UID, GID)
        os.chmod(self.home, 0o755)
        # It marks the mail and tells whom it was called for; what the subject asks for, it does.
        write(f"{self.home}/mark", """#!/usr/bin/python3
import os, sys
text = sys.stdin.buffer.read()
if b"Subject: later" in text:
    print("the scanner is not there", file=sys.stderr)
    sys.exit(75)
if b"Subject: never" in text:
    print("this is a virus", file=sys.stderr)
    sys.exit(1)
if b"Subject: large" in text:
    text += b"x" * (8 << 20)
if b"Subject: nothing" in text:
    text = b""
sys.stdout.buffer.write(b"X-Spam: yes\\n" * (b"Subject: spam" in text))
head, body = text.split(b"\\n\\n", 1) if text else (b"", b"")
sys.stdout.buffer.write(head + f"\\nX-Seen: {os.getuid()} {sys.argv[1]}\\n\\n".encode() + body if text else b"")
""", 0o755)
        os.chmod(f"{self.home}/mark", 0o755)

    def server(self, action, wrapper=None, catch=None):
        wrapper = wrapper or f"{self.home}/mark %{{rcpt}} | %{{mda}}"
        extra = (f'queue retry-delay 1s\nmda wrapper scan "{wrapper}"\n').replace("{", "{{").replace("}", "}}")
        server = Server(extra=extra + "table people file:{home}/people\ntable catch file:{home}/catch\n", rules=(
            f'action "agent" {action} virtual <catch> userbase <people> wrapper scan\n'
            f'match from any !rcpt-to "alice@{DOMAIN}" for domain "{DOMAIN}" action "agent"').replace("{", "{{").replace("}", "}}"),
            files={"people": f"bob {UID}:{GID}:{self.home}\n", "catch": catch or f"@{DOMAIN} bob\n"})
        self.addCleanup(server.close)
        return server

    def inbox(self, folder, count=1, seconds=20):
        deadline = time.monotonic() + seconds
        while True:
            found = []
            if os.path.isdir(folder):
                found = sorted((f"{folder}/{each}" for each in os.listdir(folder)), key=os.path.getmtime)
            if len(found) >= count:
                return found
            self.assertLess(time.monotonic(), deadline, f"{len(found)} of {count} in {folder}")
            time.sleep(0.05)

    def test_into_a_maildir(self):
        server = self.server(f'maildir "{self.home}/mail" junk')
        submit(server, [f"x@{DOMAIN}"], subject="one", text="From here\r\n")
        path, = self.inbox(f"{self.home}/mail/new")
        self.assertEqual(os.stat(path).st_uid, UID)
        with open(path, "rb") as file:
            text = file.read()
        self.assertTrue(text.startswith(f"Return-Path: <alice@{DOMAIN}>\nDelivered-To: x@{DOMAIN}\n".encode()), text)
        self.assertEqual(text.count(b"Delivered-To"), 1)
        self.assertIn(f"\nX-Seen: {UID} x@{DOMAIN}\n\nFrom here\n".encode(), text)
        self.assertNotIn(b"\r", text)
        # What the wrapper writes decides about the folder.
        submit(server, [f"y@{DOMAIN}"], subject="spam")
        self.inbox(f"{self.home}/mail/.Junk/new")

    def test_what_its_end_means(self):
        # In a pipe the shell would forget how the first program ended.
        server = self.server(f'maildir "{self.home}/mail"', wrapper=(
            f"f=$(mktemp) && {self.home}/mark %{{rcpt}} > $f && %{{mda}} < $f; end=$?; rm -f $f; exit $end"))
        submit(server, [f"a@{DOMAIN}"], subject="later")
        wait_for_log(self, server, r"to=<a@[^>]*> .*result=TempFail stat=.?the scanner is not there")
        submit(server, [f"b@{DOMAIN}"], subject="never")
        self.assertIn("This is a virus", parse(server.wait_for_messages("alice", 1)[0]).as_string())
        submit(server, [f"c@{DOMAIN}"], subject="nothing")
        wait_for_log(self, server, r"to=<c@[^>]*> .*result=TempFail stat=.?the wrapper handed an empty message on")
        submit(server, [f"d@{DOMAIN}"], subject="large")
        wait_for_log(self, server, r"to=<d@[^>]*> .*result=TempFail stat=.?the wrapper made too large a message")
        self.assertFalse(os.path.isdir(f"{self.home}/mail/new") and os.listdir(f"{self.home}/mail/new"))

    def test_one_that_keeps_the_mail_and_one_in_quotes(self):
        kept = self.server(f'maildir "{self.home}/mail"', wrapper=f"cat > {self.home}/kept")
        submit(kept, [f"x@{DOMAIN}"], subject="keep")
        wait_for_log(self, kept, r"to=<x@[^>]*> .*result=Ok .*stat=.?Kept by the wrapper")
        with open(f"{self.home}/kept", encoding="utf-8") as file:
            self.assertIn("Subject: keep", file.read())
        self.assertFalse(os.path.exists(f"{self.home}/mail/new") and os.listdir(f"{self.home}/mail/new"))
        quoted = self.server(f'maildir "{self.home}/mail"', wrapper="nice sh -c 'exec %{mda}'")
        submit(quoted, [f"x@{DOMAIN}"], subject="quoted", text="z" * 76 + "\r\n" + ("y" * 76 + "\r\n") * 30_000)
        path, = self.inbox(f"{self.home}/mail/new")
        self.assertGreater(os.path.getsize(path), 77 * 30_000)

    def test_into_a_file_that_an_alias_names(self):
        os.makedirs(f"{self.home}/boxes", mode=0o777)
        os.chmod(f"{self.home}/boxes", 0o777)
        server = self.server(f'maildir "{self.home}/mail"', catch=f"list@{DOMAIN} {self.home}/boxes/list\n@{DOMAIN} bob\n")
        submit(server, [f"list@{DOMAIN}"], subject="filed")
        deadline = time.monotonic() + 20
        text = ""
        while "X-Seen:" not in text or not text.endswith("\n\n"):
            self.assertLess(time.monotonic(), deadline, server.log())
            time.sleep(0.05)
            if os.path.exists(f"{self.home}/boxes/list"):
                with open(f"{self.home}/boxes/list", encoding="utf-8") as file:
                    text = file.read()
        self.assertTrue(text.startswith(f"From alice@{DOMAIN} "), text)
        self.assertEqual(text.count("Delivered-To:"), 1)

    def test_to_an_lmtp_server(self):
        port, = free_ports(1)
        with Agent(("127.0.0.1", port), Lmtp) as agent:
            agent.kept, agent.later = [], {"bob"}
            threading.Thread(target=agent.serve_forever, daemon=True).start()
            self.addCleanup(agent.shutdown)
            server = self.server(f'lmtp "127.0.0.1:{port}"')
            submit(server, [f"x@{DOMAIN}"], text="once\r\n")
            wait_for_log(self, server, r"to=<x@[^>]*> .*result=TempFail stat=.?451 4.2.0 later")
            agent.later = set()
            wait_for_log(self, server, r"to=<x@[^>]*> .*result=Ok")
            submit(server, [f"y@{DOMAIN}", f"z@{DOMAIN}"], subject="two")
            wait_for_log(self, server, r"to=<z@[^>]*> .*result=Ok")
            wait_for_log(self, server, r"to=<y@[^>]*> .*result=Ok")
            for name, text in agent.kept:
                self.assertEqual(name, "bob")
                self.assertNotIn(b"Return-Path", text)
                self.assertIsNone(re.search(rb"[^\r]\n", text))
            seen = [re.search(rb"\r\nX-Seen: \d+ (\S+)\r\n\r\n", text).group(1).decode() for _, text in agent.kept]
            self.assertEqual(sorted(set(seen)), [f"{each}@{DOMAIN}" for each in "xyz"])


if __name__ == "__main__":
    unittest.main()
