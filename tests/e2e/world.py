"""A machine of its own for tests that need root: private mount and network namespaces in which /etc and /var are scratch, with
accounts, certificates, a DNS server of a few records, and another machine behind a cable that connects and is connected to.

Nothing of the real machine is touched: all mounts and interfaces end with the process. `available()` says whether it can be had;
`run_inside()` runs a test module again inside; `World` sets it up there.
"""

import base64
import collections
import ctypes
import grp
import os
import pwd
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time

MARK = "POSTERN_TEST_WORLD"
OUR_ADDRESS = "192.0.2.1"
OUR_ADDRESS6 = "2001:db8:1::1"
PEER_ADDRESS = "192.0.2.9"
PEER_ADDRESS6 = "2001:db8:1::9"
ACCOUNTS = ("gilles", "jdoe", "bruce", "john", "username", "alice", "_vmail", "vmail")
FIRST_UID = 6000
CLONE_NEWNET = 0x40000000


def inside():
    return os.environ.get(MARK) == "1"


def available():
    """Why there can be no world here, or ''."""
    if os.geteuid() != 0:
        return "a world of its own needs root"
    tried = subprocess.run(["unshare", "-mn", "--propagation", "private", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "no namespaces here: " + tried.stderr.decode().strip()


def run_inside(module):
    """Runs the tests of `module` in a world of its own; the finished process."""
    return subprocess.run(
        ["unshare", "-mn", "--propagation", "private", sys.executable, "-m", "unittest", "-v", module],
        cwd=os.path.dirname(os.path.abspath(__file__)), env=dict(os.environ, **{MARK: "1"}), check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=280)


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def sha512_crypt(password):
    return subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=password, check=True, text=True,
                          capture_output=True).stdout.strip()


class Dns(socketserver.ThreadingUDPServer):
    """Answers from `records`: (name, type) -> list of data. A name that has none of any type does not exist."""

    TYPES = {"A": 1, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}

    def __init__(self, records):
        self.records = records
        super().__init__(("127.0.0.1", 53), None)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @staticmethod
    def name(text):
        return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"

    def data(self, kind, value):
        if kind == "MX":
            return struct.pack("!H", value[0]) + self.name(value[1])
        if kind == "PTR":
            return self.name(value)
        if kind == "TXT":
            return bytes([len(value)]) + value.encode()
        return socket.inet_pton(socket.AF_INET if kind == "A" else socket.AF_INET6, value)

    def finish_request(self, request, client_address):
        packet, sock = request
        labels, at = [], 12
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode("ascii", "replace"))
            at += 1 + packet[at]
        question = packet[12:at + 5]
        name = ".".join(labels).lower()
        number, = struct.unpack("!H", packet[at + 1:at + 3])
        kind = next((k for k, v in self.TYPES.items() if v == number), None)
        found = self.records.get((name, kind), [])
        exists = any(known == name for known, _ in self.records)
        answer = struct.pack("!2sHHHHH", packet[:2], 0x8180 | (0 if exists else 3), 1, len(found), 0, 0) + question
        for value in found:
            data = self.data(kind, value)
            answer += b"\xc0\x0c" + struct.pack("!HHIH", number, 1, 60, len(data)) + data
        sock.sendto(answer, client_address)


class Mail(collections.namedtuple("Mail", "helo sender recipients text")):
    """What a Sink got. Beside the four fields: `tls` (how the session was secured, or ""), `login` (the user and password that it
    gave, or None) and `client` (the address it came from)."""

    tls = ""
    login = None
    client = ""

    def header(self):
        return self.text.split("\r\n\r\n", 1)[0] + "\r\n"


