"""The configurations of the smtpd.conf suite with users of the system, and with virtual ones, word for word, on a machine of their
own: what the suite's README says that a server started with each must do."""

import imaplib
import mailbox
import os
import pwd
import socket
import ssl
import subprocess
import unittest

import suite
import world
from suite import BY_SOCKET, LOCAL, NO_RULE, NO_VIRTUAL, REMOTE, TAKEN, Origin, Row, maildir, mbox, relayed

LOCAL6 = Origin(address="::1")

RECORDS = suite.ELSEWHERE


load_tests = suite.load_tests


class Configs(suite.Outside):
    inside = "test_configs"


def setUpModule():
    suite.set_up(RECORDS)


class OpenbsdDefault(suite.InWorld):
    config = "openbsd-default.conf"
    tables = "openbsd"
    rows = tuple(Row(origin, recipient, TAKEN, place)
                 for origin in (LOCAL, LOCAL6, BY_SOCKET)
                 for recipient, place in (("alice@mail.example.org", mbox("alice")), ("Gilles@LocalHost", mbox("gilles")),
                                          ("abuse", mbox("alice")), ("root@localhost", mbox("alice")),
                                          ("anybody@elsewhere.test", relayed("anybody@elsewhere.test"))))

    def test_is_reached_on_loopback_alone(self):
        self.assertEqual(self.listening(), {("127.0.0.1", "25"), ("[::1]", "25")})
        with self.assertRaises(ConnectionRefusedError):
            suite.MACHINE.connect_from_peer(world.OUR_ADDRESS, 25)

    def test_greets_by_its_name_and_offers_neither_tls_nor_auth(self):
        with socket.create_connection(("127.0.0.1", 25), 20) as plain:
            self.assertRegex(plain.makefile("rb").readline(), rb"^220 mail\.example\.org ESMTP")
        client = self.client()
        self.assertFalse(client.has_extn("starttls"))
        self.assertFalse(client.has_extn("auth"))
        self.assertRegex(client.text("STARTTLS"), "^50[02] ")
        self.assertRegex(client.text("AUTH PLAIN"), "^50[23] ")

    def test_recipients(self):
        client = self.client()
        for recipient in ("alice@mail.example.org", "ALICE@Mail.Example.ORG", "gilles@localhost", "root@localhost",
                          "postmaster", "Postmaster@mail.example.org", "abuse@mail.example.org", "somebody@elsewhere.test"):
            with self.subTest(recipient):
                self.taken(client, recipient)
        for recipient in ("nobody-there@mail.example.org", "nobody-there@localhost"):
            with self.subTest(recipient):
                self.refused(client, recipient, "^550 .*Invalid recipient")

    def test_aliases_then_the_users_mbox(self):
        self.client().mail_to("postmaster", "First line.\r\nFrom here on a line that looks like mbox's own.\r\n.\r\n",
                           subject="for alice")
        path = "/var/mail/alice"
        self.wait("waited for the mbox", lambda: os.path.exists(path) and "mbox's own" in open(path).read())
        self.assert_owner(path, "alice", 0o600)
        box = mailbox.mbox(path)
        mail = [each for each in box if each["Subject"] == "for alice"]
        self.assertEqual(len(mail), 1)
        self.assertIn("From here on", mail[0].get_payload())
        account = pwd.getpwnam("alice")
        read = subprocess.run(["cat", path], user=account.pw_uid, group=account.pw_gid, extra_groups=[], check=True,
                              capture_output=True)
        self.assertIn(b"Subject: for alice", read.stdout)
        # A second one goes behind the first, and no lock is left.
        self.client().mail_to("Alice@localhost", subject="second for alice")
        self.wait("waited for the second", lambda: "second for alice" in open(path).read())
        self.wait("waited for the lock to go", lambda: os.listdir("/var/mail") == ["alice"] or "gilles" in os.listdir("/var/mail"))
        self.assertEqual([each["Subject"] for each in mailbox.mbox(path)][-2:], ["for alice", "second for alice"])

    def test_an_mbox_that_was_there_keeps_its_owner_and_mode(self):
        path = "/var/mail/gilles"
        account = pwd.getpwnam("gilles")
        suite.MACHINE.write(path, "From a@b Mon Jan  1 00:00:00 2024\nSubject: old\n\nold\n\n")
        os.chown(path, account.pw_uid, account.pw_gid)
        os.chmod(path, 0o660)
        self.client().mail_to("gilles@localhost", subject="new")
        self.wait("waited for the mbox", lambda: "Subject: new" in open(path).read())
        self.assert_owner(path, "gilles", 0o660)
        self.assertEqual([each["Subject"] for each in mailbox.mbox(path)], ["old", "new"])

    def test_a_link_in_the_spool_is_not_followed(self):
        suite.MACHINE.write("/var/tmp/target", "")
        os.chmod("/var/tmp/target", 0o666)
        os.symlink("/var/tmp/target", "/var/mail/john")
        self.client().mail_to("john@localhost", subject="through a link")
        self.wait("waited for the attempt", lambda: "john" in self.log() and "symbolic link" in self.log())
        self.assertEqual(os.path.getsize("/var/tmp/target"), 0)
        os.unlink("/var/mail/john")

    def test_the_rest_is_relayed_by_mx(self):
        self.client().mail_to("somebody@elsewhere.test", subject="abroad", sender="alice@mail.example.org")
        helo, sender, recipients, text = self.relayed("somebody@elsewhere.test")[0]
        self.assertEqual((helo, sender, recipients),
                         ("mail.example.org", "alice@mail.example.org", ["somebody@elsewhere.test"]))
        self.assertIn("Subject: abroad\r\n", text)
        self.assertRegex(text, r"(?m)^Received: from client\.example \(localhost \[127\.0\.0\.1\]\)")


