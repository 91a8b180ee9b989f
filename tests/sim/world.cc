#include "tests/sim/world.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <string_view>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/base/strings.h"

namespace postern::sim_test {
namespace {

constexpr int kMaxJobs = 16;
constexpr size_t kMessageBytes = 1000;

struct Flags {
  std::string scenario;
  std::optional<uint64_t> first;
  uint64_t last = 0;
  bool single = false;
  std::optional<uint64_t> operation;
  bool trace = false;
  uint64_t jobs = 2;
};

// Board is what the processes share: where each one is, and what the first failure was.
struct Board {
  std::atomic<uint64_t> next;
  std::atomic<bool> stop;
  std::atomic<bool> claimed;
  std::atomic<uint64_t> done;
  std::atomic<uint64_t> running[kMaxJobs];  // the seed each process works on
  uint64_t failed_seed;
  char message[kMessageBytes];

  void Fail(uint64_t seed, const std::string& what) {
    if (claimed.exchange(true)) return;
    failed_seed = seed;
    std::snprintf(message, sizeof message, "%s", what.c_str());
    stop = true;
  }
};

[[noreturn]] void Usage(const char* program, const std::vector<Scenario>& scenarios) {
  std::fprintf(stderr,
               "usage: %s [--scenario NAME] [--seeds A..B | --seed N [--operation N] [--trace]] "
               "[--jobs N]\nscenarios:\n",
               program);
  for (const Scenario& scenario : scenarios) std::fprintf(stderr, "  %s\n", scenario.name.c_str());
  std::exit(2);
}

Flags Parse(int argc, char** argv, const std::vector<Scenario>& scenarios) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--trace") {
      flags.trace = true;
      continue;
    }
    if (i + 1 >= argc) Usage(argv[0], scenarios);
    const std::string_view value = argv[++i];
    if (flag == "--scenario") {
      flags.scenario = value;
    } else if (flag == "--seed") {
      flags.first = ParseUint(value);
      if (!flags.first.has_value()) Usage(argv[0], scenarios);
      flags.last = *flags.first;
      flags.single = true;
    } else if (flag == "--seeds") {
      const size_t dots = value.find("..");
      if (dots == std::string_view::npos) Usage(argv[0], scenarios);
      flags.first = ParseUint(value.substr(0, dots));
      const std::optional<uint64_t> last = ParseUint(value.substr(dots + 2));
      if (!flags.first.has_value() || !last.has_value() || *last < *flags.first)
        Usage(argv[0], scenarios);
      flags.last = *last;
    } else if (flag == "--operation") {
      flags.operation = ParseUint(value);
    } else if (flag == "--jobs") {
      flags.jobs = std::clamp<uint64_t>(ParseUint(value).value_or(0), 1, kMaxJobs);
    } else {
      Usage(argv[0], scenarios);
    }
  }
  return flags;
}

void PrintLine(const std::string& line) { std::printf("%s\n", line.c_str()); }

// RunOnce runs one seed and returns the hash of its trace.
uint64_t RunOnce(const Scenario& scenario, uint64_t seed, bool trace,
                 std::optional<uint64_t> operation) {
  Run run(seed);
  run.set_operation(operation);
  if (trace) run.simulation().SetTraceSink(PrintLine);
  scenario.run(run);
  return run.simulation().TraceHash();
}

// Check runs one seed and says what was wrong, or nothing.
std::string Check(const Scenario& scenario, uint64_t seed, bool trace, bool replay,
                  std::optional<uint64_t> operation = std::nullopt) {
  try {
    const uint64_t hash = RunOnce(scenario, seed, trace, operation);
    if (replay && RunOnce(scenario, seed, false, operation) != hash)
      return "a second run of this seed took another course";
  } catch (const std::exception& failure) {
    return failure.what();
  }
  return std::string();
}

void Work(const Scenario& scenario, const Flags& flags, Board& board, uint64_t job) {
  while (!board.stop) {
    const uint64_t seed = board.next++;
    if (seed > flags.last) break;
    board.running[job] = seed;
    const bool replay = scenario.replay_every != 0 && seed % scenario.replay_every == 0;
    const std::string wrong = Check(scenario, seed, false, replay);
    board.running[job] = 0;
    ++board.done;
    if (!wrong.empty()) board.Fail(seed, wrong);
  }
}

// RunMany runs all seeds of one scenario and returns whether it passed.
bool RunMany(const char* program, const Scenario& scenario, const Flags& flags) {
  void* const memory =
      mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("mmap");
    return false;
  }
  Board& board = *new (memory) Board();
  board.next = *flags.first;
  const auto start = std::chrono::steady_clock::now();
  std::fflush(nullptr);
  std::vector<pid_t> children;
  for (uint64_t job = 0; job < flags.jobs; ++job) {
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      Work(scenario, flags, board, job);
      std::fflush(nullptr);
      _exit(0);
    }
    if (child < 0) {
      board.Fail(*flags.first, "fork failed");
      break;
    }
    children.push_back(child);
  }
  for (size_t job = 0; job < children.size(); ++job) {
    int status = 0;
    waitpid(children[job], &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    const std::string how = WIFSIGNALED(status) ? StrCat("died of signal ", WTERMSIG(status))
                                                : StrCat("exit ", WEXITSTATUS(status));
    board.Fail(board.running[job], how);
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const bool failed = board.claimed;
  const bool passed = failed == scenario.must_find_failure;
  const double rate = static_cast<double>(board.done.load()) / std::max(seconds, 0.001);
  std::printf("%s %s: %llu seeds in %.1f s (%.0f a second)\n", passed ? "PASS" : "FAIL",
              scenario.name.c_str(), static_cast<unsigned long long>(board.done.load()), seconds,
              rate);
  if (failed) {
    std::printf("  %s seed %llu: %s\n  repeat: %s --scenario %s --seed %llu --trace\n",
                scenario.must_find_failure ? "found, as it must, by" : "failed:",
                static_cast<unsigned long long>(board.failed_seed), board.message, program,
                scenario.name.c_str(), static_cast<unsigned long long>(board.failed_seed));
  } else if (!passed) {
    std::printf("  the planted bug was not found by any seed\n");
  }
  munmap(memory, sizeof(Board));
  return passed;
}

}  // namespace

