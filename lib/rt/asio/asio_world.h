// AsioWorld: the real machine.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "lib/rt/world.h"

namespace postern::rt {

struct AsioWorldOptions {
  // Event loops. 0 means one; a loop serves thousands of sessions, and the blocking work has
  // threads of its own.
  size_t workers = 1;
  // Most threads for blocking work (disk, SQLite, password hashes). They are made when needed.
  size_t pool_threads = 4;
  // Make no thread at all: one loop, blocking work on the loop itself. For an embedder who calls
  // Poll from its own thread.
  bool no_threads = false;
};

// AsioWorld gives its loops no thread by itself: Run or Poll does.
class AsioWorld final : public World {
 public:
  explicit AsioWorld(const AsioWorldOptions& options = {});
  ~AsioWorld() override;

  Clock& clock() override;
  Random& random() override;
  Files& files() override;
  Network& network() override;
  Processes& processes() override;
  size_t worker_count() const override;
  Executor& worker(size_t index) override;

  // Run runs the main loop on the calling thread and the others on threads of their own, until
  // Stop. An exception that leaves a callback ends them all and is rethrown here, but for
  // std::bad_alloc, which ends that callback.
  void Run();

  // Poll runs what is ready on every loop, all on the calling thread, waiting at most `max_wait`
  // (with several loops: a few milliseconds at most) for something to become ready; it returns how
  // many callbacks ran. It is for one loop, or to get through a start or an end of several: not
  // while Run runs.
  size_t Poll(Duration max_wait);

  // Stop ends Run. Any thread.
  void Stop();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace postern::rt
