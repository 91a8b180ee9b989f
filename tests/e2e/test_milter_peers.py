"""Debian's own milters, unmodified, behind real sessions: opendkim signs and verifies, opendmarc says what it thinks, spamass-milter
asks spamd, clamav-milter asks clamd, and rspamd answers by its milter worker. And one in a chain with Debian's filter programs and
rules of ours. Each is started by hand with a configuration of its own, on loopback."""

import base64
import hashlib
import os
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
import unittest

import harness
from harness import DOMAIN

CONFIG = harness.CONFIG.replace("port {smtp} tls pki {domain}", "port {smtp} tls pki {domain} filter {{ FILTERS }}")
START_SECONDS = 60

PLAIN = ("From: Ann Example <ann@signer.test>\r\nTo: alice@example.test\r\nSubject:  a  test of\r\n\tfolded lines\r\n"
         "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@signer.test>\r\nMIME-Version: 1.0\r\n"
         "Content-Type: text/plain; charset=utf-8\r\n\r\nHello  Bob, \r\n\r\n this\tis it.\r\n\r\n\r\n")
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
SPAM = PLAIN.replace("Hello", GTUBE + "\r\n\r\nHello")
# The test virus is no virus; in halves, so that nobody takes this file for one.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
VIRUS = PLAIN.split("MIME-Version")[0] + (
    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=part\r\n\r\n--part\r\nContent-Type: text/plain\r\n\r\nlook\r\n"
    "--part\r\nContent-Type: application/octet-stream; name=x.com\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    f"{base64.b64encode(EICAR).decode()}\r\n--part--\r\n")

VERIFY = r"""
import sys
import dkim
key = open(sys.argv[1]).read().encode()
message = sys.stdin.buffer.read()
print(dkim.verify(message, dnsfunc=lambda name, timeout=5: key if name.rstrip(b".") == b"s1._domainkey.signer.test" else None))
"""

# rspamd's own list of top-level domains takes it half a minute to read.
RSPAMD = """\
options {{
  pidfile = "{folder}/rspamd.pid";
  filters = "";
  url_tld = "{folder}/tld";
  control_socket = "{folder}/control mode=0600";
  tempdir = "{folder}";
  dns {{ nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "console"; level = "warning"; }}
worker "rspamd_proxy" {{
  bind_socket = "127.0.0.1:{port}";
  count = 1;
  milter = yes;
  timeout = 30s;
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
metric "default" {{ actions {{ reject = 15; add_header = 6; greylist = 4; }} }}
milter_headers {{ use = ["x-spamd-result", "x-rspamd-server"]; skip_local = false; skip_authenticated = false; }}
modules {{ path = "/usr/share/rspamd/plugins/milter_headers.lua"; }}
"""


def needs(*programs):
    missing = [each for each in programs if shutil.which(each, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None]
    return unittest.skipIf(missing, f"{', '.join(missing)} not installed")


class Peers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="postern-milters-")
        os.chmod(self.folder, 0o755)
        self.addCleanup(shutil.rmtree, self.folder, True)

    def file(self, name, text, mode=0o644):
        harness.write(f"{self.folder}/{name}", text, mode)
        return f"{self.folder}/{name}"

    def run_peer(self, command, port=None, path=None):
        """Starts a program and waits until it listens."""
        log_path = f"{self.folder}/{os.path.basename(command[0])}.{len(os.listdir(self.folder))}.log"
        environment = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
        with open(log_path, "w", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=self.folder)

        def end():
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self.addCleanup(end)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if path is not None and os.path.exists(path):
                return process
            if port is not None:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    return process
                except OSError:
                    pass
            time.sleep(0.1)
        with open(log_path, encoding="utf-8") as log:
            raise AssertionError(f"{command[0]} did not start:\n{log.read()}")

    def serve(self, extra, filters):
        server = harness.Server(extra=extra, config=CONFIG.replace("FILTERS", filters))
        self.addCleanup(server.close)
        return server

    def send(self, server, text, sender="ann@signer.test"):
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=60) as client:
            client.ehlo("client.signer.test")
            client.sendmail(sender, [f"alice@{DOMAIN}"], text.encode())

    def received(self, server, count=1):
        path = server.wait_for_messages("alice", count)[-1]
        with open(path, "rb") as file:
            return file.read()

    def dkim_key(self):
        key = f"{self.folder}/key.pem"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        os.chmod(key, 0o600)
        public = subprocess.run(["openssl", "rsa", "-in", key, "-pubout", "-outform", "DER"], check=True, capture_output=True)
        return key, "v=DKIM1; k=rsa; p=" + base64.b64encode(public.stdout).decode()

    def opendkim(self, name, port, lines):
        text = "Syslog no\nBackground no\nAutoRestart no\nRequireSafeKeys no\nUserID root\n" if os.getuid() == 0 else \
            "Syslog no\nBackground no\nAutoRestart no\nRequireSafeKeys no\n"
        path = self.file(f"{name}.conf", f"{text}Socket inet:{port}@127.0.0.1\n{lines}")
        self.run_peer(["opendkim", "-f", "-x", path], port=port)

    @needs("opendkim")
    def test_opendkim_signs_and_verifies(self):
        key, record = self.dkim_key()
        ports = harness.free_ports(2)
        self.opendkim("sign", ports[0], f"Mode s\nDomain signer.test\nSelector s1\nKeyFile {key}\nCanonicalization relaxed/simple\n"
                                        "OversignHeaders From\n")
        keys = self.file("keys", f"s1._domainkey.signer.test {record}\n")
        # It does not look at mail of this machine unless told that it is of another.
        self.opendkim("verify", ports[1], f"Mode v\nAuthservID checker.test\nTestPublicKeys {keys}\nAlwaysAddARHeader yes\n"
                                          f"InternalHosts {self.file('internal', '192.0.2.1')}\n"
                                          f"PeerList {self.file('peers', '192.0.2.1')}\n")
        server = self.serve(f'filter sign milter "inet:127.0.0.1:{ports[0]}"\n'
                            f'filter verifier milter "inet:{ports[1]}@127.0.0.1"\n', "sign, verifier")
        self.send(server, PLAIN)
        message = self.received(server)
        self.assertIn(b"DKIM-Signature:", message)
        self.assertIn(b"d=signer.test", message)
        self.assertIn(b"Authentication-Results: checker.test", message)
        self.assertRegex(message.replace(b"\n\t", b" "), rb"dkim=pass[^\n]*signer\.test")
        self.verified(message, record)
        self.assertNotIn("filter-failed", server.log())

    def verified(self, message, record):
        """python3-dkim, and our own verifier, pass what was signed. The file has LF."""
        wire = message.replace(b"\n", b"\r\n")
        path = self.file("public", record)
        try:
            subprocess.run(["/usr/bin/python3", "-c", "import dkim"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pass
        else:
            said = subprocess.run(["/usr/bin/python3", "-c", VERIFY, path], input=wire, capture_output=True, check=True)
            self.assertEqual(said.stdout.strip(), b"True")
        parts = [record[i:i + 200] for i in range(0, len(record), 200)]
        zone = self.file("zone", "s1._domainkey.signer.test. 60 IN TXT " + " ".join(f'"{part}"' for part in parts) + "\n")
        said = subprocess.run([harness.POSTERN, "dkim", "verify", "--zone", zone, self.wire_file(wire)], capture_output=True,
                              text=True, check=False)
        self.assertIn("pass", said.stdout + said.stderr)

    def wire_file(self, wire):
        with open(f"{self.folder}/message.eml", "wb") as file:
            file.write(wire)
        return f"{self.folder}/message.eml"

    @needs("opendmarc")
    def test_opendmarc_adds_what_it_found(self):
        port = harness.free_ports(1)[0]
        user = "UserID root\n" if os.getuid() == 0 else ""
        path = self.file("opendmarc.conf", f"Syslog no\nBackground no\n{user}Socket inet:{port}@127.0.0.1\n"
                                           "AuthservID checker.test\nTrustedAuthservIDs checker.test\nRejectFailures false\n"
                                           f"IgnoreHosts {self.file('ignore', '192.0.2.1')}\n")
        self.run_peer(["opendmarc", "-f", "-c", path], port=port)
        server = self.serve(f'filter dmarc milter "inet:127.0.0.1:{port}"\n', "dmarc")
        self.send(server, PLAIN)
        message = self.received(server)
        self.assertRegex(message, rb"Authentication-Results: checker\.test; dmarc=\w+[^\n]*header\.from=signer\.test")
        self.assertNotIn("filter-failed", server.log())

    @needs("spamass-milter", "spamd", "spamc")
    def test_spamass_milter_asks_spamd(self):
        port = harness.free_ports(1)[0]
        rules = f"{self.folder}/rules"
        os.mkdir(rules)
        harness.write(f"{rules}/own.cf", "body GTUBE /XJS\\*C4JDBQADN1\\.NSBN3\\*2IDNEN\\*GTUBE/\nscore GTUBE 1000\n"
                                         "add_header all Status _YESNO_ score=_SCORE_ tests=_TESTS_\nreport_safe 0\n", 0o644)
        harness.write(f"{rules}/own.pre", "loadplugin Mail::SpamAssassin::Plugin::Check\n", 0o644)
        os.chmod(rules, 0o755)
        self.run_peer(["spamd", "-L", "-x", "-m", "1", "-A", "127.0.0.1", "-i", "127.0.0.1", "-p", str(port), "-u", "nobody",
                       "-C", rules, "--siteconfigpath", rules, "-s", "stderr", "-H", self.folder], port=port)
        path = f"{self.folder}/spamass.sock"
        self.run_peer(["spamass-milter", "-p", path, "-r", "15", "--", "-d", "127.0.0.1", "-p", str(port)], path=path)
        server = self.serve(f'filter spam milter "unix:{path}"\n', "spam")
        self.send(server, PLAIN)
        self.assertRegex(self.received(server), rb"\nX-Spam-Status: No")
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            self.send(server, SPAM)
        self.assertEqual(refused.exception.smtp_code, 550)
        self.assertIn(b"5.7.1", refused.exception.smtp_error)
        self.assertNotIn("filter-failed", server.log())

    @needs("rspamd")
    def test_rspamd_by_its_milter_worker(self):
        port = harness.free_ports(1)[0]
        self.file("tld", "com\ntest\norg\n")
        path = self.file("rspamd.conf", RSPAMD.format(folder=self.folder, port=port))
        as_root = ["--insecure", "-u", "root", "-g", "root"] if os.getuid() == 0 else []
        self.run_peer(["rspamd", "-f", "-c", path, "--var=DBDIR=" + self.folder, "--var=RUNDIR=" + self.folder] + as_root,
                      port=port)
        server = self.serve(f'filter rspamd milter "inet:127.0.0.1:{port}"\n', "rspamd")
        self.send(server, PLAIN)
        message = self.received(server)
        self.assertIn(b"\nX-Spamd-Result: default: False", message)
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            self.send(server, SPAM)
        self.assertEqual(refused.exception.smtp_code, 554)
        self.assertIn(b"5.7.1", refused.exception.smtp_error)
        # Several messages of one session.
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=60) as client:
            for _ in range(3):
                client.sendmail("ann@signer.test", [f"alice@{DOMAIN}"], PLAIN.encode())
        self.received(server, 4)
        self.assertNotIn("filter-failed", server.log())

    def clamav(self):
        """The port of a clamav-milter whose clamd knows one virus: the test virus of the industry, by a database of our own."""
        port = harness.free_ports(1)[0]
        database = f"{self.folder}/signatures"
        os.mkdir(database, 0o755)
        harness.write(f"{database}/own.hdb", f"{hashlib.md5(EICAR).hexdigest()}:{len(EICAR)}:Test.Virus\n", 0o644)
        user = "User root\n" if os.getuid() == 0 else ""
        clamd = self.file("clamd.conf", f"Foreground yes\nLocalSocket {self.folder}/clamd.sock\nDatabaseDirectory {database}\n{user}")
        self.run_peer(["clamd", "-c", clamd], path=f"{self.folder}/clamd.sock")
        milter = self.file("clamav.conf", f"Foreground yes\nMilterSocket inet:{port}@127.0.0.1\n"
                                          f"ClamdSocket unix:{self.folder}/clamd.sock\nOnInfected Reject\nAddHeader Replace\n{user}"
                                          "RejectMsg it carries %v\n")
        self.run_peer(["clamav-milter", "-c", milter], port=port)
        return port

    @needs("clamd", "clamav-milter")
    def test_clamav_milter_refuses_a_virus(self):
        server = self.serve(f'filter clam milter "inet:127.0.0.1:{self.clamav()}"\n', "clam")
        self.send(server, PLAIN)
        self.assertRegex(self.received(server), rb"\nX-Virus-Status: Clean\n")
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            self.send(server, VIRUS)
        self.assertEqual(refused.exception.smtp_code, 550)
        self.assertIn(b"it carries Test.Virus", refused.exception.smtp_error)
        # A large message, and then another in the same session.
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=60) as client:
            client.sendmail("ann@signer.test", [f"alice@{DOMAIN}"], PLAIN + "a long line of text\r\n" * 50000)
            with self.assertRaises(smtplib.SMTPDataError):
                client.sendmail("ann@signer.test", [f"alice@{DOMAIN}"], VIRUS)
        self.received(server, 2)
        self.assertNotIn("filter-failed", server.log())

    @needs("clamd", "clamav-milter")
    @unittest.skipUnless(os.path.exists("/usr/libexec/opensmtpd/filter-dkimsign"), "no opensmtpd-filter-dkimsign")
    def test_a_chain_of_a_program_a_milter_and_rules(self):
        key, record = self.dkim_key()
        os.chmod(key, 0o644)
        server = self.serve(
            'filter no_bob phase rcpt-to match rcpt-to {{ "bob@example.test" }} reject "550 5.7.1 not bob"\n'
            f'filter sign proc-exec "filter-dkimsign -d signer.test -s s1 -k {key}"\n'
            f'filter clam milter "inet:127.0.0.1:{self.clamav()}"\n'
            'filter bulk phase mail-from match mail-from {{ "bulk@signer.test" }} junk\n'
            'filter late phase commit match mail-from {{ "late@signer.test" }} reject "550 5.7.1 too late"\n',
            "no_bob, sign, clam, bulk, late")
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=60) as client:
            refused = client.sendmail("ann@signer.test", [f"alice@{DOMAIN}", f"bob@{DOMAIN}"], PLAIN.encode())
            self.assertEqual({to: code for to, (code, _) in refused.items()}, {f"bob@{DOMAIN}": 550})
            client.sendmail("bulk@signer.test", [f"alice@{DOMAIN}"], PLAIN.encode())
            for sender, text, said in (("ann@signer.test", VIRUS, b"Test.Virus"), ("late@signer.test", PLAIN, b"too late")):
                with self.assertRaises(smtplib.SMTPDataError) as error:
                    client.sendmail(sender, [f"alice@{DOMAIN}"], text.encode())
                self.assertEqual(error.exception.smtp_code, 550)
                self.assertIn(said, error.exception.smtp_error)
        message = self.received(server)
        # What the program wrote went through the milter, and what the milter added stands with it.
        self.assertIn(b"DKIM-Signature:", message)
        self.assertRegex(message, rb"\nX-Virus-Status: Clean\n")
        self.assertNotIn(b"X-Spam", message)
        self.verified(message, record)
        with open(server.wait_for_messages("alice", 1, "/.Junk")[0], "rb") as file:
            junk = file.read()
        self.assertRegex(junk, rb"(?i)\nX-Spam: yes\n")
        self.assertRegex(junk, rb"\nX-Virus-Status: Clean\n")
        self.assertIn(b"DKIM-Signature:", junk)
        self.assertEqual((len(server.messages("alice")), len(server.messages("bob"))), (1, 0))
        self.assertNotIn("filter-failed", server.log())


if __name__ == "__main__":
    unittest.main()
