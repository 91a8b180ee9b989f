#include "lib/service/control/client.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::service {
namespace {

using control::Frame;
using control::FrameKind;

constexpr Duration kConnectTimeout = absl::Seconds(10);
// A server that is alive takes what it is sent, and says something within this (a monitored one a
// sign of life); a submission may have to wait for the disk.
constexpr Duration kPatience = absl::Minutes(10);

rt::Task<Status> SendAll(rt::Stream* stream, const std::string* request, bool has_input,
                         const std::string* input) {
  std::string frame = control::EncodeFrame(FrameKind::kRequest, *request);
  Status sent = co_await stream->Write(frame, stream->executor().Now() + kPatience);
  if (!has_input) co_return sent;
  for (size_t at = 0; sent.ok() && at < input->size(); at += control::kOutputPieceBytes) {
    frame = control::EncodeFrame(FrameKind::kInput,
                                 std::string_view(*input).substr(at, control::kOutputPieceBytes));
    sent = co_await stream->Write(frame, stream->executor().Now() + kPatience);
  }
  if (!sent.ok()) co_return sent;
  frame = control::EncodeFrame(FrameKind::kInputEnd, "");
  sent = co_await stream->Write(frame, stream->executor().Now() + kPatience);
  co_return sent;
}

}  // namespace

rt::Task<StatusOr<int>> AskControl(rt::World* world, std::string path, control::Request request,
                                   bool has_input, std::string input, ControlOutput output) {
  rt::Executor& loop = world->main_loop();
  const StatusOr<std::string> payload = control::EncodeRequest(request);
  if (!payload.ok()) co_return payload.status();
  Endpoint remote;
  remote.unix_path = path;
  rt::ConnectOptions options;
  StatusOr<std::unique_ptr<rt::Stream>> connected =
      co_await world->network().Connect(loop, remote, options, loop.Now() + kConnectTimeout);
  if (!connected.ok()) co_return connected.status();
  rt::Stream* const stream = connected->get();
  // A server that refuses says so and closes, whatever is still on its way to it: what it said
  // counts.
  const Status sent = co_await SendAll(stream, &*payload, has_input, &input);
  control::FrameReader reader;
  for (;;) {
    const StatusOr<std::optional<Frame>> next = reader.Next();
    if (!next.ok()) co_return next.status();
    if (!next->has_value()) {
      char buffer[16 * 1024];
      const StatusOr<size_t> got =
          co_await rt::ReadSome(*stream, std::span<char>(buffer), loop.Now() + kPatience);
      if (!got.ok() || *got == 0) {
        co_return DataLoss(sent.ok() ? "the server broke off its answer"
                                     : StrCat("the server did not take it all: ", Message(sent)));
      }
      reader.Feed(std::string_view(buffer, *got));
      continue;
    }
    const Frame& frame = **next;
    if (frame.kind == FrameKind::kEnd && frame.payload.size() == 1) {
      const int exit_status = static_cast<unsigned char>(frame.payload[0]);
      stream->Close();
      co_return exit_status;
    }
    if (frame.kind != FrameKind::kOutput && frame.kind != FrameKind::kError)
      co_return InvalidArgument("the server's answer is none");
    if (!frame.payload.empty()) output(frame.kind == FrameKind::kError, frame.payload);
  }
}

}  // namespace postern::service
