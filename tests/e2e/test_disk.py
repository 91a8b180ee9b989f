"""A disk that is full, and one that has become read-only: clients are told in time, nothing that was accepted is harmed, and a
full disk needs no restart once there is room again."""

import imaplib
import os
import smtplib
import ssl
import time
import unittest

import harness
import loop_disk
from harness import DOMAIN, PASSWORD

ALICE, BOB = f"alice@{DOMAIN}", f"bob@{DOMAIN}"
MEGABYTE = 1 << 20


class Disk(unittest.TestCase):
    def setUp(self):
        try:
            self.disk = loop_disk.LoopDisk(96)
        except loop_disk.Unavailable as reason:
            self.skipTest(str(reason))
        self.addCleanup(self.disk.close)

    def serve(self, **more):
        self.server = harness.Server(data=self.disk.path, **more)
        self.addCleanup(self.server.close)

    def fill(self, leave=0):
        """Takes all room but `leave` octets."""
        with open(f"{self.disk.path}/filler", "ab", buffering=0) as filler:
            space = os.statvfs(self.disk.path)
            os.posix_fallocate(filler.fileno(), 0, max(1, space.f_bavail * space.f_frsize - leave - MEGABYTE))
            for block in (1 << 16, 1 << 12, 1) if leave == 0 else ():
                try:
                    while True:
                        filler.write(b"x" * block)
                except OSError:
                    pass

    def make_room(self):
        os.unlink(f"{self.disk.path}/filler")

    def send(self, size=1000, subject="disk"):
        """The code and text of the reply that ended it."""
        body = b"Subject: " + subject.encode() + b"\r\n\r\n" + b"0123456789abcdef0123456789abcdef\r\n" * (size // 34)
        with smtplib.SMTP("127.0.0.1", self.server.ports["smtp"], local_hostname="client.test", timeout=60) as smtp:
            try:
                smtp.sendmail(ALICE, [BOB], body)
            except smtplib.SMTPSenderRefused as error:
                return error.smtp_code, error.smtp_error.decode()
            except smtplib.SMTPRecipientsRefused as error:
                code, text = error.recipients[BOB]
                return code, text.decode()
            except smtplib.SMTPDataError as error:
                return error.smtp_code, error.smtp_error.decode()
        return 250, ""

    def imap(self):
        connection = imaplib.IMAP4_SSL("localhost", self.server.ports["imaps"], timeout=30,
                                       ssl_context=ssl.create_default_context(cafile=f"{self.server.home}/cert.pem"))
        connection.login(BOB, PASSWORD)
        return connection

    def subjects(self, imap=None):
        """What is in bob's INBOX, as a session that is open sees it, or a new one."""
        session = imap or self.imap()
        session.select(readonly=True)  # imaplib takes a mailbox that turns out to be read-only for an error
        _, lines = session.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        if imap is None:
            session.logout()
        return sorted(line[1].decode().split(":")[1].strip() for line in lines if isinstance(line, tuple))

    def test_full_and_emptied(self):
        self.serve()
        pid = self.server.process.pid
        self.assertEqual(self.send(subject="before")[0], 250)
        self.server.wait_for_messages("bob", 1)
        early = self.imap()
        self.assertEqual(self.subjects(early), ["before"])
        self.fill()
        for size in (1000, MEGABYTE):
            code, text = self.send(size)
            self.assertEqual((code, text[:5]), (452, "4.3.1"), text)
        late = self.imap()
        for imap in (early, late):
            self.assertEqual(self.subjects(imap), ["before"], "what is there can be read")
            kind, text = imap.append("INBOX", None, None, b"Subject: appended\r\n\r\n" + b"x" * MEGABYTE)
            self.assertEqual(kind, "NO", text)
        late.logout()
        self.make_room()
        deadline = time.monotonic() + 20
        while self.send(subject="after")[0] != 250:
            self.assertLess(time.monotonic(), deadline, self.server.log())
            time.sleep(0.2)
        self.server.wait_for_messages("bob", 2)
        self.assertEqual(self.subjects(), ["after", "before"])
        self.assertEqual(self.subjects(early), ["after", "before"])
        self.assertEqual(early.append("INBOX", None, None, b"Subject: appended\r\n\r\nx\r\n")[0], "OK")
        early.logout()
        self.assertEqual(self.server.process.pid, pid)
        self.assertIsNone(self.server.process.poll())
        self.assertEqual(self.server.stop(), 0)

    def test_a_message_that_does_not_fit(self):
        self.serve()
        self.fill(leave=20 * MEGABYTE)
        code, text = self.send(30 * MEGABYTE, subject="big")
        self.assertEqual((code, text[:5]), (452, "4.3.1"), text)
        deadline = time.monotonic() + 10
        while self.send(subject="small")[0] != 250:
            self.assertLess(time.monotonic(), deadline, "what fits goes on")
            time.sleep(0.2)
        self.server.wait_for_messages("bob", 1)
        self.assertEqual(self.subjects(), ["small"])
        bodies = [name for folder, _, names in os.walk(f"{self.disk.path}/spool") for name in names
                  if os.path.getsize(f"{folder}/{name}") > 10 * MEGABYTE]
        self.assertEqual(bodies, [], "what was refused takes no room")

    def test_accepted_but_no_room_in_the_mailbox(self):
        """Spool and mail on two disks, the second full: the message waits in the queue and comes when there is room."""
        self.serve(config=harness.CONFIG.replace('spool "{data}/spool"', 'spool "{home}/spool"'))
        self.fill()
        self.assertEqual(self.send(200000, subject="waits")[0], 250)
        deadline = time.monotonic() + 20
        while "TempFail" not in self.server.log():
            self.assertLess(time.monotonic(), deadline, self.server.log())
            time.sleep(0.1)
        self.assertEqual(self.server.messages("bob"), [])
        self.make_room()
        self.server.wait_for_messages("bob", 1, seconds=60)
        self.assertEqual(self.subjects(), ["waits"])

    def test_read_only(self):
        self.serve()
        self.assertEqual(self.send(subject="before")[0], 250)
        self.server.wait_for_messages("bob", 1)
        early = self.imap()
        self.assertEqual(self.subjects(early), ["before"])
        self.disk.make_read_only()
        with self.assertRaises(OSError):
            harness.write(f"{self.disk.path}/probe", "")
        for size in (1000, MEGABYTE):
            code, text = self.send(size)
            self.assertEqual((code, text[:4]), (451, "4.3."), text)
        self.assertEqual(self.subjects(), ["before"], "IMAP still reads")
        self.assertEqual(self.subjects(early), ["before"])
        early.logout()
        self.server.stop()
        self.disk.restore_power()
        self.server.start()
        self.assertEqual(self.send(subject="after")[0], 250)
        self.server.wait_for_messages("bob", 2)
        self.assertEqual(self.subjects(), ["after", "before"])


if __name__ == "__main__":
    unittest.main()
