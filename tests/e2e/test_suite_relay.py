"""The suite's configurations that hand mail on: to a smarthost, through programs that sign or scan it, as a backup of another
server. On a machine of their own, run without root's rights."""

import re
import subprocess
import time
import unittest

import suite
import world
from harness import POSTERN
from suite import BY_SOCKET, LOCAL, NO_RULE, NO_VIRTUAL, REMOTE, TAKEN, Origin, Row, bounced, maildir, relayed

SMARTHOST = "192.0.2.20"
TRAP = "192.0.2.21"
PRIMARY = "192.0.2.22"
WORSE = "192.0.2.23"
BATMAN = suite.submission(("batman@athome.tld", "batman-test-pass"))
RECORDS = {**suite.ELSEWHERE,
           ("smtp.example.com", "A"): [SMARTHOST],
           ("smtp.example.com", "MX"): [(1, "trap.example.com")],  # a smarthost's MX is nobody's business
           ("trap.example.com", "A"): [TRAP],
           ("athome.tld", "MX"): [(10, "athome.tld"), (70, "mail.friend.eu"), (80, "worse.example.com")],
           ("athome.tld", "A"): [PRIMARY],
           ("mail.friend.eu", "A"): [world.OUR_ADDRESS],
           ("worse.example.com", "A"): [WORSE]}


load_tests = suite.load_tests


class Relay(suite.Outside):
    inside = "test_suite_relay"


def setUpModule():
    suite.set_up(RECORDS, unprivileged=True)


def box(path):
    return maildir(f"/var/vmail/{path}/Maildir", "_vmail")


class WithSinks(suite.InWorld):
    """Has mail servers of its own, which end with the class."""

    sinks = ()

    @classmethod
    def add_sink(cls, *where, **options):
        sink = suite.MACHINE.add_sink(*where, **options)
        cls.sinks = (*cls.sinks, sink)
        return sink

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        for sink in cls.sinks:
            suite.MACHINE.remove_sink(sink)
        cls.sinks = ()


class GoodSmarthost(WithSinks):
    """Whose certificate a known authority has signed, and who takes mail of those that log in."""

    @classmethod
    def prepare(cls):
        cls.smarthost = cls.add_sink(SMARTHOST, name="smtp.example.com", auth=True,
                                     tls=suite.MACHINE.tls_of("smtp.example.com", suite.MACHINE.authority()))
        cls.trap = cls.add_sink(TRAP, name="trap.example.com")


class AthomeSmarthost(GoodSmarthost):
    config = "athome-smarthost.conf"
    tables = "athome"
    rows = (
        Row(BATMAN, "auth@elsewhere.test", TAKEN, relayed("auth@elsewhere.test", "smtp.example.com")),
        Row(LOCAL, "local@elsewhere.test", TAKEN, relayed("local@elsewhere.test", "smtp.example.com")),
        Row(BY_SOCKET, "socket@elsewhere.test", TAKEN, relayed("socket@elsewhere.test", "smtp.example.com")),
        Row(REMOTE, "jwayne@athome.tld", TAKEN, relayed("batman@wayne.com", "smtp.example.com")),
        Row(LOCAL, "null@elsewhere.test", TAKEN, relayed("null@elsewhere.test", "smtp.example.com"), sender=""),
        Row(REMOTE, "remote@elsewhere.test", NO_RULE),
        Row(REMOTE, "anybody@smtp.example.com", NO_RULE),
        Row(REMOTE, "batman@athome.tld", TAKEN, box("athome.tld/batman")),
        Row(LOCAL, "superman@athome.tld", TAKEN, box("athome.tld/superman")),
        Row(REMOTE, "joker@athome.tld", NO_VIRTUAL),
        Row(LOCAL, "bruce@localhost", TAKEN, maildir("/var/home/bruce/Maildir", "bruce")),
    )

    def test_what_the_smarthost_sees(self):
        self.session(BATMAN).mail_to("seen@elsewhere.test", sender="bruce.wayne@anything.example")
        mail, = self.relayed("seen@elsewhere.test", sink=self.smarthost)
        self.assertEqual((mail.helo, mail.sender, mail.login), ("athome.tld", "bruce.wayne@athome.tld", ("user", "passphrase")))
        self.assertRegex(mail.tls, "^TLSv1")
        self.session(LOCAL).mail_to("null-seen@elsewhere.test", sender="")
        self.assertEqual(self.relayed("null-seen@elsewhere.test", sink=self.smarthost)[0].sender, "")
        self.assertEqual((self.trap.sessions, suite.MACHINE.sink.mails), (0, []))


