// What every conformance runner shares: where the suites are, what is known to fail, and how the
// result is told.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>

#include "gtest/gtest.h"

namespace postern::conformance {

inline constexpr const char* kSkipped =
    "the conformance suites are not here (POSTERN_CONFORMANCE_DIR)";

// Folder returns the path of `suite`, or nothing when the suites are absent.
inline std::optional<std::string> Folder(const std::string& suite) {
  const char* set = std::getenv("POSTERN_CONFORMANCE_DIR");
  const std::filesystem::path root =
      set != nullptr && *set != '\0' ? set : POSTERN_CONFORMANCE_DEFAULT;
  const std::filesystem::path folder = root / suite;
  if (!std::filesystem::is_directory(folder)) {
    std::printf("SKIP %s: no %s\n", suite.c_str(), folder.c_str());
    return std::nullopt;
  }
  return folder.string();
}

// Tally counts the cases of one suite. known_failures.txt has a line `SUITE CASE REASON` for each
// case that may fail; a case that fails without standing there is a test failure, and so is one
// that stands there and passes.
class Tally {
 public:
  explicit Tally(std::string suite) : suite_(std::move(suite)) {
    std::ifstream in(POSTERN_KNOWN_FAILURES);
    for (std::string line; std::getline(in, line);) {
      if (line.rfind(suite_ + " ", 0) != 0) continue;
      const size_t start = suite_.size() + 1;
      const size_t end = line.find(' ', start);
      known_[line.substr(start, end - start)] =
          end == std::string::npos ? "" : line.substr(end + 1);
    }
  }

  void Count(const std::string& name, bool passed, const std::string& detail) {
    const bool known = known_.count(name) != 0;
    passed ? ++passed_ : ++failed_;
    if (passed && known)
      ADD_FAILURE() << suite_ << " " << name << " passes now: take it off known_failures.txt";
    if (!passed && !known) ADD_FAILURE() << suite_ << " " << name << ": " << detail;
    if (!passed && known)
      std::printf("known failure: %s %s: %s\n", suite_.c_str(), name.c_str(), known_[name].c_str());
  }

  void Finish() const {
    std::printf("%s: %d passed, %d failed\n", suite_.c_str(), passed_, failed_);
  }

 private:
  std::string suite_;
  std::map<std::string, std::string> known_;
  int passed_ = 0;
  int failed_ = 0;
};

}  // namespace postern::conformance