class OpenbsdDefaultOnAll(suite.InWorld):
    """As the comment in the file says: "replace with: listen on all". A remote client gets in, and no further."""

    config = "openbsd-default.conf"
    tables = "openbsd"
    changes = (("listen on lo0", "listen on all"),)

    rows = (
        *(Row(REMOTE, recipient, NO_RULE) for recipient in ("alice@mail.example.org", "root@localhost", "a@elsewhere.test")),
        # An address of this machine is local, by whatever way it comes.
        Row(Origin(address=world.OUR_ADDRESS), "alice@mail.example.org", TAKEN, mbox("alice")),
        Row(Origin(address=world.OUR_ADDRESS6), "somebody@elsewhere.test", TAKEN, relayed("somebody@elsewhere.test")),
    )

    def test_a_remote_client_gets_550_for_every_recipient(self):
        client = self.client(remote=True)
        for recipient in ("alice@mail.example.org", "postmaster@mail.example.org", "root@localhost", "somebody@elsewhere.test"):
            with self.subTest(recipient):
                self.refused(client, recipient, "^550 .*Invalid recipient")

    def test_an_address_of_this_machine_is_local(self):
        client = suite.Client(world.OUR_ADDRESS)
        self.addCleanup(client.close)
        client.ehlo()
        self.taken(client, "alice@mail.example.org")
        self.taken(client, f"alice@[{world.OUR_ADDRESS}]")

    def test_every_address_is_served(self):
        self.assertEqual(self.listening(), {(f"[{each}]" if ":" in each else each, "25") for each in
                                            ("127.0.0.1", "::1", world.OUR_ADDRESS, world.OUR_ADDRESS6)})
        suite.MACHINE.connect_from_peer(world.OUR_ADDRESS6, 25).close()


