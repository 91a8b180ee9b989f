"""Clients that submit without a pause and remember which of their messages got a 250."""

import os
import re
import smtplib
import threading

from harness import DOMAIN

BIG_EVERY, BIG_BYTES = 20, 300 * 1024  # large bodies live in files of their own in the queue
MESSAGES_A_SESSION = 50
END = b"-- the end of it --"
ID = re.compile(rb"^X-Test-Id: (\S+)", re.MULTILINE)


class Load:
    """`clients` threads that submit to alice, to bob, or to both, from start() to stop(). Lost connections are made again."""

    def __init__(self, server, clients=4, domain=DOMAIN):
        self.server = server
        self.domain = domain
        self.clients = clients
        self.acknowledged = {}  # id: the recipients
        self.attempted = {}
        self.refused = []       # replies that were neither a 250 nor a lost connection
        self.next_id = 0
        self.lock = threading.Lock()
        self.threads = []
        self.stopping = threading.Event()

    def start(self):
        self.stopping.clear()
        self.threads = [threading.Thread(target=self._client, daemon=True) for _ in range(self.clients)]
        for each in self.threads:
            each.start()

    def stop(self):
        self.stopping.set()
        for each in self.threads:
            each.join(60)
            if each.is_alive():
                raise AssertionError("a client hangs")

    def new_message(self, who=None):
        """(its id, who gets it, its text)"""
        with self.lock:
            number = self.next_id
            self.next_id += 1
            name = f"{number}"
            who = who or [("alice",), ("bob",), ("alice", "bob")][number % 3]
            self.attempted[name] = who
        size = BIG_BYTES if number % BIG_EVERY == 0 else 2000
        body = b"0123456789abcdefghijklmnopqrstuvwxyz\r\n" * (size // 38)
        return name, who, b"Subject: load\r\nX-Test-Id: " + name.encode() + b"\r\n\r\n" + body + END + b"\r\n"

    def _client(self):
        while not self.stopping.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self.server.ports["smtp"], local_hostname="load.test", timeout=30) as smtp:
                    for _ in range(MESSAGES_A_SESSION):
                        if self.stopping.is_set():
                            break
                        name, who, text = self.new_message()
                        # Of several recipients some may be refused, and the message is taken for the others.
                        refused = smtp.sendmail(f"sender@{DOMAIN}", [f"{each}@{self.domain}" for each in who], text)
                        with self.lock:
                            self.acknowledged[name] = tuple(each for each in who if f"{each}@{self.domain}" not in refused)
                            self.refused += [repr(reply) for reply in refused.values()]
            except (OSError, smtplib.SMTPServerDisconnected):  # the server is down
                self.stopping.wait(0.01)
            except smtplib.SMTPException as error:
                with self.lock:
                    self.refused.append(repr(error))
                self.stopping.wait(0.01)


def found_in(server, name):
    """({id: how often}, [files that are torn]) of an account's Maildir."""
    counts, torn = {}, []
    for path in server.messages(name):
        with open(path, "rb") as file:
            text = file.read()
        identity = ID.search(text)
        if identity is None or not text.rstrip().endswith(END):
            torn.append(f"{os.path.basename(path)} ({len(text)} octets)")
            continue
        key = identity.group(1).decode()
        counts[key] = counts.get(key, 0) + 1
    return counts, torn
