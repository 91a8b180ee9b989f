"""A milter that behaves as it is told, well or not: `milter_program.py SOCKET FILE`. SOCKET is a port of 127.0.0.1 or a path. FILE
holds one line, read for each connection: "WHAT STEP [SECONDS]". STEP is the letter of the protocol's command (C connect, H helo,
M mail, R rcpt, T data, L header, N end of headers, B body, E end of message, O the negotiation), WHAT is

    good        X-Milter is added to each message, and the subject gets a mark
    die         the connection is closed
    kill        the whole program dies
    stop        the whole program stops (SIGSTOP)
    hang        no answer comes
    slow        the answer comes after SECONDS
    progress    signs of life come each half a second, and no answer
    flood       packets that mean nothing, without end
    lie         an answer that there is none of
    nonsense    another protocol's words
    change      a change, asked for where there can be none, or one that was not agreed
    huge        a packet that says that it is 4 GiB long
    reject, temp, discard, accept, reply     that verdict
"""

import os
import signal
import socket
import struct
import sys
import threading
import time

CONTINUE = b"c"
VERDICTS = {"reject": b"r", "temp": b"t", "discard": b"d", "accept": b"a", "reply": b"y554 5.7.1 100%% sure\0"}


def packet(data):
    return struct.pack(">I", len(data)) + data


def take(stream, count):
    data = b""
    while len(data) < count:
        piece = stream.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def misbehave(stream, what, seconds):
    """Returns whether the step is answered as usual after all."""
    if what == "die":
        raise EOFError
    if what == "kill":
        os._exit(9)
    if what == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(600)  # this thread may run on for a moment
    elif what == "slow":
        time.sleep(seconds)
    elif what == "hang":
        time.sleep(600)
    elif what == "progress":
        while True:
            stream.sendall(packet(b"p"))
            time.sleep(0.5)
    elif what == "flood":
        while True:
            stream.sendall(packet(b"p") * 10000)
    elif what == "lie":
        stream.sendall(packet(b"Z"))
        return False
    elif what == "nonsense":
        stream.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        return False
    elif what == "change":
        stream.sendall(packet(b"+<x@example.test>\0"))
        return False
    elif what == "huge":
        stream.sendall(b"\xff\xff\xff\xff" + b"x" * 65536)
        time.sleep(600)
    elif what in VERDICTS:
        stream.sendall(packet(VERDICTS[what]))
        return False
    return True


def serve(stream, mode):
    what, step, seconds = (mode.split() + ["-", "0"][len(mode.split()) - 1:])[:3]
    subject = ""
    try:
        while True:
            data = take(stream, struct.unpack(">I", take(stream, 4))[0])
            code = data[:1]
            if code in (b"D", b"A"):
                continue
            if code == b"Q":
                return
            if code.decode() == step and not misbehave(stream, what, float(seconds)):
                continue
            if code == b"O":
                stream.sendall(packet(b"O" + struct.pack(">III", 6, 0x11, 0)))
                continue
            if code == b"L" and data.lower().startswith(b"lsubject\0"):
                subject = data[9:-1].decode("utf-8", "replace")
            if code == b"E" and what == "good":
                stream.sendall(packet(b"i" + struct.pack(">I", 1) + b"X-Milter\0seen\n\ttwice\0"))
                stream.sendall(packet(b"m" + struct.pack(">I", 1) + b"Subject\0[seen] " + subject.encode() + b"\0"))
            stream.sendall(packet(CONTINUE))
    except (EOFError, OSError):
        pass
    finally:
        stream.close()


def main():
    where, path = sys.argv[1:3]
    if where.isdigit():
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(where)))
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(where)
    listener.listen(64)
    while True:
        stream, _ = listener.accept()
        with open(path, encoding="utf-8") as file:
            mode = file.read()
        threading.Thread(target=serve, args=(stream, mode), daemon=True).start()


main()
