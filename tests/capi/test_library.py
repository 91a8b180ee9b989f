"""libpostern.so as its users meet it: what it exports, and a server inside python3 and inside node."""

import base64
import ctypes
import os
import re
import shutil
import smtplib
import ssl
import subprocess
import tempfile
import threading
import unittest

import harness

BUILD = os.environ.get("POSTERN_BUILD", os.path.join(os.path.dirname(__file__), "../../build/dev"))
LIBRARY = os.path.join(BUILD, "lib", "libpostern.so")
HERE = os.path.dirname(os.path.abspath(__file__))

CONFIG = """\
mailname "example.test"
pki example.test cert "{cert}"
pki example.test key "{key}"
listen on 127.0.0.1 port {port} tls pki example.test
action "taken" relay
match from any for any action "taken"
"""


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("config_text", ctypes.c_char_p), ("config_text_len", ctypes.c_size_t),
                ("config_path", ctypes.c_char_p), ("spool_path", ctypes.c_char_p), ("in_memory", ctypes.c_uint8),
                ("no_threads", ctypes.c_uint8), ("pool_threads", ctypes.c_uint16), ("workers", ctypes.c_uint16),
                ("log", ctypes.c_void_p), ("message", ctypes.c_void_p), ("run_as", ctypes.c_char_p), ("macros", ctypes.c_void_p),
                ("macro_count", ctypes.c_size_t), ("queue_key", ctypes.c_void_p), ("queue_key_data", ctypes.c_void_p),
                ("log_level", ctypes.c_int32), ("no_control", ctypes.c_uint8), ("log_output", ctypes.c_void_p),
                ("filter", ctypes.c_void_p), ("login", ctypes.c_void_p)]


class TokenLogin(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("mechanism", ctypes.c_char_p), ("user", ctypes.c_char_p),
                ("token", ctypes.c_char_p), ("address", ctypes.c_char_p)]


ON_TOKEN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(TokenLogin), ctypes.POINTER(ctypes.c_char), ctypes.c_void_p)
DESTROY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class LoginCallbacks(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("on_token", ON_TOKEN), ("destroy_user_data", DESTROY),
                ("user_data", ctypes.c_void_p)]


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **more)


