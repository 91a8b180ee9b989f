#include "lib/core/imap/mailbox_name.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "lib/core/base/strings.h"

namespace postern::imap {
namespace {

// RFC 3501 §5.1.3: base64 with ',' in place of '/', without padding, over UTF-16 in network order.
constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";
constexpr size_t kMaxNameBytes = 1000;
constexpr size_t kMaxLevels = 64;

int Base64Value(char c) {
  const size_t at = kAlphabet.find(c);
  return c == '\0' || at == std::string_view::npos ? -1 : static_cast<int>(at);
}

void AppendUtf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xc0 | (c >> 6)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3f)));
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xe0 | (c >> 12)));
    out.push_back(static_cast<char>(0x80 | ((c >> 6) & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3f)));
  } else {
    out.push_back(static_cast<char>(0xf0 | (c >> 18)));
    out.push_back(static_cast<char>(0x80 | ((c >> 12) & 0x3f)));
    out.push_back(static_cast<char>(0x80 | ((c >> 6) & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3f)));
  }
}

// TakeUtf8 takes one character off the front of `s`; U+FFFD and one octet when it is not well formed.
uint32_t TakeUtf8(std::string_view& s) {
  const auto octet = [&s](size_t i) { return static_cast<uint8_t>(s[i]); };
  const uint8_t lead = octet(0);
  const size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  uint32_t c = length <= 1 ? lead : lead & (0xff >> (length + 1));
  bool good = length != 0 && length <= s.size();
  for (size_t i = 1; good && i < length; ++i) {
    good = (octet(i) & 0xc0) == 0x80;
    c = (c << 6) | (octet(i) & 0x3f);
  }
  if (good && length == 3) good = c >= 0x800 && (c < 0xd800 || c > 0xdfff);
  if (good && length == 4) good = c >= 0x10000 && c <= 0x10ffff;
  s.remove_prefix(good ? length : 1);
  return good ? c : 0xfffd;
}

// Utf16Reader puts UTF-16 units together and refuses what modified UTF-7 may not hold.
class Utf16Reader {
 public:
  explicit Utf16Reader(std::string* out) : out_(out) {}
  bool Take(uint32_t unit) {
    if (high_ != 0) {
      if (unit < 0xdc00 || unit > 0xdfff) return false;
      AppendUtf8(*out_, 0x10000 + ((high_ - 0xd800) << 10) + (unit - 0xdc00));
      high_ = 0;
      return true;
    }
    if (unit >= 0xd800 && unit <= 0xdbff) {
      high_ = unit;
      return true;
    }
    // RFC 3501 §5.1.3: printable US-ASCII stands for itself; C0 and C1 controls have no place in a name.
    if (unit < 0xa0 || (unit >= 0xdc00 && unit <= 0xdfff)) return false;
    AppendUtf8(*out_, unit);
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
    // RFC 3501 §5.1.3: no superfluous shifts ("&U,BTFw-&ZeVnLIqe-"); they would give a mailbox a second name.
    if (!base64.empty() && end + 2 < wire.size() && wire[end + 1] == '&' && wire[end + 2] != '-') return std::nullopt;
    i = end;
  }
  return out;
}

std::string EncodeMailboxUtf7(std::string_view name) {
  std::string out;
  std::vector<uint16_t> units;
  while (!name.empty()) {
    const uint32_t c = TakeUtf8(name);
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

StatusOr<std::string> CanonicalMailboxName(std::string_view name, char separator) {
  if (!name.empty() && name.back() == separator) name.remove_suffix(1);
  if (name.empty()) return InvalidArgument("the mailbox name is empty");
  if (name.size() > kMaxNameBytes) return InvalidArgument("the mailbox name is too long");
  const std::vector<std::string_view> levels = Split(name, separator);
  if (levels.size() > kMaxLevels) return InvalidArgument("the mailbox name has too many levels");
  for (std::string_view level : levels) {
    if (level.empty()) return InvalidArgument("a level of the mailbox name is empty");
    if (level == "." || level == "..") return InvalidArgument("a mailbox may not be named '.' or '..'");
    for (char c : level) {
      // A level becomes the name of a folder in some stores: nothing in it may mean a path.
      if (c == '/' || static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
        return InvalidArgument("a character of the mailbox name is not allowed");
      }
      if (c == '*' || c == '%') return InvalidArgument("a mailbox name may not contain wildcards");
    }
  }
  std::string canonical(name);
  if (EqualsIgnoreCase(levels[0], "INBOX")) canonical.replace(0, levels[0].size(), "INBOX");
  return canonical;
}

bool MatchesListPattern(std::string_view pattern, std::string_view name, char separator) {
  // One row of the table "pattern so far fits the first n octets of the name" at a time.
  const std::string folded = EqualsIgnoreCase(name, "INBOX") ? AsciiUpper(pattern) : std::string(pattern);
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

}  // namespace postern::imap
