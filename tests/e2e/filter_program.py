#!/usr/bin/python3
"""A filter program of smtpd-filters(7) that behaves or misbehaves: filter_program.py LOG PHASE[,PHASE…] [HOW AT].

It is a program of its own that knows nothing of Postern. It registers for the phases (data-line is one of them) and all reports, and
lets everything through; what it hears is appended to LOG. From the phase AT on it does as HOW says: die, mute (never answers), slow
(answers after two seconds), stop (SIGSTOPs itself), nonsense, flood (a message without end, or answers that nobody asked for), lie
(answers with the tokens of others); it does so once LOG.go is there, and once:
the program that is started in its place behaves."""

import os
import signal
import sys
import time


def main():
    log = open(sys.argv[1], "a", encoding="utf-8", errors="surrogateescape")
    phases = sys.argv[2].split(",")
    how, at = (sys.argv[3], sys.argv[4]) if len(sys.argv) > 4 else ("", "")
    go, done = sys.argv[1] + ".go", sys.argv[1] + ".done"
    if os.path.exists(done):
        how = ""
    log.write(f"started {os.getpid()} {os.getuid()}:{os.getgid()}\n")

    def say(line):
        sys.stdout.write(line + "\n")

    for raw in sys.stdin.buffer:
        line = raw.decode("utf-8", "surrogateescape").rstrip("\n")
        fields = line.split("|")
        if "data-line" not in fields[:5]:
            log.write(line + "\n")
            log.flush()
        if line == "config|ready":
            for phase in phases:
                say(f"register|filter|smtp-in|{phase}")
            say("register|report|smtp-in|*")
            say("register|ready")
            sys.stderr.write("ready to filter\n")
            sys.stderr.flush()
        if fields[0] == "filter":
            phase, session, token = fields[4:7]
            if how and phase == at and os.path.exists(go):
                open(done, "w", encoding="utf-8").close()
                if how == "die":
                    os._exit(1)
                if how == "mute":
                    continue
                if how == "slow" and not (phase == "data-line" and line.split("|", 7)[7] != "."):
                    time.sleep(2)
                if how == "stop":
                    os.kill(os.getpid(), signal.SIGSTOP)
                if how == "nonsense":
                    say("filter-result|who|knows")
                if how == "flood":
                    while True:
                        say(f"filter-dataline|{session}|{token}|" + "x" * 1000)
                if how == "lie":
                    token = "deadbeefdeadbeef"
            if phase == "data-line":
                text = line.split("|", 7)[7]
                say(f"filter-dataline|{session}|{token}|{text}")
                if text == "Subject: mark me":
                    say(f"filter-dataline|{session}|{token}|X-Marked: by the filter")
            else:
                say(f"filter-result|{session}|{token}|proceed")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
