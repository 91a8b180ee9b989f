// SimExecutor: a loop of a simulated machine. All loops of all machines are run by the simulation's
// one thread.
#pragma once

#include <functional>

#include "lib/rt/executor.h"
#include "lib/rt/sim/life.h"
#include "lib/rt/sim/simulation.h"

namespace postern::rt::sim {

class SimExecutor : public Executor {
 public:
  explicit SimExecutor(Life* life) : life_(life) {}

  Instant Now() const override { return life_->simulation().now(); }
  // Post from the loop itself runs in this instant, in order; from elsewhere (the pool, another
  // loop) a little later, in order too, so that the seed decides how threads interleave.
  void Post(std::function<void()> fn) override;
  void PostJob(Job* job) noexcept override;
  void Arm(Timer* timer, Instant at) noexcept override;
  void Disarm(Timer* timer) noexcept override;
  TimerId CallAt(Instant at, std::function<void()> fn) override;
  void CancelTimer(TimerId id) noexcept override { life_->simulation().Cancel(id); }
  // PostBlocking runs `job` as one event: other events happen before or after it, never within. It
  // must not wait for other work of the pool.
  void PostBlocking(Job* job) noexcept override;
  bool IsCurrent() const override { return life_->simulation().current() == this; }

 private:
  Life* life_;
  Instant last_outside_post_;
};

}  // namespace postern::rt::sim
