"""Several IMAP writers, deliveries and a mail reader on the files, all at one account at once, against a model (row F15).

Every message has one owner, who alone changes it and therefore knows at each look what it must find. It takes some seconds;
POSTERN_STORM_SECONDS makes it longer. With the programs of the tsan preset (POSTERN_BIN) it is a search for races as well."""

import collections
import imaplib
import os
import random
import re
import smtplib
import ssl
import threading
import time
import unittest

import harness
from harness import DOMAIN, PASSWORD

SECONDS = float(os.environ.get("POSTERN_STORM_SECONDS", "12"))
SEED = int(os.environ.get("POSTERN_STORM_SEED", "1"))
WRITERS, WATCHERS, SENDERS = 5, 2, 2
MAILBOXES = ("INBOX", "Archive", "Work.Plans")
MOST_OWNED = 40  # messages of a writer
FLAGS = ("\\Seen", "\\Answered", "\\Flagged", "\\Draft", "$Forwarded", "$Junk")
LETTERS = {"S": "\\Seen", "R": "\\Answered", "F": "\\Flagged", "D": "\\Draft"}
ADDRESS = f"alice@{DOMAIN}"
imaplib.Commands.setdefault("MOVE", ("SELECTED",))


class Known:
    """What holds for everybody: a UID names one message for ever, and UIDVALIDITY stays."""

    def __init__(self):
        self.lock = threading.Lock()
        self.ident_of, self.validity = {}, {}

    def check(self, mailbox, uid, ident):
        with self.lock:
            first = self.ident_of.setdefault((mailbox, uid), ident)
        if first != ident:
            raise AssertionError(f"UID {uid} of {mailbox} was {first} and is {ident}")

    def check_validity(self, mailbox, validity):
        with self.lock:
            first = self.validity.setdefault(mailbox, validity)
        if first != validity:
            raise AssertionError(f"UIDVALIDITY of {mailbox} was {first} and is {validity}")


class Actor(threading.Thread):
    def __init__(self, storm, number):
        super().__init__(name=f"{type(self).__name__} {number}", daemon=True)
        self.storm, self.number = storm, number
        self.random = random.Random(f"{SEED} {self.name}")
        self.steps, self.failure = 0, None

    def run(self):
        try:
            self.begin()
            while not self.storm.over.is_set():
                self.step()
                self.steps += 1
            self.end()
        except Exception as failure:  # pylint: disable=broad-except  (told by the main thread)
            self.failure = failure
            self.storm.over.set()

    def begin(self):
        pass

    def end(self):
        pass


class ImapActor(Actor):
    def begin(self):
        self.imap = imaplib.IMAP4_SSL("localhost", self.storm.server.ports["imaps"], ssl_context=self.storm.tls, timeout=120)
        self.imap.login(ADDRESS, PASSWORD)
        self.mailbox = None

    def end(self):
        self.imap.logout()

    def ok(self, answer):
        if answer[0] != "OK":
            raise AssertionError(f"{self.name}: {answer}")
        return answer[1]

    def select(self, mailbox):
        self.ok(self.imap.select(mailbox))
        self.mailbox = mailbox
        self.storm.known.check_validity(mailbox, int(self.imap.response("UIDVALIDITY")[1][0]))

    def look(self):
        """{UID: (ident, flags)} of the selected mailbox, which must be in order."""
        self.imap.response("FETCH")  # forget what was told unasked
        parts = self.ok(self.imap.uid("FETCH", "1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (X-Ident)])"))
        found, last = {}, 0
        for part in parts:
            if not isinstance(part, tuple):  # the end of one, or what was told unasked
                continue
            uid = int(re.search(rb"UID (\d+)", part[0]).group(1))
            flags = {flag.decode() for flag in imaplib.ParseFlags(part[0])} - {"\\Recent"}
            ident = part[1].decode().partition(":")[2].strip()
            if uid <= last:
                raise AssertionError(f"{self.name}: UID {uid} after {last} in {self.mailbox}")
            last = uid
            self.storm.known.check(self.mailbox, uid, ident)
            found[uid] = (ident, flags)
        return found

    def uids(self, code):
        """The UIDs of an APPENDUID or COPYUID."""
        told = self.imap.response(code)[1]
        if not told or told[-1] is None:
            raise AssertionError(f"{self.name}: no {code}")
        return told[-1].split()