class NoGoodSmarthost(WithSinks):
    """Mail waits rather than go in the clear, or to somebody who cannot say by a certificate who he is."""

    tables = "athome"
    config = ""

    def test_nothing_is_sent(self):
        self.session(LOCAL).mail_to("waits@elsewhere.test")
        self.wait("waited for the attempt",
                  lambda: re.search(r"to=<waits@elsewhere\.test> .*result=.?TempFail", self.log()))
        self.assertGreater(self.smarthost.sessions, 0)
        self.assertEqual((self.smarthost.mails, suite.MACHINE.sink.mails), ([], []))


class AthomeSmarthostOfNoKnownAuthority(NoGoodSmarthost):
    config = "athome-smarthost.conf"

    @classmethod
    def prepare(cls):
        cls.smarthost = cls.add_sink(SMARTHOST, name="smtp.example.com", auth=True, tls=suite.MACHINE.tls_of("smtp.example.com"))


class AthomeSmarthostOfAnotherName(NoGoodSmarthost):
    config = "athome-smarthost.conf"

    @classmethod
    def prepare(cls):
        cls.smarthost = cls.add_sink(SMARTHOST, name="smtp.example.com", auth=True,
                                     tls=suite.MACHINE.tls_of("smtp.example.org", suite.MACHINE.authority()))


class AthomeSmarthostWithoutTls(NoGoodSmarthost):
    config = "athome-smarthost.conf"

    @classmethod
    def prepare(cls):
        cls.smarthost = cls.add_sink(SMARTHOST, name="smtp.example.com")


class AthomeSmarthostAsPrinted(GoodSmarthost):
    """An open relay, and said to be one."""

    config = "athome-smarthost-asprinted.conf"
    tables = "athome"
    rows = (
        Row(REMOTE, "anybody@elsewhere.test", TAKEN, relayed("anybody@elsewhere.test", "smtp.example.com")),
        Row(LOCAL, "local@elsewhere.test", TAKEN, relayed("local@elsewhere.test", "smtp.example.com")),
        Row(REMOTE, "john@athome.tld", TAKEN, maildir("/var/home/john/Maildir", "john")),
        Row(REMOTE, "nobody-there@athome.tld", NO_RULE),
    )

    def test_the_open_relay_is_told(self):
        self.assertRegex(self.log(), r"/etc/mail/smtpd\.conf:15:\d+: warning: open relay")
        self.assertEqual(self.listening() & {("127.0.0.1", "25"), ("127.0.0.1", "587")}, {("127.0.0.1", "25")})


def send_on(mail, port, header):
    """What a program between does: the mail comes back to `port` with one header more. The reply that it gives."""
    with suite.Client("127.0.0.1", port, name="scanner.example") as client:
        client.ehlo()
        for command in (f"MAIL FROM:<{mail.sender}>", *(f"RCPT TO:<{each}>" for each in mail.recipients)):
            reply = client.text(command)
            if not reply.startswith("25"):
                return reply.replace("\n", " ")
        code, text = client.data(header + mail.text)
        return f"{code} {text.decode()}"


class AthomeDkimproxy(WithSinks):
    """Every mail that goes abroad goes through the signer, and returns with its tag."""

    config = "athome-dkimproxy.conf"
    tables = "athome"
    rows = (
        *(Row(origin, f"{name}@elsewhere.test", TAKEN, relayed(f"{name}@elsewhere.test", "dkimproxy"),
              relayed(f"{name}@elsewhere.test"))
          for origin, name in ((BATMAN, "auth"), (LOCAL, "local"), (BY_SOCKET, "socket"))),
        Row(REMOTE, "jwayne@athome.tld", TAKEN, relayed("batman@wayne.com", "dkimproxy"), relayed("batman@wayne.com")),
        Row(REMOTE, "batman@athome.tld", TAKEN, box("athome.tld/batman")),
        Row(BATMAN, "superman@athome.tld", TAKEN, box("athome.tld/superman")),
        Row(LOCAL, "bruce@localhost", TAKEN, maildir("/var/home/bruce/Maildir", "bruce")),
        Row(Origin(port=10028), "tagged@elsewhere.test", TAKEN, relayed("tagged@elsewhere.test")),
        Row(Origin(port=10028), "batman@athome.tld", TAKEN, box("athome.tld/batman")),
        Row(REMOTE, "remote@elsewhere.test", NO_RULE),
    )

    @classmethod
    def prepare(cls):
        cls.signer = cls.add_sink("127.0.0.1", 10027, name="dkimproxy",
                                  passes=lambda mail: send_on(mail, 10028, "X-Signed: yes\r\n"))

    def test_what_goes_out_is_signed_once(self):
        for origin, name in ((BATMAN, "auth-signed"), (LOCAL, "local-signed")):
            self.session(origin).mail_to(f"{name}@elsewhere.test")
            mail, = self.relayed(f"{name}@elsewhere.test")
            self.assertEqual(mail.header().count("X-Signed: yes\r\n"), 1)
            self.assertEqual(mail.header().count("Received: "), 2)

    def test_the_way_back_is_for_loopback_alone(self):
        self.assertEqual({each for each in self.listening() if each[1] == "10028"}, {("127.0.0.1", "10028"), ("[::1]", "10028")})
        with self.assertRaises(ConnectionRefusedError):
            suite.MACHINE.connect_from_peer(world.OUR_ADDRESS, 10028)
        client = self.client(10028)
        self.assertFalse(client.has_extn("starttls"))
        self.assertFalse(client.has_extn("auth"))