class Library(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="postern-capi-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.cert, self.key = harness.certificate()
        (self.port,) = harness.free_ports(1)
        self.config = f"{self.folder}/smtpd.conf"
        harness.write(self.config, CONFIG.format(cert=self.cert, key=self.key, port=self.port))

    def test_it_exports_postern_and_nothing_else(self):
        done = run(["nm", "-D", "--defined-only", LIBRARY])
        names = [line.split()[-1].split("@")[0] for line in done.stdout.splitlines()]
        self.assertGreater(len(names), 20)
        self.assertEqual([name for name in names if not re.match(r"postern_|POSTERN_\d", name)], [])

    def test_every_function_of_the_headers_is_there(self):
        declared = set()
        include = os.path.join(HERE, "../../include/postern")
        for name in os.listdir(include):
            with open(os.path.join(include, name), encoding="utf-8") as file:
                declared |= set(re.findall(r"^POSTERN_API [^;]*?(postern_\w+)\(", file.read(), re.M))
        done = run(["nm", "-D", "--defined-only", LIBRARY])
        exported = {line.split()[-1].split("@")[0] for line in done.stdout.splitlines()}
        self.assertGreater(len(declared), 20)
        self.assertEqual(declared - exported, set())

    def test_a_server_inside_python_beside_its_ssl(self):
        library = ctypes.CDLL(LIBRARY, mode=ctypes.RTLD_GLOBAL)
        library.postern_error_message.restype = ctypes.c_char_p
        library.postern_error_message.argtypes = [ctypes.c_void_p]
        options = Options(struct_size=ctypes.sizeof(Options), config_path=self.config.encode(), in_memory=1)
        server, error = ctypes.c_void_p(), ctypes.c_void_p()
        for status in (library.postern_server_new(ctypes.byref(server), ctypes.byref(options), ctypes.byref(error)),
                       library.postern_server_start(server, ctypes.byref(error))):
            self.assertEqual(status, 0, library.postern_error_message(error))
        thread = threading.Thread(target=library.postern_server_run, args=(server, None))
        thread.start()
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=20) as smtp:
                context = ssl.create_default_context(cafile=self.cert)
                smtp._host = "example.test"
                self.assertEqual(smtp.starttls(context=context)[0], 220)
                self.assertIn(smtp.sock.version(), ("TLSv1.2", "TLSv1.3"))
                self.assertEqual(smtp.noop()[0], 250)
        finally:
            library.postern_server_stop.argtypes = [ctypes.c_void_p, ctypes.c_int64]
            library.postern_server_stop(server, 2000)
            thread.join(20)
            library.postern_server_free(server)
        self.assertFalse(thread.is_alive())

    def test_a_callback_judges_tokens(self):
        library = ctypes.CDLL(LIBRARY, mode=ctypes.RTLD_GLOBAL)
        library.postern_error_message.restype = ctypes.c_char_p
        library.postern_error_message.argtypes = [ctypes.c_void_p]
        library.postern_server_stop.argtypes = [ctypes.c_void_p, ctypes.c_int64]
        seen, freed = [], []

        @ON_TOKEN
        def on_token(login, user, _):
            login = login.contents
            seen.append((login.mechanism, login.user, login.token, login.address))
            if login.token == b"away":
                return -7
            if login.token != b"good":
                return -8
            ctypes.memmove(user, b"alice\0", 6)
            return 0

        destroy = DESTROY(lambda _: freed.append(1))
        callbacks = LoginCallbacks(ctypes.sizeof(LoginCallbacks), on_token, destroy, None)
        with open(self.config, encoding="utf-8") as file:
            text = "table logins { alice = \"*\" }\n" + file.read().replace(" tls pki", " smtps auth <logins> pki")
        harness.write(self.config, text)
        options = Options(struct_size=ctypes.sizeof(Options), config_path=self.config.encode(), in_memory=1,
                          login=ctypes.cast(ctypes.pointer(callbacks), ctypes.c_void_p))
        server, error = ctypes.c_void_p(), ctypes.c_void_p()
        for status in (library.postern_server_new(ctypes.byref(server), ctypes.byref(options), ctypes.byref(error)),
                       library.postern_server_start(server, ctypes.byref(error))):
            self.assertEqual(status, 0, library.postern_error_message(error))
        thread = threading.Thread(target=library.postern_server_run, args=(server, None))
        thread.start()
        try:
            with smtplib.SMTP_SSL("127.0.0.1", self.port, timeout=20,
                                  context=ssl._create_unverified_context()) as smtp:  # pylint: disable=protected-access
                self.assertIn(b"AUTH OAUTHBEARER XOAUTH2 PLAIN LOGIN", smtp.ehlo("c.test")[1])

                def login(mechanism, text):
                    return smtp.docmd(f"AUTH {mechanism} " + base64.b64encode(text.encode()).decode())
                code, challenge = login("XOAUTH2", "user=alice\x01auth=Bearer bad\x01\x01")
                self.assertEqual(code, 334)
                self.assertIn(b"401", base64.b64decode(challenge))
                self.assertEqual(smtp.docmd("")[0], 535)
                self.assertEqual(login("OAUTHBEARER", "n,a=bob,\x01auth=Bearer good\x01\x01")[0], 334)
                self.assertEqual(smtp.docmd("AQ==")[0], 535)
                self.assertEqual(login("OAUTHBEARER", "n,,\x01auth=Bearer away\x01\x01")[0], 454)
                self.assertEqual(login("OAUTHBEARER", "n,,\x01host=x\x01auth=Bearer good\x01\x01")[0], 235)
        finally:
            library.postern_server_stop(server, 2000)
            thread.join(20)
            library.postern_server_free(server)
        self.assertEqual(seen[1], (b"OAUTHBEARER", b"bob", b"good", b"127.0.0.1"))
        self.assertEqual(freed, [1])

    def test_port_0_is_a_free_port_and_is_told(self):
        library = ctypes.CDLL(LIBRARY, mode=ctypes.RTLD_GLOBAL)
        library.postern_error_message.restype = ctypes.c_char_p
        library.postern_error_message.argtypes = [ctypes.c_void_p]
        library.postern_server_endpoint.restype = ctypes.c_char_p
        library.postern_server_endpoint.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        library.postern_server_endpoint_port.restype = ctypes.c_uint16
        library.postern_server_endpoint_port.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        library.postern_server_free.argtypes = [ctypes.c_void_p]
        text = (b'mailname "example.test"\nlisten on 127.0.0.1 port 0\nlisten on 127.0.0.1 port 0 tag X\n'
                b'action a relay\nmatch for any action a\n')
        options = Options(struct_size=ctypes.sizeof(Options), config_text=text, config_text_len=len(text), in_memory=1)
        server, error = ctypes.c_void_p(), ctypes.c_void_p()
        status = library.postern_server_new(ctypes.byref(server), ctypes.byref(options), ctypes.byref(error))
        self.assertEqual(status, 0, library.postern_error_message(error))
        self.addCleanup(library.postern_server_free, server)
        self.assertEqual(library.postern_server_endpoint_port(server, 0), 0)
        self.assertEqual(library.postern_server_endpoint_port(None, 0), 0)
        status = library.postern_server_start(server, ctypes.byref(error))
        self.assertEqual(status, 0, library.postern_error_message(error))
        ports = [library.postern_server_endpoint_port(server, index) for index in (0, 1)]
        self.assertEqual(len({*ports, 0}), 3, ports)
        self.assertEqual(library.postern_server_endpoint_port(server, 2), 0)
        for index, port in enumerate(ports):
            self.assertEqual(library.postern_server_endpoint(server, index), f"127.0.0.1:{port}".encode())
        stop = threading.Event()

        def poll():
            while not stop.is_set():
                library.postern_server_poll(server, None, ctypes.c_int64(20), None)
        thread = threading.Thread(target=poll)
        thread.start()
        try:
            with smtplib.SMTP("127.0.0.1", ports[1], timeout=20) as smtp:
                self.assertEqual(smtp.noop()[0], 250)
        finally:
            stop.set()
            thread.join(20)

    def test_a_server_inside_node_beside_its_openssl(self):
        environment = dict(os.environ, POSTERN_LIBRARY=LIBRARY, POSTERN_ADDON=os.path.join(BUILD, "lib", "postern_test.node"),
                           POSTERN_TEST_CONFIG=self.config, POSTERN_TEST_PORT=str(self.port), POSTERN_TEST_CA=self.cert)
        done = run(["node", os.path.join(HERE, "node_client.js")], env=environment)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"TLSv1\.[23]")

    def test_the_examples_are_clean_under_valgrind(self):
        done = run(["valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite",
                    os.path.join(BUILD, "bin", "poll_and_submit")])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("taken 1", done.stdout)
        self.assertIn("554 5.7.1 not for us", done.stdout)


if __name__ == "__main__":
    unittest.main()
