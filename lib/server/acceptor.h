// Acceptor: one bound address and the loop that hands its connections to the workers in turn.
#pragma once

#include <functional>
#include <memory>

#include "lib/core/base/log.h"
#include "lib/rt/world.h"

namespace postern::server {

// Acceptor lives on the main loop. Await Stop before it goes.
class Acceptor {
 public:
  // Handler is called on the loop of worker `worker`, with a connection that lives there.
  using Handler = std::function<void(size_t worker, std::unique_ptr<rt::Stream> stream)>;

  Acceptor(rt::World* world, std::unique_ptr<rt::Listener> listener, Handler handler, LogSink* log);

  // Start begins to accept.
  void Start();
  // Stop closes the address and returns when nothing more will be handed over.
  rt::Task<void> Stop();

  const Endpoint& local() const { return listener_->local(); }

 private:
  rt::Task<void> Accept();
  // AcceptOne waits for a connection and hands it to `worker`; Cancelled: the listener is closed.
  rt::Task<Status> AcceptOne(size_t worker);
  void LogFailure(std::string_view error) const;
  void TryToLogFailure(const char* error) const noexcept;

  rt::World* world_;
  std::unique_ptr<rt::Listener> listener_;
  Handler handler_;
  LogSink* log_;
  rt::Event stop_;
  rt::TaskGroup tasks_;
};

}  // namespace postern::server
