// Domain names as DNS has them (RFC 1035 §3.1): labels of any octets, compared without ASCII case.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/base/status.h"

namespace postern::dns {

inline constexpr size_t kMaxLabelBytes = 63;  // RFC 1035 §2.3.4
inline constexpr size_t kMaxNameBytes = 255;  // on the wire, with the root's zero

// Name is an absolute name. The default one is the root.
class Name {
 public:
  Name() : wire_(1, '\0') {}

  // Parse reads text: labels between dots, "\." and "\DDD" escapes (RFC 1035 §5.1), with or without
  // a final dot. "" is an error, "." is the root.
  static StatusOr<Name> Parse(std::string_view text);
  // ParseRelative is Parse, but a text without final dot is completed with `origin`, and "@" is
  // `origin` itself.
  static StatusOr<Name> ParseRelative(std::string_view text, const Name& origin);
  // FromWire reads an uncompressed name that is all of `wire`.
  static std::optional<Name> FromWire(std::string_view wire);

  // wire lends the uncompressed form, root included.
  std::string_view wire() const { return wire_; }
  bool is_root() const { return wire_.size() == 1; }
  size_t label_count() const;
  // label lends the left-most label, "" for the root.
  std::string_view label() const {
    return std::string_view(wire_).substr(1, static_cast<unsigned char>(wire_[0]));
  }
  // Parent is the name without its left-most label; the root's is the root.
  Name Parent() const;
  // Prepend gives "label.name"; nullopt when it is too long or the label is empty.
  std::optional<Name> Prepend(std::string_view label) const;
  // IsUnder tells whether this name is `zone` or below it.
  bool IsUnder(const Name& zone) const;

  // ToString gives the text without the final dot ("." for the root), escaped so that Parse gives
  // it back.
  std::string ToString() const;
  // Key is the wire form in lower case, for maps.
  std::string Key() const;

  friend bool operator==(const Name& a, const Name& b);
  // Orders by wire form without case (not RFC 4034's canonical order).
  friend std::strong_ordering operator<=>(const Name& a, const Name& b);

 private:
  friend class NameBuilder;
  explicit Name(std::string wire) : wire_(std::move(wire)) {}
  std::string wire_;
};

// ReverseName gives the name under in-addr.arpa or ip6.arpa of `octets` (4 or 16, network order);
// the root for anything else.
Name ReverseName(std::string_view octets);

}  // namespace postern::dns
