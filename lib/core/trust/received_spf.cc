#include "lib/core/trust/received_spf.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::trust {
namespace {

constexpr size_t kFoldColumn = 78;      // RFC 5322 §2.1.1
constexpr size_t kMaxValueBytes = 400;  // a path and some; a line may have 998 octets

bool IsDotAtom(std::string_view s) {
  if (s.empty() || s.front() == '.' || s.back() == '.') return false;
  return s.find("..") == std::string_view::npos && std::all_of(s.begin(), s.end(), [](char c) {
           return IsAsciiAlnum(c) ||
                  std::string_view("!#$%&'*+-/=?^_`{|}~.").find(c) != std::string_view::npos;
         });
}

// Quote writes `value` with `open` and `close` around it, and a backslash before what `special`
// lists.
std::string Quote(std::string_view value, char open, char close, std::string_view special) {
  std::string out(1, open);
  for (const char c : value.substr(0, kMaxValueBytes)) {
    if (special.find(c) != std::string_view::npos) out.push_back('\\');
    out.push_back(IsAscii(c) && !IsAsciiPrintable(c) ? '?' : c);
  }
  out.push_back(close);
  return out;
}

// §9.1: key-value-pair = key [CFWS] "=" ( dot-atom / quoted-string )
std::string Pair(std::string_view key, std::string_view value) {
  return StrCat(key, "=", IsDotAtom(value) ? std::string(value) : Quote(value, '"', '"', "\"\\"));
}

}  // namespace

std::string ReceivedSpf(const Spf& spf, const SpfQuery& query) {
  const bool error = spf.result == SpfResult::kTempError || spf.result == SpfResult::kPermError;
  // The comment says who found what; the sentence's own "SPF pass: " is in front already.
  const size_t colon = spf.explanation.find(": ");
  const std::string_view said =
      std::string_view(spf.explanation).substr(colon == std::string::npos ? 0 : colon + 2);
  const std::string receiver = query.receiver.empty() ? "unknown" : query.receiver;
  std::vector<std::string> pairs = {Pair("client-ip", query.client.ToString()),
                                    Pair("envelope-from", query.sender), Pair("helo", query.helo),
                                    Pair("receiver", receiver),
                                    Pair("identity", SpfIdentityName(spf.identity))};
  if (error)
    pairs.push_back(Pair("problem", said));
  else
    pairs.push_back(Pair("mechanism", spf.mechanism.empty() ? "default" : spf.mechanism));
  const std::string text =
      StrCat("Received-SPF: ", SpfResultName(spf.result), " ",
             Quote(StrCat(receiver, ": ", said), '(', ')', "()\\"), " ", StrJoin(pairs, "; "));

  std::string out;
  size_t column = 0;
  for (const std::string_view word : Split(text, ' ')) {
    if (!out.empty()) {
      // No fold between two blanks: a line of blanks alone is obsolete (RFC 5322 §4.2).
      const bool fold = !word.empty() && column + 1 + word.size() > kFoldColumn;
      out += fold ? "\r\n " : " ";
      column = fold ? 1 : column + 1;
    }
    out += word;
    column += word.size();
  }
  return out + "\r\n";
}

}  // namespace postern::trust
