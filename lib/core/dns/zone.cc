#include "lib/core/dns/zone.h"

#include <algorithm>
#include <array>
#include <limits>

#include "lib/core/base/strings.h"
#include "lib/core/dns/message.h"

namespace postern::dns {
namespace {

struct Field {
  // escapes undone where the field was quoted, kept where it was not: names need them
  std::string text;
  bool quoted = false;
};

struct Entry {
  size_t line = 0;
  bool blank_owner = false;
  std::vector<Field> fields;
};

// Lexer cuts master-file text into entries: a line, or several where parentheses join them (RFC
// 1035 §5.1).
class Lexer {
 public:
  Lexer(std::string_view text, size_t max_fields) : text_(text), max_fields_(max_fields) {}

  // Next reads the next entry that is not empty; false at the end of the text.
  StatusOr<bool> Next(Entry* entry) {
    for (;;) {
      if (at_ >= text_.size()) return false;
      Entry read;
      read.line = line_;
      read.blank_owner = text_[at_] == ' ' || text_[at_] == '\t';
      POSTERN_RETURN_IF_ERROR(ReadEntry(&read));
      if (read.fields.empty()) continue;
      *entry = std::move(read);
      return true;
    }
  }

 private:
  Status Bad(size_t line, std::string_view what) const {
    return InvalidArgument(StrCat("line ", line, ": ", what));
  }

  Status ReadEntry(Entry* entry) {
    int depth = 0;
    size_t opened_line = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') {
        ++at_, ++line_;
        if (depth == 0) return OkStatus();
      } else if (c == ' ' || c == '\t' || c == '\r') {
        ++at_;
      } else if (c == ';') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (c == '(') {
        ++at_, ++depth;
        opened_line = line_;
      } else if (c == ')') {
        if (depth == 0) return Bad(line_, "\")\" without \"(\"");
        ++at_, --depth;
      } else {
        if (entry->fields.size() >= max_fields_) return Bad(line_, "too many fields");
        POSTERN_RETURN_IF_ERROR(c == '"' ? ReadQuoted(entry) : ReadWord(entry));
      }
    }
    if (depth > 0) return Bad(opened_line, "\"(\" without \")\"");
    return OkStatus();
  }

  Status ReadWord(Entry* entry) {
    Field field;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ';' || c == '(' || c == ')' ||
          c == '"')
        break;
      field.text.push_back(c);
      ++at_;
      if (c == '\\' && at_ < text_.size() && text_[at_] != '\n') field.text.push_back(text_[at_++]);
    }
    entry->fields.push_back(std::move(field));
    return OkStatus();
  }

  Status ReadQuoted(Entry* entry) {
    const size_t start_line = line_;
    Field field;
    field.quoted = true;
    ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') {
        entry->fields.push_back(std::move(field));
        return OkStatus();
      }
      if (c == '\n') ++line_;
      field.text.push_back(c);
      if (c == '\\' && at_ < text_.size()) field.text.push_back(text_[at_++]);
    }
    return Bad(start_line, "a quote that is not closed");
  }

  std::string_view text_;
  size_t max_fields_;
  size_t at_ = 0;
  size_t line_ = 1;
};

// Unescape undoes \X and \DDD.
std::optional<std::string> Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.push_back(text[i]);
      continue;
    }
    if (++i == text.size()) return std::nullopt;
    if (!IsAsciiDigit(text[i])) {
      out.push_back(text[i]);
      continue;
    }
    const std::optional<uint64_t> value = ParseUint(text.substr(i, 3), 255);
    if (text.size() - i < 3 || !value) return std::nullopt;
    out.push_back(static_cast<char>(*value));
    i += 2;
  }
  return out;
}

// ParseTtl reads seconds, or BIND's "1w2d3h4m5s".
std::optional<uint32_t> ParseTtl(std::string_view text) {
  constexpr uint64_t kMax = 0x7fffffff;  // RFC 2181 §8
  if (text.empty() || !IsAsciiDigit(text[0])) return std::nullopt;
  if (const std::optional<uint64_t> seconds = ParseUint(text, kMax))
    return static_cast<uint32_t>(*seconds);
  uint64_t total = 0;
  while (!text.empty()) {
    size_t digits = 0;
    while (digits < text.size() && IsAsciiDigit(text[digits])) ++digits;
    const std::optional<uint64_t> number = ParseUint(text.substr(0, digits), kMax);
    if (!number || digits == text.size()) return std::nullopt;
    uint64_t unit = 0;
    switch (AsciiToLower(text[digits])) {
      case 's': unit = 1; break;
      case 'm': unit = 60; break;
      case 'h': unit = 3600; break;
      case 'd': unit = 86400; break;
      case 'w': unit = 604800; break;
      default: return std::nullopt;
    }
    total += *number * unit;
    if (total > kMax) return std::nullopt;
    text.remove_prefix(digits + 1);
  }
  return static_cast<uint32_t>(total);
}

