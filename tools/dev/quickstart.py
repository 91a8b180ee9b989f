#!/usr/bin/env python3
"""The part of tools/quickstart that needs a built server: a scratch home, a mail sent and read, and the settings for a client."""

import argparse
import email.message
import imaplib
import os
import secrets
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time

DOMAIN = "example.test"
ACCOUNTS = ("alice", "bob")
START_SECONDS = 20
DELIVERY_SECONDS = 20

CONFIG = """\
# A whole mail server in one file. Made by tools/quickstart; change it and start again.
mailname "{domain}"
spool "{home}/spool"

pki {domain} cert "{home}/cert.pem"
pki {domain} key "{home}/key.pem"

table logins file:{home}/logins
table addresses file:{home}/addresses
table accounts file:{home}/accounts

listen on 127.0.0.1 port {smtp} tls pki {domain}
listen on 127.0.0.1 port {submission} tls-require pki {domain} auth <logins>
listen on 127.0.0.1 port {imaps} proto imap smtps pki {domain} auth <logins>

action "deliver" maildir "{home}/mail/%{{user.username}}" junk virtual <addresses> userbase <accounts>
action "relay" relay

match from any for domain "{domain}" action "deliver"
match from any auth for any action "relay"
"""


def free_port(preferred):
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
            except OSError:
                continue
    raise OSError("no free port on 127.0.0.1")


def write(path, text, mode=0o600):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)


def make_home(home, passwords):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365", "-subj", f"/CN={DOMAIN}",
         "-addext", f"subjectAltName=DNS:{DOMAIN},DNS:localhost,IP:127.0.0.1",
         "-keyout", f"{home}/key.pem", "-out", f"{home}/cert.pem"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.chmod(f"{home}/key.pem", 0o600)
    logins = []
    for name in ACCOUNTS:
        crypt = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=passwords[name], check=True, text=True,
                               capture_output=True).stdout.strip()
        logins.append(f"{name}@{DOMAIN} {crypt}\n")
    write(f"{home}/logins", "".join(logins))
    write(f"{home}/addresses", "".join(f"{name}@{DOMAIN} {name}\n" for name in ACCOUNTS) + f"postmaster@{DOMAIN} alice\n")
    write(f"{home}/accounts", "".join(f"{name} {os.getuid()}:{os.getgid()}:{home}/mail/{name}\n" for name in ACCOUNTS))
    os.makedirs(f"{home}/mail", exist_ok=True)
    os.makedirs(f"{home}/spool", exist_ok=True)


def start(postern, home):
    """Starts the server on the usual ports, or on others where those are taken: (process, ports, path of its log)."""
    preferred = {"smtp": 2525, "submission": 2587, "imaps": 2993}
    log_path = f"{home}/log"
    while True:
        ports = {name: free_port(port) for name, port in preferred.items()}
        write(f"{home}/smtpd.conf", CONFIG.format(home=home, domain=DOMAIN, **ports), 0o644)
        with open(log_path, "w", encoding="utf-8") as log:
            server = subprocess.Popen([postern, "serve", "-f", f"{home}/smtpd.conf"], stdout=log, stderr=log)
        try:
            said = wait_for(server, len(ports), log_path)
        except BaseException:
            stop(server)
            raise
        if said is None:
            return server, ports, log_path
        stop(server)
        if "in use" not in said:
            sys.stderr.write(said)
            sys.exit("tools/quickstart: the server did not start; its log is above")
        preferred = dict.fromkeys(ports, 0)  # another program was faster, perhaps another quickstart


def stop(server):
    server.terminate()
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        server.kill()


