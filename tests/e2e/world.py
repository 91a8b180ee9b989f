"""A machine of its own for tests that need root: private mount and network namespaces in which /etc and /var are scratch, with
accounts, certificates, a DNS server of a few records, and another machine behind a cable that connects and is connected to.

Nothing of the real machine is touched: all mounts and interfaces end with the process. `available()` says whether it can be had;
`run_inside()` runs a test module again inside; `World` sets it up there.
"""

import ctypes
import os
import pwd
import shutil
import socket
import socketserver
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

    TYPES = {"A": 1, "PTR": 12, "MX": 15, "AAAA": 28}

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


class Sink:
    """A mail server of the other machine: takes everything and remembers it."""

    def __init__(self, listener):
        self.mails = []  # (helo, sender, [recipients], text)
        self.changed = threading.Condition()
        self.listener = listener
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        file = connection.makefile("rwb", buffering=0)
        helo, sender, recipients = "", "", []
        file.write(b"220 mx.elsewhere.test ESMTP\r\n")
        while line := file.readline():
            word = line[:4].upper()
            if word in (b"EHLO", b"HELO"):
                helo = line[5:].decode().strip()
            elif word == b"MAIL":
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
                with self.changed:
                    self.mails.append((helo, sender, recipients, text.decode("utf-8", "replace")))
                    self.changed.notify_all()
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

    def peer_listener(self, port):
        def make():
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((PEER_ADDRESS, port))
            listener.listen(20)
            return listener
        return self.in_peer(make)

    def connect_from_peer(self, address, port, timeout=20):
        return self.in_peer(lambda: socket.create_connection((address, port), timeout))

    def clean(self):
        """Fresh homes, mailboxes and spool."""
        for folder in ("mail", "vmail", "spool", "home", "tmp"):
            shutil.rmtree(f"/var/{folder}", ignore_errors=True)
            os.makedirs(f"/var/{folder}")
        os.chmod("/var/mail", 0o2775)
        for name in ACCOUNTS:
            account = pwd.getpwnam(name)
            os.makedirs(account.pw_dir, exist_ok=True)
            os.chmod(account.pw_dir, 0o755)
            os.chown(account.pw_dir, account.pw_uid, account.pw_gid)
        self.sink.mails.clear()

    @staticmethod
    def make_certificate(certificate, key, name):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext",
             f"subjectAltName=DNS:{name}", "-keyout", key, "-out", certificate],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.chmod(key, 0o600)
