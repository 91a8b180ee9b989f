"""A 250 is a promise: what was acknowledged under load is there exactly once after 50 kills and after 20 power cuts."""

import imaplib
import random
import signal
import ssl
import threading
import time
import unittest

import harness
import load
import loop_disk

KILLS, CUTS = 50, 20
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
        for _ in range(CUTS):
            time.sleep(dice.uniform(0.3, 1.2))
            disk.cut_power()
            server.stop(signal.SIGKILL)
            disk.restore_power()
            server.start()
        time.sleep(0.5)
        traffic.stop()
        # What the clients were told while the disk was already dead is no promise broken, but a 4xx.
        self.assertEqual([each for each in traffic.refused if "(45" not in each and "(421" not in each], [])
        traffic.refused.clear()
        self.check(server, traffic)
        self.assertEqual(server.stop(), 0)


class Reader:
    """A client that reads and flags alice's mail meanwhile, so that files move from new to cur under the delivery."""

    def __init__(self, server):
        self.server = server
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.context = ssl.create_default_context(cafile=f"{server.home}/cert.pem")

    def start(self):
        self.thread.start()

    def stop(self):
        self.stopping.set()
        self.thread.join(60)

    def _run(self):
        while not self.stopping.is_set():
            imap = None
            try:
                imap = imaplib.IMAP4_SSL("localhost", self.server.ports["imaps"], ssl_context=self.context, timeout=30)
                imap.login(f"alice@{harness.DOMAIN}", harness.PASSWORD)
                while not self.stopping.is_set():
                    imap.select()
                    imap.store("1:*", "+FLAGS.SILENT", r"(\Seen)")
                    self.stopping.wait(0.05)
            except (OSError, imaplib.IMAP4.error):  # the server is down
                self.stopping.wait(0.02)
            finally:
                if imap is not None:
                    imap.shutdown()


if __name__ == "__main__":
    unittest.main()