class SpamassassinTags(WithSinks):
    """Mail from outside goes through the scanner, which hands it back and has its reply."""

    tables = "athome"
    config = ""

    @classmethod
    def prepare(cls):
        cls.replies = []

        def scan(mail):
            spam = re.search(r"(?m)^X-Scan-As: (.*)\r$", mail.header())
            reply = send_on(mail, 10026, f"{spam[1]}\r\n" if spam else "")
            cls.replies.append((mail.recipients[0], reply))
            return reply
        cls.scanner = cls.add_sink("127.0.0.1", 10025, name="spampd", passes=scan)


class AthomeSpamassassinTags(SpamassassinTags):
    """As the tutorial means it: the server is not called like the mail domain."""

    config = "athome-spamassassin-tags.conf"
    mailname = "mail1.athome.tld"
    rows = (
        Row(REMOTE, "batman@athome.tld", TAKEN, relayed("batman@athome.tld", "spampd"), box("athome.tld/batman")),
        *(Row(REMOTE, "superman@athome.tld", TAKEN, relayed("superman@athome.tld", "spampd"),
              maildir("/var/vmail/athome.tld/superman/Maildir" + folder, "_vmail"), header=f"X-Scan-As: {header}\r\n")
          for header, folder in (("X-Spam: yes", "/.Junk"), ("X-Spam-Flag: YES", "/.Junk"), ("X-Spam: no", ""),
                                 ("X-Spam-Flag: NO", ""), ("X-Spam-Status: Yes", ""))),
        Row(REMOTE, "joker@athome.tld", TAKEN, relayed("joker@athome.tld", "spampd"), bounced("sender@elsewhere.test")),
        Row(BATMAN, "batman@athome.tld", TAKEN, relayed("batman@athome.tld", "spampd"), box("athome.tld/batman")),
        Row(REMOTE, "jwayne@athome.tld", TAKEN, relayed("jwayne@athome.tld", "spampd"), relayed("batman@wayne.com")),
        Row(Origin(port=10026), "batman@athome.tld", TAKEN, box("athome.tld/batman")),
        Row(Origin(port=10026), "joker@athome.tld", NO_VIRTUAL),
        Row(LOCAL, "bruce@mail1.athome.tld", TAKEN, maildir("/var/home/bruce/Maildir", "bruce")),
        Row(LOCAL, "webmaster@localhost", TAKEN, maildir("/var/home/bruce/Maildir", "bruce")),
        Row(REMOTE, "bruce@localhost", NO_RULE),
        Row(REMOTE, "somebody@elsewhere.test", NO_RULE),
        Row(BATMAN, "auth@elsewhere.test", TAKEN, relayed("auth@elsewhere.test")),
        Row(LOCAL, "local@elsewhere.test", TAKEN, relayed("local@elsewhere.test")),
    )

    def test_the_way_back_is_for_loopback_alone(self):
        with self.assertRaises(ConnectionRefusedError):
            suite.MACHINE.connect_from_peer(world.OUR_ADDRESS, 10026)


class AthomeSpamassassinTagsTrapped(SpamassassinTags):
    """Called like the mail domain: the rule for what is local takes back what the scanner hands in, for users of the system."""

    config = "athome-spamassassin-tags.conf"
    mailname = "athome.tld"
    rows = (
        Row(REMOTE, "batman@athome.tld", TAKEN, relayed("batman@athome.tld", "spampd"), bounced("sender@elsewhere.test")),
        Row(REMOTE, "bruce@athome.tld", TAKEN, relayed("bruce@athome.tld", "spampd"),
            maildir("/var/home/bruce/Maildir", "bruce")),
        Row(Origin(port=10026), "batman@athome.tld", NO_RULE),
        Row(LOCAL, "batman@athome.tld", NO_RULE),
        Row(LOCAL, "webmaster@athome.tld", TAKEN, maildir("/var/home/bruce/Maildir", "bruce")),
    )


