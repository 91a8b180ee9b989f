#include "lib/core/mail/people_text.h"

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"

namespace postern::mail {

std::string EscapeForPeople(std::string_view text, size_t max_bytes) {
  const bool cut = text.size() > max_bytes;
  std::string_view left = cut ? TruncateUtf8(text, max_bytes) : text;
  std::string out;
  while (!left.empty()) {
    size_t length;
    const int32_t c = DecodeUtf8(left, &length);
    const bool shown = c >= 0xa0 && c != 0x2028 && c != 0x2029;
    if (shown) {
      out.append(left.substr(0, length));
    } else {
      out += Escape(left.substr(0, length), length);
    }
    left.remove_prefix(length);
  }
  if (cut) out += "…";
  return out;
}

}  // namespace postern::mail
