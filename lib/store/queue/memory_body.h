// MemoryBody: a body that is a string.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "lib/store/queue/queue.h"

namespace postern::store {

class MemoryBody final : public Body {
 public:
  explicit MemoryBody(std::string octets) : octets_(std::move(octets)) {}
  uint64_t size_bytes() const override { return octets_.size(); }
  std::optional<std::string_view> InMemory() const override { return std::string_view(octets_); }
  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) const override {
    if (offset >= octets_.size()) return size_t{0};
    const size_t n = std::min<size_t>(into.size(), octets_.size() - offset);
    std::memcpy(into.data(), octets_.data() + offset, n);
    return n;
  }

 private:
  std::string octets_;
};

}  // namespace postern::store
