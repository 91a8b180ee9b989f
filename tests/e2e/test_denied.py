"""What the system denies a server under an honest load: memory and descriptors. It goes on, and what it acknowledged is delivered."""

import math
import os
import re
import resource
import socket
import time
import unittest

import load
from harness import DOMAIN, Server
from load import Load

ROUNDS = 4
HOGS = 900
PART_OF_A_BODY = b"x" * 70 + b"\r\n"
# A local delivery is tried again so long after its mail came, times the square of how often it failed, and a tenth more by
# chance (core/queue/schedule.h).
RETRY_SECONDS = 10
# What the attempts themselves may take when the machine is busy.
SLACK_SECONDS = 30


def longest_wait(age):
    """How long mail of at most `age` seconds waits for its next attempt, at the longest."""
    failures = math.isqrt(int(age / RETRY_SECONDS)) + 1
    return 1.1 * RETRY_SECONDS * failures ** 2 - age


def address_space(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Hog:
    """A client that keeps what it gets: a session, and a message that does not end."""

    def __init__(self, port):
        self.denied = True
        self.socket = None
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), 2)
            self.socket.settimeout(2)
            for line in (None, b"EHLO hog.test", f"MAIL FROM:<hog@{DOMAIN}>".encode(), f"RCPT TO:<alice@{DOMAIN}>".encode(), b"DATA"):
                if line is not None:
                    self.socket.sendall(line + b"\r\n")
                if not self.socket.recv(4096).startswith((b"2", b"3")):
                    return
            self.socket.sendall(b"Subject: hog\r\n\r\n" + PART_OF_A_BODY * 800)
            self.denied = False
        except OSError:
            pass

    def close(self):
        if self.socket is not None:
            self.socket.close()


class Denied(unittest.TestCase):
    def _deny(self, limit, least):
        """Load with rounds in which `limit` is what the server has just now, or `least(pid)` gives."""
        # One heap, which asks the system for what it needs and gives back what it does not.
        server = Server(environment={**os.environ, "MALLOC_ARENA_MAX": "1", "MALLOC_TOP_PAD_": "0",
                                     "MALLOC_TRIM_THRESHOLD_": "0"})
        self.addCleanup(server.close)
        pid = server.process.pid
        before = resource.prlimit(pid, limit)
        traffic = Load(server, clients=6)
        begun = time.monotonic()
        traffic.start()
        time.sleep(1)
        felt = rounds = 0
        denied = 0.0
        # On a busy machine a round may go by before the limit is felt.
        while rounds < ROUNDS or (felt <= ROUNDS and rounds < 5 * ROUNDS):
            rounds += 1
            resource.prlimit(pid, limit, (least(pid), before[1]))
            refusing = time.monotonic()
            hogs = []
            while len(hogs) < HOGS and sum(each.denied for each in hogs) < 10:
                hogs.append(Hog(server.ports["smtp"]))
            felt += sum(each.denied for each in hogs)
            time.sleep(0.3)
            resource.prlimit(pid, limit, before)
            granted = time.monotonic()
            denied += granted - refusing
            for each in hogs:
                each.close()
            had = len(traffic.acknowledged)
            deadline = time.monotonic() + 20
            while len(traffic.acknowledged) < had + 10:
                self.assertLess(time.monotonic(), deadline, "it does not recover\n" + server.log()[-5000:])
                time.sleep(0.05)
        traffic.stop()
        self.assertIsNone(server.process.poll(), server.log()[-5000:])
        self.assertGreater(felt, ROUNDS, "nothing was denied: the test shows nothing")
        for refusal in traffic.refused:
            self.assertRegex(refusal, r"\b4\d\d\b", refusal)
            self.assertIsNone(re.search(r"\(5\d\d", refusal), refusal)
        # What failed in the last round has its next attempt before then; what came later did not fail.
        deadline = time.monotonic() + longest_wait(granted - begun) + SLACK_SECONDS
        while True:
            found = {name: load.found_in(server, name) for name in ("alice", "bob")}
            missing = [(identity, name) for identity, who in traffic.acknowledged.items() for name in who
                       if identity not in found[name][0]]
            if not missing:
                break
            self.assertLess(time.monotonic(), deadline, f"lost: {missing[:10]}\n" + server.log()[-5000:])
            time.sleep(0.2)
        for name, (counts, torn) in found.items():
            self.assertEqual(torn, [])
            twice = {identity: count for identity, count in counts.items() if count > 1}
            self.assertEqual(twice, {}, name)
        used = cpu_seconds(pid)
        time.sleep(1)
        self.assertLess(cpu_seconds(pid) - used, 0.2, "it spins")
        # Each of the four ports tries again ten times a second.
        self.assertLess(server.log().count("accept-failed"), 45 * denied + 20 * rounds, "the log is flooded")
        print(f"{len(traffic.acknowledged)} acknowledged of {len(traffic.attempted)} sent, {felt} hogs denied", end=" ... ", flush=True)
        self.assertEqual(server.stop(), 0)

    def test_memory(self):
        self._deny(resource.RLIMIT_AS, lambda pid: address_space(pid) - 8 * 1024 * 1024)

    def test_no_descriptor(self):
        self._deny(resource.RLIMIT_NOFILE, open_files)

    def test_few_descriptors(self):
        self._deny(resource.RLIMIT_NOFILE, lambda pid: open_files(pid) + 3)


if __name__ == "__main__":
    unittest.main()
