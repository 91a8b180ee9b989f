// For tests of how time grows with the input.
#pragma once

#include <algorithm>
#include <ctime>
#include <functional>
#include <string>
#include <string_view>

namespace postern {

inline std::string Repeat(std::string_view piece, size_t count) {
  std::string out;
  out.reserve(piece.size() * count);
  for (size_t i = 0; i < count; ++i) out.append(piece);
  return out;
}

// Seconds is the least processor time that `work` took in three runs, so that other work on the
// machine does not count.
inline double Seconds(const std::function<void()>& work) {
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    const std::clock_t start = std::clock();
    work();
    best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return best;
}

}  // namespace postern
