// Replies that we make where no server gave one.
#pragma once

#include <string>
#include <utility>

#include "lib/core/mail/reply.h"

namespace postern::relay {

// Made is "CODE C.SUBJECT.DETAIL TEXT", where C is the class of the code.
inline mail::Reply Made(int code, int subject, int detail, std::string text) {
  return mail::Reply(code, mail::EnhancedStatus{code / 100, subject, detail}, std::move(text));
}

}  // namespace postern::relay
