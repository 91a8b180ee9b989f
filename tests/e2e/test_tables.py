"""Tables of every kind behind real sessions: a program of the table protocol, a database of makemap, SQLite; and a program that
does not behave costs temporary failures and nothing else."""

import imaplib
import os
import shutil
import smtplib
import sqlite3
import ssl
import subprocess
import threading
import time
import unittest

import harness
from harness import DOMAIN, PASSWORD

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES = os.path.join(HERE, "../fuzz/corpus/berkeley_db")

# One account has all the mail; the tables under test decide who that is.
CONFIG = """\
mailname "{domain}"
spool "{data}/spool"
libexec "{home}"
pki {domain} cert "{home}/cert.pem"
pki {domain} key "{home}/key.pem"
table accounts file:{home}/accounts
{extra}
listen on 127.0.0.1 port {smtp} tls pki {domain}
listen on 127.0.0.1 port {submission} tls-require pki {domain} auth <logins>
listen on 127.0.0.1 port {imap} proto imap tls pki {domain} auth <logins>
listen on 127.0.0.1 port {imaps} proto imap smtps pki {domain} auth <logins>
action "plain" maildir "{data}/mail/%{{user.username}}" alias {{ postmaster = alice }} userbase <accounts>
action "deliver" maildir "{data}/mail/%{{user.username}}" virtual <addresses> userbase <accounts>
{rules}
match from any for domain "plain.test" action "plain"
match from any for domain <domains> action "deliver"
"""


