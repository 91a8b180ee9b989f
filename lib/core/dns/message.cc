#include "lib/core/dns/message.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::dns {
namespace {

constexpr uint16_t kClassIn = 1;

bool ReadU16(std::string_view message, size_t* at, uint16_t* value) {
  if (message.size() - *at < 2) return false;
  *value = static_cast<uint16_t>(static_cast<unsigned char>(message[*at]) << 8 |
                                 static_cast<unsigned char>(message[*at + 1]));
  *at += 2;
  return true;
}

bool ReadU32(std::string_view message, size_t* at, uint32_t* value) {
  uint16_t high = 0, low = 0;
  if (!ReadU16(message, at, &high) || !ReadU16(message, at, &low)) return false;
  *value = static_cast<uint32_t>(high) << 16 | low;
  return true;
}

Status Broken(std::string_view what) { return InvalidArgument(StrCat("DNS message: ", what)); }

Status ReadSection(std::string_view message, size_t* at, size_t count, std::vector<Record>* out) {
  if (count > kMaxRecords) return Broken("too many records");
  for (size_t i = 0; i < count; ++i) {
    Record record;
    std::optional<Name> name = ReadName(message, at);
    uint16_t type = 0, klass = 0, length = 0;
    if (!name || !ReadU16(message, at, &type) || !ReadU16(message, at, &klass) ||
        !ReadU32(message, at, &record.ttl_s) || !ReadU16(message, at, &length) ||
        message.size() - *at < length) {
      return Broken("a record is cut off or malformed");
    }
    record.name = std::move(*name);
    record.type = static_cast<Type>(type);
    if (record.ttl_s > 0x7fffffff) record.ttl_s = 0;  // RFC 2181 §8
    const size_t start = *at;
    *at += length;
    if (klass != kClassIn) continue;
    std::optional<Data> data = ParseRdata(record.type, message, start, length);
    if (!data) return Broken(StrCat("malformed data of ", TypeName(record.type)));
    record.data = std::move(*data);
    out->push_back(std::move(record));
  }
  return OkStatus();
}

}  // namespace

const char* KindName(Answer::Kind kind) {
  switch (kind) {
    case Answer::Kind::kOk: return "ok";
    case Answer::Kind::kNoData: return "nodata";
    case Answer::Kind::kNxDomain: return "nxdomain";
    case Answer::Kind::kServFail: return "servfail";
    case Answer::Kind::kTimeout: return "timeout";
  }
  return "unknown";
}

std::optional<Name> ReadName(std::string_view message, size_t* offset) {
  std::string wire;
  size_t at = *offset;
  size_t after = 0;               // where reading goes on, once a pointer was followed
  size_t limit = message.size();  // a pointer must lead before the part that holds it
  size_t part = at;               // where the present run of labels began
  bool jumped = false;
  for (;;) {
    if (at >= limit) return std::nullopt;
    const size_t length = static_cast<unsigned char>(message[at]);
    if ((length & 0xc0) == 0xc0) {
      if (limit - at < 2) return std::nullopt;
      const size_t target = (length & 0x3f) << 8 | static_cast<unsigned char>(message[at + 1]);
      // RFC 1035 §4.1.4: "a prior occurance". Each pointer leads before the run it ends, so there
      // are no loops.
      if (target >= part) return std::nullopt;
      if (!jumped) after = at + 2;
      jumped = true;
      limit = part;
      at = part = target;
      continue;
    }
    if (length > kMaxLabelBytes) return std::nullopt;  // 0x40 and 0x80 are not used
    if (limit - at < length + 1) return std::nullopt;
    wire.append(message.substr(at, length + 1));
    if (wire.size() > kMaxNameBytes) return std::nullopt;
    at += length + 1;
    if (length == 0) break;
  }
  *offset = jumped ? after : at;
  return Name::FromWire(wire);
}

StatusOr<WireMessage> ParseMessage(std::string_view octets) {
  if (octets.size() > 65535) return Broken("longer than 65,535 octets");
  size_t at = 0;
  WireMessage message;
  uint16_t flags = 0, questions = 0, answers = 0, authority = 0, additional = 0;
  if (!ReadU16(octets, &at, &message.id) || !ReadU16(octets, &at, &flags) ||
      !ReadU16(octets, &at, &questions) || !ReadU16(octets, &at, &answers) ||
      !ReadU16(octets, &at, &authority) || !ReadU16(octets, &at, &additional)) {
    return Broken("the header is cut off");
  }
  message.response = (flags & 0x8000) != 0;
  message.truncated = (flags & 0x0200) != 0;
  message.rcode = flags & 0x000f;
  if (questions > 1) return Broken("more than one question");
  for (uint16_t i = 0; i < questions; ++i) {
    std::optional<Name> name = ReadName(octets, &at);
    uint16_t type = 0, klass = 0;
    if (!name || !ReadU16(octets, &at, &type) || !ReadU16(octets, &at, &klass))
      return Broken("the question is malformed");
    message.questions.push_back(WireMessage::Question{std::move(*name), static_cast<Type>(type)});
  }
  POSTERN_RETURN_IF_ERROR(ReadSection(octets, &at, answers, &message.answers));
  POSTERN_RETURN_IF_ERROR(ReadSection(octets, &at, authority, &message.authority));
  return message;
}

Answer AnswerFrom(const WireMessage& message, const Name& name, Type type) {
  if (!message.response) return Answer::Failure(Answer::Kind::kServFail, "the reply is no reply");
  for (const WireMessage::Question& question : message.questions) {
    if (question.name != name || question.type != type) {
      return Answer::Failure(Answer::Kind::kServFail, "the reply answers another question");
    }
  }
  if (message.rcode != 0 && message.rcode != 3) {
    return Answer::Failure(Answer::Kind::kServFail, StrCat("rcode ", message.rcode));
  }
  if (message.truncated) return Answer::Failure(Answer::Kind::kServFail, "the reply is truncated");
  Answer answer;
  answer.name = name;
  answer.ttl_s = UINT32_MAX;
  for (int hops = 0;; ++hops) {
    if (hops > kMaxCnames)
      return Answer::Failure(Answer::Kind::kServFail, "too many CNAMEs, or a loop of them");
    const Record* alias = nullptr;
    for (const Record& record : message.answers) {
      if (record.name != answer.name) continue;
      if (record.type == type) {
        answer.records.push_back(record);
        answer.ttl_s = std::min(answer.ttl_s, record.ttl_s);
      } else if (record.type == Type::kCname) {
        alias = &record;
      }
    }
    if (!answer.records.empty()) {
      answer.kind = Answer::Kind::kOk;
      return answer;
    }
    if (alias == nullptr) break;
    answer.ttl_s = std::min(answer.ttl_s, alias->ttl_s);
    answer.name = std::get<NameData>(alias->data).name;
  }
  answer.kind = message.rcode == 3 ? Answer::Kind::kNxDomain : Answer::Kind::kNoData;
  for (const Record& record : message.authority) {
    // RFC 2308 §5: the lesser of the SOA's TTL and its minimum.
    if (const auto* soa = std::get_if<SoaData>(&record.data)) {
      answer.ttl_s = std::min({answer.ttl_s, record.ttl_s, soa->minimum});
    }
  }
  if (answer.ttl_s == UINT32_MAX) answer.ttl_s = 0;
  return answer;
}

}  // namespace postern::dns
