// Random: where chance comes from. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace postern::rt {

class Random {
 public:
  virtual ~Random() = default;
  // Fill writes unpredictable octets (from the kernel in the real world, from the seed in the
  // simulated one).
  virtual void Fill(std::span<uint8_t> octets) = 0;

  uint64_t Next() {
    uint64_t value = 0;
    Fill(std::span<uint8_t>(reinterpret_cast<uint8_t*>(&value), sizeof value));
    return value;
  }
  // Below returns a number in [0, bound), without bias; `bound` is not 0.
  uint64_t Below(uint64_t bound) {
    const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t value = Next();
    while (value >= limit) value = Next();
    return value % bound;
  }
  // Unit returns a number in [0, 1).
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
};

}  // namespace postern::rt
