// Simulation: a whole world of machines in one real thread, from one seed.
//
// Time is a number that jumps to the next event. All that happens (callbacks, timers, work of the
// pools, segments on the wire, crashes) is an event in one queue ordered by (time, sequence), so
// the same seed and the same program give the same run, to the octet; TraceHash() proves it.
// Nothing here is thread-safe: the program under test has no real threads either.
//
//   sim::Simulation simulation(seed);
//   sim::Host& server = simulation.AddHost({.name = "mx.example.org", .addresses =
//   {*IpAddress::Parse("192.0.2.1")}}); Server s(server.world());                       // the code
//   under test sees an rt::World simulation.RunFor(absl::Seconds(60));
//   server.Crash(sim::CrashKind::kPowerLoss);       // see host.h
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "lib/core/base/time.h"
#include "lib/rt/executor.h"
#include "lib/rt/sim/random.h"
#include "lib/rt/task.h"

namespace postern::rt::sim {

class Fabric;
class Host;
struct HostOptions;

struct SimulationOptions {
  uint64_t seed = 1;
  // The wall clock at time 0. The default has no daylight-saving change or leap second near it.
  WallTime epoch = absl::FromUnixSeconds(1767225600);  // 2026-01-01T00:00:00Z
  // A run that dispatches more events than this stops with kStepLimit: two parts that wake each
  // other for ever.
  uint64_t step_limit = 20'000'000;
};

enum class RunResult {
  kPredicate,  // the condition holds
  kTime,       // the time has come
  kIdle,       // no event is left
  kStepLimit,
};

class Simulation {
 public:
  using EventId = uint64_t;

  explicit Simulation(uint64_t seed) : Simulation(SimulationOptions{.seed = seed}) {}
  explicit Simulation(const SimulationOptions& options);
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;
  // Whatever uses a World of this simulation must be gone before.
  ~Simulation();

  // AddHost adds a machine, switched on. It lives as long as the simulation.
  Host& AddHost(HostOptions options);
  // FindHost returns the machine with that name, or null.
  Host* FindHost(std::string_view name);
  // network is the wire between the machines: latency, partitions, resets.
  Fabric& network() { return *fabric_; }

  // now is the monotonic time, wall_now the date. Time starts at one second, so that 0 is never a
  // time that was read.
  Instant now() const { return now_; }
  WallTime wall_now() const { return options_.epoch + absl::Nanoseconds(now_.ns) + wall_jump_; }
  // JumpWallClock moves the date of all machines at once (forwards or back), never the monotonic
  // time.
  void JumpWallClock(Duration by) { wall_jump_ += by; }
  // SpendTime lets the running event take this long: what it reads from the clock afterwards is
  // later.
  void SpendTime(Duration duration) { now_ = now_ + duration; }

  // random draws for the world itself (latencies, faults); Fork it for anything that should not
  // disturb others.
  SeededRandom& random() { return random_; }
  uint64_t seed() const { return options_.seed; }

  // At runs `fn` at `when` (at once if it has passed) in the name of `context` (null: nobody's
  // loop). Cancel of an event that has run does nothing. Ids are never 0.
  EventId At(Instant when, Executor* context, std::function<void()> fn);
  EventId After(Duration delay, Executor* context, std::function<void()> fn) {
    return At(now_ + delay, context, std::move(fn));
  }
  void Cancel(EventId id);

  // Step dispatches one event; false when there is none.
  bool Step();
  // RunUntil dispatches events until `done()` holds (checked first, and after each event), or until
  // no event is left up to `limit`; then time stands at `limit`.
  RunResult RunUntil(const std::function<bool()>& done, Instant limit = Instant::Never());
  RunResult RunUntilIdle() { return Run(Instant::Never()); }
  RunResult RunUntilTime(Instant limit) { return Run(limit); }
  RunResult RunFor(Duration duration) { return Run(now_ + duration); }

  // Await runs `task` on `loop` to its end, with the whole world around it, and returns its result.
  // A task that cannot end fails a check. Exceptions of the task are rethrown.
  template <typename T>
  T Await(Executor& loop, Task<T> task);

  // Executor of the running event; null in the pool's work and outside of events.
  Executor* current() const { return current_; }
  uint64_t steps() const { return steps_; }
  // pending is how many events wait, cancelled ones not counted.
  size_t pending() const { return heap_.size() - stale_; }

  // TraceHash sums up all that has happened so far: two runs with equal hashes took the same
  // course.
  uint64_t TraceHash() const { return trace_; }
  // Note adds to the trace; parts of the simulation call it for what matters (segments, file
  // operations, crashes).
  void Note(uint64_t what, uint64_t detail) { Mix(what * 0x9e3779b97f4a7c15u ^ detail); }
  // With a sink set, Tell gives it one line for each such thing, for a person who follows a failing
  // seed.
  void SetTraceSink(std::function<void(const std::string& line)> sink) { sink_ = std::move(sink); }
  bool tracing() const { return sink_ != nullptr; }
  void Tell(const std::string& line);

 private:
  struct Slot {
    std::function<void()> fn;
    Executor* context = nullptr;
    uint32_t generation = 1;
    bool used = false;
  };
  struct Entry {
    int64_t at_ns;
    uint64_t sequence;
    uint32_t slot;
    uint32_t generation;
  };
  struct Later {
    bool operator()(const Entry& a, const Entry& b) const {
      return a.at_ns != b.at_ns ? a.at_ns > b.at_ns : a.sequence > b.sequence;
    }
  };

  RunResult Run(Instant limit);
  bool IsStale(const Entry& entry) const {
    return slots_[entry.slot].generation != entry.generation;
  }
  void DropStale();
  void Compact();
  void Release(uint32_t slot);
  void Mix(uint64_t value) {
    trace_ = (trace_ ^ value) * 0xff51afd7ed558ccdu;
    trace_ ^= trace_ >> 32;
  }

  SimulationOptions options_;
  SeededRandom random_;
  Instant now_{1'000'000'000};
  Duration wall_jump_;
  uint64_t sequence_ = 0;
  uint64_t steps_ = 0;
  uint64_t trace_ = 0x243f6a8885a308d3u;
  Executor* current_ = nullptr;
  std::vector<Entry> heap_;
  size_t stale_ = 0;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  std::function<void(const std::string&)> sink_;
  std::unique_ptr<Fabric> fabric_;
  std::vector<std::unique_ptr<Host>> hosts_;
};

namespace simulation_internal {
template <typename T>
Task<void> Store(Task<T> task, std::optional<T>* into) {
  into->emplace(co_await std::move(task));
}
}  // namespace simulation_internal

template <typename T>
T Simulation::Await(Executor& loop, Task<T> task) {
  std::exception_ptr failure;
  TaskGroup group([&failure](std::exception_ptr e) { failure = e; });
  bool started = false;
  auto run = [&](Task<void> whole) {
    auto held = std::make_shared<Task<void>>(std::move(whole));
    At(now_, &loop, [&group, &started, held] {
      started = true;
      group.Spawn(std::move(*held));
    });
    RunUntil([&] { return started && group.running() == 0; });
    // A task that waits for what never comes: the world is idle, or spins.
    POSTERN_CHECK(started && group.running() == 0);
    if (failure) std::rethrow_exception(failure);
  };
  if constexpr (std::is_void_v<T>) {
    run(std::move(task));
  } else {
    std::optional<T> result;
    run(simulation_internal::Store(std::move(task), &result));
    return std::move(*result);
  }
}

}  // namespace postern::rt::sim
