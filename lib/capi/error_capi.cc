#include "lib/capi/error_capi.h"

namespace postern::capi {
namespace {

postern_error* NoMemoryError() {
  // Made while there is memory: when the library is loaded into the process.
  static postern_error error{.status = POSTERN_ERR_NO_MEMORY,
                             .reason = "no-memory",
                             .message = "out of memory",
                             .os_errno = 0,
                             .callback_status = 0,
                             .is_static = true};
  return &error;
}
[[maybe_unused]] postern_error* const kMadeEarly = NoMemoryError();

struct Mapping {
  StatusCode code;
  postern_status status;
  const char* reason;
};

constexpr Mapping kMappings[] = {
    {StatusCode::kInvalidArgument, POSTERN_ERR_INVALID_ARGUMENT, "invalid-argument"},
    {StatusCode::kOutOfRange, POSTERN_ERR_INVALID_ARGUMENT, "out-of-range"},
    {StatusCode::kNotFound, POSTERN_ERR_NOT_FOUND, "not-found"},
    {StatusCode::kAlreadyExists, POSTERN_ERR_EXISTS, "exists"},
    {StatusCode::kFailedPrecondition, POSTERN_ERR_BUSY, "failed-precondition"},
    {StatusCode::kAborted, POSTERN_ERR_BUSY, "aborted"},
    {StatusCode::kResourceExhausted, POSTERN_ERR_LIMIT, "resource-exhausted"},
    {StatusCode::kPermissionDenied, POSTERN_ERR_AUTH, "permission-denied"},
    {StatusCode::kUnauthenticated, POSTERN_ERR_AUTH, "unauthenticated"},
    {StatusCode::kDeadlineExceeded, POSTERN_ERR_TIMEOUT, "timeout"},
    {StatusCode::kCancelled, POSTERN_ERR_CANCELLED, "cancelled"},
    {StatusCode::kUnavailable, POSTERN_ERR_IO, "unavailable"},
    {StatusCode::kDataLoss, POSTERN_ERR_IO, "data-loss"},
    {StatusCode::kUnknown, POSTERN_ERR_IO, "system"},
    {StatusCode::kUnimplemented, POSTERN_ERR_INVALID_ARGUMENT, "unsupported"},
};

const Mapping* FindMapping(StatusCode code) {
  for (const Mapping& mapping : kMappings) {
    if (mapping.code == code) return &mapping;
  }
  return nullptr;
}

}  // namespace

postern_status StatusCodeOf(const Status& status) {
  if (status.ok()) return POSTERN_OK;
  const Mapping* mapping = FindMapping(status.code());
  return mapping == nullptr ? POSTERN_ERR_INTERNAL : mapping->status;
}

postern_status Fail(postern_error** out_error, postern_status status, std::string reason,
                    std::string message) {
  if (out_error == nullptr) return status;
  auto* error = new postern_error;
  error->status = status;
  error->reason = std::move(reason);
  error->message = std::move(message);
  *out_error = error;
  return status;
}

postern_status FailWith(postern_error** out_error, const Status& status) {
  const Mapping* mapping = FindMapping(status.code());
  const postern_status code =
      Fail(out_error, StatusCodeOf(status), mapping == nullptr ? "internal" : mapping->reason,
           std::string(Message(status)));
  if (out_error != nullptr) (*out_error)->os_errno = ErrnoOf(status);
  return code;
}

postern_status FailNoMemory(postern_error** out_error) noexcept {
  if (out_error != nullptr) *out_error = NoMemoryError();
  return POSTERN_ERR_NO_MEMORY;
}

}  // namespace postern::capi

extern "C" {

postern_status postern_error_status(const postern_error* error) {
  return error == nullptr ? POSTERN_OK : error->status;
}
const char* postern_error_message(const postern_error* error) {
  return error == nullptr ? "" : error->message.c_str();
}
const char* postern_error_reason(const postern_error* error) {
  return error == nullptr ? "" : error->reason.c_str();
}
int postern_error_os_errno(const postern_error* error) {
  return error == nullptr ? 0 : error->os_errno;
}
postern_status postern_error_callback_status(const postern_error* error) {
  return error == nullptr ? 0 : error->callback_status;
}
void postern_error_free(postern_error* error) {
  if (error != nullptr && !error->is_static) delete error;
}

const char* postern_status_name(postern_status status) {
  switch (status) {
    case POSTERN_OK: return "POSTERN_OK";
    case POSTERN_NEED_INPUT: return "POSTERN_NEED_INPUT";
    case POSTERN_EVENT: return "POSTERN_EVENT";
    case POSTERN_DONE: return "POSTERN_DONE";
    case POSTERN_ERR_INVALID_ARGUMENT: return "POSTERN_ERR_INVALID_ARGUMENT";
    case POSTERN_ERR_NOT_FOUND: return "POSTERN_ERR_NOT_FOUND";
    case POSTERN_ERR_EXISTS: return "POSTERN_ERR_EXISTS";
    case POSTERN_ERR_BUSY: return "POSTERN_ERR_BUSY";
    case POSTERN_ERR_LIMIT: return "POSTERN_ERR_LIMIT";
    case POSTERN_ERR_IO: return "POSTERN_ERR_IO";
    case POSTERN_ERR_PROTOCOL: return "POSTERN_ERR_PROTOCOL";
    case POSTERN_ERR_AUTH: return "POSTERN_ERR_AUTH";
    case POSTERN_ERR_TIMEOUT: return "POSTERN_ERR_TIMEOUT";
    case POSTERN_ERR_CANCELLED: return "POSTERN_ERR_CANCELLED";
    case POSTERN_ERR_CLOSED: return "POSTERN_ERR_CLOSED";
    case POSTERN_ERR_VERSION: return "POSTERN_ERR_VERSION";
    case POSTERN_ERR_NO_MEMORY: return "POSTERN_ERR_NO_MEMORY";
    case POSTERN_ERR_INTERNAL: return "POSTERN_ERR_INTERNAL";
    case POSTERN_ERR_CALLBACK: return "POSTERN_ERR_CALLBACK";
    default: return "POSTERN_ERR_UNKNOWN";
  }
}

}  // extern "C"
