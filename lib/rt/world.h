// World: everything outside Postern, handed down at construction. rt/asio has the real one, rt/sim
// the simulated one.
#pragma once

#include "lib/rt/executor.h"
#include "lib/rt/files.h"
#include "lib/rt/helper.h"
#include "lib/rt/network.h"
#include "lib/rt/processes.h"
#include "lib/rt/random.h"

namespace postern::rt {

// Clock tells the time. Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant Now() = 0;       // monotonic
  virtual WallTime WallNow() = 0;  // may jump
};

// World outlives all that uses it.
class World {
 public:
  virtual ~World() = default;
  virtual Clock& clock() = 0;
  virtual Random& random() = 0;
  virtual Files& files() = 0;
  virtual Network& network() = 0;
  virtual Processes& processes() = 0;
  // helper does what needs the rights of users; null where the server has all the rights it gets.
  virtual Helper* helper() { return nullptr; }
  // login_helper asks PAM (Helper::BeginPam), also for a server that kept its rights; null where
  // there is no helper process.
  virtual Helper* login_helper() { return helper(); }

  // worker(0) is the main loop: listeners, the scheduler and shared services live there.
  // Connections are spread over all.
  virtual size_t worker_count() const = 0;
  virtual Executor& worker(size_t index) = 0;
  Executor& main_loop() { return worker(0); }
};

}  // namespace postern::rt
