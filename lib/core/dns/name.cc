#include "lib/core/dns/name.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::dns {
namespace {

unsigned char Octet(char c) { return static_cast<unsigned char>(c); }

// Length octets are at most 63, below 'A': lower-casing the whole wire form leaves them alone.
bool SameIgnoringCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return AsciiToLower(x) == AsciiToLower(y);
         });
}

}  // namespace

// NameBuilder lets the readers of this file make a Name out of a wire form that they have checked.
class NameBuilder {
 public:
  static Name Make(std::string wire) { return Name(std::move(wire)); }
};

namespace {

// ParseLabels reads text into length-prefixed labels without the root; `*absolute` tells whether it
// ended in a dot.
StatusOr<std::string> ParseLabels(std::string_view text, bool* absolute) {
  std::string wire;
  std::string label;
  *absolute = false;
  auto end_label = [&]() -> Status {
    if (label.empty()) return InvalidArgument(StrCat("empty label in \"", Escape(text), "\""));
    if (label.size() > kMaxLabelBytes)
      return InvalidArgument(StrCat("label longer than 63 octets in \"", Escape(text), "\""));
    wire.push_back(static_cast<char>(label.size()));
    wire += label;
    label.clear();
    if (wire.size() + 1 > kMaxNameBytes)
      return InvalidArgument(StrCat("name longer than 255 octets: \"", Escape(text), "\""));
    return OkStatus();
  };
  size_t i = 0;
  while (i < text.size()) {
    const char c = text[i++];
    if (c == '.') {
      POSTERN_RETURN_IF_ERROR(end_label());
      *absolute = i == text.size();
      continue;
    }
    if (c != '\\') {
      label.push_back(c);
      continue;
    }
    // RFC 1035 §5.1: \DDD is an octet in decimal, \X is X itself.
    if (i == text.size())
      return InvalidArgument(StrCat("name ends in a backslash: \"", Escape(text), "\""));
    if (!IsAsciiDigit(text[i])) {
      label.push_back(text[i++]);
      continue;
    }
    const std::optional<uint64_t> value = ParseUint(text.substr(i, 3), 255);
    if (text.size() - i < 3 || !value)
      return InvalidArgument(StrCat("bad \\DDD in \"", Escape(text), "\""));
    label.push_back(static_cast<char>(*value));
    i += 3;
  }
  if (!*absolute) POSTERN_RETURN_IF_ERROR(end_label());
  return wire;
}

}  // namespace

StatusOr<Name> Name::Parse(std::string_view text) {
  if (text == ".") return Name();
  bool absolute = false;
  StatusOr<std::string> wire = ParseLabels(text, &absolute);
  if (!wire.ok()) return wire.status();
  wire->push_back('\0');
  return Name(std::move(*wire));
}

StatusOr<Name> Name::ParseRelative(std::string_view text, const Name& origin) {
  if (text == ".") return Name();
  if (text == "@") return origin;
  bool absolute = false;
  StatusOr<std::string> wire = ParseLabels(text, &absolute);
  if (!wire.ok()) return wire.status();
  if (absolute) {
    wire->push_back('\0');
  } else {
    wire->append(origin.wire_);
  }
  if (wire->size() > kMaxNameBytes)
    return InvalidArgument(StrCat("name longer than 255 octets: \"", Escape(text), "\""));
  return Name(std::move(*wire));
}

std::optional<Name> Name::FromWire(std::string_view wire) {
  if (wire.empty() || wire.size() > kMaxNameBytes) return std::nullopt;
  size_t at = 0;
  for (;;) {
    const size_t length = Octet(wire[at]);
    if (length == 0) break;
    if (length > kMaxLabelBytes || wire.size() - at <= length + 1) return std::nullopt;
    at += length + 1;
  }
  if (at + 1 != wire.size()) return std::nullopt;
  return Name(std::string(wire));
}

size_t Name::label_count() const {
  size_t count = 0;
  for (size_t at = 0; wire_[at] != '\0'; at += Octet(wire_[at]) + 1u) ++count;
  return count;
}

Name Name::Parent() const {
  if (is_root()) return Name();
  return Name(wire_.substr(Octet(wire_[0]) + 1u));
}

std::optional<Name> Name::Prepend(std::string_view label) const {
  if (label.empty() || label.size() > kMaxLabelBytes ||
      wire_.size() + label.size() + 1 > kMaxNameBytes)
    return std::nullopt;
  std::string wire(1, static_cast<char>(label.size()));
  wire += label;
  wire += wire_;
  return Name(std::move(wire));
}

bool Name::IsUnder(const Name& zone) const {
  for (size_t at = 0;; at += Octet(wire_[at]) + 1u) {
    const std::string_view rest = std::string_view(wire_).substr(at);
    if (rest.size() <= zone.wire_.size()) return SameIgnoringCase(rest, zone.wire_);
  }
}

std::string Name::ToString() const {
  if (is_root()) return ".";
  std::string text;
  for (size_t at = 0; wire_[at] != '\0'; at += Octet(wire_[at]) + 1u) {
    if (at > 0) text.push_back('.');
    for (const char c : std::string_view(wire_).substr(at + 1, Octet(wire_[at]))) {
      if (c == '.' || c == '\\' || c == '"' || c == ';' || c == '(' || c == ')' || c == '@' ||
          c == '$') {
        text.push_back('\\');
        text.push_back(c);
      } else if (c > 0x20 && c < 0x7f) {
        text.push_back(c);
      } else {
        const unsigned value = Octet(c);
        text.push_back('\\');
        text.push_back(static_cast<char>('0' + value / 100));
        text.push_back(static_cast<char>('0' + value / 10 % 10));
        text.push_back(static_cast<char>('0' + value % 10));
      }
    }
  }
  return text;
}

std::string Name::Key() const { return AsciiLower(wire_); }

bool operator==(const Name& a, const Name& b) { return SameIgnoringCase(a.wire_, b.wire_); }

std::strong_ordering operator<=>(const Name& a, const Name& b) {
  const int order = a.Key().compare(b.Key());
  return order < 0   ? std::strong_ordering::less
         : order > 0 ? std::strong_ordering::greater
                     : std::strong_ordering::equal;
}

Name ReverseName(std::string_view octets) {
  std::string text;
  if (octets.size() == 4) {  // RFC 1035 §3.5
    for (size_t i = 4; i-- > 0;) StrAppend(text, static_cast<unsigned>(Octet(octets[i])), ".");
    text += "in-addr.arpa";
  } else if (octets.size() == 16) {  // RFC 3596 §2.5
    for (size_t i = 16; i-- > 0;) {
      const std::string hex = Hex(Octet(octets[i]), 2);
      StrAppend(text, hex[1], ".", hex[0], ".");
    }
    text += "ip6.arpa";
  } else {
    return Name();
  }
  StatusOr<Name> name = Name::Parse(text);
  return name.ok() ? *name : Name();
}

}  // namespace postern::dns
