// Text of strangers in sentences for people.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace postern::mail {

// EscapeForPeople is Escape() of core/base/strings.h with UTF-8 left as it is: only "\", control
// characters (those of U+0080 to U+009F and line separators too) and octets that are no UTF-8 are
// escaped. At most `max_bytes` of `text` are shown, and "…" tells of the rest.
std::string EscapeForPeople(std::string_view text, size_t max_bytes = 200);

}  // namespace postern::mail
