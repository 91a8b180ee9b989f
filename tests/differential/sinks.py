"""The servers that mail is handed on to, by SMTP and by LMTP: they take everything but what its local part says, and remember it."""

import socket
import threading


class Sink:
    """Serves `listener`. A recipient whose local part begins with no5 is refused for good, with no4 for now."""

    def __init__(self, name, listener, lmtp=False):
        self.name = name
        self.listener = listener
        self.lmtp = lmtp
        self.mails = []  # (helo, sender, recipient, text): one for each recipient
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        file = connection.makefile("rwb", buffering=0)
        reader = connection.makefile("rb")
        try:
            self.dialogue(file, reader)
        except OSError:
            pass
        finally:
            connection.close()

    def dialogue(self, file, reader):
        helo, sender, recipients = "", "", []
        file.write(b"220 sink.test ESMTP\r\n")
        while line := reader.readline():
            text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            word = text[:4].upper()
            if word in ("EHLO", "HELO", "LHLO"):
                helo = text[5:].strip()
                file.write(b"250 sink\r\n" if word == "HELO" else
                           b"250-sink.test\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 DSN\r\n")
            elif word == "MAIL":
                sender, recipients = self.path(text), []
                file.write(b"250 2.1.0 ok\r\n")
            elif word == "RCPT":
                recipient = self.path(text)
                if recipient.lower().startswith("no5"):
                    file.write(b"550 5.1.1 no such user here\r\n")
                elif recipient.lower().startswith("no4"):
                    file.write(b"450 4.2.1 come back later\r\n")
                else:
                    recipients.append(recipient)
                    file.write(b"250 2.1.5 ok\r\n")
            elif word == "DATA":
                if not recipients:
                    file.write(b"503 5.5.1 no recipients\r\n")
                    continue
                file.write(b"354 go on\r\n")
                message = self.message(reader)
                if message is None:
                    return
                with self.lock:
                    self.mails += [(helo, sender, recipient, message) for recipient in recipients]
                file.write(b"250 2.0.0 taken\r\n" * (len(recipients) if self.lmtp else 1))
                recipients = []
            elif word == "QUIT":
                file.write(b"221 2.0.0 bye\r\n")
                return
            else:
                file.write(b"250 2.0.0 ok\r\n")

    @staticmethod
    def path(text):
        """What stands between the brackets of MAIL or RCPT."""
        inside = text.split(":", 1)[1].strip()
        return inside[1:inside.rfind(">")] if inside.startswith("<") else inside.split(" ")[0]

    @staticmethod
    def message(reader):
        lines = []
        while True:
            line = reader.readline()
            if not line:
                return None
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line[1:] if line.startswith(b".") else line)