class Submission:
    """What the two athome configurations have in common: 25 with STARTTLS, 587 with STARTTLS and AUTH forced."""

    right = ("", "")  # login and password
    wrong = ()

    def test_port_25_offers_starttls_once_and_never_auth(self):
        for remote in (False, True):
            client = self.client(remote=remote)
            self.assertRegex(client.ehlo_resp.decode(), "^athome.tld ")
            self.assertTrue(client.has_extn("starttls"))
            self.assertFalse(client.has_extn("auth"))
            client.secure()
            self.assertFalse(client.has_extn("starttls"))
            self.assertFalse(client.has_extn("auth"))
            self.taken(client, self.deliverable)

    def test_port_587_forces_starttls_then_auth(self):
        client = self.client(587, remote=True)
        self.assertTrue(client.has_extn("starttls"))
        self.assertFalse(client.has_extn("auth"))
        self.assertRegex(client.text("MAIL FROM:<a@athome.tld>"), r"^530 5\.5\.1 .*STARTTLS")
        self.assertRegex(client.text("AUTH PLAIN " + suite.plain(*self.right)), "^5(03|30|38) ")
        client.secure()
        self.assertFalse(client.has_extn("starttls"))
        self.assertEqual(sorted(client.esmtp_features["auth"].split()), ["LOGIN", "PLAIN"])
        self.assertRegex(client.text("MAIL FROM:<a@athome.tld>"), r"^530 5\.5\.1 .*AUTH")
        for login in self.wrong:
            with self.subTest(login):
                self.assertRegex(client.text("AUTH PLAIN " + suite.plain(*login)), "^535 ")
        client.login(*self.right)
        # A login sends as itself, and as nobody else of this server.
        self.assertRegex(client.text("MAIL FROM:<a@athome.tld>"), "^553 5.7.1 ")
        self.assertRegex(client.text(f"MAIL FROM:<{self.right[0].partition('@')[0]}@athome.tld>"), "^250 ")

    def test_a_remote_client_relays_nothing_without_auth(self):
        client = self.client(remote=True)
        for recipient in ("somebody@elsewhere.test", "info@domain.tld", "a%elsewhere.test@domain.tld", "\"a@elsewhere.test\"@b.test"):
            with self.subTest(recipient):
                self.refused(client, recipient, "^550 .*Invalid recipient")
        client.rset()
        client.secure()
        self.refused(client, "somebody@elsewhere.test", "^550 .*Invalid recipient")

    def test_authenticated_or_local_clients_relay(self):
        self.client(587, remote=True, secure=True, login=self.right).mail_to("auth@elsewhere.test", subject="by auth")
        self.client().mail_to("local@elsewhere.test", subject="by place")
        for name, subject in (("auth", "by auth"), ("local", "by place")):
            helo, _, _, text = self.relayed(f"{name}@elsewhere.test")[0]
            self.assertEqual(helo, "athome.tld")
            self.assertIn(f"Subject: {subject}\r\n", text)

    def test_the_received_field_tells_how_it_came(self):
        self.client(587, remote=True, secure=True, login=self.right).mail_to("trace@elsewhere.test")
        text = self.relayed("trace@elsewhere.test")[0][3]
        received = text[:text.index("\r\nFrom:")].replace("\r\n\t", " ").replace("\r\n ", " ")
        self.assertRegex(received, r"^Received: from client\.example \(.*\[192\.0\.2\.9\]\) .*by athome\.tld .*with ESMTPSA")
        # Submission adds what the client left out (RFC 6409 §8).
        self.assertRegex(text, r"(?m)^Date: ")
        self.assertRegex(text, r"(?m)^Message-I[Dd]: <")


class AthomeQuick(Submission, suite.InWorld):
    config = "athome-quick.conf"
    tables = "athome"
    deliverable = "john@athome.tld"
    right = ("bruce", "bruce-pass")
    wrong = (("bruce", "wrong"), ("nobody-there", "bruce-pass"))
    rows = (
        Row(REMOTE, "john@athome.tld", TAKEN, maildir("/var/home/john/Maildir", "john")),
        Row(REMOTE, "webmaster@athome.tld", TAKEN, maildir("/var/home/bruce/Maildir", "bruce")),
        Row(REMOTE, "postmaster@athome.tld", TAKEN, relayed("jdoe@domain.tld")),
        Row(REMOTE, "john@localhost", NO_RULE),
        Row(REMOTE, "john@domain.tld", NO_RULE),
        Row(suite.submission(right), "auth@elsewhere.test", TAKEN, relayed("auth@elsewhere.test")),
        Row(suite.submission(right), "jdoe@athome.tld", TAKEN, relayed("jdoe@domain.tld")),
        *(Row(origin, recipient, TAKEN, place)
          for origin in (LOCAL, LOCAL6, BY_SOCKET, Origin(address=world.OUR_ADDRESS))
          for recipient, place in (("john@localhost", maildir("/var/home/john/Maildir", "john")),
                                   ("local@elsewhere.test", relayed("local@elsewhere.test")))),
    )

    def test_mail_for_users(self):
        client = self.client(remote=True)
        client.mail_to("john@athome.tld", subject="for john")
        text = self.assert_maildir("/var/home/john/Maildir", "john", "for john")
        self.assertIn("Return-Path: <sender@elsewhere.test>\n", text)
        self.assertIn("Delivered-To: john@athome.tld\n", text)
        client.mail_to("JoHn@AtHome.TLD", subject="for JoHn")
        self.assert_maildir("/var/home/john/Maildir", "john", "for JoHn")
        client.mail_to("john+lists@athome.tld", subject="for john of the lists")
        self.assert_maildir("/var/home/john/Maildir", "john", "for john of the lists")

    def test_aliases(self):
        client = self.client(remote=True)
        client.mail_to("webmaster@athome.tld", subject="for the webmaster")
        self.assert_maildir("/var/home/bruce/Maildir", "bruce", "for the webmaster")
        self.assertFalse(os.path.exists("/var/home/jdoe/Maildir"))

    def test_a_foreign_alias_is_relayed(self):
        client = self.client(remote=True)
        for number, recipient in enumerate(("jdoe@athome.tld", "JDoe@athome.tld", "postmaster", "hostmaster@athome.tld"), 1):
            client.mail_to(recipient, subject=f"for jdoe {number}")
            mails = self.relayed("jdoe@domain.tld", number)
            self.assertTrue(any(f"Subject: for jdoe {number}\r\n" in text for _, _, _, text in mails))

    def test_others_are_refused(self):
        client = self.client(remote=True)
        for recipient in ("nobody-there@athome.tld", "../john@athome.tld", "root\\@athome.tld"):
            with self.subTest(recipient):
                self.refused(client, recipient, "^5(50|01|53) ")
        self.refused(client, "nobody-there@athome.tld", "^550 .*Invalid recipient")