class Sink:
    """A mail server that takes everything and remembers it. With `tls`, an ssl.SSLContext, it offers STARTTLS; with `auth` it wants
    a login, and offers it only in TLS. `passes(mail)` may hand a mail on and give the reply to its end, as "250 ok"."""

    def __init__(self, listener, name="mx.elsewhere.test", tls=None, auth=False, passes=None):
        self.name = name
        self.tls = tls
        self.auth = auth
        self.passes = passes
        self.mails = []  # each a Mail
        self.sessions = 0
        self.changed = threading.Condition()
        self.listener = listener
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, client = self.listener.accept()
            except OSError:  # closed
                return
            self.sessions += 1
            threading.Thread(target=self.serve_and_close, args=(connection, client[0]), daemon=True).start()

    def close(self):
        """Ends the listening, so that clients are refused."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def serve_and_close(self, connection, client):
        with connection:
            try:
                self.serve(connection, client)
            except OSError:  # the client went away, or did not like our certificate
                pass

    def offers(self, secured):
        lines = [self.name]
        if self.tls is not None and not secured:
            lines.append("STARTTLS")
        if self.auth and secured:
            lines.append("AUTH PLAIN LOGIN")
        return "".join(f"250{' ' if line is lines[-1] else '-'}{line}\r\n" for line in lines).encode()

    @staticmethod
    def take_login(line, file):
        """The (user, password) of an AUTH command, PLAIN or LOGIN."""
        words = line.decode().split()
        if words[1].upper() == "PLAIN":
            if len(words) == 2:
                file.write(b"334 \r\n")
                words.append(file.readline().decode().strip())
            return tuple(base64.b64decode(words[2]).decode().split("\0")[1:])
        given = words[2:]
        for prompt in (b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n")[len(given):]:
            file.write(prompt)
            given.append(file.readline().decode().strip())
        return tuple(base64.b64decode(each).decode() for each in given)

    def serve(self, connection, client):
        file = connection.makefile("rwb", buffering=0)
        helo, sender, recipients, secured, login = "", "", [], "", None
        file.write(f"220 {self.name} ESMTP\r\n".encode())
        while line := file.readline():
            word = line[:4].upper()
            if word in (b"EHLO", b"HELO"):
                helo = line[5:].decode().strip()
                if word == b"EHLO":
                    file.write(self.offers(secured))
                    continue
            elif word == b"STAR" and self.tls is not None:
                file.write(b"220 go on\r\n")
                connection = self.tls.wrap_socket(connection, server_side=True)
                file, secured = connection.makefile("rwb", buffering=0), connection.version()
                continue
            elif word == b"AUTH":
                login = self.take_login(line, file)
                file.write(b"235 welcome\r\n")
                continue
            elif word == b"MAIL":
                if self.auth and login is None:
                    file.write(b"530 log in first\r\n")
                    continue
                sender, recipients = line[10:].split(b">")[0].lstrip(b"<").decode(), []
            elif word == b"RCPT":
                recipients.append(line[8:].split(b">")[0].lstrip(b"<").decode())
            elif word == b"DATA":
                file.write(b"354 go on\r\n")
                text = b""
                while (line := file.readline()) != b".\r\n":
                    if not line:
                        return
                    text += line[1:] if line.startswith(b".") else line
                mail = Mail(helo, sender, recipients, text.decode("utf-8", "replace"))
                mail.tls, mail.login, mail.client = secured, login, client
                with self.changed:
                    self.mails.append(mail)
                    self.changed.notify_all()
                if self.passes is not None:
                    file.write(self.passes(mail).encode() + b"\r\n")
                    continue
            elif word == b"QUIT":
                file.write(b"221 bye\r\n")
                return
            file.write(b"250 ok\r\n")

    def wait_for(self, recipient, count=1, seconds=20):
        """The mails for `recipient`, once there are `count`."""
        def matching():
            return [mail for mail in self.mails if recipient in mail[2]]
        with self.changed:
            if not self.changed.wait_for(lambda: len(matching()) >= count, seconds):
                raise AssertionError(f"no mail for {recipient} arrived; there are {self.mails}")
            return matching()


class World:
    """The machine. Made once a process, inside the namespaces."""

    def __init__(self, records):
        if not inside():
            raise RuntimeError("only inside the namespaces")
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.set_up_files()
        self.set_up_network()
        self.dns = Dns(records)
        self.sink = Sink(self.peer_listener(25))
        self.sinks = [self.sink]

    def set_up_files(self):
        run("mount", "-t", "tmpfs", "-o", "mode=755", "scratch", "/var")
        shutil.copytree("/etc", "/var/etc", symlinks=True, ignore_dangling_symlinks=True)
        run("mount", "--bind", "/var/etc", "/etc")
        os.makedirs("/var/home")
        for folder in ("/etc/mail", "/etc/ssl/private"):
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
        for name in ("resolv.conf", "nsswitch.conf"):
            if os.path.lexists(f"/etc/{name}"):
                os.unlink(f"/etc/{name}")
        self.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
        self.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
        for number, name in enumerate(ACCOUNTS):
            uid = FIRST_UID + number
            home = "/var/vmail" if name == "_vmail" else f"/var/home/{name}"
            self.write("/etc/passwd", f"{name}:x:{uid}:{uid}:{name}:{home}:/bin/sh\n", "a")
            self.write("/etc/group", f"{name}:x:{uid}:\n", "a")
            self.write("/etc/shadow", f"{name}:{sha512_crypt(name + '-pass')}:19000:0:99999:7:::\n", "a")

    @staticmethod
    def write(path, text, how="w"):
        with open(path, how, encoding="utf-8") as file:
            file.write(text)

    def set_up_network(self):
        run("ip", "link", "set", "lo", "up")
        # The other machine is a network namespace that we hold open; a process is there only while the cable is laid.
        holder = subprocess.Popen(["unshare", "-n", "sleep", "60"])
        try:
            there = f"/proc/{holder.pid}/ns/net"
            while os.readlink(there) == os.readlink("/proc/self/ns/net"):
                time.sleep(0.01)
            self.peer = os.open(there, os.O_RDONLY)
            run("ip", "link", "add", "peer0", "type", "veth", "peer", "name", "us0", "netns", str(holder.pid))
        finally:
            holder.kill()
            holder.wait()
        self.in_peer(lambda: run("ip", "link", "set", "lo", "up"))
        run("ip", "link", "set", "peer0", "up")
        run("ip", "addr", "add", f"{OUR_ADDRESS}/24", "dev", "peer0")
        run("ip", "addr", "add", f"{OUR_ADDRESS6}/64", "dev", "peer0", "nodad")

        def configure():
            run("ip", "link", "set", "us0", "up")
            run("ip", "addr", "add", f"{PEER_ADDRESS}/24", "dev", "us0")
            run("ip", "addr", "add", f"{PEER_ADDRESS6}/64", "dev", "us0", "nodad")
        self.in_peer(configure)
        # The rest of the world is behind the other machine, which makes the interface one of the group `egress`.
        run("ip", "route", "add", "default", "via", PEER_ADDRESS)
        run("ip", "-6", "route", "add", "default", "via", PEER_ADDRESS6)

    def in_peer(self, action):
        """Runs `action` on the other machine and gives what it returns."""
        outcome = []

        def work():
            if self.libc.setns(self.peer, CLONE_NEWNET) != 0:
                outcome.append(OSError(ctypes.get_errno(), "setns"))
                return
            try:
                outcome.append(action())
            except Exception as error:  # handed to the caller
                outcome.append(error)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    @staticmethod
    def listener(address, port):
        """A listening socket of the machine that the calling thread is on."""
        listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(20)
        return listener

    def peer_listener(self, port, address=PEER_ADDRESS):
        return self.in_peer(lambda: self.listener(address, port))

    def add_sink(self, address, port=25, **options):
        """One more mail server, on the other machine or, at a loopback address, on this one. Other addresses than the peer's own
        are added to it."""
        if address.startswith("127."):
            listener = self.listener(address, port)
        else:
            if address not in (PEER_ADDRESS, PEER_ADDRESS6):
                self.add_peer_address(address)
            listener = self.peer_listener(port, address)
        self.sinks.append(Sink(listener, **options))
        return self.sinks[-1]

    def remove_sink(self, sink):
        self.sinks.remove(sink)
        sink.close()

    def add_peer_address(self, address):
        """Gives the other machine one more address. Whoever wants to reach it goes over the cable."""
        length = 128 if ":" in address else 32
        known = self.in_peer(lambda: subprocess.run(["ip", "addr", "show", "dev", "us0"], check=True, capture_output=True,
                                                    text=True)).stdout
        if f" {address}/" not in known:
            self.in_peer(lambda: run("ip", "addr", "add", f"{address}/{length}", "dev", "us0", *["nodad"] * (length == 128)))

    def add_address(self, address):
        """Gives this machine one more address, which the other one reaches."""
        six = ":" in address
        run("ip", "addr", "add", f"{address}/{128 if six else 32}", "dev", "peer0", *["nodad"] * six)
        self.in_peer(lambda: run("ip", "route", "add", address, "via", OUR_ADDRESS6 if six else OUR_ADDRESS))

    def remove_address(self, address):
        run("ip", "addr", "del", f"{address}/{128 if ':' in address else 32}", "dev", "peer0")
        self.in_peer(lambda: run("ip", "route", "del", address))

    def connect_from_peer(self, address, port, timeout=20, source=None):
        return self.in_peer(lambda: socket.create_connection((address, port), timeout, (source, 0) if source else None))

    def clean(self):
        """Fresh homes, mailboxes and spool."""
        for folder in ("mail", "vmail", "spool", "home", "tmp"):
            shutil.rmtree(f"/var/{folder}", ignore_errors=True)
            os.makedirs(f"/var/{folder}")
        os.chown("/var/mail", 0, grp.getgrnam("mail").gr_gid)  # as Debian has it
        os.chmod("/var/mail", 0o2775)
        for name in ACCOUNTS:
            account = pwd.getpwnam(name)
            os.makedirs(account.pw_dir, exist_ok=True)
            os.chmod(account.pw_dir, 0o755)
            os.chown(account.pw_dir, account.pw_uid, account.pw_gid)
        for sink in self.sinks:
            sink.mails.clear()

    @staticmethod
    def make_certificate(certificate, key, name, authority=None):
        """A certificate for two days, signed by `authority`, a (certificate, key), or else by itself."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext",
             f"subjectAltName=DNS:{name}", "-keyout", key, "-out", certificate,
             *(("-CA", authority[0], "-CAkey", authority[1], "-addext", "basicConstraints=critical,CA:FALSE") if authority else ())],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.chmod(key, 0o600)

    def authority(self):
        """An authority that this machine trusts: its (certificate, key)."""
        found = ("/etc/ssl/authority.crt", "/etc/ssl/private/authority.key")
        if not os.path.exists(found[0]):
            self.make_certificate(*found, "Test Authority")
            with open(found[0], encoding="ascii") as file:
                self.write("/etc/ssl/certs/ca-certificates.crt", file.read(), "a")
        return found

    def tls_of(self, name, authority=None):
        """The TLS of a Sink called `name`."""
        paths = (f"/var/tmp/{name}.crt", f"/var/tmp/{name}.key")
        self.make_certificate(*paths, name, authority)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*paths)
        return context
