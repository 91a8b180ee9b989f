#include "lib/core/base/check.h"

#include <cstdio>
#include <cstdlib>
#include <string>

namespace postern {

void FailCheck(const char* expression, const char* file, int line) {
  std::string text =
      std::string(file) + ":" + std::to_string(line) + ": check failed: " + expression;
#ifdef NDEBUG
  throw CheckFailure(text);
#else
  std::fprintf(stderr, "%s\n", text.c_str());
  std::abort();
#endif
}

}  // namespace postern
