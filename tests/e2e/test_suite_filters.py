"""The suite's configurations with filters, on a machine of their own, run without root's rights.

What their filters do is listed in known_failures.txt for as long as this version runs no programs of theirs; a configuration that starts as it
stands must leave the list. Everything else that the suite says of them is shown on the same files without their filters:
without_filters() takes out the lines that declare one and the `filter` option wherever it stands, and nothing more."""

import os
import re
import shutil
import subprocess
import unittest

import suite
import world
from suite import BY_SOCKET, LOCAL, NO_RULE, NO_VIRTUAL, REMOTE, TAKEN, Origin, Row, maildir, mbox, relayed, submission

FILTERED = ("athome-dkimsign.conf", "athome-rspamd.conf", "athome-senderscore.conf", "athome-spamassassin-filter.conf",
            "hypno-cat-junk.conf", "hypno-cat.conf", "ircnow-maildir.conf", "openbsd69-full.conf")
RECORDS = {**suite.ELSEWHERE, ("mx.elsewhere.test", "AAAA"): [world.PEER_ADDRESS6]}


load_tests = suite.load_tests


class Filters(suite.Outside):
    inside = "test_suite_filters"


def setUpModule():
    suite.set_up(RECORDS, unprivileged=True)
    if world.inside():
        suite.MACHINE.add_sink(world.PEER_ADDRESS6)


def without_filters(text):
    text = re.sub(r"\\\n\s*", "", text)
    lines = [line for line in text.splitlines() if not line.startswith("filter ")]
    return re.sub(r"\s+filter\s+(\{[^}]*\}|\"[^\"]*\"|[$\w]+)", "", "\n".join(lines)) + "\n"


class WithoutFilters(suite.InWorld):
    config = ""

    @classmethod
    def adapt(cls, text):
        text = without_filters(super().adapt(text))
        assert "filter" not in re.sub(r"(?m)^#.*|^filters = .*", "", text), text
        return text


def box(path):
    return maildir(f"/var/vmail/{path}/Maildir", "_vmail")


class Athome(WithoutFilters):
    """What the four configurations for virtual users have in common."""

    config = ""
    tables = "athome"
    junk = ""  # where in the Maildir mail goes that says it is spam
    batman = submission(("batman@athome.tld", "batman-test-pass"))

    def test_rows(self):
        spam = {"header": "X-Spam: yes\r\n"}
        self.check((
            Row(REMOTE, "BATMAN@athome.tld", TAKEN, box("athome.tld/batman")),
            Row(REMOTE, "heroes@athome.tld", TAKEN, box("athome.tld/batman"), box("athome.tld/superman")),
            Row(REMOTE, "superman@athome.tld", TAKEN,
                maildir("/var/vmail/athome.tld/superman/Maildir" + self.junk, "_vmail"), **spam),
            Row(REMOTE, "jwayne@athome.tld", TAKEN, relayed("batman@wayne.com")),
            Row(REMOTE, "joker@athome.tld", NO_VIRTUAL),
            Row(REMOTE, "bruce@localhost", TAKEN, maildir("/var/home/bruce/Maildir", "bruce"), **spam),
            Row(REMOTE, "remote@elsewhere.test", NO_RULE),
            Row(self.batman, "auth@elsewhere.test", TAKEN, relayed("auth@elsewhere.test")),
            Row(LOCAL, "local@elsewhere.test", TAKEN, relayed("local@elsewhere.test")),
            Row(BY_SOCKET, "socket@elsewhere.test", TAKEN, relayed("socket@elsewhere.test")),
        ))

    def test_submission_needs_tls_and_a_login(self):
        client = self.client(587, remote=True)
        self.assertRegex(client.text("MAIL FROM:<a@athome.tld>"), r"^530 5\.5\.1 .*STARTTLS")
        client.secure()
        self.assertRegex(client.text("MAIL FROM:<a@athome.tld>"), r"^530 5\.5\.1 .*AUTH")
        self.assertRegex(client.text("AUTH PLAIN " + suite.plain("batman@athome.tld", "superman-test-pass")), "^535 ")
        self.assertEqual(self.subject_of_certificate(587), "athome.tld")
        client = self.client(remote=True)
        self.assertTrue(client.has_extn("starttls"))
        client.secure()
        self.assertFalse(client.has_extn("auth"))


