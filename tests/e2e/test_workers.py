"""`serve -w 4`: SMTP and IMAP on four event loops, under load, through reloads and stops."""

import imaplib
import os
import signal
import ssl
import threading
import time
import unittest

import harness
from harness import DOMAIN, PASSWORD
from load import Load, found_in

WORKERS = 4


class Workers(unittest.TestCase):
    def setUp(self):
        self.server = harness.Server(options=["-w", str(WORKERS)])
        self.addCleanup(self.server.close)

    def imap(self):
        context = ssl.create_default_context(cafile=f"{self.server.home}/cert.pem")
        client = imaplib.IMAP4_SSL("127.0.0.1", self.server.ports["imaps"], ssl_context=context, timeout=30)
        client.login(f"alice@{DOMAIN}", PASSWORD)
        client.select()
        return client

    def reload(self):
        before = self.server.log().count("configuration reloaded")
        self.server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while self.server.log().count("configuration reloaded") == before:
            self.assertLess(time.monotonic(), deadline, self.server.log())
            time.sleep(0.02)

    def read_without_pause(self, stop, failures, counts):
        """A mail client that looks, reads, copies and flags until `stop`."""
        try:
            folder = f"copies-{threading.get_ident()}"
            client = self.imap()
            client.create(folder)
            while not stop.is_set():
                self.assertEqual(client.noop()[0], "OK")
                there = int(client.select()[1][0])
                if there > 0:
                    kind, lines = client.fetch(f"{there}", "(FLAGS BODY.PEEK[])")
                    self.assertEqual(kind, "OK")
                    if b"-- the end of it --" not in lines[0][1]:
                        raise AssertionError("a torn message")
                    self.assertEqual(client.copy(f"{there}", folder)[0], "OK")
                    self.assertEqual(client.store(f"{there}", "+FLAGS", "\\Seen")[0], "OK")
                    counts.append(there)
            client.logout()
        except Exception as error:  # pylint: disable=broad-except
            failures.append(repr(error))

    def check_everything_arrived(self, load):
        self.assertEqual(load.refused, [])
        deadline = time.monotonic() + 120
        for name in ("alice", "bob"):
            wanted = {each for each, who in load.acknowledged.items() if name in who}
            while True:
                counts, torn = found_in(self.server, name)
                if wanted <= set(counts) or time.monotonic() > deadline:
                    break
                time.sleep(0.1)
            self.assertEqual(sorted(wanted - set(counts)), [])
            self.assertEqual(torn, [])
            self.assertEqual({each: count for each, count in counts.items() if count > 1}, {})

    def test_load_reloads_and_a_stop_in_the_midst(self):
        load, stop, failures, counts = Load(self.server, clients=8), threading.Event(), [], []
        readers = [threading.Thread(target=self.read_without_pause, args=(stop, failures, counts)) for _ in range(4)]
        load.start()
        for each in readers:
            each.start()
        for _ in range(10):
            time.sleep(0.3)
            self.reload()
        self.assertGreaterEqual(len(os.listdir(f"/proc/{self.server.process.pid}/task")), WORKERS)
        stop.set()
        for each in readers:
            each.join(60)
        self.assertEqual(failures, [])
        self.assertGreater(len(counts), 4)
        # The clients go on while the server leaves.
        self.assertEqual(self.server.stop(), 0, self.server.log()[-3000:])
        self.assertNotIn("check failed", self.server.log())
        load.stop()
        self.server.start()
        self.check_everything_arrived(load)
        self.assertGreater(len(load.acknowledged), 50)

    def test_idle_sessions_of_every_loop_hear_of_mail_and_of_the_end(self):
        clients = [self.imap() for _ in range(2 * WORKERS)]
        for each in clients:
            each.send(b"i IDLE\r\n")
            self.assertTrue(each.readline().startswith(b"+"))
        with harness.Session(self.server.ports["smtp"]) as smtp:
            smtp.reply()
            smtp.command("EHLO client.test")
            smtp.command("MAIL FROM:<a@client.test>")
            smtp.command(f"RCPT TO:<alice@{DOMAIN}>")
            smtp.command("DATA")
            self.assertTrue(smtp.command("Subject: news\r\n\r\nhello\r\n.").startswith("250"))
        for each in clients:
            self.assertEqual(each.readline(), b"* 1 EXISTS\r\n")
        self.server.process.send_signal(signal.SIGTERM)
        for each in clients:
            lines = [each.readline() for _ in range(2)]
            self.assertTrue(any(line.startswith(b"* BYE") for line in lines), lines)
        for each in clients:
            each.shutdown()
        self.assertEqual(self.server.process.wait(30), 0, self.server.log()[-3000:])

    def test_it_starts_and_stops_each_time(self):
        for _ in range(10):
            self.assertEqual(self.server.stop(), 0, self.server.log()[-3000:])
            self.server.start()


if __name__ == "__main__":
    unittest.main()
