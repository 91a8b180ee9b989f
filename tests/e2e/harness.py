"""A scratch mail server for the tests: a home, a certificate, two accounts, and `postern serve` on free loopback ports."""

import atexit
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

BIN = os.environ.get("POSTERN_BIN", os.path.join(os.path.dirname(__file__), "../../build/dev/bin"))
POSTERN = os.path.join(BIN, "postern")
DOMAIN = "example.test"
PASSWORD = "correct horse"
START_SECONDS = 30

# What the configurations of most tests have in common.
HEAD = """\
spool "{data}/spool"
pki {domain} cert "{home}/cert.pem"
pki {domain} key "{home}/key.pem"
table logins file:{home}/logins
table addresses file:{home}/addresses
table accounts file:{home}/accounts
{extra}
"""
IMAP = """\
listen on 127.0.0.1 port {imap} proto imap tls pki {domain} auth <logins>
listen on 127.0.0.1 port {imaps} proto imap smtps pki {domain} auth <logins>
"""
DELIVER = """\
action "deliver" maildir "{data}/mail/%{{user.username}}" junk virtual <addresses> userbase <accounts>
"""

CONFIG = f"""\
mailname "{{domain}}"
{HEAD}\
listen on 127.0.0.1 port {{smtp}} tls pki {{domain}}
listen on 127.0.0.1 port {{submission}} tls-require pki {{domain}} auth <logins>
{IMAP}\
{DELIVER}\
{{rules}}
match from any for domain "{{domain}}" action "deliver"
"""


_kept = []


def free_ports(count):
    """Ports that nobody listens on, kept for this process: its servers can listen there (as they set SO_REUSEADDR), and no other
    test that runs at the same time is given them. They lie below those that the system gives to clients: a client of a server
    that is down would otherwise find one that is its own, and talk to itself."""
    found = []
    while len(found) < count:
        port = random.randrange(10000, 30000)
        keeper = socket.socket()
        try:
            keeper.bind(("127.0.0.1", port))
        except OSError:
            keeper.close()
            continue
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # only now: another test's keeper is refused
        _kept.append(keeper)
        found.append(port)
    return found


def write(path, text, mode=0o600):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)


_shared = {}


def certificate():
    """One self-signed certificate for all tests of a process: (certificate path, key path)."""
    if "certificate" not in _shared:
        folder = tempfile.mkdtemp(prefix="postern-cert-")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={DOMAIN}",
             "-addext", f"subjectAltName=DNS:{DOMAIN},DNS:localhost,IP:127.0.0.1",
             "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _shared["certificate"] = (f"{folder}/cert.pem", f"{folder}/key.pem")
        atexit.register(shutil.rmtree, folder, True)
    return _shared["certificate"]


def password_hash():
    if "hash" not in _shared:
        _shared["hash"] = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=PASSWORD, check=True, text=True,
                                         capture_output=True).stdout.strip()
    return _shared["hash"]


class Server:
    """A running `postern serve`. `names` are the accounts; the login is the whole address. Spool and mail are in `data` (another
    file system, say), everything else in a home of its own. `limits` are its (resource, value) limits, `files` more files of
    the home: {name: text}, `options` more of the command line. `prepare(server)` is called before the start, to put into the home
    what is no text."""

    def __init__(self, names=("alice", "bob"), extra="", rules="", config=None, environment=None, data=None, limits=(),
                 domain=DOMAIN, files=None, options=(), prepare=None):
        self.home = tempfile.mkdtemp(prefix="postern-e2e-")
        self.ports = dict(zip(("smtp", "submission", "imap", "imaps"), free_ports(4)))
        self.log_path = f"{self.home}/log"
        self.data = data or self.home
        self.environment = environment
        self.limits = limits
        self.options = list(options)
        cert, key = certificate()
        shutil.copy(cert, f"{self.home}/cert.pem")
        shutil.copy(key, f"{self.home}/key.pem")
        os.chmod(f"{self.home}/key.pem", 0o600)
        write(f"{self.home}/logins", "".join(f"{name}@{domain} {password_hash()}\n" for name in names))
        write(f"{self.home}/addresses", "".join(f"{name}@{domain} {name}\n" for name in names))
        write(f"{self.home}/accounts",
              "".join(f"{name} {os.getuid()}:{os.getgid()}:{self.data}/mail/{name}\n" for name in names))
        os.makedirs(f"{self.data}/mail", exist_ok=True)
        os.makedirs(f"{self.data}/spool", exist_ok=True)
        self.config_path = f"{self.home}/smtpd.conf"
        text = (config or CONFIG).format(home=self.home, data=self.data, domain=domain, extra=extra.format(home=self.home),
                                         rules=rules.format(home=self.home), **self.ports)
        for file, content in (files or {}).items():
            write(f"{self.home}/{file}", content)
        write(self.config_path, text)
        if prepare is not None:
            prepare(self)
        self.process = None
        self.start()

    def start(self):
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([POSTERN, "serve", "-f", self.config_path] + self.options, stdout=log, stderr=log,
                                            env=self.environment, preexec_fn=self._set_limits if self.limits else None)
        deadline = time.monotonic() + START_SECONDS
        for port in self.ports.values():
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if self.process.poll() is not None or time.monotonic() > deadline:
                        raise AssertionError(f"the server did not start:\n{self.log()}") from None
                    time.sleep(0.02)

    def _set_limits(self):
        for what, value in self.limits:
            resource.setrlimit(what, (value, value))

    def stop(self, number=signal.SIGTERM):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(30)
        return self.process.returncode

    def close(self):
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def maildir(self, name, folder=""):
        return f"{self.data}/mail/{name}{folder}"

    def messages(self, name, folder=""):
        """The files of a mailbox, new and cur."""
        found = []
        for part in ("new", "cur"):
            try:
                path = f"{self.maildir(name, folder)}/{part}"
                found += [f"{path}/{each}" for each in sorted(os.listdir(path))]
            except FileNotFoundError:
                pass
        return found

    def wait_for_messages(self, name, count, folder="", seconds=20):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.messages(name, folder)
            if len(found) >= count:
                return found
            time.sleep(0.02)
        raise AssertionError(f"{name} has {len(self.messages(name, folder))} messages, not {count}:\n{self.log()}")


class Session:
    """A raw client: lines out, replies in."""

    def __init__(self, port, timeout=20):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        return self.file.readline().decode("utf-8", "replace").rstrip("\r\n")

    def reply(self):
        """One SMTP reply: all of its lines."""
        lines = []
        while True:
            line = self.line()
            lines.append(line)
            if len(line) < 4 or line[3] != "-":
                return "\n".join(lines)

    def command(self, text):
        self.send(text + "\r\n")
        return self.reply()

    def rest(self):
        """All that still comes until the server closes."""
        return self.file.read()