class AthomeDkimsign(Athome):
    config = "athome-dkimsign.conf"


class AthomeRspamd(Athome):
    config = "athome-rspamd.conf"
    junk = "/.Junk"


class AthomeSenderscore(Athome):
    config = "athome-senderscore.conf"
    junk = "/.Junk"


class AthomeSpamassassinFilter(Athome):
    config = "athome-spamassassin-filter.conf"
    junk = "/.Junk"


class Hypno(WithoutFilters):
    config = ""
    tables = "hypno-cat"
    certificates = (("/etc/ssl/mail.hypno.cat.fullchain.pem", "/etc/ssl/private/mail.hypno.cat.key", "mail.hypno.cat"),)
    john = submission(("john", "john-pass"))
    rows = (
        Row(REMOTE, "john@hypno.cat", TAKEN, maildir("/var/home/john/Maildir", "john")),
        *(Row(REMOTE, "john@hypno.cat", TAKEN, maildir("/var/home/john/Maildir" + folder, "john"), header=f"{header}\r\n")
          for header, folder in (("X-Spam: yes", "/.Junk"), ("x-spam: YES", "/.Junk"), ("X-Spam: yes, very", ""))),
        Row(REMOTE, "abuse@hypno.cat", TAKEN, maildir("/var/home/gilles/Maildir", "gilles")),
        Row(REMOTE, "nobody-there@hypno.cat", NO_RULE),
        Row(REMOTE, "john@mail.hypno.cat", NO_RULE),
        Row(REMOTE, "somebody@elsewhere.test", NO_RULE),
        Row(REMOTE._replace(tls="starttls"), "somebody@elsewhere.test", NO_RULE),
        Row(john, "auth@elsewhere.test", TAKEN, relayed("auth@elsewhere.test")),
        Row(john, "gilles@hypno.cat", TAKEN, maildir("/var/home/gilles/Maildir", "gilles")),
        Row(LOCAL, "root@mail.hypno.cat", TAKEN, maildir("/var/home/gilles/Maildir", "gilles")),
        Row(LOCAL, "postmaster@localhost", TAKEN, maildir("/var/home/gilles/Maildir", "gilles")),
        Row(LOCAL, "local@elsewhere.test", TAKEN, relayed("local@elsewhere.test")),
        Row(BY_SOCKET, "socket@elsewhere.test", TAKEN, relayed("socket@elsewhere.test")),
    )

    def test_what_is_offered(self):
        client = self.client(remote=True)
        self.assertRegex(client.ehlo_resp.decode(), "^mail.hypno.cat ")
        self.assertTrue(client.has_extn("starttls"))
        client.secure()
        self.assertFalse(client.has_extn("auth"))
        client = self.client(587, remote=True)
        self.assertFalse(client.has_extn("auth"))
        self.assertRegex(client.text("MAIL FROM:<a@hypno.cat>"), r"^530 5\.5\.1 .*STARTTLS")
        client.secure()
        self.assertRegex(client.text("MAIL FROM:<a@hypno.cat>"), r"^530 5\.5\.1 .*AUTH")
        self.assertRegex(client.text("AUTH PLAIN " + suite.plain("john", "wrong")), "^535 ")

    def test_the_name_it_relays_by(self):
        self.session(self.john).mail_to("name@elsewhere.test")

        def helos():
            return [mail.helo for sink in suite.MACHINE.sinks for mail in sink.mails if mail.recipients == ["name@elsewhere.test"]]
        self.wait("waited for the mail", helos)
        self.assertEqual(helos(), ["mail.hypno.cat"])


class HypnoCat(Hypno):
    config = "hypno-cat.conf"


