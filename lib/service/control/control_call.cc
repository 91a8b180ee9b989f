#include "lib/service/control/control_call.h"

#include <algorithm>
#include <utility>

namespace postern::service {

using control::Frame;
using control::FrameKind;

rt::Task<StatusOr<Frame>> ControlCall::ReadFrame(Duration timeout) {
  const Instant deadline = stream_->executor().Now() + timeout;
  for (;;) {
    StatusOr<std::optional<Frame>> next = reader_.Next();
    if (!next.ok()) co_return next.status();
    if (next->has_value()) co_return **next;
    if (stop_->is_set()) co_return Cancelled("the server stops");
    char buffer[16 * 1024];
    reading_ = true;
    const StatusOr<size_t> got = co_await rt::ReadSome(*stream_, std::span<char>(buffer), deadline);
    reading_ = false;
    if (!got.ok()) co_return got.status();
    if (*got == 0) co_return Unavailable("the client is gone");
    reader_.Feed(std::string_view(buffer, *got));
  }
}

rt::Task<Status> ControlCall::ReadRequest() {
  const StatusOr<Frame> frame = co_await ReadFrame(limits_->request_timeout);
  if (!frame.ok()) co_return frame.status();
  if (frame->kind != FrameKind::kRequest) co_return InvalidArgument("a request is wanted first");
  StatusOr<control::Request> request = control::DecodeRequest(frame->payload);
  if (!request.ok()) co_return request.status();
  request_ = *std::move(request);
  co_return OkStatus();
}

rt::Task<Status> ControlCall::Send(FrameKind kind, std::string text) {
  size_t at = 0;
  do {
    const size_t length = std::min(text.size() - at, control::kOutputPieceBytes);
    const std::string frame = control::EncodeFrame(kind, std::string_view(text).substr(at, length));
    const Status sent =
        co_await stream_->Write(frame, stream_->executor().Now() + limits_->write_timeout);
    if (!sent.ok()) co_return sent;
    at += length;
  } while (at < text.size());
  co_return OkStatus();
}

rt::Task<Status> ControlCall::Output(std::string text) {
  if (text.empty()) co_return OkStatus();
  const Status sent = co_await Send(FrameKind::kOutput, std::move(text));
  co_return sent;
}

rt::Task<Status> ControlCall::Error(std::string text) {
  const Status sent = co_await Send(FrameKind::kError, std::move(text));
  co_return sent;
}

rt::Task<Status> ControlCall::SignOfLife() {
  std::string nothing;
  const Status sent = co_await Send(FrameKind::kOutput, std::move(nothing));
  co_return sent;
}

rt::Task<StatusOr<std::optional<std::string>>> ControlCall::Input() {
  const StatusOr<Frame> frame = co_await ReadFrame(limits_->input_timeout);
  if (!frame.ok()) co_return frame.status();
  if (frame->kind == FrameKind::kInputEnd) co_return std::optional<std::string>();
  if (frame->kind != FrameKind::kInput) co_return InvalidArgument("input is wanted");
  co_return std::optional<std::string>(std::string(frame->payload));
}

rt::Task<void> ControlCall::End(int exit_status) {
  std::string payload(1, static_cast<char>(exit_status));
  (void)co_await Send(FrameKind::kEnd, std::move(payload));
}

rt::Task<bool> ControlCall::Pause(Duration duration) {
  const Instant until = stream_->executor().Now() + duration;
  const bool stopped = co_await stop_->Wait(until);
  co_return !stopped;
}

}  // namespace postern::service
