#include "lib/core/base/status.h"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

#include "absl/strings/cord.h"

namespace postern {
namespace {

constexpr char kErrnoPayload[] = "postern/errno";

StatusCode CodeOfErrno(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT: return StatusCode::kResourceExhausted;
    case ENOENT:
    case ENOTDIR: return StatusCode::kNotFound;
    case EEXIST: return StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS: return StatusCode::kPermissionDenied;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ENETUNREACH:
    case EHOSTUNREACH: return StatusCode::kUnavailable;
    case ETIMEDOUT: return StatusCode::kDeadlineExceeded;
    case ECANCELED: return StatusCode::kCancelled;
    case EINVAL: return StatusCode::kInvalidArgument;
    case EIO: return StatusCode::kDataLoss;
    default: return StatusCode::kUnknown;
  }
}

}  // namespace

Status ErrnoError(int error_number, std::string_view what) {
  std::string message(what);
  message += ": ";
  message +=
      strerrordesc_np(error_number) != nullptr ? strerrordesc_np(error_number) : "unknown error";
  Status status(CodeOfErrno(error_number), message);
  status.SetPayload(kErrnoPayload, absl::Cord(std::to_string(error_number)));
  return status;
}

int ErrnoOf(const Status& status) {
  absl::optional<absl::Cord> payload = status.GetPayload(kErrnoPayload);
  if (!payload.has_value()) return 0;
  return std::atoi(std::string(*payload).c_str());
}

Status Annotate(const Status& status, std::string_view context) {
  if (status.ok()) return status;
  std::string message(context);
  message += ": ";
  message += Message(status);
  Status annotated(status.code(), message);
  if (absl::optional<absl::Cord> payload = status.GetPayload(kErrnoPayload)) {
    annotated.SetPayload(kErrnoPayload, *payload);
  }
  return annotated;
}

std::string Text(const Status& status) {
  if (status.ok()) return "ok";
  std::string text = absl::StatusCodeToString(status.code());
  text += ": ";
  text += Message(status);
  return text;
}

}  // namespace postern
