// ImapService serves the IMAP sessions of one event loop.
#pragma once

#include <list>
#include <memory>

#include "lib/core/base/log.h"
#include "lib/rt/world.h"
#include "lib/service/imap/backend.h"

namespace postern::service {

class ImapConnection;

struct ImapServiceOptions {
  // A failed login is answered after a pause between none and this, so that guessing takes time.
  Duration max_login_failure_pause = absl::Seconds(2);
  // How long one piece of output may take to leave: a client that does not read is cut off.
  Duration write_timeout = absl::Minutes(5);
  // How long the last reply may take to leave when a session is closed.
  Duration farewell_timeout = absl::Seconds(10);
  // How often an idle session looks for changes by other programs; those of this process are told
  // at once.
  Duration idle_poll_interval = absl::Seconds(5);
  // How much of an answer is made before it is sent: what a session that reads slowly keeps in
  // memory.
  size_t output_chunk_bytes = 64 * 1024;
  // How large a message may be that is parsed (ENVELOPE, BODYSTRUCTURE, sections, SEARCH): it is in
  // memory then. BODY[], and partials of it, have no bound.
  uint64_t parse_limit_bytes = 128 * 1024 * 1024;
};

// ImapService lives on the loop given to it; every call is made there. It outlives its sessions:
// await Stop before it goes.
class ImapService {
 public:
  // `world`, `loop`, `backend` and `log` outlive the service.
  ImapService(rt::World* world, rt::Executor* loop, ImapBackend* backend, LogSink* log,
              ImapServiceOptions options);
  ImapService(const ImapService&) = delete;
  ImapService& operator=(const ImapService&) = delete;
  ~ImapService();

  // Serve speaks IMAP on `stream` until the session is over; it returns at once.
  void Serve(std::unique_ptr<rt::Stream> stream, std::shared_ptr<const ImapListener> listener);

  // Stop says BYE to sessions that wait for their client, lets commands under way finish until
  // `grace` has passed, then cuts the rest. It returns when the last session is over.
  rt::Task<void> Stop(Duration grace);

  size_t sessions() const { return connections_.size(); }

 private:
  friend class ImapConnection;
  rt::Task<void> ServeConnection(std::unique_ptr<rt::Stream> stream,
                                 std::shared_ptr<const ImapListener> listener);

  rt::World* world_;
  rt::Executor* loop_;
  ImapBackend* backend_;
  LogSink* log_;
  ImapServiceOptions options_;
  std::list<ImapConnection*> connections_;
  bool stopping_ = false;
  rt::Event all_gone_;
  rt::TaskGroup tasks_;
};

}  // namespace postern::service