class Tables(unittest.TestCase):
    def serve(self, extra, program=None, rules="", prepare=None):
        """Starts a server whose home holds two databases of makemap's and, with `program` for its file, table-test."""
        def put(server):
            for name in ("aliases_hash", "aliases_btree"):
                shutil.copy(f"{SAMPLES}/{name}", f"{server.home}/{name}.db")
            if program is not None:
                shutil.copy(f"{HERE}/table_program.py", f"{server.home}/table-test")
                os.chmod(f"{server.home}/table-test", 0o755)
                harness.write(f"{server.home}/program", program)
            if prepare is not None:
                prepare(server)
        server = harness.Server(names=("alice", "bob", "carol"), extra=extra, rules=rules, config=CONFIG, prepare=put)
        self.addCleanup(server.close)
        return server

    def rcpt(self, server, *recipients, sender="x@client.test"):
        with harness.Session(server.ports["smtp"], timeout=60) as session:
            session.reply()
            session.command("EHLO client.test")
            session.command(f"MAIL FROM:<{sender}>")
            return [session.command(f"RCPT TO:<{each}>")[:3] for each in recipients]

    def login(self, server, user, password):
        context = ssl.create_default_context(cafile=f"{server.home}/cert.pem")
        context.check_hostname = False
        with smtplib.SMTP("127.0.0.1", server.ports["submission"], timeout=60) as smtp:
            smtp.starttls(context=context)
            try:
                return smtp.login(user, password)[0]
            except smtplib.SMTPAuthenticationError as refused:
                return refused.smtp_code
            except smtplib.SMTPResponseException as refused:
                return refused.smtp_code

    PROGRAM = f"""\
domain {DOMAIN} {DOMAIN}
domain *.sub.test x
alias alice@{DOMAIN} alice
alias all@{DOMAIN} bob, carol
auth alice@{DOMAIN}:{PASSWORD.replace(' ', '_')} x
mailaddr friend@client.test x
"""
    THREE = "".join(f"table {name} test:{{home}}/program\n" for name in ("domains", "addresses", "logins", "friends"))

    def test_a_program_serves_every_service(self):
        server = self.serve(self.THREE, program=self.PROGRAM,
                            rules='match from any mail-from <friends> for domain "friends.test" action "plain"')
        self.assertEqual(self.rcpt(server, f"Alice@{DOMAIN}", f"all@{DOMAIN}", f"nobody@{DOMAIN}", "x@elsewhere.test"),
                         ["250", "250", "524", "550"])
        self.assertEqual(self.rcpt(server, "postmaster@friends.test"), ["550"])
        self.assertEqual(self.rcpt(server, "postmaster@friends.test", sender="friend@client.test"), ["250"])
        self.assertEqual(self.login(server, f"alice@{DOMAIN}", PASSWORD.replace(" ", "_")), 235)
        self.assertEqual(self.login(server, f"alice@{DOMAIN}", PASSWORD.replace(" ", "_").upper()), 535)
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=20) as smtp:
            smtp.sendmail("x@client.test", [f"all@{DOMAIN}"], "Subject: to two\n\nhello\n")
        server.wait_for_messages("bob", 1)
        server.wait_for_messages("carol", 1)
        with open(f"{server.home}/program.asked", encoding="utf-8") as file:
            asked = file.read()
        self.assertRegex(asked, rf"table\|0\.1\|\d+\.\d{{6}}\|addresses\|lookup\|alias\|[0-9a-f]{{8}}\|all@{DOMAIN}\n")

    def test_programs_that_misbehave(self):
        for how, limit in (("die", 5), ("lie", 5), ("flood", 5), ("hang", 15)):
            with self.subTest(how):
                server = self.serve(self.THREE, program=self.PROGRAM + f"misbehave {how}\n")
                begun = time.monotonic()
                self.assertEqual(self.rcpt(server, f"alice@{DOMAIN}"), ["451"])
                self.assertLess(time.monotonic() - begun, limit)
                # What needs no answer of it goes on, and the next who asks is told at once.
                begun = time.monotonic()
                self.assertEqual(self.rcpt(server, "postmaster@plain.test", f"alice@{DOMAIN}"), ["250", "451"])
                self.assertLess(time.monotonic() - begun, 2)
                self.assertEqual(self.login(server, f"alice@{DOMAIN}", "x"), 454)
                if how == "die":
                    self.assertIn("cannot reach the directory", server.log())
                # The program is mended: the server comes back by itself.
                harness.write(f"{server.home}/program", self.PROGRAM)
                deadline = time.monotonic() + 30
                while self.rcpt(server, f"alice@{DOMAIN}") != ["250"]:
                    self.assertLess(time.monotonic(), deadline, server.log())
                    time.sleep(0.5)
                server.close()

    def test_a_program_that_hangs_holds_up_nobody_else(self):
        """Twenty clients and eight logins by IMAP wait for a program that does not answer: mail that needs no word of it is
        taken and delivered."""
        server = self.serve(self.THREE, program=self.PROGRAM + "misbehave hang\n")
        answers = []
        waiting = [threading.Thread(target=lambda: answers.extend(self.rcpt(server, f"alice@{DOMAIN}"))) for _ in range(20)]
        refused = []

        def log_in():
            with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=ssl._create_unverified_context()) as imap:
                try:
                    imap.login(f"alice@{DOMAIN}", "x")
                except imaplib.IMAP4.error as error:
                    refused.append(str(error))

        waiting += [threading.Thread(target=log_in) for _ in range(8)]
        begun = time.monotonic()
        for each in waiting:
            each.start()
        time.sleep(0.5)
        for _ in range(5):
            with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=20) as smtp:
                smtp.sendmail("x@client.test", ["postmaster@plain.test"], "Subject: quick\n\nhello\n")
        server.wait_for_messages("alice", 5)
        self.assertLess(time.monotonic() - begun, 5)
        self.assertEqual(answers, [])
        for each in waiting:
            each.join(100)
        self.assertEqual(answers, ["451"] * 20)
        self.assertEqual(len(refused), 8)
        # Two rounds of ten seconds; one after another they would take 280.
        self.assertLess(time.monotonic() - begun, 100)

    def test_the_program_ends_with_the_server(self):
        server = self.serve(self.THREE, program=self.PROGRAM)
        self.rcpt(server, f"alice@{DOMAIN}")
        found = subprocess.run(["pgrep", "-f", f"{server.home}/table-test"], capture_output=True, text=True, check=False)
        self.assertNotEqual(found.stdout, "")
        self.assertEqual(server.stop(), 0)
        found = subprocess.run(["pgrep", "-f", f"{server.home}/table-test"], capture_output=True, text=True, check=False)
        self.assertEqual(found.stdout, "")

    def test_makemap_and_its_new_file(self):
        """The files are Debian's makemap's, hash and btree; db5.3_load writes one in the way of the same library."""
        server = self.serve("table domains {{ \"example.org\" }}\ntable addresses db:{home}/aliases_hash.db\n"
                            "table logins file:{home}/logins\n")
        self.assertEqual(self.rcpt(server, "any@example.org", "carol@example.org"), ["550", "550"])  # dave is no account
        load = shutil.which("db5.3_load")
        if load is None:
            self.skipTest("db5.3_load is not there")
        for kind in ("hash", "btree"):
            new = f"{server.home}/new.db"
            pairs = "".join(f"user{i}@example.org\\00\nalice\\00\n" for i in range(5000)) + "carol\\00\nbob\\00\n"
            subprocess.run([load, "-T", "-t", kind, new], input=pairs, text=True, check=True)
            os.replace(new, f"{server.home}/aliases_hash.db")
            deadline = time.monotonic() + 10
            while self.rcpt(server, "user4999@example.org", "carol@example.org", "any@example.org") != ["250", "250", "524"]:
                self.assertLess(time.monotonic(), deadline, server.log())
                time.sleep(0.2)
            shutil.copy(f"{SAMPLES}/aliases_btree", f"{server.home}/old.db")
            os.replace(f"{server.home}/old.db", f"{server.home}/aliases_hash.db")
            deadline = time.monotonic() + 10
            while self.rcpt(server, "user4999@example.org") == ["250"]:
                self.assertLess(time.monotonic(), deadline, server.log())
                time.sleep(0.2)

    def test_sqlite_beside_its_writer(self):
        def prepare(server):
            with sqlite3.connect(f"{server.home}/mail.db") as db:
                db.executescript(f"""
                    CREATE TABLE a(k TEXT, v TEXT); CREATE TABLE d(k TEXT); CREATE TABLE u(k TEXT, h TEXT);
                    INSERT INTO a VALUES('alice@{DOMAIN}', 'alice'), ('two@{DOMAIN}', 'bob'), ('two@{DOMAIN}', 'carol');
                    INSERT INTO d VALUES('{DOMAIN}');""")
                db.execute("INSERT INTO u VALUES(?, ?)", (f"alice@{DOMAIN}", harness.password_hash()))
            harness.write(f"{server.home}/sql", f"""\
dbpath {server.home}/mail.db
query_alias SELECT v FROM a WHERE k=?;
query_domain SELECT k FROM d WHERE k=?;
query_credentials SELECT k, h FROM u WHERE k=?;
""")
        server = self.serve("".join(f"table {name} sqlite:{{home}}/sql\n" for name in ("domains", "addresses", "logins")),
                            prepare=prepare)
        self.assertEqual(self.rcpt(server, f"ALICE@{DOMAIN}", f"no@{DOMAIN}", "x@other.test", f"'||'@{DOMAIN}"),
                         ["250", "524", "550", "524"])
        self.assertEqual(self.login(server, f"alice@{DOMAIN}", PASSWORD), 235)
        self.assertEqual(self.login(server, f"alice@{DOMAIN}", "wrong"), 535)
        self.assertEqual(self.login(server, f"mallory@{DOMAIN}", PASSWORD), 535)
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=20) as smtp:
            smtp.sendmail("x@client.test", [f"two@{DOMAIN}"], "Subject: to two\n\nhello\n")
        server.wait_for_messages("bob", 1)
        server.wait_for_messages("carol", 1)
        # What its owner writes is seen at once; while he holds it, mail waits with a 451.
        owner = sqlite3.connect(f"{server.home}/mail.db", isolation_level=None)
        owner.execute("INSERT INTO a VALUES(?, 'bob')", (f"new@{DOMAIN}",))
        self.assertEqual(self.rcpt(server, f"new@{DOMAIN}"), ["250"])
        owner.execute("BEGIN EXCLUSIVE")
        self.assertEqual(self.rcpt(server, f"new@{DOMAIN}", "postmaster@plain.test"), ["451", "250"])
        owner.execute("ROLLBACK")
        self.assertEqual(self.rcpt(server, f"new@{DOMAIN}"), ["250"])
        owner.close()


if __name__ == "__main__":
    unittest.main()
