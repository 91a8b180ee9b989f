// POSTERN_CHECK states what no input can make untrue. It is for our own mistakes only: a failed
// check in a test or debug build ends the process; in a release build it throws base::CheckFailure,
// which the driver of the session catches to close that session (421), because the process belongs
// to the host.
#pragma once

#include <stdexcept>

namespace postern {

class CheckFailure : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void FailCheck(const char* expression, const char* file, int line);

}  // namespace postern

#define POSTERN_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::postern::FailCheck(#condition, __FILE__, __LINE__))
