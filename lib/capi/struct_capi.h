// Structs that grow, and buffers that are given away.
#pragma once

#include "postern/export.h"
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace postern::capi {

// TakeStruct copies an option struct of the caller's size over defaults. A larger one of a newer
// header is fine as long as what we do not know is zero.
template <typename Options>
bool TakeStruct(Options* into, const Options& defaults, const Options* given) {
  *into = defaults;
  if (given == nullptr) return true;
  const size_t size = given->struct_size;
  if (size < sizeof(size_t)) return false;
  std::memcpy(into, given, std::min(size, sizeof(Options)));
  into->struct_size = sizeof(Options);
  const char* octets = reinterpret_cast<const char*>(given);
  for (size_t i = sizeof(Options); i < size; ++i) {
    if (octets[i] != 0) return false;
  }
  return true;
}

// GiveStruct fills a struct that the caller made, of this size or an older one; false when its
// struct_size was not set.
template <typename Out>
bool GiveStruct(Out* out, Out filled) {
  if (out == nullptr || out->struct_size < sizeof(size_t)) return false;
  const size_t size = std::min(out->struct_size, sizeof(Out));
  filled.struct_size = out->struct_size;
  std::memcpy(out, &filled, size);
  return true;
}

// CString reads a NUL-terminated string that may be NULL.
inline std::string_view CString(const char* text) {
  return text == nullptr ? std::string_view() : std::string_view(text);
}

// OnFree calls a destroy callback exactly once.
class OnFree {
 public:
  OnFree() = default;
  OnFree(void (*destroy)(void*), void* user_data) : destroy_(destroy), user_data_(user_data) {}
  OnFree(OnFree&& other) noexcept
      : destroy_(std::exchange(other.destroy_, nullptr)), user_data_(other.user_data_) {}
  OnFree& operator=(OnFree&& other) noexcept {
    std::swap(destroy_, other.destroy_);
    std::swap(user_data_, other.user_data_);
    return *this;
  }
  ~OnFree() {
    if (destroy_ != nullptr) destroy_(user_data_);
  }

 private:
  void (*destroy_)(void*) = nullptr;
  void* user_data_ = nullptr;
};

// Lend shows octets that live elsewhere.
inline postern_str Lend(std::string_view text) {
  return postern_str{text.empty() ? nullptr : text.data(), text.size()};
}

// Give copies octets into a buffer of the caller's.
inline void Give(postern_buf* out, std::string_view octets) {
  auto* data = static_cast<char*>(std::malloc(octets.size() + 1));
  if (data == nullptr) throw std::bad_alloc();
  if (!octets.empty()) std::memcpy(data, octets.data(), octets.size());
  data[octets.size()] = '\0';
  *out = postern_buf{data, octets.size()};
}

}  // namespace postern::capi
