// Mail that the host of a server hands in.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "lib/capi/server_capi.h"
#include "lib/core/base/strings.h"

namespace {

using postern::StrCat;
using postern::capi::Fail;
using postern::capi::FailInCallback;
using postern::capi::FailWith;
using postern::capi::Guard;
using postern::capi::InCallback;
using postern::capi::PollUntil;
using postern::capi::TakeStruct;
using postern::capi::Waited;
namespace rt = postern::rt;
namespace server = postern::server;

constexpr size_t kMessageIdSize = 9;  // with the NUL

rt::Task<void> SubmitTo(postern_server* handle, server::Submission submission,
                        server::SubmissionResult* result, Waited* waited) {
  try {
    *result = co_await handle->server->Submit(std::move(submission));
  } catch (...) {
    waited->failure = std::current_exception();
  }
  waited->done = true;
}

postern_status Submit(postern_server* handle, char* out_id, size_t out_id_size,
                      const postern_submission* given, postern_error** out_error) {
  postern_submission options;
  if (given == nullptr ||
      !TakeStruct(&options, postern_submission POSTERN_SUBMISSION_INIT, given)) {
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
                "submission is NULL or of an unknown size");
  }
  if (!handle->started || handle->stopping) {
    return Fail(out_error, POSTERN_ERR_BUSY, "not-running", "the server is not running");
  }
  server::Submission submission;
  if (options.reverse_path != nullptr) submission.reverse_path = options.reverse_path;
  for (size_t i = 0; i < options.recipient_count; ++i) {
    if (options.recipients[i] == nullptr) {
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
                  StrCat("recipient ", i, " is NULL"));
    }
    submission.recipients.push_back(options.recipients[i]);
  }
  if (options.content != nullptr) submission.content.assign(options.content, options.content_len);
  server::SubmissionResult result;
  Waited waited;
  handle->last_callback_status = POSTERN_OK;
  handle->tasks.Spawn(SubmitTo(handle, std::move(submission), &result, &waited));
  PollUntil(handle, waited);
  if (!result.status.ok()) {
    const postern_status failed = FailWith(out_error, result.status);
    // The queue's reserve is what the disk is full for, too.
    if (out_error != nullptr && failed == POSTERN_ERR_LIMIT && (*out_error)->os_errno == 0)
      (*out_error)->os_errno = ENOSPC;
    return failed;
  }
  if (!result.reply.IsPositive() && handle->last_callback_status != POSTERN_OK) {
    Fail(out_error, POSTERN_ERR_CALLBACK, "callback", "on_message failed");
    if (out_error != nullptr) (*out_error)->callback_status = handle->last_callback_status;
    return POSTERN_ERR_CALLBACK;
  }
  if (!result.reply.IsPositive()) {
    const bool full = result.reply.code == 452;
    const postern_status failed = Fail(out_error, full ? POSTERN_ERR_LIMIT : POSTERN_ERR_PROTOCOL,
                                       full ? "disk-full" : "refused", result.reply.ToString());
    if (out_error != nullptr && full) (*out_error)->os_errno = ENOSPC;
    return failed;
  }
  if (out_id != nullptr) {
    const size_t length = std::min(out_id_size - 1, result.message_id.size());
    std::memcpy(out_id, result.message_id.data(), length);
    out_id[length] = '\0';
  }
  return POSTERN_OK;
}

}  // namespace

extern "C" {

postern_status postern_server_submit(postern_server* handle, char* out_id, size_t out_id_size,
                                     const postern_submission* submission,
                                     postern_error** out_error) {
  return Guard(out_error, [&] {
    if (handle == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "server is NULL");
    if (InCallback(handle)) return FailInCallback(out_error);
    if (out_id != nullptr && out_id_size < kMessageIdSize) {
      return Fail(
          out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
          StrCat("out_id_size is ", out_id_size, ": an id takes ", kMessageIdSize, " octets"));
    }
    return Submit(handle, out_id, out_id_size, submission, out_error);
  });
}

}  // extern "C"
