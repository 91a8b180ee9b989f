#include "lib/rt/sim/executor.h"

#include <algorithm>
#include <memory>
#include <utility>

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

namespace {

// Handed is a job in the queue of the simulation, where a std::function must be copyable.
struct Handed {
  explicit Handed(Job* handed) : job(handed) {}
  Handed(const Handed&) = delete;
  Handed& operator=(const Handed&) = delete;
  ~Handed() {
    if (job != nullptr && job->drop != nullptr) job->drop(job);
  }
  Job* job;
};

}  // namespace

void SimExecutor::PostJob(Job* job) noexcept {
  auto handed = std::make_shared<Handed>(job);
  Post([handed] {
    Job* const mine = std::exchange(handed->job, nullptr);
    mine->run(mine);
  });
}

void SimExecutor::Arm(Timer* timer, Instant at) noexcept {
  Disarm(timer);
  if (at.IsNever()) return;
  SetArmed(timer, true, life_->simulation().At(at, this, [timer] {
    SetArmed(timer, false, 0);
    timer->run(timer);
  }));
}

void SimExecutor::Disarm(Timer* timer) noexcept {
  if (!timer->armed()) return;
  life_->simulation().Cancel(NumberOf(timer));
  SetArmed(timer, false, 0);
}

void SimExecutor::PostBlocking(Job* job) noexcept {
  Simulation& simulation = life_->simulation();
  const HostOptions& options = life_->host().options();
  Duration wait = simulation.random().Between(options.pool_latency_min, options.pool_latency_max);
  if (simulation.random().Chance(kSlowWork)) wait *= kSlowFactor;
  auto handed = std::make_shared<Handed>(job);
  simulation.After(wait, nullptr, [this, handed] {
    Simulation& world = life_->simulation();
    const uint64_t syncs = life_->host().disk().syncs();
    Job* const mine = std::exchange(handed->job, nullptr);
    const auto done = mine->done;
    mine->run(mine);
    Duration took = absl::Nanoseconds(100);
    if (life_->alive()) {
      const int64_t synced = static_cast<int64_t>(life_->host().disk().syncs() - syncs);
      took += world.random().Between(absl::ZeroDuration(),
                                     life_->host().options().sync_latency * synced);
    }
    if (done != nullptr) world.After(took, this, [mine, done] { done(mine); });
  });
}

}  // namespace postern::rt::sim
