"""Logins with real clients: SCRAM with channel binding (gsasl, msmtp, mutt), certificates (openssl), guessing, senders."""

import base64
import concurrent.futures
import hashlib
import hmac
import os
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

import harness
from harness import DOMAIN, PASSWORD
from test_clients import in_terminal
from test_listeners import proxied

CONFIG = """\
mailname "mx.example.test"
spool "{data}/spool"
pki house cert "{home}/cert.pem" key "{home}/key.pem"
ca house cert "{folder}/ca.pem"
table logins file:{home}/secrets
table addresses file:{home}/addresses
table accounts file:{home}/accounts
{extra}
listen on 127.0.0.1 port {smtp} tls-require pki house auth <logins> proxy-v2
listen on 127.0.0.1 port {submission} tls-require pki house ca house auth <logins>
listen on 127.0.0.1 port {imap} proto imap tls-require pki house auth <logins> proxy-v2
listen on 127.0.0.1 port {imaps} proto imap smtps pki house ca house auth <logins>
action "here" maildir "{data}/mail/%{{user.username}}" virtual <addresses> userbase <accounts>
action "away" relay host smtp+notls://127.0.0.1:9
match from any for domain "{domain}" action "here"
match from any auth for any action "away"
"""
ALICE, BOB, CAROL = f"alice@{DOMAIN}", f"bob@{DOMAIN}", f"carol@{DOMAIN}"
GUESSES = int(os.environ.get("POSTERN_GUESSES", "1000"))

IMAPFLOW = """\
const [port, secure, user, pass, ca] = process.argv.slice(2);
const { ImapFlow } = require('imapflow');
const client = new ImapFlow({ host: 'localhost', port: Number(port), secure: Boolean(secure), doSTARTTLS: secure ? undefined : true,
  auth: { user, pass }, logger: false, tls: { ca: require('fs').readFileSync(ca) } });
client.on('error', () => {});
client.connect().then(async () => {
  const box = await client.mailboxOpen('INBOX');
  console.log('in\\n' + box.path);
  await client.logout();
}).catch(error => { console.log((error.authenticationFailed ? 'out' : 'failed') + '\\n', error); process.exit(1); });
"""


def scram(password, name="SHA-256"):
    """What is stored of a password (RFC 5803)."""
    digest, salt = name.replace("-", "").lower(), os.urandom(16)
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, 4096)
    client = hmac.digest(salted, b"Client Key", digest)
    stored, server = hashlib.new(digest, client).digest(), hmac.digest(salted, b"Server Key", digest)
    text = [base64.b64encode(each).decode() for each in (salt, stored, server)]
    return f"SCRAM-{name}$4096:{text[0]}${text[1]}:{text[2]}"


def run(*command, text="", environment=None):
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=60, check=False,
                          env={**os.environ, **(environment or {})})
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def memory_kib(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])