void CrashAtOperations(Run& run, uint64_t stride,
                       const std::function<uint64_t(Run& inner, uint64_t crash_at)>& world) {
  const auto once = [&run, &world](uint64_t crash_at) {
    Run inner(run.seed());
    if (run.simulation().tracing()) inner.simulation().SetTraceSink(PrintLine);
    try {
      const uint64_t operations = world(inner, crash_at);
      run.simulation().Note(crash_at, inner.simulation().TraceHash());
      return operations;
    } catch (const std::exception& failure) {
      const std::string where =
          crash_at == 0 ? "without a crash" : StrCat("with a crash at file operation ", crash_at);
      throw ScenarioFailure(StrCat(where, " (--operation ", crash_at, "): ", failure.what()));
    }
  };
  if (run.operation().has_value()) {
    once(*run.operation());
    return;
  }
  const uint64_t operations = once(0);
  for (uint64_t n = 1 + run.seed() % stride; n <= operations; n += stride) once(n);
}

int RunScenarios(int argc, char** argv, const std::vector<Scenario>& scenarios) {
  const Flags flags = Parse(argc, argv, scenarios);
  bool any = false;
  bool all_passed = true;
  for (const Scenario& scenario : scenarios) {
    if (!flags.scenario.empty() && flags.scenario != scenario.name) continue;
    any = true;
    Flags own = flags;
    if (!own.first.has_value()) {
      own.first = 1;
      own.last = scenario.seeds;
    }
    if (!flags.single) {
      all_passed = RunMany(argv[0], scenario, own) && all_passed;
      continue;
    }
    const std::string wrong = Check(scenario, *own.first, flags.trace, true, flags.operation);
    if (wrong.empty()) {
      std::printf("PASS %s seed %llu\n", scenario.name.c_str(),
                  static_cast<unsigned long long>(*own.first));
    } else {
      std::printf("FAIL %s seed %llu: %s\n", scenario.name.c_str(),
                  static_cast<unsigned long long>(*own.first), wrong.c_str());
      all_passed = false;
    }
  }
  if (!any) Usage(argv[0], scenarios);
  return all_passed ? 0 : 1;
}

// --- Keeper ---

Keeper::Keeper(rt::sim::Host* host, Start start, Options options)
    : host_(host), start_(std::move(start)), options_(std::move(options)) {
  host_->SetCrashHandler([this] { OnCrash(); });
  Launch();
}

Keeper::~Keeper() {
  host_->SetCrashHandler(nullptr);
  // A scenario that failed leaves by an exception: the programs are stopped all the same, so that
  // nothing waits in them.
  Shutdown();
}

void Keeper::Launch() {
  if (shutting_down_) return;
  ++starts_;
  if (options_.before_start) options_.before_start(*host_);
  program_ = start_(host_->world());
}

void Keeper::OnCrash() {
  if (program_ == nullptr || shutting_down_) return;
  host_->main_loop().Post([this] { stopping_.Spawn(StopAndDestroy()); });
}

rt::Task<void> Keeper::StopAndDestroy() {
  co_await program_->Stop();
  // Callbacks that are under way (a pool's answer, a woken waiter) come to their end first.
  rt::Event never(&host_->main_loop());
  co_await never.Wait(host_->simulation().now() + absl::Milliseconds(100));
  // Its owner destroys it on no loop, as a process does at its end: closing a database may block.
  rt::Event destroyed(&host_->main_loop());
  host_->simulation().After(absl::ZeroDuration(), nullptr, [this, &destroyed] {
    program_.reset();
    destroyed.Set();
  });
  co_await destroyed.Wait(Instant::Never());
  if (shutting_down_) co_return;
  const Duration delay =
      host_->simulation().random().Between(options_.restart_delay_min, options_.restart_delay_max);
  host_->simulation().After(delay, nullptr, [this] {
    if (host_->up() || shutting_down_) return;
    host_->Restart();
    Launch();
  });
}

void Keeper::Shutdown() {
  if (shutting_down_) return;
  shutting_down_ = true;
  rt::sim::Simulation& simulation = host_->simulation();
  if (program_ != nullptr && stopping_.running() == 0) {
    host_->main_loop().Post([this] { stopping_.Spawn(StopAndDestroy()); });
  }
  simulation.RunUntil([this] { return program_ == nullptr && stopping_.running() == 0; });
  POSTERN_CHECK(program_ == nullptr);
}

}  // namespace postern::sim_test
