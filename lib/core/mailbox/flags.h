// Flags of a message: the five of RFC 3501 §2.3.2 as bits, and keywords as bits over the mailbox's
// table of names.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"

namespace postern::mailbox {

// SystemFlags is a set of flag bits. \Recent is not among them: it belongs to a session
// (MessageInfo::recent).
using SystemFlags = uint8_t;
inline constexpr SystemFlags kSeen = 1;
inline constexpr SystemFlags kAnswered = 2;
inline constexpr SystemFlags kFlagged = 4;
inline constexpr SystemFlags kDeleted = 8;
inline constexpr SystemFlags kDraft = 16;
inline constexpr SystemFlags kAllSystemFlags = 31;

// KeywordBits has a bit for each entry of the mailbox's keyword table (Mailbox::keywords()).
using KeywordBits = uint64_t;

// A mailbox has at most this many different keywords; each is at most this long.
inline constexpr size_t kMaxKeywords = 64;
inline constexpr size_t kMaxKeywordBytes = 128;

// SystemFlagName gives "\Seen" for kSeen; exactly one bit is set.
std::string_view SystemFlagName(SystemFlags flag);

// ParseSystemFlag reads "\Seen" and its like in any case; 0 for anything else (\Recent too: nobody
// may set it).
SystemFlags ParseSystemFlag(std::string_view name);

// IsValidKeyword tells whether `name` is an atom (RFC 3501 §9, flag-keyword) of at most
// kMaxKeywordBytes.
bool IsValidKeyword(std::string_view name);

// FlagList is flags as a client names them.
struct FlagList {
  SystemFlags system = 0;
  std::vector<std::string> keywords;  // no two equal without regard to case (RFC 9051 §2.3.2)

  bool empty() const { return system == 0 && keywords.empty(); }

  // Add puts in one flag by its name. kInvalidArgument, with a reason for the client, when it
  // starts with a backslash and is none that may be set, or is no valid keyword; kResourceExhausted
  // beyond kMaxKeywords.
  Status Add(std::string_view name);
  friend bool operator==(const FlagList&, const FlagList&) = default;
};

// FlagChange is what STORE does with a FlagList.
enum class FlagChange : uint8_t { kReplace, kAdd, kRemove };

// KeywordTable gives keywords their bits: names in the order they came, compared without regard to
// ASCII case. A slot may be empty (""): its name is not known.
class KeywordTable {
 public:
  const std::vector<std::string>& names() const { return names_; }
  // Find returns the bit number of `name`, or -1.
  int Find(std::string_view name) const;
  // FindOrAdd is Find, or the next free bit; -1 when all are taken.
  int FindOrAdd(std::string_view name);
  // Set puts `name` at `bit` (< kMaxKeywords), whatever stood there.
  void Set(size_t bit, std::string_view name);

  // BitsOf gives the bits of those names in `list` that the table has.
  KeywordBits BitsOf(const FlagList& list) const;
  // NamesOf lists the names of `bits`.
  std::vector<std::string_view> NamesOf(KeywordBits bits) const;

 private:
  std::vector<std::string> names_;
};

// FormatFlags writes "(\Seen $Junk)" as FETCH and PERMANENTFLAGS show it; `recent` adds \Recent.
std::string FormatFlags(SystemFlags system, KeywordBits keywords, const KeywordTable& table,
                        bool recent);

}  // namespace postern::mailbox
