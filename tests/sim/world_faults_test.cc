// The whole server while something is wrong around it: a network that cuts and partitions, a disk
// that fails or is full, a clock that is set, two machines that crash again and again. Nothing is
// restarted by hand.

#include "tests/sim/mail_world.h"
#include <string>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/fabric.h"

namespace postern::sim_test {
namespace {

using rt::sim::CrashKind;
using rt::sim::FileFault;
using rt::sim::FileOperation;
using rt::sim::Host;
using rt::sim::NameLoss;

constexpr uint64_t kNever = uint64_t{1} << 60;  // an operation that no run reaches

// Within the time in which the mail of a world moves, most of it.
Duration SoonAfter(Run& run) {
  return absl::Microseconds(static_cast<int64_t>(run.random().Below(90'000)));
}

// PowerOffAndJudge takes the power once more when all is quiet: what was said must be on the disk.
void PowerOffAndJudge(Run& run, MailWorld& world, uint64_t extra_copies) {
  for (Host* host : {&world.a(), &world.b()}) {
    host->CrashAtFileOperation(kNever, CrashKind::kPowerLoss);
    if (run.random().Chance(0.7)) host->Crash(CrashKind::kPowerLoss);
  }
  world.simulation().RunFor(absl::Seconds(10));
  world.Settle();
  world.Judge(extra_copies);
}

// Network: connections between the servers are cut, and the wire between them is dead for a while,
// in one direction or both.
void Network(Run& run) {
  MailWorldOptions options;
  options.messages_per_session = 4;
  options.large_body_bytes = 400'000;  // long enough on the wire to be cut in its middle
  options.large_every = 2;
  options.bounces = run.random().Chance(0.5);
  MailWorld world(run, options);
  rt::sim::Fabric& network = run.simulation().network();
  world.Boot();
  world.Send();
  uint64_t cuts = 0;
  for (const uint64_t times = 1 + run.random().Below(4); cuts < times; ++cuts) {
    world.simulation().RunFor(SoonAfter(run));
    const uint64_t how = run.random().Below(4);
    if (how == 0) network.Reset(world.a(), world.b());
    if (how == 1) network.Partition(world.a(), world.b());
    if (how == 2) network.PartitionOneWay(world.a(), world.b());
    if (how == 3) network.PartitionOneWay(world.b(), world.a());
    // From a hiccup to longer than any patience (RFC 5321 §4.5.3.2.6: ten minutes for the end of
    // data).
    if (how != 0)
      world.simulation().RunFor(absl::Seconds(40) * run.random().Below(60) + SoonAfter(run));
    network.HealAll();
  }
  world.Settle();
  PowerOffAndJudge(run, world, cuts);
}

// Resets strike any segment of any connection.
void Resets(Run& run) {
  MailWorldOptions options;
  options.messages_per_session = 4;
  options.large_body_bytes = 100'000;
  MailWorld world(run, options);
  run.simulation().network().options().reset_chance = 0.01;
  world.Boot();
  world.Send();
  world.simulation().RunFor(absl::Seconds(20));
  run.simulation().network().options().reset_chance = 0;
  world.Settle();
  // Each connection can be cut between the acceptance and its reply, so the copies at the next hop
  // have no small bound.
  PowerOffAndJudge(run, world, 20);
}

// DiskFault lets the `n`-th operation that matches fail once, while the servers are up. It returns
// how many there were.
uint64_t DiskFault(Run& run, const FileFault& fault, uint64_t n) {
  MailWorldOptions options;
  options.bounces = true;
  if (run.seed() % 4 == 0) options.MakeBurst();
  MailWorld world(run, options);
  world.Boot();
  world.AwaitService();
  const auto count = [&] {
    return fault.operation == FileOperation::kSync ? world.a().disk().syncs()
                                                   : world.a().disk().operations();
  };
  const uint64_t before = count();
  if (n != 0) {
    FileFault armed = fault;
    armed.skip = n - 1;
    world.a().disk().Inject(armed);
  }
  world.Send();
  world.Settle();
  const uint64_t operations = count() - before;
  world.a().disk().ClearFaults();
  PowerOffAndJudge(run, world, 0);
  return operations;
}

Scenario Faults(const char* name, const FileFault& fault, uint64_t seeds, uint64_t stride) {
  const auto world = [fault](Run& inner, uint64_t n) { return DiskFault(inner, fault, n); };
  return {.name = name,
          .run = [world, stride](Run& run) { CrashAtOperations(run, stride, world); },
          .seeds = seeds};
}

// FullDisk has no space for a while: mail is refused with 452, and taken again when there is room,
// without a restart.
void FullDisk(Run& run) {
  MailWorldOptions options;
  options.messages_per_session = 4;
  options.large_body_bytes = 30'000;
  options.large_every = 3;
  options.bounces = run.random().Chance(0.3);
  const bool reserve = run.random().Chance(0.4);
  if (!reserve)
    options.queue.min_free_bytes = options.queue.min_free_inodes = 0;  // so that it is really full
  MailWorld world(run, options);
  world.Boot();
  world.AwaitService();
  world.Send();
  world.simulation().RunFor(SoonAfter(run));
  Host& victim = run.random().Chance(0.8) ? world.a() : world.b();
  const bool over_early = world.all_sent();
  victim.disk().SetSpace(victim.disk().used_bytes() +
                         run.random().Below(run.random().Chance(0.5) ? 5'000 : 40'000));
  world.simulation().RunFor(absl::Seconds(10 + run.random().Below(300)));
  const bool refused = world.replies().contains(452);
  if (reserve && !over_early && &victim == &world.a()) {
    run.Require(refused || world.all_sent(), "a server without space did not say 452");
  }
  victim.disk().SetSpace(uint64_t{1} << 34);
  world.Settle();
  run.Require(world.crashes() == 0, "a server was restarted");
  PowerOffAndJudge(run, world, 0);
}

// Clock: the date of a machine is set while mail waits for a next hop that is away.
void Clock(Run& run) {
  MailWorldOptions options;
  options.tls = run.random().Chance(0.2);
  MailWorld world(run, options);
  world.Boot();
  world.AwaitService();
  run.simulation().network().Partition(world.a(), world.b());
  world.Send();
  constexpr int64_t kHour = 3600;
  constexpr int64_t kJumps[] = {10 * 365 * 24 * kHour, -kHour, kHour, -10 * 365 * 24 * kHour, 1, -1,
                                5 * 24 * kHour};
  for (int i = 0; i < 3; ++i) {
    world.simulation().RunFor(SoonAfter(run) + absl::Minutes(10) * run.random().Unit());
    Host& host = run.random().Chance(0.7) ? world.a() : world.b();
    host.JumpWallClock(absl::Seconds(kJumps[run.random().Below(std::size(kJumps))]));
  }
  world.simulation().RunFor(absl::Minutes(5));
  // 400 s * n^2 after the message came: two attempts in 35 minutes, and those that a connection
  // ended.
  run.Require(world.failed_attempts() <= 5,
              StrCat("a storm: ", world.failed_attempts(), " attempts"));
  run.simulation().network().HealAll();
  world.Settle();
  world.Judge(0);
}

// Everything: both servers crash again and again, also while they start, and the network cuts.
void Everything(Run& run) {
  MailWorldOptions options;
  options.sessions = 3;
  options.messages_per_session = 4;
  options.bounces = true;
  options.pause_max = absl::Seconds(2);
  options.large_body_bytes = 100'000;
  options.name_loss = run.random().Chance(0.5) ? NameLoss::kAnySubset : NameLoss::kPrefix;
  uint64_t crashes = 2 + run.random().Below(5);
  const auto arm = [&run, &crashes](Host& host) {
    if (crashes == 0) return;
    --crashes;
    host.CrashAtFileOperation(1 + run.random().Below(150),
                              run.random().Chance(0.6) ? CrashKind::kPowerLoss : CrashKind::kKill);
  };
  options.before_restart = arm;
  MailWorld world(run, options);
  arm(world.a());
  arm(world.b());
  world.Boot();
  world.Send();
  uint64_t cuts = 0;
  for (; cuts < 3; ++cuts) {
    world.simulation().RunFor(absl::Seconds(5) * run.random().Unit());
    run.simulation().network().Reset(world.a(), world.b());
  }
  world.Settle(absl::Hours(48));
  crashes = 0;
  const uint64_t disturbances = world.crashes() + cuts;
  PowerOffAndJudge(run, world, disturbances);
}

}  // namespace
}  // namespace postern::sim_test

int main(int argc, char** argv) {
  using namespace postern::sim_test;
  const FileFault sync_fails{.operation = FileOperation::kSync};
  const FileFault anything_fails{};
  const FileFault no_space{.error_number = 28};
  return RunScenarios(argc, argv,
                      {{.name = "network", .run = Network, .seeds = 200},
                       {.name = "resets", .run = Resets, .seeds = 100},
                       Faults("sync-fails", sync_fails, 60, 10),
                       Faults("anything-fails", anything_fails, 60, 20),
                       Faults("no-space", no_space, 40, 20),
                       {.name = "full-disk", .run = FullDisk, .seeds = 100},
                       {.name = "clock", .run = Clock, .seeds = 100, .replay_every = 0},
                       {.name = "everything", .run = Everything, .seeds = 200}});
}
