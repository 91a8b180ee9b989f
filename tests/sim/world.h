// The harness of the simulated worlds: scenarios run under many seeds, in parallel processes, and a
// failing seed is printed as the one command that repeats it.
//
//   void TwoServers(Run& run) {
//     Host& mx = run.simulation().AddHost({.name = "mx.example"});
//     …
//     run.Require(delivered == sent, StrCat("lost ", sent - delivered));
//   }
//   int main(int argc, char** argv) {
//     return RunScenarios(argc, argv, {{.name = "two-servers", .run = TwoServers, .seeds = 1000}});
//   }
//
// Flags of each such program:
//   --scenario NAME   only this one (default: all)
//   --seeds A..B      these seeds (default: 1..seeds of the scenario)
//   --seed N          one seed, in this process, so that a debugger sees it
//   --trace           with --seed: print every segment, file operation and crash with its virtual
//   time
//   --operation N     with --seed: of a scenario that uses CrashAtOperations, only the world that
//   crashes there (0: the one
//                     without a crash)
//   --jobs N          parallel processes (default 2)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "lib/rt/sim/fabric.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/rt/task.h"

namespace postern::sim_test {

// ScenarioFailure is what Require throws.
class ScenarioFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Run is one scenario under one seed.
class Run {
 public:
  explicit Run(uint64_t seed) : simulation_(seed), random_(simulation_.random().Fork("scenario")) {}
  rt::sim::Simulation& simulation() { return simulation_; }
  uint64_t seed() const { return simulation_.seed(); }
  // operation is the flag --operation, when given.
  std::optional<uint64_t> operation() const { return operation_; }
  void set_operation(std::optional<uint64_t> operation) { operation_ = operation; }
  // random is the scenario's own chance: which faults, how many messages.
  rt::sim::SeededRandom& random() { return random_; }
  // Require ends the scenario as failed when `holds` is false.
  void Require(bool holds, const std::string& what) {
    if (!holds) throw ScenarioFailure(what);
  }

 private:
  rt::sim::Simulation simulation_;
  rt::sim::SeededRandom random_;
  std::optional<uint64_t> operation_;
};

struct Scenario {
  std::string name;
  std::function<void(Run&)> run;
  uint64_t seeds = 100;
  // A scenario with a bug planted: it passes when some seed finds the bug.
  bool must_find_failure = false;
  // Every so many seeds one is run twice, and the two traces must be equal. 0: never.
  uint64_t replay_every = 25;
};

// CrashAtOperations runs `world` once without a crash and then, from the same seed, once for each
// of its file operations, to crash there. `world(inner, crash_at)` builds everything anew in
// `inner`; with `crash_at` not 0 it calls Host::CrashAtFileOperation(crash_at, …) at its start. It
// returns how many file operations it saw (Disk::operations), of which only the answer of the first
// run counts. With a `stride` above 1 this seed takes every stride-th operation and its neighbours
// take the others, so that `stride` seeds cover all. Failures name the operation.
void CrashAtOperations(Run& run, uint64_t stride,
                       const std::function<uint64_t(Run& inner, uint64_t crash_at)>& world);

// RunScenarios runs what the flags ask for and returns the exit code of the program.
int RunScenarios(int argc, char** argv, const std::vector<Scenario>& scenarios);

// Program is code under test on one host: a server, a client. It is made when the host starts and
// destroyed after it crashed.
class Program {
 public:
  virtual ~Program() = default;
  // Stop ends all that the program does; when the task ends, the program may be destroyed. After a
  // crash it runs in the dead World, where every call fails.
  virtual rt::Task<void> Stop() = 0;
};

// Keeper keeps a program running on a host, as an init system would: after each crash it stops and
// destroys the program, waits, restarts the host and makes a new one.
class Keeper {
 public:
  using Start = std::function<std::unique_ptr<Program>(rt::World& world)>;
  struct Options {
    Duration restart_delay_min = absl::Milliseconds(10);
    Duration restart_delay_max = absl::Seconds(30);
    // Called after a restart, before the new program is made: to set the next crash point, or to
    // inspect the disk.
    std::function<void(rt::sim::Host& host)> before_start;
  };

  // Keeper starts the program at once. `host` is up.
  Keeper(rt::sim::Host* host, Start start, Options options);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  // program is null between a crash and the next start.
  Program* program() { return program_.get(); }
  uint64_t starts() const { return starts_; }
  // Shutdown stops the program in good order (no crash) and destroys it; the host stays up. Runs
  // the simulation.
  void Shutdown();

 private:
  void OnCrash();
  void Launch();
  rt::Task<void> StopAndDestroy();

  rt::sim::Host* host_;
  Start start_;
  Options options_;
  std::unique_ptr<Program> program_;
  uint64_t starts_ = 0;
  bool shutting_down_ = false;
  rt::TaskGroup stopping_;
};

}  // namespace postern::sim_test
