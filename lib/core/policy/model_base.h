// What the parts of a Config (model.h) share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/core/policy/diagnostic.h"

namespace postern::policy {

// Things refer to each other by index: see model.h.
using TableId = int;
inline constexpr int kNoIndex = -1;

enum class AddressFamily : uint8_t { kAny, kInet4, kInet6 };

// OptionPlaces remembers where each option of a directive was written, so that what is said about
// it later points there.
class OptionPlaces {
 public:
  void Add(std::string word, SourceLocation at) {
    places_.emplace_back(std::move(word), std::move(at));
  }
  // Find returns the place of the first option called `word`, or `otherwise`.
  const SourceLocation& Find(std::string_view word, const SourceLocation& otherwise) const;
  // Find returns the same place, or null when the option was not written.
  const SourceLocation* Find(std::string_view word) const;

 private:
  std::vector<std::pair<std::string, SourceLocation>> places_;
};

}  // namespace postern::policy
