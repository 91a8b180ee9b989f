"""A 250 is a promise: what was acknowledged under load is there exactly once after 50 kills and after 20 power cuts."""

import imaplib
import random
import re
import signal
import ssl
import threading
import time
import unittest

import harness
import load
import loop_disk

KILLS, CUTS, RELAY_KILLS = 50, 20, 16
CONNECTIONS = 2  # of the relay to its next hop: so many messages may be under way at a kill
DRAIN_SECONDS = 60


class Crash(unittest.TestCase):
    def check(self, server, traffic):
        """Waits until all that was acknowledged is in its mailbox, then counts."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while True:
            mailboxes = {name: load.found_in(server, name) for name in ("alice", "bob")}
            missing = [(identity, name) for identity, who in traffic.acknowledged.items() for name in who
                       if identity not in mailboxes[name][0]]
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        time.sleep(1)  # a second copy would come now
        mailboxes = {name: load.found_in(server, name) for name in ("alice", "bob")}
        self.assertEqual(missing, [], f"acknowledged and lost\n{server.log()[-5000:]}")
        for name, (counts, torn) in mailboxes.items():
            self.assertEqual(torn, [], f"torn messages of {name}")
            self.assertEqual({key: count for key, count in counts.items() if count > 1}, {}, f"{name} has copies")
            strangers = [key for key in counts if name not in traffic.attempted.get(key, ())]
            self.assertEqual(strangers, [], f"{name} has what nobody sent there")
        self.assertEqual(traffic.refused, [])
        self.assertGreater(len(traffic.acknowledged), 200, "that was no load")
        print(f"{len(traffic.acknowledged)} acknowledged of {len(traffic.attempted)} sent", end=" ... ", flush=True)

    def test_kill_50_times(self):
        server = harness.Server()
        self.addCleanup(server.close)
        traffic = load.Load(server)
        reading = Reader(server)
        dice = random.Random(50)
        traffic.start()
        reading.start()
        for _ in range(KILLS):
            time.sleep(dice.uniform(0.05, 0.6))
            server.stop(signal.SIGKILL)
            server.start()
        time.sleep(0.5)
        traffic.stop()
        reading.stop()
        self.check(server, traffic)
        self.assertEqual(server.stop(), 0)

    def test_20_power_cuts(self):
        try:
            disk = loop_disk.LoopDisk(512)
        except loop_disk.Unavailable as reason:
            self.skipTest(str(reason))
        self.addCleanup(disk.close)
        server = harness.Server(data=disk.path)
        self.addCleanup(server.close)
        traffic = load.Load(server)
        dice = random.Random(20)
        traffic.start()
        appending = Appender(server, traffic)
        appending.start()
        for _ in range(CUTS):
            time.sleep(dice.uniform(0.3, 1.2))
            disk.cut_power()
            server.stop(signal.SIGKILL)
            disk.restore_power()
            server.start()
        time.sleep(0.5)
        traffic.stop()
        appending.stop()
        # What the clients were told while the disk was already dead is no promise broken, but a 4xx.
        self.assertEqual([each for each in traffic.refused if "(45" not in each and "(421" not in each], [])
        traffic.refused.clear()
        self.check(server, traffic)
        appending.check(self)
        self.assertEqual(server.stop(), 0)

    def test_relay_through_kills(self):
        """At least once, and a second copy only of what was under way at a kill: one message for each connection."""
        last = harness.Server(domain="next.test")
        self.addCleanup(last.close)
        first = harness.Server(extra=f"queue retry-delay 1s\nmta limit max-conn-per-host {CONNECTIONS}", rules=(
            f'action "onward" relay host "smtp://127.0.0.1:{last.ports["smtp"]}"\n'
            'match for domain "next.test" action "onward"'))
        self.addCleanup(first.close)
        traffic = load.Load(first, clients=4, domain="next.test")
        dice = random.Random(12)
        traffic.start()
        for turn in range(RELAY_KILLS):
            time.sleep(dice.uniform(0.2, 0.8))
            # The last kills are of the first hop: a route that failed rests for a while, which a start forgets.
            victim = last if turn % 4 == 1 else first
            victim.stop(signal.SIGKILL)
            victim.start()
        traffic.stop()
        deadline = time.monotonic() + DRAIN_SECONDS
        while True:
            mailboxes = {name: load.found_in(last, name) for name in ("alice", "bob")}
            missing = [(identity, name) for identity, who in traffic.acknowledged.items() for name in who
                       if identity not in mailboxes[name][0]]
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        self.assertEqual(missing, [], f"acknowledged and lost\n{first.log()[-5000:]}")
        self.assertEqual([torn for _, torn in mailboxes.values()], [[], []])
        # A message for both is relayed once.
        copies = sum(max(counts.get(identity, 1) for counts, _ in mailboxes.values()) - 1 for identity in traffic.attempted)
        self.assertEqual(traffic.refused, [])
        print(f"{len(traffic.acknowledged)} acknowledged, {copies} copies", end=" ... ", flush=True)
        self.assertLessEqual(copies, RELAY_KILLS * CONNECTIONS)


class Client:
    """A thread with an IMAP session, made anew whenever the server comes back."""

    def __init__(self, server, user):
        self.server = server
        self.user = user
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.context = ssl.create_default_context(cafile=f"{server.home}/cert.pem")

    def start(self):
        self.thread.start()

    def stop(self):
        self.stopping.set()
        self.thread.join(60)

    def connect(self):
        imap = imaplib.IMAP4_SSL("localhost", self.server.ports["imaps"], ssl_context=self.context, timeout=30)
        try:
            imap.login(f"{self.user}@{harness.DOMAIN}", harness.PASSWORD)
        except (OSError, imaplib.IMAP4.error):
            imap.shutdown()
            raise
        return imap

    def _run(self):
        while not self.stopping.is_set():
            imap = None
            try:
                imap = self.connect()
                while not self.stopping.is_set():
                    self.work(imap)
            except (OSError, imaplib.IMAP4.error):  # the server is down
                self.stopping.wait(0.02)
            finally:
                if imap is not None:
                    imap.shutdown()


class Appender(Client):
    """Puts messages into bob's mailbox over IMAP: an OK is the same promise, and the UID told with it is one more."""

    def __init__(self, server, traffic):
        super().__init__(server, "bob")
        self.traffic = traffic
        self.uids = {}  # id: (UIDVALIDITY, UID)

    def work(self, imap):
        name, who, text = self.traffic.new_message(("bob",))
        kind, answer = imap.append("INBOX", None, None, text)
        if kind != "OK":  # the disk is dead
            self.stopping.wait(0.01)
            return
        numbers = re.search(rb"APPENDUID (\d+) (\d+)", answer[0])
        with self.traffic.lock:
            self.traffic.acknowledged[name] = who
            self.uids[name] = (int(numbers.group(1)), int(numbers.group(2)))

    def check(self, test):
        imap = self.connect()
        imap.select(readonly=True)
        validity = int(imap.response("UIDVALIDITY")[1][0])
        _, lines = imap.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (X-Test-Id)])")
        imap.logout()
        now = {}
        for line in lines:
            if isinstance(line, tuple):
                now[load.ID.search(line[1]).group(1).decode()] = (validity, int(re.search(rb"UID (\d+)", line[0]).group(1)))
        wrong = {name: (numbers, now.get(name)) for name, numbers in self.uids.items() if now.get(name) != numbers}
        test.assertEqual(wrong, {}, "UIDs that were told have changed")
        test.assertEqual(len(set(now.values())), len(now))
        test.assertGreater(len(self.uids), 20)
        print(f"{len(self.uids)} appended", end=" ... ", flush=True)


class Reader(Client):
    """Reads and flags alice's mail meanwhile, so that files move from new to cur under the delivery."""

    def __init__(self, server):
        super().__init__(server, "alice")

    def work(self, imap):
        imap.select()
        imap.store("1:*", "+FLAGS.SILENT", r"(\Seen)")
        self.stopping.wait(0.05)


if __name__ == "__main__":
    unittest.main()
