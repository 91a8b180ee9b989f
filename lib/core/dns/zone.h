// Zone text (RFC 1035 §5) and the answers in it: for tests, for `--zone` on the command line, and
// for machines without DNS.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/dns/answer.h"

namespace postern::dns {

struct ZoneLimits {
  size_t max_records = 1'000'000;
  size_t max_line_fields = 1000;
};

// ZoneData is a set of records that answers questions. What it does not know does not exist. Once
// it is made it does not change, and any thread may ask.
class ZoneData {
 public:
  // Parse reads master-file text: $ORIGIN, $TTL, comments, quotes, escapes, parentheses over lines,
  // "@", relative names, a blank owner for the previous one, TTLs, and times of an SOA, in
  // seconds or as "1h30m", class IN, any type as "TYPE4711 \\# LENGTH HEX" (RFC 3597). Records of
  // types that no check of mail asks for (SPF, CAA, DNSKEY, …) are passed over; a DNAME is obeyed
  // (RFC 6672). A CNAME beside other records is an error (RFC 1034 §3.6.2). One text may hold
  // several zones; no SOA is needed. Beyond the RFC, three pseudo-types say how a name fails:
  // `broken.example. SERVFAIL`, `slow.example. TIMEOUT`, `forged.example. BOGUS`. kInvalidArgument
  // says "line N: …".
  static StatusOr<ZoneData> Parse(std::string_view text, const ZoneLimits& limits = {});

  // Query answers like a recursive server: exact name, else wildcard (RFC 4592), CNAMEs followed,
  // NXDOMAIN against NODATA by whether the name or anything below it exists.
  Answer Query(const Name& name, Type type) const;

  // Add puts one record in, for tests.
  void Add(Record record);
  size_t record_count() const { return record_count_; }
  // secure makes all answers DNSSEC-secure, as if the zone was signed.
  void set_secure(bool secure) { secure_ = secure; }

 private:
  struct Node {
    std::map<Type, std::vector<Record>> records;
    Answer::Kind failure = Answer::Kind::kOk;
    bool bogus = false;
  };
  const Node* Find(const Name& name, bool* exists) const;

  std::map<std::string, Node>
      nodes_;  // by Name::Key; empty non-terminals have an empty node (RFC 4592 §2.2.2)
  size_t record_count_ = 0;
  bool secure_ = false;

  // Where each DNAME leads, by Name::Key of its owner.
  std::map<std::string, Name> redirections_;

  Node& NodeFor(const Name& name);
  // Redirected is where a DNAME above `name` leads it; nullopt without one, or when the new name is
  // too long.
  std::optional<Name> Redirected(const Name& name) const;
};

}  // namespace postern::dns
