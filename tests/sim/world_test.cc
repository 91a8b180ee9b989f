// The whole server under crashes: every message that got its 250 is delivered exactly once here,
// and at least once at the next hop, whatever file operation the crash struck.

#include "tests/sim/mail_world.h"
#include <string>

#include "lib/core/base/strings.h"

namespace postern::sim_test {
namespace {

using rt::sim::CrashKind;
using rt::sim::Host;
using rt::sim::NameLoss;

// kNever is an operation that no run reaches: it disarms a crash point.
constexpr uint64_t kNever = uint64_t{1} << 60;

enum class Victim { kServer, kNextHop };

struct CrashPlan {
  Victim victim = Victim::kServer;
  CrashKind kind = CrashKind::kPowerLoss;
  NameLoss names = NameLoss::kPrefix;
  // again: the start after the crash is struck as well, at one of its first operations.
  bool again = false;
  std::string missing_sync;  // a path whose syncs do nothing: the planted bug
  bool tls = false;
  bool bounces = false;
  bool burst = false;
};

uint64_t CrashOnce(Run& run, const CrashPlan& plan, uint64_t crash_at) {
  MailWorldOptions options;
  options.name_loss = plan.names;
  options.tls = plan.tls;
  options.bounces = plan.bounces;
  if (plan.burst) options.MakeBurst();
  uint64_t more = plan.again && crash_at != 0 ? 1 + run.random().Below(2) : 0;
  options.before_restart = [&](Host& host) {
    if (more == 0) return;
    --more;
    host.CrashAtFileOperation(1 + run.random().Below(60), plan.kind);
  };
  MailWorld world(run, options);
  Host& victim = plan.victim == Victim::kServer ? world.a() : world.b();
  if (!plan.missing_sync.empty()) victim.disk().LieAbout(plan.missing_sync);
  if (crash_at != 0) victim.CrashAtFileOperation(crash_at, plan.kind);
  world.Boot();
  world.Send();
  world.Settle();
  const uint64_t operations = victim.disk().operations();
  // What was answered and delivered stays so: the power goes once more, when all is quiet.
  more = 0;
  victim.CrashAtFileOperation(kNever, plan.kind);
  victim.Crash(CrashKind::kPowerLoss);
  world.simulation().RunFor(absl::Seconds(10));
  world.Settle();
  world.Judge(world.crashes() - 1);
  return operations;
}

Scenario Crashes(const char* name, const CrashPlan& plan, uint64_t seeds, uint64_t stride) {
  const auto world = [plan](Run& inner, uint64_t crash_at) {
    return CrashOnce(inner, plan, crash_at);
  };
  return {
      .name = name,
      .run = [world, stride](Run& run) { CrashAtOperations(run, stride, world); },
      .seeds = seeds,
      .must_find_failure = !plan.missing_sync.empty(),
      // Keys and signatures of TLS do not come from the seed, and a signature has no fixed length.
      .replay_every = plan.tls ? 0u : 50u};
}

}  // namespace
}  // namespace postern::sim_test

int main(int argc, char** argv) {
  using namespace postern::sim_test;
  using postern::rt::sim::CrashKind;
  using postern::rt::sim::NameLoss;
  const CrashPlan power;
  const CrashPlan any_names{.names = NameLoss::kAnySubset};
  const CrashPlan kill{.kind = CrashKind::kKill};
  const CrashPlan again{.names = NameLoss::kAnySubset, .again = true, .bounces = true};
  const CrashPlan kill_again{.kind = CrashKind::kKill, .again = true, .bounces = true};
  const CrashPlan hop_power{.victim = Victim::kNextHop, .names = NameLoss::kAnySubset};
  const CrashPlan hop_kill{.victim = Victim::kNextHop, .kind = CrashKind::kKill};
  const CrashPlan tls{.tls = true};
  const CrashPlan burst{.names = NameLoss::kAnySubset, .burst = true};
  const CrashPlan burst_kill{.kind = CrashKind::kKill, .burst = true};
  const CrashPlan burst_not_synced{.missing_sync = "file system", .burst = true};
  const CrashPlan file_not_synced{.missing_sync = "/Maildir/tmp"};
  const CrashPlan folder_not_synced{.missing_sync = "/Maildir/new"};
  const CrashPlan log_not_synced{.missing_sync = "queue.db-wal"};
  const CrashPlan body_not_synced{.missing_sync = "/bodies"};
  // With a stride of 20, twenty seeds in a row strike each operation; "each-operation" strikes them
  // all with each seed.
  return RunScenarios(
      argc, argv,
      {Crashes("power", power, 400, 20), Crashes("power-any-names", any_names, 250, 20),
       Crashes("kill", kill, 200, 20), Crashes("power-again", again, 200, 20),
       Crashes("kill-again", kill_again, 100, 20), Crashes("next-hop-power", hop_power, 100, 20),
       Crashes("next-hop-kill", hop_kill, 60, 20), Crashes("power-tls", tls, 40, 40),
       Crashes("burst-power", burst, 60, 60), Crashes("burst-kill", burst_kill, 60, 60),
       Crashes("each-operation", any_names, 6, 1), Crashes("each-operation-kill", kill, 4, 1),
       Crashes("planted-file-not-synced", file_not_synced, 100, 20),
       Crashes("planted-folder-not-synced", folder_not_synced, 100, 20),
       Crashes("planted-log-not-synced", log_not_synced, 100, 20),
       Crashes("planted-body-not-synced", body_not_synced, 100, 20),
       Crashes("planted-burst-not-synced", burst_not_synced, 100, 20)});
}