// IsUnusedType tells of the types that zones of the wild have and nobody here asks for (IANA's "DNS
// Parameters"; DNAME is not among them, because it changes answers). SPF had a type of its own
// until RFC 7208 §3.1.
bool IsUnusedType(std::string_view name) {
  static constexpr auto kNames = std::to_array<std::string_view>(
      {"AFSDB", "AMTRELAY", "APL",   "CAA",   "CDNSKEY", "CDS",        "CERT",  "CSYNC",
       "DHCID", "DNSKEY",   "DS",    "EUI48", "EUI64",   "GPOS",       "HINFO", "HIP",
       "HTTPS", "IPSECKEY", "ISDN",  "KEY",   "KX",      "LOC",        "MB",    "MG",
       "MINFO", "MR",       "NAPTR", "NSEC",  "NSEC3",   "NSEC3PARAM", "NULL",  "OPENPGPKEY",
       "PX",    "RP",       "RRSIG", "RT",    "SIG",     "SMIMEA",     "SPF",   "SSHFP",
       "SVCB",  "URI",      "WKS",   "X25",   "ZONEMD"});
  return std::any_of(kNames.begin(), kNames.end(),
                     [&](std::string_view each) { return EqualsIgnoreCase(each, name); });
}

}  // namespace

StatusOr<ZoneData> ZoneData::Parse(std::string_view text, const ZoneLimits& limits) {
  ZoneData zone;
  Lexer lexer(text, limits.max_line_fields);
  Name origin;
  Name owner;
  bool have_owner = false;
  uint32_t default_ttl = 3600;
  Entry entry;
  for (;;) {
    StatusOr<bool> more = lexer.Next(&entry);
    if (!more.ok()) return more.status();
    if (!*more) break;
    auto bad = [&](std::string_view what) {
      return InvalidArgument(StrCat("line ", entry.line, ": ", what));
    };
    std::vector<Field>& fields = entry.fields;

    if (!fields[0].quoted && !fields[0].text.empty() && fields[0].text[0] == '$') {
      if (EqualsIgnoreCase(fields[0].text, "$ORIGIN") && fields.size() == 2) {
        StatusOr<Name> name = Name::ParseRelative(fields[1].text, origin);
        if (!name.ok()) return bad(Message(name.status()));
        origin = *std::move(name);
      } else if (EqualsIgnoreCase(fields[0].text, "$TTL") && fields.size() == 2) {
        const std::optional<uint32_t> ttl = ParseTtl(fields[1].text);
        if (!ttl) return bad(StrCat("\"", Escape(fields[1].text), "\" is no TTL"));
        default_ttl = *ttl;
      } else {
        return bad(
            StrCat("\"", Escape(fields[0].text), "\": only $ORIGIN NAME and $TTL TIME are known"));
      }
      continue;
    }

    size_t at = 0;
    if (!entry.blank_owner) {
      StatusOr<Name> name = Name::ParseRelative(fields[at++].text, origin);
      if (!name.ok()) return bad(Message(name.status()));
      owner = *std::move(name);
      have_owner = true;
    } else if (!have_owner) {
      return bad("a record without owner before any owner was named");
    }
    // TTL and class come in any order, or not at all (RFC 1035 §5.1).
    uint32_t ttl = default_ttl;
    for (int i = 0; i < 2 && at < fields.size(); ++i) {
      if (EqualsIgnoreCase(fields[at].text, "IN")) {
        ++at;
      } else if (const std::optional<uint32_t> own = ParseTtl(fields[at].text)) {
        ttl = *own;
        ++at;
      }
    }
    if (at >= fields.size()) return bad("a record type is missing");
    const std::string& type_text = fields[at++].text;
    if (at == fields.size() &&
        (EqualsIgnoreCase(type_text, "SERVFAIL") || EqualsIgnoreCase(type_text, "TIMEOUT") ||
         EqualsIgnoreCase(type_text, "BOGUS"))) {
      Node& node = zone.NodeFor(owner);
      node.failure =
          EqualsIgnoreCase(type_text, "TIMEOUT") ? Answer::Kind::kTimeout : Answer::Kind::kServFail;
      node.bogus = EqualsIgnoreCase(type_text, "BOGUS");
      continue;
    }
    if (EqualsIgnoreCase(type_text, "DNAME") && at + 1 == fields.size()) {
      StatusOr<Name> target = Name::ParseRelative(fields[at].text, origin);
      if (!target.ok()) return bad(Message(target.status()));
      if (zone.redirections_.size() >= limits.max_records) return bad("too many records");
      zone.NodeFor(owner);
      if (!zone.redirections_.emplace(owner.Key(), *std::move(target)).second)
        return bad("a second DNAME at the same name (RFC 6672 section 2.4)");
      continue;
    }
    const std::optional<Type> type = ParseType(type_text);
    if (!type && IsUnusedType(type_text)) {
      // The name is there all the same, and has no data of the types that are asked for.
      zone.NodeFor(owner);
      continue;
    }
    if (!type) return bad(StrCat("\"", Escape(type_text), "\" is no record type"));
    std::vector<std::string> values;
    for (; at < fields.size(); ++at) {
      if (*type != Type::kTxt || (fields[at].text == "\\#" && !fields[at].quoted)) {
        values.push_back(fields[at].text);
        continue;
      }
      std::optional<std::string> value = Unescape(fields[at].text);
      if (!value) return bad("bad escape in text");
      values.push_back(std::move(*value));
    }
    if (*type == Type::kSoa && values.size() == 7) {
      // The four times may have units, as $TTL may.
      for (size_t i = 3; i < 7; ++i) {
        if (const std::optional<uint32_t> time = ParseTtl(values[i])) values[i] = StrCat(*time);
      }
    }
    StatusOr<Data> data = ParseRdataText(*type, values, origin);
    if (!data.ok()) return bad(Message(data.status()));
    if (zone.record_count_ >= limits.max_records) return bad("too many records");
    const Node& there = zone.NodeFor(owner);
    if (there.records.contains(Type::kCname) || (*type == Type::kCname && !there.records.empty()))
      return bad("a CNAME stands alone at its name (RFC 1034 section 3.6.2)");
    zone.Add(Record{owner, *type, ttl, *std::move(data)});
  }
  return zone;
}

