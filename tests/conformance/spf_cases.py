#!/usr/bin/env python3
"""Writes the SPF suites as one JSON document for spf_test.cc.

The suites come in three shapes: YAML with zone data (the RFC 7208 suite and its kin), the record lines of mail-auth, and JSON. Out
come groups: {"suite", "zone": [{"name", "type", "value"}], "cases": [{"name", "ip", "helo", "sender", "results", "explanation",
"helo_first", "max_void"}]}. A zone type of TIMEOUT or SERVFAIL answers all questions for a name that nothing else answers; NODATA
only says that the name exists.
"""

import ipaddress
import json
import os
import sys

import yaml


def yaml_suite(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        for index, scenario in enumerate(yaml.safe_load_all(file)):
            zone = []
            for owner, records in scenario["zonedata"].items():
                # SPF entries are published as TXT unless the name has TXT of its own.
                has_txt = any(isinstance(r, dict) and "TXT" in r for r in records)
                for record in records:
                    if record == "TIMEOUT":
                        zone.append({"name": owner, "type": "TIMEOUT", "value": ""})
                        continue
                    (kind, value), = record.items()
                    if kind == "SPF" and not has_txt:
                        kind = "TXT"
                    if kind == "SPF" or value == "NONE":
                        continue
                    if kind == "TXT" and not isinstance(value, list):
                        value = [value]
                    zone.append({"name": owner, "type": kind, "value": value})
            cases = []
            for title, test in scenario["tests"].items():
                result = test["result"]
                cases.append({
                    "name": title, "ip": test["host"], "helo": test.get("helo", ""), "sender": test["mailfrom"],
                    "results": result if isinstance(result, list) else [result],
                    **({"explanation": test["explanation"]} if "explanation" in test else {})})
            yield {"suite": "spf/" + name, "zone": zone, "cases": cases}


def mail_auth_records(kind, rest):
    owner, _, value = rest.partition(" ")
    values = [v.strip() for v in value.split(",")]
    if kind in ("spf", "exp"):
        yield {"name": owner, "type": "TXT", "value": [value]}
    elif kind in ("a", "aaaa"):
        for address in values:
            yield {"name": owner, "type": kind.upper(), "value": address}
    elif kind == "mx":
        for i, address in enumerate(values):
            host = f"mx{i}.{owner}"
            yield {"name": owner, "type": "MX", "value": [i, host]}
            yield {"name": host, "type": "AAAA" if ":" in address else "A", "value": address}
    elif kind == "ptr":
        yield {"name": ipaddress.ip_address(owner).reverse_pointer, "type": "PTR", "value": value}


def mail_auth_suite(folder):
    """Lines set what is asked; an `expect` asks. The domain stands for HELO too, which is checked first."""
    base = os.path.join(folder, "mail-auth")
    for name in sorted(os.listdir(base)):
        with open(os.path.join(base, name), encoding="utf-8") as file:
            documents = file.read().split("\n---\n")
        for number, document in enumerate(documents):
            records, asked, count = {}, {}, 0
            for line in document.splitlines():
                line = line.strip().removeprefix("- ").strip()
                key, colon, value = line.partition(":")
                if not colon or line.startswith("#"):
                    continue
                value = value.strip()
                if key in ("spf", "exp", "a", "aaaa", "mx", "ptr"):
                    records[key, value.partition(" ")[0]] = list(mail_auth_records(key, value))
                elif key in ("ip", "domain", "sender"):
                    asked[key] = value
                elif key == "expect":
                    result, _, explanation = value.partition(" ")
                    zone = [r for each in records.values() for r in each]
                    # By that suite's convention this name fails.
                    zone.append({"name": "_dns_error.test.org", "type": "SERVFAIL", "value": ""})
                    yield {"suite": "spf/mail-auth", "zone": zone, "cases": [{
                        "name": f"{name}:{number}:{count}", "ip": asked["ip"], "helo": asked["domain"],
                        "sender": asked["sender"], "results": [result], "helo_first": True,
                        **({"explanation": explanation} if explanation else {})}]}
                    count += 1


def mailauth_suite(folder):
    with open(os.path.join(folder, "mailauth-spf.json"), encoding="utf-8") as file:
        for test in json.load(file):
            zone = []
            for key, answer in test["dns"].items():
                owner, kind = key.split(" ")
                error = {"ENOTFOUND": None, "ENODATA": "NODATA", "ETIMEOUT": "TIMEOUT"}.get(answer.get("error"), "SERVFAIL")
                if "error" in answer and error:
                    zone.append({"name": owner, "type": error, "value": ""})
                for value in answer.get("answer", []):
                    zone.append({"name": owner, "type": kind, "value": value})
            asked = test["input"]
            yield {"suite": "spf/mailauth-spf.json", "zone": zone, "cases": [{
                "name": test["name"].replace(" ", "_"), "ip": asked["ip"], "helo": asked["helo"], "sender": asked["sender"],
                "results": [test["expect"]["result"]],
                **({"max_void": asked["maxVoidCount"]} if "maxVoidCount" in asked else {})}]}


def rspamd_suite(folder):
    words = {"ALLOW": "pass", "FAIL": "fail", "SOFTFAIL": "softfail", "NEUTRAL": "neutral", "NA": "none", "PERMFAIL": "permerror",
             "DNSFAIL": "temperror"}
    with open(os.path.join(folder, "rspamd-spf.json"), encoding="utf-8") as file:
        suite = json.load(file)
    zone = []
    for record in suite["dns"]:
        error = {"timeout": "TIMEOUT", "norec": "NODATA"}.get(record.get("rcode"))
        if error:
            zone.append({"name": record["name"], "type": error, "value": ""})
        for value in record.get("replies", []):
            kind = record["type"].upper()
            if kind == "TXT":
                value = [value]
            if kind == "MX":
                preference, host = value.split(" ")
                value = [int(preference), host]
            zone.append({"name": record["name"], "type": kind, "value": value})
    cases = []
    for test in suite["cases"]:
        sender = test["options"]["From"]
        cases.append({
            "name": test["case"].replace(" ", "_"), "ip": test["options"]["IP"], "helo": test["options"].get("Helo", ""),
            "sender": "" if sender == "<>" else sender, "results": [words[s.removeprefix("R_SPF_")] for s in test["expect_symbols"]]})
    yield {"suite": "spf/rspamd-spf.json", "zone": zone, "cases": cases}


def main():
    folder = sys.argv[1]
    groups = []
    for name in ("rfc7208-tests.yml", "pyspf-tests.yml", "blitirispf-tests.yml"):
        groups += yaml_suite(folder, name)
    groups += mail_auth_suite(folder)
    groups += mailauth_suite(folder)
    groups += rspamd_suite(folder)
    json.dump(groups, sys.stdout)


if __name__ == "__main__":
    main()