def wait_for(server, listeners, log_path):
    """None when the server has said that it listens, or what it said instead."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        ended = server.poll() is not None
        with open(log_path, encoding="utf-8", errors="replace") as log:
            said = log.read()
        if said.count("\nlistening on ") >= listeners:
            return None
        if ended or time.monotonic() > deadline:
            return said
        time.sleep(0.02)


def client_tls(home):
    context = ssl.create_default_context(cafile=f"{home}/cert.pem")
    context.check_hostname = True
    return context


def send(home, ports, passwords, subject):
    sender, recipient = (f"{name}@{DOMAIN}" for name in ACCOUNTS)
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, recipient, subject
    message.set_content("Hello Bob,\n\nthis mail came by SMTP with TLS and AUTH, waited in the queue on disk,\n"
                        "was delivered to a Maildir and is read over IMAP.\n\nAlice\n")
    with smtplib.SMTP("127.0.0.1", ports["submission"], timeout=20) as smtp:
        smtp._host = DOMAIN  # the name that the certificate is for
        smtp.starttls(context=client_tls(home))
        smtp.login(sender, passwords[ACCOUNTS[0]])
        smtp.send_message(message)


def read_back(home, ports, passwords, subject):
    recipient = f"{ACCOUNTS[1]}@{DOMAIN}"
    context = client_tls(home)
    context.check_hostname = False  # imaplib takes the name from the address it connects to
    deadline = time.monotonic() + DELIVERY_SECONDS
    with imaplib.IMAP4_SSL("127.0.0.1", ports["imaps"], ssl_context=context, timeout=20) as imap:
        imap.login(recipient, passwords[ACCOUNTS[1]])
        while time.monotonic() < deadline:
            imap.select("INBOX")
            _, found = imap.search(None, "SUBJECT", f'"{subject}"')
            if found and found[0]:
                _, data = imap.fetch(found[0].split()[-1], "(BODY[])")
                return data[0][1].decode("utf-8", "replace")
            time.sleep(0.1)
    sys.exit("tools/quickstart: the mail did not arrive")


def settings(home, ports, passwords, temporary):
    print()
    print("Settings for a mail client on this machine, while the server runs (the certificate is self-signed: accept it, or trust cert.pem):")
    for name in ACCOUNTS:
        print(f"  account   {name}@{DOMAIN}   password  {passwords[name]}")
    print(f"  incoming  IMAP  127.0.0.1 port {ports['imaps']}, SSL/TLS, normal password, login is the whole address")
    print(f"  outgoing  SMTP  127.0.0.1 port {ports['submission']}, STARTTLS, normal password, login is the whole address")
    print(f"  plain SMTP from other servers: 127.0.0.1 port {ports['smtp']}")
    print(f"  the configuration is {home}/smtpd.conf; mail, queue and log are beside it"
          + (" (the folder goes when this ends; --home FOLDER keeps one)" if temporary else ""))


def main():
    parser = argparse.ArgumentParser(prog="tools/quickstart", description=__doc__)
    parser.add_argument("--postern", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--once", action="store_true", help="end after the mail was read, instead of serving until Ctrl-C")
    parser.add_argument("--home", help="where configuration, mail and queue live, and stay (default: a temporary folder that is removed at the end)")
    args = parser.parse_args()

    temporary = args.home is None
    home = os.path.abspath(args.home) if args.home else tempfile.mkdtemp(prefix="postern-quickstart-")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    server = None
    try:
        os.makedirs(home, exist_ok=True)
        passwords = {name: secrets.token_urlsafe(9) for name in ACCOUNTS}
        make_home(home, passwords)
        server, ports, log_path = start(args.postern, home)
        subject = f"First light {secrets.token_hex(4)}"
        begun = time.monotonic()
        send(home, ports, passwords, subject)
        text = read_back(home, ports, passwords, subject)
        took_ms = (time.monotonic() - begun) * 1000
        print("The mail as Bob reads it over IMAP:\n")
        print("\n".join("    " + line for line in text.splitlines()))
        print(f"\nSent, queued, delivered and read in {took_ms:.0f} ms.")
        settings(home, ports, passwords, temporary)
        if args.once:
            print("\nIt works. With --once the server ends here"
                  + (" and its folder is removed" if temporary else f"; its folder is {home}")
                  + "; without it the server goes on until Ctrl-C.")
            return 0
        print("\nServing until Ctrl-C. The log:\n", flush=True)
        tail = subprocess.Popen(["tail", "-n", "0", "-f", log_path])
        try:
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            tail.terminate()
            tail.wait()
    except KeyboardInterrupt:
        return 130
    finally:
        if server is not None:
            stop(server)
        if temporary:
            shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