class AthomeVirtual(Submission, suite.InWorld):
    config = "athome-virtual.conf"
    tables = "athome"
    deliverable = "superman@athome.tld"
    right = ("batman@athome.tld", "batman-test-pass")
    wrong = (("batman@athome.tld", "superman-test-pass"), ("batman", "batman-test-pass"), ("bruce", "bruce-pass"))
    root = "/var/vmail/athome.tld"
    rows = (
        Row(REMOTE, "superman@athome.tld", TAKEN, maildir(f"{root}/superman/Maildir", "_vmail")),
        Row(REMOTE, "SuperMan+X@athome.tld", TAKEN, maildir(f"{root}/superman+x/Maildir", "_vmail")),
        Row(REMOTE, "heroes@athome.tld", TAKEN, maildir(f"{root}/batman/Maildir", "_vmail"),
            maildir(f"{root}/superman/Maildir", "_vmail")),
        Row(REMOTE, "jwayne@athome.tld", TAKEN, relayed("batman@wayne.com")),
        Row(REMOTE, "joker@athome.tld", NO_VIRTUAL),
        Row(REMOTE, "info@domain.tld", NO_RULE),
        Row(REMOTE, "somebody@elsewhere.test", NO_RULE),
        *(Row(origin, "somebody@elsewhere.test", TAKEN, relayed("somebody@elsewhere.test"))
          for origin in (suite.submission(right), LOCAL, LOCAL6, BY_SOCKET)),
        Row(BY_SOCKET, "heroes@athome.tld", TAKEN, maildir(f"{root}/batman/Maildir", "_vmail"),
            maildir(f"{root}/superman/Maildir", "_vmail")),
        Row(REMOTE, "john@localhost", TAKEN, maildir("/var/home/john/Maildir", "john")),
    )

    def test_any_letter_case_into_one_maildir(self):
        client = self.client(remote=True)
        for number, recipient in enumerate(("batman@athome.tld", "BATMAN@athome.tld", "BatMan@AtHome.Tld")):
            client.mail_to(recipient, subject=f"case {number}")
            self.assert_maildir(f"{self.root}/batman/Maildir", "_vmail", f"case {number}")
        self.assert_owner(self.root, "_vmail", 0o700)
        self.assertFalse([each for each in os.listdir(self.root) if each != each.lower()])

    def test_a_tag_is_kept_in_the_path(self):
        self.client(remote=True).mail_to("Batman+Robin@athome.tld", subject="tagged")
        self.assert_maildir(f"{self.root}/batman+robin/Maildir", "_vmail", "tagged")

    def test_a_list_gives_two_copies(self):
        self.client(remote=True).mail_to("heroes@athome.tld", subject="to heroes")
        for hero in ("batman", "superman"):
            self.assert_maildir(f"{self.root}/{hero}/Maildir", "_vmail", "to heroes")
        self.assertFalse(os.path.exists(f"{self.root}/heroes"))

    def test_a_foreign_address_is_relayed(self):
        self.client(remote=True).mail_to("jwayne@athome.tld", subject="to bruce")
        self.assertIn("Subject: to bruce\r\n", self.relayed("batman@wayne.com")[0][3])

    def test_an_unlisted_address_is_refused_at_rcpt(self):
        client = self.client(remote=True)
        for recipient in ("joker@athome.tld", "bruce@athome.tld", "joker+batman@athome.tld"):
            with self.subTest(recipient):
                self.refused(client, recipient, r"^524 5\.2\.4 ")

    def test_system_users_get_mail_for_localhost_and_our_addresses(self):
        self.client().mail_to(["webmaster@localhost", f"john@[{world.OUR_ADDRESS}]"], subject="for the system")
        self.assert_maildir("/var/home/bruce/Maildir", "bruce", "for the system")
        self.assert_maildir("/var/home/john/Maildir", "john", "for the system")
        # The rule is `from any`: a remote client reaches them too.
        self.taken(self.client(remote=True), "bruce@localhost")