class HypnoCatJunk(Hypno):
    config = "hypno-cat-junk.conf"


class Openbsd69Full(WithoutFilters):
    config = "openbsd69-full.conf"
    tables = "openbsd69"
    vmail = "vmail"
    certificates = (("/etc/ssl/mail.example.com.fullchain.pem", "/etc/ssl/private/mail.example.com.key", "mail.example.com"),)
    logins = tuple((f"{name}@example.com", f"{name}-test-pass") for name in ("john", "peter", "mary"))
    rows = (
        *(Row(REMOTE, recipient, TAKEN, maildir(f"/var/vmail/example.com/{user}", "vmail"), header=header)
          for recipient, user, header in (("John@example.com", "john", ""), ("postmaster@example.com", "john", ""),
                                          ("peter@example.com", "peter", "X-Spam: yes\r\n"))),
        Row(REMOTE, "nobody-there@example.com", NO_VIRTUAL),
        Row(REMOTE, "somebody@elsewhere.test", NO_RULE),
        Row(REMOTE, "john@localhost", NO_RULE),
        *(Row(submission(login), f"{login[0].split('@')[0]}@elsewhere.test", TAKEN,
              relayed(f"{login[0].split('@')[0]}@elsewhere.test"), sender=login[0]) for login in logins),
        Row(submission(logins[0]), "mary@example.com", TAKEN, maildir("/var/vmail/example.com/mary", "vmail")),
        Row(LOCAL, "local@elsewhere.test", TAKEN, relayed("local@elsewhere.test")),
        Row(LOCAL, "mary@example.com", TAKEN, maildir("/var/vmail/example.com/mary", "vmail")),
        Row(LOCAL, "daemon@mail.example.com", TAKEN, mbox("john")),
    )

    def test_what_is_offered_and_where(self):
        ours = {world.OUR_ADDRESS, f"[{world.OUR_ADDRESS6}]"}
        self.assertEqual(self.listening(), {(each, "25") for each in ours | {"127.0.0.1", "[::1]"}} | {(each, "587") for each in ours})
        client = self.client(remote=True)
        self.assertRegex(client.ehlo_resp.decode(), r"^mail\.example\.com\.example\.com ")
        self.assertTrue(client.has_extn("starttls"))
        client = self.client(587, remote=True)
        self.assertRegex(client.ehlo_resp.decode(), r"^mail\.example\.com ")
        self.assertRegex(client.text("MAIL FROM:<john@example.com>"), r"^530 5\.5\.1 .*STARTTLS")
        client.secure()
        self.assertRegex(client.text("MAIL FROM:<john@example.com>"), r"^530 5\.5\.1 .*AUTH")
        for login in (("john@example.com", "peter-test-pass"), ("john", "john-test-pass")):
            self.assertRegex(client.text("AUTH PLAIN " + suite.plain(*login)), "^535 ")

    def test_the_received_field_says_nothing_of_the_client(self):
        self.session(REMOTE).mail_to("mary@example.com", subject="masked")
        text = self.assert_maildir("/var/vmail/example.com/mary", "vmail", "masked")
        self.assertRegex(text, r"(?m)^Received: *(\n\s)?by mail\.example\.com\.example\.com ")
        self.assertNotIn("client.example", text)
        self.assertNotIn(world.PEER_ADDRESS, text)


IRCNOW = "192.168.0.1"
IRCNOW6 = "2001:db8::"
OUTSIDE = Origin(world.PEER_ADDRESS, IRCNOW)
USERNAME = ("username", "username-pass")


