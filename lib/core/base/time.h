// Time as values. Cores are given an Instant (monotonic, for deadlines) and a WallTime (for dates);
// only lib/rt reads clocks.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace postern {

using Duration = absl::Duration;
using WallTime = absl::Time;

// Instant is a point on the monotonic clock of one World, in nanoseconds. Instants of different
// Worlds do not compare.
struct Instant {
  int64_t ns = 0;

  static constexpr Instant Never() { return Instant{std::numeric_limits<int64_t>::max()}; }
  constexpr bool IsNever() const { return ns == std::numeric_limits<int64_t>::max(); }
  friend constexpr auto operator<=>(Instant, Instant) = default;
};

// Addition saturates: Never stays Never, and an infinite Duration gives Never.
inline Instant operator+(Instant t, Duration d) {
  if (t.IsNever() || d == absl::InfiniteDuration()) return Instant::Never();
  const int64_t add = absl::ToInt64Nanoseconds(d);
  if (add > 0 && t.ns > std::numeric_limits<int64_t>::max() - add) return Instant::Never();
  return Instant{t.ns + add};
}
inline Duration operator-(Instant a, Instant b) {
  if (a.IsNever()) return absl::InfiniteDuration();
  return absl::Nanoseconds(a.ns - b.ns);
}

}  // namespace postern
