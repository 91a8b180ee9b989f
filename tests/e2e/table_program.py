#!/usr/bin/python3
"""A table program of the table protocol 0.1: serves the lines "SERVICE KEY VALUE" of a file.

It is a program of its own that knows nothing of Postern. Copied to table-NAME it serves `table t NAME:/path`. The file may also
hold one line "misbehave HOW": hang, die, flood or lie, from the first question on. What is asked is appended to PATH.asked.
"""

import os
import sys
import time


def read(path):
    entries, misbehave = {}, None
    with open(path, encoding="utf-8") as file:
        for line in file:
            service, _, rest = line.strip().partition(" ")
            key, _, value = rest.partition(" ")
            if service == "misbehave":
                misbehave = key
            elif service and not service.startswith("#"):
                entries.setdefault(service, {})[key] = value
    return entries, misbehave


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def misdeed(how, number):
    if how == "hang":
        time.sleep(3600)
    if how == "die":
        sys.stderr.write("cannot reach the directory\n")
        os._exit(1)
    if how == "flood":
        while True:
            say("x" * 1000)
    if how == "lie":
        say("lookup-result|deadbeef|found|mallory")


def main():
    path = sys.argv[1]
    entries, how = read(path)
    greeting = []
    fetched = 0
    for line in sys.stdin:
        fields = line.rstrip("\n").split("|", 7)
        if fields[0] == "config":
            greeting.append("|".join(fields[:2]))
            if fields[1] == "ready":
                wanted = ["config|smtpd-version", "config|protocol", "config|tablename", "config|ready"]
                if greeting != wanted:
                    sys.exit(f"a strange greeting: {greeting}")
                for service in entries:
                    say(f"register|{service}")
                say("register|ready")
            continue
        with open(path + ".asked", "a", encoding="utf-8") as asked:
            asked.write(line)
        operation = fields[4]
        if operation == "update":
            entries, how = read(path)
            say(f"update-result|{fields[5]}|ok")
            continue
        service, number = fields[5], fields[6]
        if how is not None:
            misdeed(how, number)
            continue
        known = entries.get(service, {})
        if operation == "fetch":
            keys = sorted(known)
            say(f"fetch-result|{number}|found|{keys[fetched % len(keys)]}" if keys else f"fetch-result|{number}|not-found")
            fetched += 1
        elif fields[7] not in known:
            say(f"{operation}-result|{number}|not-found")
        elif operation == "check":
            say(f"check-result|{number}|found")
        else:
            say(f"lookup-result|{number}|found|{known[fields[7]]}")


main()
