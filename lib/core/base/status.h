// Status: how a failure of the world is told (a full disk, an unreachable host, a wrong
// configuration). What a peer did wrong is an event of its protocol, not a Status; what we did
// wrong is a POSTERN_CHECK.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace postern {

using absl::Status;
using absl::StatusCode;
using absl::StatusOr;

inline Status OkStatus() { return absl::OkStatus(); }

// Error makes a failed Status. `message` is one line that says what was wrong without repeating
// what the caller knows.
inline Status Error(StatusCode code, std::string message) { return Status(code, message); }

inline Status InvalidArgument(std::string m) {
  return Error(StatusCode::kInvalidArgument, std::move(m));
}
inline Status NotFound(std::string m) { return Error(StatusCode::kNotFound, std::move(m)); }
inline Status AlreadyExists(std::string m) {
  return Error(StatusCode::kAlreadyExists, std::move(m));
}
inline Status ResourceExhausted(std::string m) {
  return Error(StatusCode::kResourceExhausted, std::move(m));
}
inline Status Unavailable(std::string m) { return Error(StatusCode::kUnavailable, std::move(m)); }
inline Status DeadlineExceeded(std::string m) {
  return Error(StatusCode::kDeadlineExceeded, std::move(m));
}
inline Status Cancelled(std::string m) { return Error(StatusCode::kCancelled, std::move(m)); }
inline Status PermissionDenied(std::string m) {
  return Error(StatusCode::kPermissionDenied, std::move(m));
}
inline Status FailedPrecondition(std::string m) {
  return Error(StatusCode::kFailedPrecondition, std::move(m));
}
inline Status DataLoss(std::string m) { return Error(StatusCode::kDataLoss, std::move(m)); }
inline Status Unimplemented(std::string m) {
  return Error(StatusCode::kUnimplemented, std::move(m));
}
inline Status Internal(std::string m) { return Error(StatusCode::kInternal, std::move(m)); }

// ErrnoError makes the Status for a failed system call: ENOSPC and EDQUOT are kResourceExhausted,
// ENOENT is kNotFound, EEXIST is kAlreadyExists, EACCES, EPERM and EROFS are kPermissionDenied,
// EMFILE, ENFILE and ENOMEM are kUnavailable, EIO is kDataLoss, and anything else is kUnknown.
// `what` names the call and its object ("open /var/spool/x"). ErrnoOf gives the number back.
Status ErrnoError(int error_number, std::string_view what);

// ErrnoOf returns the errno that ErrnoError was given, or 0 for any other Status.
int ErrnoOf(const Status& status);

// Annotate returns `status` with "`context`: " before its message, keeping code and errno; an OK
// status stays as it is.
Status Annotate(const Status& status, std::string_view context);

// Message lends the message of `status`; it dies with `status`.
inline std::string_view Message(const Status& status) {
  return std::string_view(status.message().data(), status.message().size());
}

// Text returns "code: message" of `status` for logs.
std::string Text(const Status& status);

// RETURN_IF_ERROR leaves the function (CO_ for a coroutine) with the Status when `expr` is not OK.
#define POSTERN_RETURN_IF_ERROR(expr)                  \
  do {                                                 \
    ::absl::Status postern_status_ = (expr);           \
    if (!postern_status_.ok()) return postern_status_; \
  } while (false)
#define POSTERN_CO_RETURN_IF_ERROR(expr)                  \
  do {                                                    \
    ::absl::Status postern_status_ = (expr);              \
    if (!postern_status_.ok()) co_return postern_status_; \
  } while (false)

}  // namespace postern
