// A DNS message on the wire (RFC 1035 §4), read for the answer in it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/dns/answer.h"
#include "lib/core/dns/record.h"

namespace postern::dns {

struct WireMessage {
  uint16_t id = 0;
  bool response = false;
  bool truncated = false;
  int rcode = 0;
  struct Question {
    Name name;
    Type type = Type::kA;
  };
  std::vector<Question> questions;
  std::vector<Record> answers;
  std::vector<Record> authority;
};

inline constexpr size_t kMaxRecords = 1000;  // of one section; a message with more is refused
inline constexpr int kMaxCnames = 12;        // that an answer may go through

// ReadName reads the possibly compressed name at `*offset` of `message` and moves `*offset` behind
// it. Pointers must point backwards (RFC 1035 §4.1.4: to a prior occurrence), which makes loops
// impossible. nullopt for anything wrong.
std::optional<Name> ReadName(std::string_view message, size_t* offset);

// ParseMessage reads questions, answers and authority. kInvalidArgument for anything that is not
// exactly a message. Records of a class other than IN are left out; additional records are not
// looked at.
StatusOr<WireMessage> ParseMessage(std::string_view octets);

// AnswerFrom finds what `message` says about `name` and `type`, through CNAMEs that it contains. A
// loop, a foreign question or an rcode other than NOERROR and NXDOMAIN gives kServFail.
Answer AnswerFrom(const WireMessage& message, const Name& name, Type type);

}  // namespace postern::dns