class Backup(WithSinks):
    """mail.friend.eu, which holds mail for athome.tld. `queue retry-delay` is the one line that the suite's file has not: a test
    does not wait 400 s."""

    tables = "athome"
    mailname = "mail.friend.eu"
    certificates = (("/etc/ssl/mail.friend.eu.crt", "/etc/ssl/private/mail.friend.eu.key", "mail.friend.eu"),)
    changes = (("match from any for local", "queue retry-delay 1s\nmatch from any for local"),)
    others = (
        Row(REMOTE, "bruce@mail.friend.eu", TAKEN, maildir("/var/home/bruce/Maildir", "bruce")),
        Row(REMOTE, "nobody-there@mail.friend.eu", NO_RULE),
        Row(REMOTE, "somebody@elsewhere.test", NO_RULE),
        Row(LOCAL, "local@elsewhere.test", TAKEN, relayed("local@elsewhere.test")),
    )
    config = ""

    @classmethod
    def prepare(cls):
        cls.worse = cls.add_sink(WORSE, name="worse.example.com")

    def test_the_name_and_what_is_offered(self):
        client = self.client(remote=True)
        self.assertRegex(client.ehlo_resp.decode(), "^mail.friend.eu ")
        self.assertTrue(client.has_extn("starttls"))
        self.assertFalse(client.has_extn("auth"))
        self.assertEqual(self.subject_of_certificate(25), "mail.friend.eu")

    def attempts(self, recipient):
        return re.findall(rf"mta delivery .*to=<{re.escape(recipient)}> .*result=\"(\w+)\" stat=(.*)", self.log())


class AthomeBackupmx(Backup):
    """As printed: the primary itself is named, nothing is preferred over it, and mail waits."""

    config = "athome-backupmx.conf"
    rows = (*Backup.others, *(Row(origin, "waits@athome.tld", TAKEN) for origin in (REMOTE, LOCAL)))

    def test_it_waits_and_is_told_why(self):
        primary = self.add_sink(PRIMARY, name="athome.tld")
        self.session(REMOTE).mail_to("held@athome.tld")
        self.wait("waited for attempts", lambda: len(self.attempts("held@athome.tld")) > 1)
        for result, text in self.attempts("held@athome.tld"):
            self.assertEqual(result, "TempFail")
            self.assertIn("No MX found for destination", text)
            self.assertIn("athome.tld, which backup names", text)
        self.assertRegex(self.log(), r"warn: .*to=<held@athome\.tld> .*No MX found")
        self.assertEqual((primary.sessions, self.worse.sessions), (0, 0))

    def test_check_warns(self):
        done = subprocess.run([POSTERN, "check"], capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"(?m)^/etc/mail/smtpd\.conf:12:\d+: warning: athome\.tld is the best exchanger of athome\.tld")


class AthomeBackupmxWithTtl(Backup):
    """The same for three seconds in place of four days: mail that nobody took in its time goes back."""

    config = "athome-backupmx.conf"
    changes = (*Backup.changes, ('action relaybackup relay backup mx "athome.tld"',
                                 'action relaybackup relay backup mx "athome.tld" ttl 3s'))
    rows = (Row(REMOTE, "expires@athome.tld", TAKEN, bounced("sender@elsewhere.test")),)

    def test_why(self):
        self.session(REMOTE).mail_to("told@athome.tld", sender="asks@elsewhere.test")
        self.assertRegex(self.relayed("asks@elsewhere.test")[0].text, r"(?s)No MX found for destination.*\r\nAction: failed\r\n")


class AthomeBackupmxSelf(Backup):
    """Meant: mail goes to the primary alone, once it is back."""

    config = "athome-backupmx-self.conf"

    def test_mail_waits_for_the_primary(self):
        suite.MACHINE.add_peer_address(PRIMARY)
        self.session(REMOTE).mail_to("first@athome.tld", subject="row while it is down")
        self.wait("waited for attempts", lambda: len(self.attempts("first@athome.tld")) > 1)
        self.assertEqual({result for result, _ in self.attempts("first@athome.tld")}, {"TempFail"})
        started = time.monotonic()
        primary = self.add_sink(PRIMARY, name="athome.tld")
        mail, = self.relayed("first@athome.tld", sink=primary)
        self.assertEqual((mail.helo, mail.sender), ("mail.friend.eu", "sender@elsewhere.test"))
        print(f"the primary had its mail {time.monotonic() - started:.1f} s after it was back")
        self.check((*self.others, *(Row(origin, f"{name}@athome.tld", TAKEN, relayed(f"{name}@athome.tld", "athome.tld"))
                                    for origin, name in ((REMOTE, "anybody"), (LOCAL, "local")))))
        self.assertEqual(self.worse.sessions, 0)
        self.assertNotIn("loops back", self.log())


if __name__ == "__main__":
    unittest.main()
