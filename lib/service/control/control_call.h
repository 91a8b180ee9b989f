// ControlCall: one request on the control socket, and its answer as it comes.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "lib/core/control/frames.h"
#include "lib/rt/executor.h"
#include "lib/rt/stream.h"

namespace postern::service {

struct ControlLimits {
  size_t max_sessions = 64;           // at a time; further ones are told to come again
  size_t max_sessions_per_user = 16;  // root is exempt, so that it can always get in
  Duration request_timeout = absl::Seconds(10);
  Duration input_timeout = absl::Minutes(1);  // for each piece of a submission
  Duration write_timeout = absl::Seconds(30);
};

class ControlCall {
 public:
  // `stop` is set when the server stops. All outlive the call.
  ControlCall(rt::Stream* stream, rt::Event* stop, const ControlLimits* limits)
      : stream_(stream), stop_(stop), limits_(limits) {}
  ControlCall(const ControlCall&) = delete;
  ControlCall& operator=(const ControlCall&) = delete;

  // ReadRequest reads what is asked for. kDeadlineExceeded, kUnavailable: nobody asks.
  rt::Task<Status> ReadRequest();
  const control::Request& request() const { return request_; }
  // uid is whom the client runs as, as the system says; nullopt where it does not.
  std::optional<uint32_t> uid() const { return stream_->peer_uid(); }

  // Output and Error send text; an error says that the client is gone.
  rt::Task<Status> Output(std::string text);
  rt::Task<Status> Error(std::string text);
  // SignOfLife sends nothing, to learn whether the client is still there.
  rt::Task<Status> SignOfLife();
  // Input gives the next piece of what the client sends; nullopt at its end.
  rt::Task<StatusOr<std::optional<std::string>>> Input();
  // End sends the exit status.
  rt::Task<void> End(int exit_status);

  // EndIfIdle ends the conversation when it waits for what the client says, as at a stop.
  void EndIfIdle() {
    if (reading_) stream_->Close();
  }
  void Close() { stream_->Close(); }

  // Pause waits for `duration`; false: the server stops.
  rt::Task<bool> Pause(Duration duration);

 private:
  rt::Task<Status> Send(control::FrameKind kind, std::string text);
  // ReadFrame reads until a frame is there; its payload lives until the next call.
  rt::Task<StatusOr<control::Frame>> ReadFrame(Duration timeout);

  rt::Stream* stream_;
  rt::Event* stop_;
  const ControlLimits* limits_;
  control::FrameReader reader_;
  control::Request request_;
  bool reading_ = false;
};

}  // namespace postern::service
