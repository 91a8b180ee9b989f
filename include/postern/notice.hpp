// Notices about messages in C++: what IMAP shows, delivery status, disposition, abuse and failure
// reports. Header-only over postern/notice.h; C++17; no exceptions of its own.
#ifndef POSTERN_NOTICE_HPP
#define POSTERN_NOTICE_HPP

#include "auth.hpp"
#include "message.hpp"
#include "notice.h"
#include <optional>
#include <string>
#include <string_view>

namespace postern {

namespace internal {

// Written turns what a builder left into a result.
template <typename Make>
Result<std::string> Written(Make make) {
  postern_buf out{nullptr, 0};
  postern_error* error = nullptr;
  const postern_status status = make(&out, &error);
  if (status != POSTERN_OK) return Error::Take(status, error);
  return TakeBuffer(&out);
}

}  // namespace internal

// EnvelopeOf and BodyStructureOf are what a FETCH response of IMAP has.
inline Result<std::string> EnvelopeOf(const postern_parsed* parsed, std::size_t part = 0,
                                      bool utf8 = false) {
  return internal::Written([&](postern_buf* out, postern_error** error) {
    return postern_parsed_envelope(out, parsed, part, utf8 ? 1 : 0, error);
  });
}
inline Result<std::string> BodyStructureOf(const postern_parsed* parsed, bool extended = true,
                                           bool utf8 = false) {
  return internal::Written([&](postern_buf* out, postern_error** error) {
    return postern_parsed_body_structure(out, parsed, extended ? 1 : 0, utf8 ? 1 : 0, error);
  });
}

// Build writes a notification or a report from the options of notice.h.
inline Result<std::string> Build(const postern_dsn_options& options) {
  return internal::Written([&](postern_buf* out, postern_error** error) {
    return postern_dsn_build(out, &options, error);
  });
}
inline Result<std::string> Build(const postern_mdn_options& options) {
  return internal::Written([&](postern_buf* out, postern_error** error) {
    return postern_mdn_build(out, &options, error);
  });
}
inline Result<std::string> Build(const postern_arf_options& options) {
  return internal::Written([&](postern_buf* out, postern_error** error) {
    return postern_arf_build(out, &options, error);
  });
}

// NoticeJson tells what notice a message is; the error's status is POSTERN_ERR_NOT_FOUND for none.
inline Result<std::string> NoticeJson(const postern_parsed* parsed) {
  return internal::Written([&](postern_buf* out, postern_error** error) {
    return postern_parsed_notice_json(out, parsed, error);
  });
}

}  // namespace postern

#endif  // POSTERN_NOTICE_HPP
