// Numbers as SQLite's files have them, for the files that Salvage is written in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "lib/rt/files.h"

namespace postern::sqlite {

// Every store of ours has pages of SQLite's default size, and no octets
// reserved at their ends.
inline constexpr size_t kPageBytes = 4096;
inline constexpr size_t kHeaderBytes = 100;

inline uint8_t Octet(std::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }

inline uint32_t Big16(std::string_view text, size_t at) {
  return static_cast<uint32_t>(Octet(text, at)) << 8 | Octet(text, at + 1);
}

inline uint32_t Big32(std::string_view text, size_t at) {
  return Big16(text, at) << 16 | Big16(text, at + 2);
}

// ReadWhole reads `size` octets at `offset`; false when they are not all there.
inline bool ReadWhole(rt::File& file, uint64_t offset, size_t size, std::string* into) {
  into->resize(size);
  const StatusOr<size_t> got = file.ReadAt(offset, std::span<char>(into->data(), size));
  return got.ok() && *got == size;
}

}  // namespace postern::sqlite
