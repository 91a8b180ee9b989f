#include "lib/core/mailbox/names.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"

namespace postern::mailbox {
namespace {

// RFC 3501 §5.1.3: base64 with ',' in place of '/', without padding, over UTF-16 in network order.
constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

int Base64Value(char c) {
  const size_t at = kAlphabet.find(c);
  return c == '\0' || at == std::string_view::npos ? -1 : static_cast<int>(at);
}

// Utf16Reader puts UTF-16 units together and refuses what modified UTF-7 may not hold.
class Utf16Reader {
 public:
  explicit Utf16Reader(std::string* out) : out_(out) {}
  bool Take(uint32_t unit) {
    if (high_ != 0) {
      if (unit < 0xdc00 || unit > 0xdfff) return false;
      mail::AppendUtf8(0x10000 + ((high_ - 0xd800) << 10) + (unit - 0xdc00), *out_);
      high_ = 0;
      return true;
    }
    if (unit >= 0xd800 && unit <= 0xdbff) {
      high_ = unit;
      return true;
    }
    // RFC 3501 §5.1.3: printable US-ASCII stands for itself; C0 and C1 controls have no place in a
    // name.
    if (unit < 0xa0 || (unit >= 0xdc00 && unit <= 0xdfff)) return false;
    mail::AppendUtf8(unit, *out_);
    return true;
  }
  bool complete() const { return high_ == 0; }

