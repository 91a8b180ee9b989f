// SPF macros (RFC 7208 §7): "%{ir}.%{v}._spf.%{d2}" read once, expanded for one client.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/status.h"

namespace postern::trust {

// What a text with macros is for; it decides what may stand in it.
enum class SpfMacroUse {
  // A name to ask for (RFC 7208 §7.1 domain-spec): no blanks, no %{c}, %{r}, %{t} (§7.2), and it
  // ends in a macro or a valid top label.
  kDomain,
  kModifierValue,  // of an unknown modifier (§6): any macro, no blanks
  kExplanation,    // the text behind exp= (§6.2): any macro, blanks too
};

// SpfMacroString is such a text: literals and macros in a row.
struct SpfMacroString {
  struct Item {
    std::string literal;  // what stands there, with %%, %_ and %- already undone; if not a macro:
    char letter = '\0';   // in lower case; 0 for a literal
    bool url_escape = false;  // the letter was in upper case
    bool reverse = false;     // "r"
    uint32_t keep = 0;        // this many parts from the right; 0 is all
    std::string delimiters;   // between parts; empty is "."
  };
  std::string text;  // as it was written
  std::vector<Item> items;

  // Uses tells whether the macro `letter` (lower case) is in it.
  bool Uses(char letter) const;
};

// ParseSpfMacroString reads all of `text`. kInvalidArgument says what is wrong, fit to follow
// "at TERM: ".
StatusOr<SpfMacroString> ParseSpfMacroString(std::string_view text, SpfMacroUse use);

// SpfMacroValues is what the letters stand for (RFC 7208 §7.2). The views are the caller's.
struct SpfMacroValues {
  IpAddress client;                // %{i} %{v} %{c}
  std::string_view local_part;     // %{l}; of %{s}
  std::string_view sender_domain;  // %{o}; of %{s}
  std::string_view domain;         // %{d}
  std::string_view helo;           // %{h}
  std::string_view validated;      // %{p}: "unknown" without one
  std::string_view receiver;       // %{r}: "unknown" without one
  int64_t now_unix_s = 0;          // %{t}
};

// ExpandSpfText expands an explanation, cut at `max_bytes`.
std::string ExpandSpfText(const SpfMacroString& text, const SpfMacroValues& values,
                          size_t max_bytes);

// ExpandSpfDomain expands a name to ask for. When it has more than 253 octets, labels are dropped
// from its left until it fits (RFC 7208 §7.3). A final dot is taken off.
std::string ExpandSpfDomain(const SpfMacroString& text, const SpfMacroValues& values);

}  // namespace postern::trust
