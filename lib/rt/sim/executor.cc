#include "lib/rt/sim/executor.h"

#include <algorithm>

#include "lib/rt/sim/host.h"

namespace postern::rt::sim {
namespace {
// no slot has this id, so cancelling it does nothing
constexpr Executor::TimerId kNeverTimer = UINT64_MAX;
constexpr double kSlowWork = 0.05;  // the part of the pool's work that meets a busy machine
constexpr int kSlowFactor = 20;
}  // namespace

void SimExecutor::Post(std::function<void()> fn) {
  Simulation& simulation = life_->simulation();
  Instant at = simulation.now();
  if (simulation.current() != this) {
    at = at +
         simulation.random().Between(absl::ZeroDuration(), life_->host().options().post_latency);
    at = last_outside_post_ = std::max(at, last_outside_post_);
  }
  simulation.At(at, this, std::move(fn));
}

Executor::TimerId SimExecutor::CallAt(Instant at, std::function<void()> fn) {
  if (at.IsNever()) return kNeverTimer;
  return life_->simulation().At(at, this, std::move(fn));
}

void SimExecutor::PostBlocking(std::function<void()> work, std::function<void()> done) {
  Simulation& simulation = life_->simulation();
  const HostOptions& options = life_->host().options();
  Duration wait = simulation.random().Between(options.pool_latency_min, options.pool_latency_max);
  if (simulation.random().Chance(kSlowWork)) wait *= kSlowFactor;
  simulation.After(wait, nullptr, [this, work = std::move(work), done = std::move(done)]() mutable {
    Simulation& world = life_->simulation();
    const uint64_t syncs = life_->host().disk().syncs();
    work();
    Duration took = absl::Nanoseconds(100);
    if (life_->alive()) {
      const int64_t synced = static_cast<int64_t>(life_->host().disk().syncs() - syncs);
      took += world.random().Between(absl::ZeroDuration(),
                                     life_->host().options().sync_latency * synced);
    }
    world.After(took, this, std::move(done));
  });
}

}  // namespace postern::rt::sim