 private:
  std::string* out_;
  uint32_t high_ = 0;
};

// DecodeShift reads the base64 between '&' and '-'.
bool DecodeShift(std::string_view base64, std::string* out) {
  Utf16Reader reader(out);
  uint32_t bits = 0;
  int count = 0;
  for (char c : base64) {
    const int value = Base64Value(c);
    if (value < 0) return false;
    bits = (bits << 6) | static_cast<uint32_t>(value);
    count += 6;
    if (count < 16) continue;
    count -= 16;
    if (!reader.Take((bits >> count) & 0xffff)) return false;
    bits &= (1u << count) - 1;
  }
  // What is left is padding: fewer than six bits, all zero.
  return count < 6 && bits == 0 && reader.complete();
}

void AppendShift(std::string& out, const std::vector<uint16_t>& units) {
  uint32_t bits = 0;
  int count = 0;
  out.push_back('&');
  for (uint16_t unit : units) {
    bits = (bits << 16) | unit;
    count += 16;
    while (count >= 6) {
      count -= 6;
      out.push_back(kAlphabet[(bits >> count) & 0x3f]);
    }
    bits &= (1u << count) - 1;
  }
  if (count > 0) out.push_back(kAlphabet[(bits << (6 - count)) & 0x3f]);
  out.push_back('-');
}

}  // namespace

std::optional<std::string> DecodeMailboxUtf7(std::string_view wire) {
  std::string out;
  for (size_t i = 0; i < wire.size(); ++i) {
    if (!IsAsciiPrintable(wire[i])) return std::nullopt;
    if (wire[i] != '&') {
      out.push_back(wire[i]);
      continue;
    }
    const size_t end = wire.find('-', i);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view base64 = wire.substr(i + 1, end - i - 1);
    if (base64.empty()) {
      out.push_back('&');
    } else if (!DecodeShift(base64, &out)) {
      return std::nullopt;
    }
    // RFC 3501 §5.1.3: no superfluous shifts ("&U,BTFw-&ZeVnLIqe-"); they would give a mailbox a
    // second name.
    if (!base64.empty() && end + 2 < wire.size() && wire[end + 1] == '&' && wire[end + 2] != '-')
      return std::nullopt;
    i = end;
  }
  return out;
}

std::string EncodeMailboxUtf7(std::string_view name) {
  std::string out;
  std::vector<uint16_t> units;
  while (!name.empty()) {
    size_t length = 0;
    const int32_t decoded = mail::DecodeUtf8(name, &length);
    const uint32_t c = decoded < 0 ? 0xfffd : static_cast<uint32_t>(decoded);
    name.remove_prefix(length);
    if (c >= 0x20 && c < 0x7f) {
      if (!units.empty()) AppendShift(out, units);
      units.clear();
      out.push_back(static_cast<char>(c));
      if (c == '&') out.push_back('-');
    } else if (c < 0x10000) {
      units.push_back(static_cast<uint16_t>(c));
    } else {
      units.push_back(static_cast<uint16_t>(0xd800 + ((c - 0x10000) >> 10)));
      units.push_back(static_cast<uint16_t>(0xdc00 + ((c - 0x10000) & 0x3ff)));
    }
  }
  if (!units.empty()) AppendShift(out, units);
  return out;
}

StatusOr<std::string> CanonicalName(std::string_view name, char separator,
                                    const NameLimits& limits) {
  if (!name.empty() && name.back() == separator) name.remove_suffix(1);
  if (name.empty()) return InvalidArgument("the mailbox name is empty");
  if (name.size() > limits.max_bytes) return InvalidArgument("the mailbox name is too long");
  if (!mail::IsValidUtf8(name)) return InvalidArgument("the mailbox name is not UTF-8");
  const std::vector<std::string_view> levels = Split(name, separator);
  if (levels.size() > limits.max_levels)
    return InvalidArgument("the mailbox name has too many levels");
  for (const std::string_view level : levels) {
    if (level.empty()) return InvalidArgument("a level of the mailbox name is empty");
    if (level == "." || level == "..")
      return InvalidArgument("a mailbox may not be named '.' or '..'");
    if (level.front() == '~') return InvalidArgument("a mailbox name may not start with '~'");
    for (size_t i = 0; i < level.size(); ++i) {
      const char c = level[i];
      // A level becomes the name of a folder in some stores: nothing in it may mean a path.
      const bool c1_control =
          c == '\xc2' && i + 1 < level.size() && static_cast<uint8_t>(level[i + 1]) < 0xa0;
      if (c == '/' || static_cast<uint8_t>(c) < 0x20 || c == 0x7f || c1_control) {
        return InvalidArgument("a character of the mailbox name is not allowed");
      }
      if (c == '*' || c == '%') return InvalidArgument("a mailbox name may not contain wildcards");
    }
  }
  std::string canonical(name);
  if (EqualsIgnoreCase(levels[0], "INBOX")) canonical.replace(0, levels[0].size(), "INBOX");
  // The name on disk is modified UTF-7, which may be longer.
  if (EncodeMailboxUtf7(canonical).size() > limits.max_bytes)
    return InvalidArgument("the mailbox name is too long");
  return canonical;
}

bool MatchesListPattern(std::string_view pattern, std::string_view name, char separator) {
  // One row of the table "pattern so far fits the first n octets of the name" at a time.
  const std::string folded =
      EqualsIgnoreCase(name, "INBOX") ? AsciiUpper(pattern) : std::string(pattern);
  std::vector<char> fits(name.size() + 1, 0);
  fits[0] = 1;
  for (char p : folded) {
    if (p == '*' || p == '%') {
      for (size_t n = 1; n <= name.size(); ++n) {
        if (fits[n - 1] && (p == '*' || name[n - 1] != separator)) fits[n] = 1;
      }
      continue;
    }
    for (size_t n = name.size(); n > 0; --n) fits[n] = fits[n - 1] && name[n - 1] == p;
    fits[0] = 0;
  }
  return fits[name.size()] != 0;
}

std::string_view SpecialUseName(SpecialUse use) {
  switch (use) {
    case SpecialUse::kNone: return "";
    case SpecialUse::kAll: return "\\All";
    case SpecialUse::kArchive: return "\\Archive";
    case SpecialUse::kDrafts: return "\\Drafts";
    case SpecialUse::kFlaggedMail: return "\\Flagged";
    case SpecialUse::kJunk: return "\\Junk";
    case SpecialUse::kSent: return "\\Sent";
    case SpecialUse::kTrash: return "\\Trash";
  }
  return "";
}

SpecialUse SpecialUseOf(std::string_view name) {
  struct Row {
    std::string_view name;
    SpecialUse use;
  };
  static constexpr Row kRows[] = {
      {"Archive", SpecialUse::kArchive},     {"Archives", SpecialUse::kArchive},
      {"Drafts", SpecialUse::kDrafts},       {"Junk", SpecialUse::kJunk},
      {"Spam", SpecialUse::kJunk},           {"Sent", SpecialUse::kSent},
      {"Sent Messages", SpecialUse::kSent},  {"Sent Items", SpecialUse::kSent},
      {"Trash", SpecialUse::kTrash},         {"Deleted Messages", SpecialUse::kTrash},
      {"Deleted Items", SpecialUse::kTrash},
  };
  for (const Row& row : kRows) {
    if (EqualsIgnoreCase(name, row.name)) return row.use;
  }
  return SpecialUse::kNone;
}

}  // namespace postern::mailbox
