"""What the tests of the smtpd.conf suite share: each configuration of it, word for word, served in a world of its own, and tables
of what must become of which mail.

A module of tests has one class derived from Outside, which runs the module again inside a world, one of InWorld for each
configuration, a setUpModule that calls set_up(), and this module's load_tests, which chooses what is for which side. A row of a table says from where a mail comes, for whom it is, what RCPT is
answered, and at which places it must come to be: those, and no others.
"""

import base64
import collections
import os
import pwd
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import time
import unittest

import world
from harness import BIN

SUITES = os.environ.get("POSTERN_CONFORMANCE_DIR",
                        os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../shared/conformance"))
SUITE = os.path.join(SUITES, "smtpd.conf")
KNOWN_FAILURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../conformance/known_failures.txt")
SMTPD = os.path.join(BIN, "postern-smtpd")
SOCKET = "/var/spool/postern/submit.sock"
FOREIGN = ("elsewhere.test", "domain.tld", "wayne.com", "mail.example")
# The other machine is the mail server of all foreign domains, and its address has a name that leads back to it.
ELSEWHERE = {("mx.elsewhere.test", "A"): [world.PEER_ADDRESS],
             ("9.2.0.192.in-addr.arpa", "PTR"): ["mx.elsewhere.test"],
             **{(domain, "MX"): [(10, "mx.elsewhere.test")] for domain in FOREIGN}}
MACHINE = None  # the World, once there is one

# Replies to RCPT.
TAKEN = r"^250 2\.1\.5 "
NO_RULE = r"^550 .*Invalid recipient"  # or no such account
NO_VIRTUAL = r"^524 5\.2\.4 "


def why_not():
    if not os.path.isdir(SUITE):
        return f"no conformance suites at {SUITE} (POSTERN_CONFORMANCE_DIR)"
    return world.available()


def set_up(records, unprivileged=False):
    """For a module's setUpModule. With `unprivileged` there is an account `postern`, which the server becomes."""
    global MACHINE  # pylint: disable=global-statement
    if not world.inside():
        return
    MACHINE = world.World(records)
    if unprivileged:
        MACHINE.write("/etc/passwd", "postern:x:6100:6100::/var/spool/postern:/usr/sbin/nologin\n", "a")
        MACHINE.write("/etc/group", "postern:x:6100:\n", "a")


def load_tests(_loader, tests, _pattern):
    """unittest asks a module that has this which tests it holds: Outside's, or inside of a world all others, but for classes that
    only others are derived from."""
    chosen = unittest.TestSuite()
    for test in tests:
        for each in list(test):
            name = each.id().rsplit(".", 1)[1]
            if isinstance(each, Outside) == world.inside() or getattr(each, "config", "?") == "" or \
                    (name == "test_rows" and getattr(each, "rows", "?") == () and type(each).test_rows is InWorld.test_rows):
                continue
            chosen.addTest(each)
    return chosen


class Outside(unittest.TestCase):
    """Runs the module that `inside` names in a world of its own."""

    inside = ""
    needs_suite = True

    def test_in_a_world_of_their_own(self):
        reason = why_not() if self.needs_suite else world.available()
        if reason:
            print(f"SKIP {self.inside}: {reason}")
            self.skipTest(reason)
        done = world.run_inside(self.inside)
        print(done.stdout)
        self.assertEqual(done.returncode, 0, "what failed inside stands above")


def known_failures(suite):
    """{case: reason} of what known_failures.txt says of that suite."""
    found = {}
    with open(KNOWN_FAILURES, encoding="utf-8") as file:
        for line in file:
            words = line.split(" ", 2)
            if words[0] == suite:
                found[words[1]] = words[2].strip()
    return found


def plain(login, password):
    """SASL PLAIN's one message (RFC 4616)."""
    return base64.b64encode(f"\0{login}\0{password}".encode()).decode()


def trusting_all():
    """A client's TLS that asks for no certificate in particular."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Origin(collections.namedtuple("Origin", "source address port tls login")):
    """From where a mail comes: a client on the other machine that connects from `source`, or with source "local" one of this
    machine, or with "socket" one of the local socket; to which `address` and `port` of ours; with `tls` "" in the clear, else
    "starttls" or "smtps"; with a `login`, (user, password), or None."""

    def __new__(cls, source="local", address="127.0.0.1", port=25, tls="", login=None):
        return super().__new__(cls, source, address, port, tls, login)


LOCAL = Origin()
BY_SOCKET = Origin("socket")
REMOTE = Origin(world.PEER_ADDRESS, world.OUR_ADDRESS)


def submission(login, port=587, tls="starttls"):
    """A remote client that logs in."""
    return Origin(world.PEER_ADDRESS, world.OUR_ADDRESS, port, tls, login)


class Client(smtplib.SMTP):
    """An SMTP client on this machine ("local") or on the other one ("remote")."""

    def __init__(self, address, port=25, remote=False, name="client.example", source=None):
        self.remote = remote
        self.source = source  # its own address, or the path of the local socket
        super().__init__(address, port, local_hostname=name, timeout=20)

    def _get_socket(self, host, port, timeout):
        if self.remote:
            return MACHINE.connect_from_peer(host, port, timeout, self.source)
        if self.source is not None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(timeout)
            connection.connect(self.source)
            return connection
        return socket.create_connection((host, port), timeout)

    def secure(self):
        self.starttls(context=trusting_all())
        self.ehlo()

    def text(self, *command):
        """One command's reply, as "250 2.1.5 ..."."""
        code, reply = self.docmd(*command)
        return f"{code} {reply.decode()}"

    def rcpt_text(self, address, sender="sender@elsewhere.test"):
        self.rset()
        self.docmd(f"MAIL FROM:<{sender}>")
        return self.text(f"RCPT TO:<{address}>")

    def mail_to(self, recipients, body="Hello.\r\n", sender="sender@elsewhere.test", subject="a letter", header=""):
        """Sends one mail; the reply to its end."""
        self.rset()
        code, reply = self.docmd(f"MAIL FROM:<{sender}>")
        assert code == 250, reply
        for recipient in [recipients] if isinstance(recipients, str) else recipients:
            code, reply = self.docmd(f"RCPT TO:<{recipient}>")
            assert code in (250, 251), (recipient, code, reply)
        code, reply = self.data(f"{header}From: <{sender}>\r\nSubject: {subject}\r\n\r\n{body}")
        assert code == 250, reply
        return reply.decode()


class SmtpsClient(Client):
    """Whose session is in TLS from the start."""

    def _get_socket(self, host, port, timeout):
        return trusting_all().wrap_socket(super()._get_socket(host, port, timeout), server_hostname=host)


def connect(origin):
    """A client of that origin that has said EHLO, and has secured the session and logged in where that is asked for."""
    if origin.source == "socket":
        client = Client("localhost", source=SOCKET)
    else:
        remote = origin.source != "local"
        kind = SmtpsClient if origin.tls == "smtps" else Client
        client = kind(origin.address, origin.port, remote, source=origin.source if remote else None)
    client.ehlo()
    if origin.tls == "starttls":
        client.secure()
    if origin.login:
        client.login(*origin.login)
    return client


class Row(collections.namedtuple("Row", "origin recipient reply places sender header")):
    """One mail and what must become of it."""

    def __new__(cls, origin, recipient, reply, *places, sender="sender@elsewhere.test", header=""):
        return super().__new__(cls, origin, recipient, reply, places, sender, header)


def maildir(path, user):
    """A place: a file in `path`/new that belongs to `user`."""
    return ("maildir", path, user)


def mbox(user):
    """A place: the mbox of that user of the system."""
    return ("mbox", f"/var/mail/{user}", user)


def relayed(recipient, sink="mx.elsewhere.test"):
    """A place: the mail server of that name, for that recipient."""
    return ("relayed", sink, recipient)


def bounced(recipient, sink="mx.elsewhere.test"):
    """A place: a notice of the mail's failure, that came to that server for that recipient."""
    return ("bounced", sink, recipient)


def owner(path):
    return pwd.getpwuid(os.lstat(path).st_uid).pw_name


def places_in_files():
    """(subject, place) of each mail in the mailboxes of this machine."""
    for root in ("/var/mail", "/var/home", "/var/vmail"):
        for folder, _, names in os.walk(root):
            if folder.endswith("/tmp"):
                continue
            for name in names:
                path = f"{folder}/{name}"
                try:
                    with open(path, encoding="utf-8", errors="replace") as file:
                        text = file.read()
                    who = owner(path)
                except FileNotFoundError:  # a lock, or a file that was moved
                    continue
                if root == "/var/mail":
                    yield from ((subject, ("mbox", path, who)) for subject in re.findall(r"(?m)^Subject: (row .*)$", text))
                else:
                    header = text.split("\n\n", 1)[0]
                    yield from ((subject, ("maildir", os.path.dirname(folder), who))
                                for subject in re.findall(r"(?m)^Subject: (row .*)$", header))


def places_in_sinks():
    for sink in MACHINE.sinks:
        for mail in list(sink.mails):
            failed = "report-type=delivery-status" in mail.header() and "\r\nAction: failed\r\n" in mail.text
            subjects = re.findall(r"(?m)^Subject: (row .*)\r$", mail.text if failed else mail.header())
            for subject in subjects:
                for recipient in mail.recipients:
                    yield subject, ("bounced" if failed else "relayed", sink.name, recipient)


class InWorld(unittest.TestCase):
    """One configuration of the suite, served for all tests of the class. Subclasses name it."""

    config = ""
    tables = ""
    mailname = None  # of the server, where it is another than the table set's
    vmail = "_vmail"  # whose /var/vmail is
    changes = ()  # (old, new) texts, for variants that the file's own comments tell of
    certificates = ()  # more (certificate, key, name) that the configuration names
    rows = ()

    @classmethod
    def prepare(cls):
        """What else is to be done before the server starts."""

    @classmethod
    def adapt(cls, text):
        """The configuration that is served, made from the suite's."""
        for old, new in cls.changes:
            assert old in text
            text = text.replace(old, new)
        return text

    @classmethod
    def setUpClass(cls):
        MACHINE.clean()
        os.chown("/var/vmail", pwd.getpwnam(cls.vmail).pw_uid, pwd.getpwnam(cls.vmail).pw_gid)
        shutil.rmtree("/etc/mail")
        shutil.copytree(os.path.join(SUITE, "tables", cls.tables), "/etc/mail")
        if cls.mailname:
            MACHINE.write("/etc/mail/mailname", cls.mailname + "\n")
        for name in os.listdir("/etc/mail"):
            os.chmod(f"/etc/mail/{name}", 0o600)
        with open(os.path.join(SUITE, cls.config), encoding="utf-8") as file:
            text = file.read()
        MACHINE.write("/etc/mail/smtpd.conf", cls.adapt(text))
        for certificate, key, name in (("/etc/ssl/athome.tld.crt", "/etc/ssl/private/athome.tld.key", "athome.tld"),
                                       *cls.certificates):
            if not os.path.exists(certificate):
                MACHINE.make_certificate(certificate, key, name)
        cls.prepare()
        cls.log_path = "/var/tmp/log"
        MACHINE.write(cls.log_path, "")
        cls.process = None
        cls.start()

    @classmethod
    def start(cls):
        before = cls.log().count("started")
        with open(cls.log_path, "a", encoding="utf-8") as log:
            cls.process = subprocess.Popen([SMTPD, "-f", "/etc/mail/smtpd.conf"], stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while cls.log().count("started") == before:
            if cls.process.poll() is not None or time.monotonic() > deadline:
                cls.process.kill()
                cls.process.wait()
                raise AssertionError(f"the server did not start:\n{cls.log()}")
            time.sleep(0.02)

    @classmethod
    def stop(cls):
        cls.process.terminate()
        code = cls.process.wait(30)
        assert code == 0, (code, cls.log())

    @classmethod
    def tearDownClass(cls):
        cls.stop()

    @classmethod
    def log(cls):
        with open(cls.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def test_rows(self):
        self.check(self.rows)

    def check(self, rows):
        """Sends the mail of every row, and looks where all of it has come to be."""
        clients = {}
        expected = {}
        for number, row in enumerate(rows):
            with self.subTest(number=number, origin=row.origin, recipient=row.recipient):
                if row.origin not in clients:
                    clients[row.origin] = connect(row.origin)
                    self.addCleanup(clients[row.origin].close)
                client = clients[row.origin]
                self.assertRegex(client.rcpt_text(row.recipient, row.sender), row.reply)
                if not row.reply.startswith("^250"):
                    continue
                subject = f"row {number} of {type(self).__name__}: {row.recipient}"
                expected[subject] = sorted(row.places)
                client.mail_to(row.recipient, sender=row.sender, subject=subject, header=row.header)
        deadline = time.monotonic() + 20
        for look in ("arrives", "is the only one"):
            while (found := self.found(expected)) != expected and time.monotonic() < deadline:
                time.sleep(0.05)
            for subject, places in expected.items():
                self.assertEqual(found[subject], places, f"{subject} ({look}):\n{self.log()}")
            time.sleep(0.2)  # a copy too many would come now

    @staticmethod
    def found(subjects):
        places = {subject: [] for subject in subjects}
        for finder in (places_in_files, places_in_sinks):
            for subject, place in finder():
                if subject in places:
                    places[subject].append(place)
        return {subject: sorted(each) for subject, each in places.items()}

    def client(self, port=25, remote=False, secure=False, login=None):
        client = Client(world.OUR_ADDRESS if remote else "127.0.0.1", port, remote)
        self.addCleanup(client.close)
        client.ehlo()
        if secure:
            client.secure()
        if login:
            client.login(*login)
        return client

    def session(self, origin):
        client = connect(origin)
        self.addCleanup(client.close)
        return client

    def wait(self, what, condition, seconds=20):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > deadline:
                self.fail(f"{what} in vain:\n{self.log()}")
            time.sleep(0.02)
        return found

    def assert_owner(self, path, user, mode):
        info, account = os.lstat(path), pwd.getpwnam(user)
        self.assertEqual((info.st_uid, info.st_gid, oct(info.st_mode & 0o7777)),
                         (account.pw_uid, account.pw_gid, oct(mode)), path)

    def assert_maildir(self, root, user, subject):
        """One mail of that subject is, or comes to be, in the Maildir, and all that is there is the user's own."""
        def matching():
            try:
                names = os.listdir(f"{root}/new")
            except FileNotFoundError:
                return []
            found = []
            for name in names:
                with open(f"{root}/new/{name}", encoding="utf-8") as file:
                    if f"Subject: {subject}\n" in file.read():
                        found.append(f"{root}/new/{name}")
            return found
        found = self.wait(f"waited for \"{subject}\" in {root}", matching)
        self.assertEqual(len(found), 1, found)
        self.assert_owner(found[0], user, 0o600)
        for folder, folders, files in os.walk(root):
            for name in folders:
                self.assert_owner(f"{folder}/{name}", user, 0o700)
            for name in files:
                self.assert_owner(f"{folder}/{name}", user, 0o600)
        with open(found[0], encoding="utf-8") as file:
            return file.read()

    def relayed(self, recipient, count=1, sink=None):
        """The mails that the other machine's server got for `recipient`: (helo, sender, recipients, text)."""
        try:
            return (sink or MACHINE.sink).wait_for(recipient, count)
        except AssertionError as error:
            self.fail(f"{error}:\n{self.log()}")

    @staticmethod
    def listening():
        """The (address, port) pairs that anybody listens on with TCP in this world, but for the DNS of the test."""
        lines = subprocess.run(["ss", "-Hltn"], check=True, capture_output=True, text=True).stdout.splitlines()
        return {tuple(line.split()[3].rsplit(":", 1)) for line in lines}

    @staticmethod
    def subject_of_certificate(port, server_name=None, address=world.OUR_ADDRESS):
        """The name in the certificate that a client gets who asks for `server_name`."""
        done = subprocess.run(["openssl", "s_client", "-connect", f"{address}:{port}",
                               *(() if port == 465 else ("-starttls", "smtp")),
                               *(("-servername", server_name) if server_name else ("-noservername",))], input=b"",
                              capture_output=True, timeout=20, check=False)
        found = re.search(r"(?m)^subject=.*CN ?= ?(\S+)", done.stdout.decode(errors="replace"))
        return found[1] if found else None

    def refused(self, client, recipient, reply):
        self.assertRegex(client.rcpt_text(recipient), reply)

    def taken(self, client, recipient):
        self.assertRegex(client.rcpt_text(recipient), TAKEN)
