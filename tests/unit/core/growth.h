// For tests of how time grows with the input.
#pragma once

#include <algorithm>
#include <ctime>
#include <functional>
#include <ostream>
#include <string>
#include <string_view>

namespace postern {

inline std::string Repeat(std::string_view piece, size_t count) {
  std::string out;
  out.reserve(piece.size() * count);
  for (size_t i = 0; i < count; ++i) out.append(piece);
  return out;
}

// How often slower than the code that people run this build may be: a bound in seconds is
// multiplied by it. The sanitizers' own checks cost five to ten times the work.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr double kSlowdown = 10;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr double kSlowdown = 10;
#else
inline constexpr double kSlowdown = 1;
#endif
#else
inline constexpr double kSlowdown = 1;
#endif

// How often a measurement that is over its bound is taken again, before it is believed. Processor
// time leaves out other programs, but not the caches and the memory that they share with us.
inline constexpr int kMostRuns = 8;

// SecondsOnce is the processor time that `work` took.
inline double SecondsOnce(const std::function<void()>& work) {
  const std::clock_t start = std::clock();
  work();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

// SecondsWithin is the least processor time that `work` took in as many runs as it needs to stay
// below `bound` seconds, kMostRuns at most.
inline double SecondsWithin(double bound, const std::function<void()>& work) {
  double best = SecondsOnce(work);
  for (int i = 1; i < kMostRuns && best >= bound; ++i) best = std::min(best, SecondsOnce(work));
  return best;
}

// Growth is how time grew from a small input to a large one.
struct Growth {
  double small = 0;  // seconds
  double large = 0;  // seconds
  double bound = 0;  // seconds: what `large` must stay below

  bool ok() const { return large < bound; }
};

// MeasureGrowth takes the least processor time of `small` in three runs, and that of `large` until
// it is below `ratio` times the former and `slack` seconds more: times too short to tell are none.
inline Growth MeasureGrowth(const std::function<void()>& small, const std::function<void()>& large,
                            double ratio, double slack) {
  Growth growth;
  growth.small = std::min({SecondsOnce(small), SecondsOnce(small), SecondsOnce(small)});
  growth.bound = ratio * growth.small + slack;
  growth.large = SecondsWithin(growth.bound, large);
  return growth;
}

inline std::ostream& operator<<(std::ostream& out, const Growth& growth) {
  return out << growth.small << " s, " << growth.large << " s, at most " << growth.bound << " s";
}

}  // namespace postern
