// SmtpService serves the SMTP sessions of one event loop.
#pragma once

#include <list>
#include <memory>

#include "lib/core/base/log.h"
#include "lib/rt/world.h"
#include "lib/service/smtp/backend.h"

namespace postern::service {

class SmtpConnection;

struct SmtpServiceOptions {
  // A failed login is answered after a pause between none and this, so that guessing takes time
  // (opensmtpd's habit).
  Duration max_auth_failure_pause = absl::Seconds(1);
  // How long the last reply may take to leave when a session is closed.
  Duration farewell_timeout = absl::Seconds(10);
  int time_zone_offset_minutes = 0;  // of dates that we write
};

// SmtpService lives on the loop given to it; every call is made there. It outlives its sessions:
// await Stop before it goes.
class SmtpService {
 public:
  // `world`, `loop`, `backend` and `log` outlive the service.
  SmtpService(rt::World* world, rt::Executor* loop, SmtpBackend* backend, LogSink* log,
              SmtpServiceOptions options);
  SmtpService(const SmtpService&) = delete;
  SmtpService& operator=(const SmtpService&) = delete;
  ~SmtpService();

  // Serve speaks SMTP on `stream` until the session is over; it returns at once.
  void Serve(std::unique_ptr<rt::Stream> stream, std::shared_ptr<const SmtpListener> listener);

  // Stop asks idle sessions to leave (421) and lets messages in flight finish until `grace` has
  // passed, then cuts the rest. It returns when the last session is over.
  rt::Task<void> Stop(Duration grace);

  size_t sessions() const { return connections_.size(); }

 private:
  friend class SmtpConnection;
  rt::Task<void> ServeConnection(std::unique_ptr<rt::Stream> stream,
                                 std::shared_ptr<const SmtpListener> listener);
  rt::Task<void> CutAt(Instant deadline);

  rt::World* world_;
  rt::Executor* loop_;
  SmtpBackend* backend_;
  LogSink* log_;
  SmtpServiceOptions options_;
  std::list<SmtpConnection*> connections_;
  bool stopping_ = false;
  rt::Event all_gone_;
  rt::TaskGroup tasks_;
};

}  // namespace postern::service