class Logins(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="postern-logins-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        quiet = {"check": True, "capture_output": True}
        subprocess.run(["openssl", "req", "-x509", *key, "-days", "2", "-subj", "/CN=House CA", "-keyout", f"{cls.folder}/ca.key",
                        "-out", f"{cls.folder}/ca.pem"], **quiet)
        for name, extension in (("carol", f"email:{CAROL}"), ("mallory", "email:mallory@elsewhere.test")):
            path = f"{cls.folder}/{name}"
            subprocess.run(["openssl", "req", "-new", *key, "-subj", f"/CN={name}", "-keyout", f"{path}.key", "-out",
                            f"{path}.csr"], **quiet)
            harness.write(f"{path}.ext", f"subjectAltName={extension}\n")
            subprocess.run(["openssl", "x509", "-req", "-in", f"{path}.csr", "-CA", f"{cls.folder}/ca.pem", "-CAkey",
                            f"{cls.folder}/ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{path}.ext", "-out",
                            f"{path}.pem"], **quiet)

    def serve(self, extra=""):
        names = ("alice", "bob", "carol")
        secrets = f"{ALICE} {scram(PASSWORD)}\n{BOB} {scram(PASSWORD, 'SHA-1')}\n{CAROL} *\n" \
                  f"dave@{DOMAIN} {harness.password_hash()}\nerin {scram(PASSWORD)}\n"
        addresses = "".join(f"{name}@{DOMAIN} {name}\n" for name in names) + f"info@{DOMAIN} alice, bob\n"
        port = harness.free_ports(1)[0]  # as imap, but that no proxy stands in front
        extra += f"\nlisten on 127.0.0.1 port {port} proto imap tls-require pki house auth <logins>"
        server = harness.Server(names=names, config=CONFIG.replace("{folder}", self.folder), extra=extra,
                                files={"secrets": secrets}, prepare=lambda made: harness.write(f"{made.home}/addresses", addresses))
        self.addCleanup(server.close)
        server.ports["imap_plain"] = port
        return server

    def secured(self, server, port, client="", address="203.0.113.5"):
        """A connection in TLS behind the greeting; behind a proxy where the port wants one."""
        plain = socket.create_connection(("127.0.0.1", server.ports[port]), 60)
        file = plain.makefile("rb")
        if port in ("smtp", "imap"):
            plain.sendall(proxied(address, "198.51.100.9"))
        if port != "imaps":
            file.readline()
            plain.sendall(b"a STARTTLS\r\n" if port == "imap" else b"EHLO c.test\r\nSTARTTLS\r\n")
            while not (line := file.readline()).startswith((b"a OK", b"220 2")):
                self.assertTrue(line)
        context = ssl._create_unverified_context()  # pylint: disable=protected-access
        if client:
            context.load_cert_chain(f"{self.folder}/{client}.pem", f"{self.folder}/{client}.key")
        stream = context.wrap_socket(plain)
        self.addCleanup(stream.close)
        return stream, stream.makefile("rb")

    @staticmethod
    def ask(stream, file, command):
        """The last line of the answer."""
        stream.sendall(command.encode() + b"\r\n")
        while (line := file.readline()) and line[3:4] == b"-" or line.startswith(b"* "):
            pass
        return line.decode(errors="replace").strip()

    def guess(self, server, address, user=ALICE, password="wrong", port="smtp"):
        """How one guess ends: its code, and the seconds it took."""
        stream, file = self.secured(server, port, address=address)
        begun = time.monotonic()
        if port == "smtp":
            self.ask(stream, file, "EHLO c.test")
            response = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
            answer = self.ask(stream, file, f"AUTH PLAIN {response}")[:3]
        else:
            answer = self.ask(stream, file, f'b LOGIN {user} "{password}"')
        stream.close()
        return answer, time.monotonic() - begun

    def test_what_is_offered(self):
        server = self.serve()
        stream, file = self.secured(server, "submission")
        stream.sendall(b"EHLO c.test\r\n")
        offered = ""
        while (line := file.readline().decode()):
            offered += line
            if line[3] == " ":
                break
        self.assertIn("AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 PLAIN LOGIN", offered)
        self.assertNotIn("EXTERNAL", offered, "there is no certificate")
        stream, file = self.secured(server, "imaps", "carol")
        self.assertIn(b"AUTH=SCRAM-SHA-256-PLUS AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-1-PLUS AUTH=SCRAM-SHA-1 AUTH=EXTERNAL AUTH=PLAIN",
                      file.readline())

    @unittest.skipUnless(shutil.which("gsasl"), "gsasl is not installed")
    def test_gsasl(self):
        server = self.serve()
        for protocol, port, done in (("--smtp", "submission", "235 2.7.0"), ("--imap", "imap_plain", "\n. OK [CAPABILITY ")):
            for mechanism, user in (("SCRAM-SHA-256", ALICE), ("SCRAM-SHA-256-PLUS", ALICE), ("SCRAM-SHA-1", BOB),
                                    ("SCRAM-SHA-1-PLUS", BOB), ("PLAIN", ALICE), ("LOGIN", BOB))[:6 if protocol == "--smtp" else 5]:
                with self.subTest(f"{protocol} {mechanism}"):
                    command = ["gsasl", protocol, "--connect", f"localhost:{server.ports[port]}", "-m", mechanism, "-a", user,
                               "-z", user, "--x509-ca-file", f"{server.home}/cert.pem"]
                    command += [] if mechanism.endswith("-PLUS") else ["--no-cb"]
                    # Its exit status says how the end of the session went, not the login.
                    self.assertIn(done, run(*command, "-p", PASSWORD, text="QUIT\n")[1])
                    self.assertNotIn(done, run(*command, "-p", "wrong", text="QUIT\n")[1])
        # Behind a name that nobody has the exchange looks the same.
        _, said = run("gsasl", "--no-cb", "--smtp", "--connect", f"localhost:{server.ports['submission']}", "-m", "SCRAM-SHA-256", "-a",
                         f"nobody@{DOMAIN}", "-z", f"nobody@{DOMAIN}", "-p", PASSWORD, "--x509-ca-file", f"{server.home}/cert.pem")
        self.assertIn("535 5.7.8", said)

    @unittest.skipUnless(shutil.which("msmtp"), "msmtp is not installed")
    def test_msmtp(self):
        server = self.serve()
        for count, mechanism in enumerate(("scram-sha-256", "plain", "on"), 1):
            with self.subTest(mechanism):
                harness.write(f"{server.home}/msmtprc", f"""account default
host localhost
port {server.ports['submission']}
tls on
tls_starttls on
tls_trust_file {server.home}/cert.pem
auth {mechanism}
user {ALICE}
password {PASSWORD}
from {ALICE}
""")
                code, said = run("msmtp", "-C", f"{server.home}/msmtprc", "--debug", BOB, text="Subject: x\n\nhi\n")
                self.assertEqual(code, 0, said)
                server.wait_for_messages("bob", count)
        self.assertIn("result=ok mechanism=SCRAM-SHA-256\n", server.log())

    @unittest.skipUnless(shutil.which("mutt"), "mutt is not installed")
    def test_mutt_over_imap(self):
        server = self.serve()
        self.assertEqual(run("swaks", "--server", "127.0.0.1", "--port", str(server.ports["submission"]), "--tls", "--auth", "PLAIN",
                             "--auth-user", ALICE, "--auth-password", PASSWORD, "--from", ALICE, "--to", ALICE)[0], 0)
        server.wait_for_messages("alice", 1)
        for mechanism in ("scram-sha-256",):
            with self.subTest(mechanism):
                home = f"{server.home}/{mechanism}"
                os.makedirs(home)
                harness.write(f"{home}/muttrc", f"""
set folder="{home}"
set imap_user="{ALICE}"
set imap_pass="{PASSWORD}"
set imap_authenticators="{mechanism}"
set certificate_file="{server.home}/cert.pem"
set confirmappend=no
set confirmcreate=no
set quit=yes
set sleep_time=0
push "<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>=saved<enter><quit>"
""")
                done, screen = in_terminal(["mutt", "-n", "-F", f"{home}/muttrc", "-f",
                                            f"imaps://localhost:{server.ports['imaps']}/INBOX"],
                                           dict(os.environ, HOME=home, TERM="xterm"), seconds=30)
                self.assertTrue(done, f"mutt waits for somebody. Its screen:\n{screen}")
                self.assertTrue(os.path.exists(f"{home}/saved"), screen)
                self.assertIn(f"mechanism={mechanism.upper()} result=ok", server.log())

    @unittest.skipUnless(shutil.which("curl"), "curl is not installed")
    def test_curl_over_imap(self):
        server = self.serve()
        features = run("curl", "--version")[1].lower()
        for mechanism, user in (("SCRAM-SHA-256", ALICE), ("SCRAM-SHA-1", BOB), ("PLAIN", ALICE)):
            with self.subTest(mechanism):
                command = ["curl", "-sv", "--cacert", f"{server.home}/cert.pem", "--login-options", f"AUTH={mechanism}",
                           f"imaps://localhost:{server.ports['imaps']}/", "-u"]
                if "SCRAM" in mechanism and "gsasl" not in features:
                    self.skipTest("this curl was built without SCRAM")
                code, said = run(*command, f"{user}:{PASSWORD}")
                self.assertEqual(code, 0, said)
                self.assertIn("INBOX", said)
                self.assertNotEqual(run(*command, f"{user}:wrong")[0], 0)

    def test_imapflow(self):
        if not shutil.which("npm") or not shutil.which("node"):
            self.skipTest("npm is not installed")
        server = self.serve()
        scratch = f"{server.home}/imapflow"
        os.makedirs(scratch)
        code, said = run("timeout", "50", "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", scratch, "imapflow@1")
        if code != 0:
            self.skipTest(f"npm cannot bring imapflow: {said[-200:]}")
        harness.write(f"{scratch}/login.js", IMAPFLOW)
        for port, secure, user, password, wanted in (
                ("imaps", "1", ALICE, PASSWORD, "in"), ("imap_plain", "", BOB, PASSWORD, "in"), ("imaps", "1", ALICE, "wrong", "out"),
                ("imap_plain", "", f"nobody@{DOMAIN}", PASSWORD, "out")):
            with self.subTest(f"{port} {user} {password}"):
                _, said = run("node", f"{scratch}/login.js", str(server.ports[port]), secure, user, password, f"{server.home}/cert.pem",
                              environment={"NODE_PATH": f"{scratch}/node_modules"})
                self.assertTrue(said.startswith(f"{wanted}\n"), said)

    def test_a_relay_logs_in_by_scram(self):
        server = self.serve()
        for count, (user, mechanism) in enumerate(((ALICE, "SCRAM-SHA-256"), (f"dave@{DOMAIN}", "PLAIN")), 1):
            # Dave's hash is no secret of SCRAM's: the server is asked by the password then.
            with self.subTest(user):
                first = harness.Server(domain="first.test", rules=f"""\
action "onward" relay host "smtp+tls://who@localhost:{server.ports['submission']}" auth {{ who = "{user}:{PASSWORD}" }} \
    tls no-verify mail-from "{user}"
match from any for domain "{DOMAIN}" action "onward"
""".replace("{ who", "{{ who").replace('" } ', '" }} '))
                self.addCleanup(first.close)
                with harness.Session(first.ports["smtp"]) as session:
                    session.line()
                    for line in ("HELO c.test", f"MAIL FROM:<{user}>", f"RCPT TO:<{BOB}>", "DATA"):
                        session.command(line)
                    self.assertTrue(session.command("Subject: x\r\n\r\nhi\r\n.").startswith("250"))
                server.wait_for_messages("bob", count)
                self.assertIn(f"user={user} result=ok mechanism={mechanism}\n", server.log())

    def test_a_certificate_is_a_login(self):
        server = self.serve()
        names = ("-cert", f"{self.folder}/carol.pem", "-key", f"{self.folder}/carol.key")
        other = ("-cert", f"{self.folder}/mallory.pem", "-key", f"{self.folder}/mallory.key")

        def s_client(port, script, *more):
            process = subprocess.Popen(["openssl", "s_client", "-quiet", "-crlf", "-connect", f"127.0.0.1:{server.ports[port]}", *more],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            return process.communicate(script.encode(), 30)[0].decode(errors="replace")

        smtp = ("-starttls", "smtp")
        as_carol = base64.b64encode(CAROL.encode()).decode()
        as_alice = base64.b64encode(ALICE.encode()).decode()
        for response, more, code in (("=", names, "235"), (as_carol, names, "235"), (as_alice, names, "535"), ("=", other, "535"),
                                     ("=", (), "504")):
            with self.subTest(f"{response} {code}"):
                script = f"EHLO c.test\nAUTH EXTERNAL {response}\nMAIL FROM:<{CAROL}>\nMAIL FROM:<{ALICE}>\nQUIT\n"
                said = s_client("submission", script, *smtp, *more)
                self.assertRegex(said, rf"(?m)^{code} ")
                self.assertEqual("\n503 5.5.1 Invalid command: A transaction" in said, code == "235", said)
        said = s_client("imaps", "a AUTHENTICATE EXTERNAL =\nb SELECT INBOX\nc LOGOUT\n", *names)
        self.assertIn("b OK", said)
        said = s_client("imaps", f"a AUTHENTICATE EXTERNAL {as_alice}\nb SELECT INBOX\nc LOGOUT\n", *names)
        self.assertNotIn("b OK", said)

    def test_the_owner_gets_in_while_others_guess(self):
        server = self.serve()
        self.assertEqual(self.guess(server, "198.51.100.20", password=PASSWORD)[0], "235")

        def guess(number):
            return self.guess(server, "203.0.113.66", port=("smtp", "imap")[number % 2])[0]

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            ends = list(pool.map(guess, range(GUESSES // 2)))
            half = memory_kib(server)
            ends += list(pool.map(guess, range(GUESSES // 2, GUESSES)))
        # What the second half adds is the allocator's, not a number of guesses'.
        grown = memory_kib(server) - half
        self.assertLess(grown, 8 * 1024, f"{half} KiB and then {grown} more")
        print(f"{GUESSES} guesses: {half} KiB, at the end {grown} KiB more", file=sys.stderr)
        looked_at = sum(end == "535" or "AUTHENTICATIONFAILED" in end for end in ends)
        refused = sum(end == "421" or "UNAVAILABLE" in end for end in ends)
        self.assertLessEqual(looked_at, 20 + 10)
        self.assertEqual(looked_at + refused, GUESSES)
        # At home nothing is felt of it, elsewhere nobody is locked out, and the guesser may not even be right.
        answer, seconds = self.guess(server, "198.51.100.20", password=PASSWORD)
        self.assertEqual(answer, "235")
        self.assertLess(seconds, 2)
        self.assertEqual(self.guess(server, "198.51.100.21", password=PASSWORD)[0], "235")
        self.assertEqual(self.guess(server, "203.0.113.66", password=PASSWORD)[0], "421")
        self.assertIn("result=refused", server.log())

    def test_many_addresses_do_not_lock_the_owner_out(self):
        server = self.serve("smtp limit max-auth-failures-account 10")
        self.assertEqual(self.guess(server, "198.51.100.20", password=PASSWORD)[0], "235")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            ends = list(pool.map(lambda i: self.guess(server, f"203.0.113.{i}")[0], range(1, 101)))
        self.assertLess(ends.count("535"), 20)
        answer, seconds = self.guess(server, "198.51.100.20", password=PASSWORD)
        self.assertEqual(answer, "235")
        self.assertLess(seconds, 2)

    def test_wrong_then_right(self):
        server = self.serve()
        for _ in range(3):
            self.assertEqual(self.guess(server, "198.51.100.30")[0], "535")
        answer, _ = self.guess(server, "198.51.100.30", password=PASSWORD)
        self.assertEqual(answer, "235")

    def test_unknown_and_known_take_the_same_time(self):
        server = self.serve()
        times = {ALICE: [], f"nobody@{DOMAIN}": []}
        for turn in range(12):
            for user, seconds in times.items():
                stream, file = self.secured(server, "smtp", address=f"198.51.100.{100 + turn}")
                self.ask(stream, file, "EHLO c.test")
                first = base64.b64encode(f"n,,n={user},r=abc{turn}".encode()).decode()
                begun = time.monotonic()
                answer = self.ask(stream, file, f"AUTH SCRAM-SHA-256 {first}")
                seconds.append(time.monotonic() - begun)
                self.assertTrue(answer.startswith("334 "), answer)
                self.assertIn(",i=4096", base64.b64decode(answer[4:]).decode())
                stream.close()
        known, unknown = (statistics.median(each) for each in times.values())
        self.assertLess(abs(known - unknown), 0.01 + max(known, unknown) / 2)

    def senders(self, extra, login, answers):
        text = CONFIG.replace("{folder}", self.folder).replace("ca house auth <logins>\n", f"ca house auth <logins> {extra}\n", 1)
        with unittest.mock.patch.dict(globals(), CONFIG=text):
            server = self.serve()
        stream, file = self.secured(server, "submission")
        self.ask(stream, file, "EHLO c.test")
        response = base64.b64encode(f"\0{login}\0{PASSWORD}".encode()).decode()
        self.assertTrue(self.ask(stream, file, f"AUTH PLAIN {response}").startswith("235"))
        for sender, code in answers.items():
            with self.subTest(f"{login} {extra} <{sender}>"):
                self.assertEqual(self.ask(stream, file, f"MAIL FROM:<{sender}>")[:3], code)
                self.ask(stream, file, "RSET")

    def test_a_login_sends_as_itself(self):
        self.senders("", ALICE, {ALICE: "250", f"Alice+list@{DOMAIN}": "250", f"info@{DOMAIN}": "250", BOB: "553",
                                 f"nobody@{DOMAIN}": "553", "alice@elsewhere.test": "250", "": "250"})
        self.senders("senders own", ALICE, {ALICE: "250", BOB: "553", "alice@elsewhere.test": "553", "": "250"})
        self.senders("senders any", ALICE, {ALICE: "250", BOB: "250", "alice@elsewhere.test": "250"})


if __name__ == "__main__":
    unittest.main()
