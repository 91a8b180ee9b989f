// What the C++ headers give back: a value, or what went wrong. Header-only over the C API; C++17.
#ifndef POSTERN_RESULT_HPP
#define POSTERN_RESULT_HPP

#include "error.h"
#include <cassert>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace postern {

// Error is what went wrong: the kind, a word for programs and one line for people.
struct Error {
  postern_status status = POSTERN_ERR_INTERNAL;
  std::string reason;
  std::string message;

  // Take reads and frees an error of the C API.
  static Error Take(postern_status status, postern_error* error) {
    Error taken;
    taken.status = status;
    if (error != nullptr) {
      taken.reason = postern_error_reason(error);
      taken.message = postern_error_message(error);
      postern_error_free(error);
    } else {
      taken.message = postern_status_name(status);
    }
    return taken;
  }
};

// Result<T> is a T or an Error. Ask before you take: what is not there may not be read.
template <typename T>
class Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT: results are returned as what they hold
  Result(Error error) : error_(std::move(error)) {}  // NOLINT

  bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return error_; }

  T& operator*() & { return Value(); }
  const T& operator*() const& { return const_cast<Result*>(this)->Value(); }
  T&& operator*() && { return std::move(Value()); }
  T* operator->() { return &Value(); }
  const T* operator->() const { return &const_cast<Result*>(this)->Value(); }
  T value_or(T other) && { return ok() ? std::move(*value_) : std::move(other); }

 private:
  T& Value() {
    assert(ok());
    return *value_;
  }

  std::optional<T> value_;
  Error error_;
};

// Done is what a call gives that has nothing else to give.
struct Done {};

namespace internal {

inline std::string_view View(postern_str text) {
  return text.len == 0 ? std::string_view() : std::string_view(text.data, text.len);
}

// TakeBuffer copies a buffer of the C API and frees it.
inline std::string TakeBuffer(postern_buf* buf) {
  std::string text(buf->data == nullptr ? "" : buf->data, buf->len);
  postern_buf_free(buf);
  return text;
}

}  // namespace internal
}  // namespace postern

#endif  // POSTERN_RESULT_HPP