class IrcnowMaildir(WithoutFilters):
    config = "ircnow-maildir.conf"
    tables = "ircnow"
    certificates = (("/etc/ssl/example.com.crt", "/etc/ssl/private/example.com.key", "example.com"),)
    home = maildir("/var/home/username/Maildir", "username")
    rows = (
        *(Row(origin, f"{domain}", TAKEN, maildir("/var/home/username/Maildir", "username"))
          for origin in (OUTSIDE, Origin(world.PEER_ADDRESS6, IRCNOW6))
          for domain in ("username@example.com", "UserName@mail.example.com")),
        Row(OUTSIDE, "username@example.com", TAKEN, maildir("/var/home/username/Maildir/.Junk", "username"),
            header="X-Spam: yes\r\n"),
        Row(OUTSIDE, "root@example.com", TAKEN, maildir("/var/home/username/Maildir", "username"),
            relayed("username@mail.example")),
        Row(OUTSIDE, "jane@example.com", TAKEN, relayed("jane@mail.example")),
        Row(OUTSIDE, "nobody-there@example.com", NO_RULE),
        Row(OUTSIDE, "somebody@elsewhere.test", NO_RULE),
        Row(OUTSIDE, "username@localhost", NO_RULE),
        # "Not checked for unauthenticated sessions."
        Row(OUTSIDE, "username@example.com", TAKEN, maildir("/var/home/username/Maildir", "username"), sender="jane@example.com"),
        Row(LOCAL, "local@elsewhere.test", TAKEN, relayed("local@elsewhere.test")),
        Row(BY_SOCKET, "socket@elsewhere.test", TAKEN, relayed("socket@elsewhere.test")),
        *(Row(Origin(source, IRCNOW), f"from-{source}@elsewhere.test", TAKEN, relayed(f"from-{source}@elsewhere.test"))
          for source in ("198.51.100.7", "203.0.113.77")),
        Row(Origin("198.51.100.8", IRCNOW), "from-another@elsewhere.test", NO_RULE),
        *(Row(Origin(world.PEER_ADDRESS, IRCNOW, port, tls, USERNAME), f"auth{port}@elsewhere.test", TAKEN,
              relayed(f"auth{port}@elsewhere.test"), sender="username@example.com")
          for port, tls in ((25, "starttls"), (465, "smtps"), (587, "starttls"))),
        *(Row(Origin(world.PEER_ADDRESS6, IRCNOW6, port, tls, USERNAME), f"auth6-{port}@elsewhere.test", TAKEN,
              relayed(f"auth6-{port}@elsewhere.test"), sender="username@example.com")
          for port, tls in ((25, "starttls"), (465, "smtps"), (587, "starttls"))),
    )

    @classmethod
    def prepare(cls):
        for address in (IRCNOW, IRCNOW6, "192.168.1.1"):
            suite.MACHINE.add_address(address)
        for address in ("198.51.100.7", "203.0.113.77", "198.51.100.8"):
            suite.MACHINE.add_peer_address(address)

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        for address in (IRCNOW, IRCNOW6, "192.168.1.1"):
            suite.MACHINE.remove_address(address)

    def test_where_it_listens(self):
        self.assertEqual(self.listening(), {("127.0.0.1", "25"), ("[::1]", "25")} |
                         {(address, port) for address in (IRCNOW, f"[{IRCNOW6}]") for port in ("25", "465", "587")})
        self.assertTrue(os.path.exists(suite.SOCKET))

    def test_what_is_offered(self):
        client = self.client()
        self.assertRegex(client.ehlo_resp.decode(), "^example.com ")
        self.assertFalse(client.has_extn("starttls") or client.has_extn("auth"))
        client = self.session(OUTSIDE)
        self.assertRegex(client.ehlo_resp.decode(), "^example.com ")
        self.assertTrue(client.has_extn("starttls"))
        self.assertFalse(client.has_extn("auth"))
        client.secure()
        self.assertTrue(client.has_extn("auth"))
        client = self.session(Origin(world.PEER_ADDRESS, IRCNOW, 465, "smtps"))
        self.assertFalse(client.has_extn("starttls"))
        self.assertRegex(client.text("MAIL FROM:<username@example.com>"), r"^530 5\.5\.1 .*AUTH")
        client = self.session(Origin(world.PEER_ADDRESS, IRCNOW, 587))
        self.assertRegex(client.text("MAIL FROM:<username@example.com>"), r"^530 5\.5\.1 .*STARTTLS")
        client.secure()
        self.assertRegex(client.text("MAIL FROM:<username@example.com>"), r"^530 5\.5\.1 .*AUTH")
        for port in (25, 465, 587):
            self.assertEqual(self.subject_of_certificate(port, address=IRCNOW), "example.com")

    def test_senders(self):
        for port, tls in ((25, "starttls"), (465, "smtps"), (587, "starttls")):
            for login, good, bad in (("username", ("username@example.com", "USERNAME@Example.com"),
                                      ("jane@example.com", "username@elsewhere.test", "username@mail.example.com", "")),
                                     ("bruce", (), ("bruce@example.com", "username@example.com"))):
                client = self.session(Origin(world.PEER_ADDRESS, IRCNOW, port, tls, (login, f"{login}-pass")))
                for sender in good:
                    self.assertRegex(client.text(f"MAIL FROM:<{sender}>"), "^250 ", (port, login, sender))
                    client.rset()
                for sender in bad:
                    self.assertRegex(client.text(f"MAIL FROM:<{sender}>"), "^530 .*Sender rejected", (port, login, sender))

    def test_the_received_field_says_nothing_of_the_client(self):
        self.session(OUTSIDE).mail_to("username@example.com", subject="masked")
        text = self.assert_maildir("/var/home/username/Maildir", "username", "masked")
        self.assertRegex(text, r"(?m)^Received: *(\n\s)?by example\.com ")
        self.assertNotIn("client.example", text)
        self.assertNotIn(world.PEER_ADDRESS, text)

    def test_source_addresses_take_turns(self):
        client = self.session(LOCAL)
        for number in range(6):
            client.mail_to(f"turn{number}@elsewhere.test")

        def clients():
            return {mail.recipients[0]: mail.client for sink in suite.MACHINE.sinks for mail in sink.mails
                    if mail.recipients[0].startswith("turn")}
        self.wait("waited for six mails", lambda: len(clients()) == 6)
        self.assertEqual(set(clients().values()), {"192.168.1.1", IRCNOW6})