class Writer(ImapActor):
    """Appends, flags, copies, moves and expunges messages of its own."""

    def begin(self):
        super().begin()
        self.mine = collections.defaultdict(dict)  # mailbox: {UID: (ident, flags)}
        self.made = 0
        self.select("INBOX")

    def step(self):
        owned = sum(len(each) for each in self.mine.values())
        here = self.mine[self.mailbox]
        actions = [self.append, self.change, self.change, self.copy, self.move, self.remove, self.go, self.judge, self.folder]
        action = self.random.choice(actions)
        if not here:
            action = self.random.choice([self.append, self.go])
        elif owned > MOST_OWNED:
            action = self.remove
        action()

    def some_flags(self):
        return {flag for flag in FLAGS if self.random.random() < 0.4}

    def pick(self):
        return self.random.choice(list(self.mine[self.mailbox]))

    def append(self):
        self.made += 1
        ident, flags = f"writer-{self.number}-{self.made}", self.some_flags()
        target = self.random.choice(MAILBOXES)
        text = self.storm.message(ident, self.random)
        self.ok(self.imap.append(target, f"({' '.join(flags)})", None, text))
        self.mine[target][int(self.uids("APPENDUID")[1])] = (ident, flags)

    def change(self):
        uid, flags = self.pick(), self.some_flags()
        ident, old = self.mine[self.mailbox][uid]
        how = self.random.choice(("FLAGS", "+FLAGS", "-FLAGS"))
        self.ok(self.imap.uid("STORE", str(uid), how + self.random.choice(("", ".SILENT")), f"({' '.join(flags)})"))
        new = flags if how == "FLAGS" else old | flags if how == "+FLAGS" else old - flags
        self.mine[self.mailbox][uid] = (ident, new)

    def copy(self):
        uid = self.pick()
        target = self.random.choice(MAILBOXES)
        self.ok(self.imap.uid("COPY", str(uid), target))
        self.mine[target][int(self.uids("COPYUID")[2])] = self.mine[self.mailbox][uid]

    def move(self):
        uid = self.pick()
        target = self.random.choice([each for each in MAILBOXES if each != self.mailbox])
        self.ok(self.imap.uid("MOVE", str(uid), target))
        self.mine[target][int(self.uids("COPYUID")[2])] = self.mine[self.mailbox].pop(uid)

    def remove(self):
        if not self.mine[self.mailbox]:
            return self.go()
        uid = self.pick()
        self.ok(self.imap.uid("STORE", str(uid), "+FLAGS.SILENT", "(\\Deleted)"))
        self.ok(self.imap.uid("EXPUNGE", str(uid)))
        return self.mine[self.mailbox].pop(uid)

    def go(self):
        self.select(self.random.choice(MAILBOXES))

    def judge(self):
        found = {uid: each for uid, each in self.look().items() if each[0].startswith(f"writer-{self.number}-")}
        if found != self.mine[self.mailbox]:
            raise AssertionError(f"{self.name} in {self.mailbox}: found {found}, expected {self.mine[self.mailbox]}")

    def folder(self):
        """A mailbox that comes and goes."""
        name = f"folder-{self.number}"
        uid = self.pick()
        self.ok(self.imap.create(name))
        self.ok(self.imap.uid("COPY", str(uid), name))
        self.ok(self.imap.rename(name, name + "-renamed"))
        if self.imap.status(name + "-renamed", "(MESSAGES)")[1][0].split()[-1] != b"1)":
            raise AssertionError(f"{self.name}: the copy is not in its folder")
        self.ok(self.imap.delete(name + "-renamed"))


class Watcher(ImapActor):
    """Only looks."""

    def step(self):
        self.select(self.random.choice(MAILBOXES))
        for _ in range(4):
            self.look()
            self.ok(self.imap.noop())


class Sender(Actor):
    """Delivers over SMTP what the reader of the files will own."""

    def begin(self):
        self.smtp = smtplib.SMTP("127.0.0.1", self.storm.server.ports["smtp"], timeout=120)

    def step(self):
        if self.steps % 50 == 49:  # a session takes so many and no more
            self.smtp.quit()
            self.begin()
        ident = f"delivered-{self.number}-{self.steps}"
        self.smtp.sendmail("x@client.test", [ADDRESS], self.storm.message(ident, self.random))
        self.storm.arrived(ident)
        time.sleep(self.random.uniform(0, 0.2))

    def end(self):
        self.smtp.quit()