class AthomeQuickWithImap(suite.InWorld):
    """athome-quick and the one line that reads the mail: IMAP as root over Maildirs of users."""

    config = "athome-quick.conf"
    tables = "athome"
    changes = (("# ACTIONS", "listen on all port imaps proto imap smtps pki athome.tld auth\n# ACTIONS"),)

    def imap(self, user):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        session = imaplib.IMAP4_SSL(world.OUR_ADDRESS, 993, ssl_context=context, timeout=20)
        self.addCleanup(session.shutdown)
        session.login(user, user + "-pass")
        return session

    def test_all_files_are_the_users_own(self):
        self.client(remote=True).mail_to("gilles@athome.tld", subject="to be read")
        self.assert_maildir("/var/home/gilles/Maildir", "gilles", "to be read")
        session = self.imap("gilles")
        self.assertEqual(session.select("INBOX"), ("OK", [b"1"]))
        self.assertIn(b"Subject: to be read", session.fetch("1", "(BODY[HEADER])")[1][0][1])
        self.assertEqual(session.store("1", "+FLAGS", r"(\Flagged $later)")[0], "OK")
        self.assertEqual(session.create("Archive.2026"), ("OK", [b"CREATE completed"]))
        self.assertEqual(session.append("Archive.2026", r"(\Seen)", None, b"Subject: kept\r\n\r\nkept\r\n")[0], "OK")
        self.assertEqual(session.copy("1", "Archive.2026")[0], "OK")
        self.assertEqual(session.select("Archive.2026"), ("OK", [b"2"]))
        owners = {}
        uid = pwd.getpwnam("gilles").pw_uid
        for folder, folders, files in os.walk("/var/home/gilles"):
            for name in folders + files:
                info = os.lstat(f"{folder}/{name}")
                owners[f"{folder}/{name}"] = (info.st_uid, info.st_gid, bool(info.st_mode & 0o077))
        self.assertTrue(any("index" in path for path in owners), owners)
        self.assertEqual({path: owner for path, owner in owners.items() if owner != (uid, uid, False)}, {})

    def test_a_link_to_anothers_mail_shows_nothing_of_it(self):
        self.client(remote=True).mail_to("john@athome.tld", subject="private")
        self.assert_maildir("/var/home/john/Maildir", "john", "private")
        os.symlink("/var/home/john/Maildir", "/var/home/username/Maildir")
        with self.assertRaises((imaplib.IMAP4.error, AssertionError)):
            session = self.imap("username")
            self.assertEqual(session.select("INBOX")[0], "OK")
        self.assertFalse([each for each in os.listdir("/var/home/john/Maildir") if each not in ("tmp", "new", "cur")])

    def test_nobody_gets_in_with_anothers_password(self):
        with self.assertRaises(imaplib.IMAP4.error):
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            session = imaplib.IMAP4_SSL(world.OUR_ADDRESS, 993, ssl_context=context, timeout=20)
            self.addCleanup(session.shutdown)
            session.login("gilles", "john-pass")


if __name__ == "__main__":
    unittest.main()