class AsTheyStand(unittest.TestCase):
    """Whether the daemon takes the files with their filters."""

    def test_known_failures(self):
        known = suite.known_failures("smtpd.conf/e2e")
        failed = {}
        # The files are judged on the machine that they are for.
        os.makedirs("/var/spool", exist_ok=True)
        for address in (IRCNOW, IRCNOW6, "192.168.1.1"):
            suite.MACHINE.add_address(address)
            self.addCleanup(suite.MACHINE.remove_address, address)
        for name in FILTERED:
            shutil.rmtree("/etc/mail")
            front = name.split("-")[0]
            tables = {"hypno": "hypno-cat"}.get(front, front)
            shutil.copytree(os.path.join(suite.SUITE, "tables", tables), "/etc/mail")
            for certificate, key, host in (*Hypno.certificates, *Openbsd69Full.certificates, *IrcnowMaildir.certificates,
                                           ("/etc/ssl/athome.tld.crt", "/etc/ssl/private/athome.tld.key", "athome.tld")):
                if not os.path.exists(certificate):
                    suite.MACHINE.make_certificate(certificate, key, host)
            done = subprocess.run([suite.SMTPD, "-n", "-f", os.path.join(suite.SUITE, name)], capture_output=True, text=True,
                                  timeout=20, check=False)
            if done.returncode != 0:
                failed[name] = done.stderr
        for name, text in failed.items():
            if name in known:
                print(f"known failure: smtpd.conf/e2e {name}: {known[name]}")
            # Nothing but filters is in the way.
            for line in text.splitlines():
                self.assertRegex(line, r": warning: ")
        print(f"smtpd.conf/e2e: {len(FILTERED) - len(failed)} of {len(FILTERED)} configurations with filters run as they stand")
        self.assertEqual(sorted(failed), sorted(known), "what fails must stand in known_failures.txt, and what runs must leave it")


if __name__ == "__main__":
    unittest.main()
