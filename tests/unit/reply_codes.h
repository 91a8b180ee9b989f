// What an SMTP client of a test heard.
#pragma once

#include <string>
#include <string_view>

#include "lib/core/base/strings.h"

namespace postern {

// CodesOf gives the codes of all replies in `heard`, a blank between them.
inline std::string CodesOf(std::string_view heard) {
  std::string codes;
  for (const std::string_view line : Split(heard, '\n')) {
    if (line.size() < 4 || line[3] != ' ') continue;
    StrAppend(codes, codes.empty() ? "" : " ", line.substr(0, 3));
  }
  return codes;
}

}  // namespace postern
