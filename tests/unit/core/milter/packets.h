// Packets written by hand, for tests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace postern::milter {

using namespace std::string_literals;

inline std::string Be32(uint32_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
  return out;
}

// Pk is one packet: length, code, data.
inline std::string Pk(char code, std::string_view data = {}) {
  return Be32(static_cast<uint32_t>(data.size() + 1)) + code + std::string(data);
}

// Optneg is the negotiation of either side.
inline std::string Optneg(uint32_t version, uint32_t actions, uint32_t steps,
                          std::string_view symbols = {}) {
  return Pk('O', Be32(version) + Be32(actions) + Be32(steps) + std::string(symbols));
}

}  // namespace postern::milter
