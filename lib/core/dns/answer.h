// Answer: what a resolver says about one name and type.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/core/dns/record.h"

namespace postern::dns {

struct Answer {
  enum class Kind : uint8_t {
    kOk,        // `records` is not empty
    kNoData,    // the name exists, without records of that type
    kNxDomain,  // the name does not exist
    kServFail,  // temporary: the servers failed, lied, or answered nonsense (also bogus DNSSEC)
    kTimeout,   // temporary: nobody answered in time
  };
  enum class Security : uint8_t {
    kInsecure,  // not signed, or nobody looked
    kSecure,    // DNSSEC proves it
    kBogus,     // DNSSEC proves it wrong: kind is kServFail
  };

  Kind kind = Kind::kServFail;
  Security security = Security::kInsecure;
  Name name;                    // at the end of the CNAMEs
  std::vector<Record> records;  // of the type asked for, and no other
  uint32_t ttl_s = 0;  // the least of all records on the way; of the denial when there is none
  std::string detail;  // why, for logs: kServFail and kTimeout

  bool ok() const { return kind == Kind::kOk; }
  // temporary tells whether asking again later may help.
  bool temporary() const { return kind == Kind::kServFail || kind == Kind::kTimeout; }
  // missing: nothing of this type there, and that is certain.
  bool missing() const { return kind == Kind::kNoData || kind == Kind::kNxDomain; }

  static Answer Failure(Kind kind, std::string detail) {
    Answer answer;
    answer.kind = kind;
    answer.detail = std::move(detail);
    return answer;
  }
};

const char* KindName(Answer::Kind kind);  // "ok", "nxdomain", ...

}  // namespace postern::dns
