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

  Acceptor(rt::World* world, std::unique_ptr<rt::Listener> listener, LogSink* log);

  // SetHandler says what becomes of the connections from now on. Before Start, and at any time
  // after.
  void SetHandler(Handler handler);
  // Start begins to accept.
  void Start();
  // Stop closes the address and returns when nothing more will be accepted. What was handed to a
  // worker before comes there all the same.
  rt::Task<void> Stop();

  // Pause lets who comes wait, before any greeting, until Resume. One connection is held, the
  // others wait in the system's queue.
  void Pause() { resumed_.Reset(); }
  void Resume() { resumed_.Set(); }

  const Endpoint& local() const { return listener_->local(); }

 private:
  rt::Task<void> Accept();
  // AcceptOne waits for a connection and hands it to `worker`; Cancelled: the listener is closed.
  rt::Task<Status> AcceptOne(size_t worker);

  rt::World* world_;
  std::unique_ptr<rt::Listener> listener_;
  std::shared_ptr<const Handler> handler_;  // shared with what is on its way to a worker
  LogSink* log_;
  rt::Event stop_;
  rt::Event resumed_;
  rt::TaskGroup tasks_;
};

}  // namespace postern::server