class Reader(Actor):
    """A mail reader of another make, at the files of INBOX: takes from new/, renames for flags, unlinks."""

    def begin(self):
        self.folder = self.storm.server.maildir("alice")
        self.flags = {}  # ident: flags, of those that are there

    def step(self):
        time.sleep(self.random.uniform(0, 0.02))
        files = []
        for part in ("new", "cur"):
            try:
                files += [(part, name) for name in os.listdir(f"{self.folder}/{part}")]
            except FileNotFoundError:
                return
        self.random.shuffle(files)
        changes = 0
        for part, name in files:
            path = f"{self.folder}/{part}/{name}"
            try:
                with open(path, "rb") as file:
                    ident = re.search(rb"X-Ident: (\S+)", file.read(4096)).group(1).decode()
                if not ident.startswith("delivered-"):
                    continue
                if len(files) > 150 or self.random.random() < 0.03:
                    os.unlink(path)
                    self.storm.gone.add(ident)
                    self.flags.pop(ident, None)
                else:
                    letters = "".join(letter for letter in "DFRS" if self.random.random() < 0.4)
                    os.rename(path, f"{self.folder}/cur/{name.partition(':')[0]}:2,{letters}")
                    self.flags[ident] = {LETTERS[letter] for letter in letters}
            except FileNotFoundError:
                continue  # the server took it from new/ meanwhile
            changes += 1
            if changes == 10:
                return


class Storm(unittest.TestCase):
    def message(self, ident, rng):
        return (f"From: x@client.test\r\nTo: {ADDRESS}\r\nX-Ident: {ident}\r\nSubject: {ident}\r\n\r\n"
                + "a line of text\r\n" * rng.randrange(100)).encode()

    def arrived(self, ident):
        with self.lock:
            self.delivered.add(ident)

    def test_everybody_agrees_with_the_model(self):
        self.server = harness.Server(names=("alice",), options=("-w", "4"))
        self.addCleanup(self.server.close)
        self.tls = ssl.create_default_context(cafile=f"{self.server.home}/cert.pem")
        self.over, self.lock, self.known = threading.Event(), threading.Lock(), Known()
        self.delivered, self.gone = set(), set()
        with imaplib.IMAP4_SSL("localhost", self.server.ports["imaps"], ssl_context=self.tls) as imap:
            imap.login(ADDRESS, PASSWORD)
            for mailbox in MAILBOXES[1:]:
                self.assertEqual(imap.create(mailbox)[0], "OK")
        actors = [kind(self, number) for kind, count in ((Writer, WRITERS), (Watcher, WATCHERS), (Sender, SENDERS), (Reader, 1))
                  for number in range(count)]
        for actor in actors:
            actor.start()
        self.over.wait(SECONDS)
        self.over.set()
        for actor in actors:
            actor.join(150)
            self.assertFalse(actor.is_alive(), f"{actor.name} hangs\n{self.server.log()[-5000:]}")
        for actor in actors:
            if actor.failure is not None:
                raise AssertionError(f"{actor.name} after {actor.steps} steps (seed {SEED}): {actor.failure!r}\n"
                                     f"{self.server.log()[-5000:]}") from actor.failure
            self.assertGreater(actor.steps, 0, actor.name)
        self.judge_the_end(actors)
        self.assertEqual(self.server.stop(), 0)
        self.assertNotIn("Sanitizer", self.server.log())
        print(", ".join(f"{kind.__name__} {sum(actor.steps for actor in actors if isinstance(actor, kind))}"
                        for kind in (Writer, Watcher, Sender, Reader)), "steps; delivered", len(self.delivered),
              "removed", len(self.gone))

    def judge_the_end(self, actors):
        """What is there is what the owners know of, and nothing else: by IMAP, and as files."""
        deadline = time.monotonic() + 60
        reader = next(actor for actor in actors if isinstance(actor, Reader))
        watcher = Watcher(self, "at the end")
        watcher.begin()
        expected = self.delivered - self.gone
        while True:  # the last deliveries arrive
            watcher.select("INBOX")
            found = [ident for ident, _ in watcher.look().values() if ident.startswith("delivered-")]
            if set(found) == expected or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        self.assertEqual(sorted(found), sorted(expected))
        for mailbox in MAILBOXES:
            watcher.select(mailbox)
            seen = watcher.look()
            expected = {uid: each for actor in actors if isinstance(actor, Writer) for uid, each in actor.mine[mailbox].items()}
            self.assertEqual({uid: each for uid, each in seen.items() if each[0].startswith("writer-")}, expected, mailbox)
            for ident, flags in seen.values():
                if ident.startswith("delivered-"):
                    self.assertEqual(flags, reader.flags.get(ident, set()), ident)
            folder = "" if mailbox == "INBOX" else f"/.{mailbox}"
            self.assertEqual(len(self.server.messages("alice", folder)), len(seen), mailbox)
        watcher.end()


if __name__ == "__main__":
    unittest.main()
