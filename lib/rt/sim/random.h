// SeededRandom: chance that repeats. The same seed gives the same numbers on every machine.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "lib/core/base/time.h"
#include "lib/rt/random.h"

namespace postern::rt::sim {

// SeededRandom is xoshiro256** seeded through splitmix64. Not for secrets outside a simulation.
class SeededRandom : public Random {
 public:
  explicit SeededRandom(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15u;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
      word = z ^ (z >> 31);
    }
  }

  // Draw is Next without the virtual call.
  uint64_t Draw() {
    const uint64_t result = Rotate(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = Rotate(state_[3], 45);
    return result;
  }

  void Fill(std::span<uint8_t> octets) override {
    while (!octets.empty()) {
      const uint64_t word = Draw();
      const size_t count = octets.size() < sizeof word ? octets.size() : sizeof word;
      std::memcpy(octets.data(), &word, count);
      octets = octets.subspan(count);
    }
  }

  // Between returns a number in [low, high].
  uint64_t Between(uint64_t low, uint64_t high) { return low + Below(high - low + 1); }
  // Between returns a duration in [low, high].
  Duration Between(Duration low, Duration high) {
    const int64_t span = absl::ToInt64Nanoseconds(high - low);
    if (span <= 0) return low;
    return low + absl::Nanoseconds(static_cast<int64_t>(Below(static_cast<uint64_t>(span) + 1)));
  }
  // Chance is true with probability `p`.
  bool Chance(double p) { return p > 0 && Unit() < p; }

  // Fork makes an independent stream named `label`, so that what one part of the world draws does
  // not move another's.
  SeededRandom Fork(std::string_view label) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char c : label) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return SeededRandom(Draw() ^ hash);
  }

 private:
  static uint64_t Rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  uint64_t state_[4];
};

}  // namespace postern::rt::sim