ZoneData::Node& ZoneData::NodeFor(const Name& name) {
  // Every name above exists too, if only as an empty non-terminal (RFC 4592 §2.2.2): up to the
  // first that is known.
  for (Name above = name.Parent(); !above.is_root(); above = above.Parent()) {
    if (!nodes_.try_emplace(above.Key()).second) break;
  }
  return nodes_[name.Key()];
}

void ZoneData::Add(Record record) {
  Node& node = NodeFor(record.name);
  const Type type = record.type;
  node.records[type].push_back(std::move(record));
  ++record_count_;
}

const ZoneData::Node* ZoneData::Find(const Name& name, bool* exists) const {
  *exists = true;
  if (const auto it = nodes_.find(name.Key()); it != nodes_.end()) return &it->second;
  // RFC 4592 §3.3.1: the wildcard of the closest encloser, and of no other name.
  for (Name encloser = name.Parent();; encloser = encloser.Parent()) {
    const bool known = encloser.is_root() || nodes_.contains(encloser.Key());
    if (known) {
      const std::optional<Name> wildcard = encloser.Prepend("*");
      if (wildcard) {
        if (const auto it = nodes_.find(wildcard->Key()); it != nodes_.end()) return &it->second;
      }
      break;
    }
  }
  *exists = false;
  return nullptr;
}

std::optional<Name> ZoneData::Redirected(const Name& name) const {
  if (redirections_.empty()) return std::nullopt;
  std::vector<std::string> labels;  // those that stay, the first one first
  for (Name at = name; !at.is_root(); at = at.Parent()) {
    labels.emplace_back(at.label());
    const auto it = redirections_.find(at.Parent().Key());
    if (it == redirections_.end()) continue;
    std::optional<Name> out = it->second;
    for (size_t i = labels.size(); i-- > 0 && out.has_value();) out = out->Prepend(labels[i]);
    return out;
  }
  return std::nullopt;
}

Answer ZoneData::Query(const Name& name, Type type) const {
  Answer answer;
  answer.security = secure_ ? Answer::Security::kSecure : Answer::Security::kInsecure;
  answer.name = name;
  answer.ttl_s = std::numeric_limits<uint32_t>::max();
  for (int hops = 0; hops <= kMaxCnames; ++hops) {
    bool exists = false;
    const Node* node = Find(answer.name, &exists);
    if (node != nullptr && node->failure != Answer::Kind::kOk) {
      answer.kind = node->failure;
      if (node->bogus) answer.security = Answer::Security::kBogus;
      answer.detail = node->bogus ? "the signatures do not verify" : "as the zone file says";
      answer.ttl_s = 0;
      return answer;
    }
    if (node != nullptr) {
      if (const auto it = node->records.find(type); it != node->records.end()) {
        answer.kind = Answer::Kind::kOk;
        answer.records = it->second;
        for (Record& record : answer.records) {
          record.name = answer.name;  // of a wildcard's record: the name that was asked for
          answer.ttl_s = std::min(answer.ttl_s, record.ttl_s);
        }
        return answer;
      }
      if (const auto it = node->records.find(Type::kCname); it != node->records.end()) {
        const Record& alias = it->second.front();
        answer.ttl_s = std::min(answer.ttl_s, alias.ttl_s);
        answer.name = std::get<NameData>(alias.data).name;
        continue;
      }
    }
    if (std::optional<Name> redirected = Redirected(answer.name); redirected.has_value()) {
      answer.name = *std::move(redirected);
      continue;
    }
    answer.kind = exists ? Answer::Kind::kNoData : Answer::Kind::kNxDomain;
    answer.ttl_s = std::min<uint32_t>(answer.ttl_s, 60);
    return answer;
  }
  answer.ttl_s = 0;
  answer.kind = Answer::Kind::kServFail;
  answer.detail = "too many CNAMEs, or a loop of them";
  return answer;
}

}  // namespace postern::dns
