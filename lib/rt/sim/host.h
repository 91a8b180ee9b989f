// Host: one simulated machine. It implements rt::World for the code under test, and gives the test
// the power over it: crash, restart, faults, clock.
//
// A crash ends a *life* of the machine. From that moment every call on its files and streams
// returns kCancelled, its connections are cut and what waits on the network ends with kCancelled;
// but callbacks and timers go on running, so that the code under test can unwind as on an orderly
// stop. Nothing of what it still does has any effect on the disk or the wire. When its owner has
// destroyed it, Restart() starts the next life, with a new World, over the files that survived.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/status.h"
#include "lib/rt/processes.h"
#include "lib/rt/sim/disk.h"
#include "lib/rt/sim/life.h"
#include "lib/rt/sim/simulation.h"
#include "lib/rt/world.h"

namespace postern::rt::sim {

enum class CrashKind {
  kKill,  // kill -9: the process dies, the machine lives. All that was written stays; peers see FIN
          // or RST
  kPowerLoss,  // the machine goes dark: what was not synced may be lost; peers see nothing until it
               // is back
};

struct HostOptions {
  std::string name = "host.example";  // what Network::HostName says
  std::vector<IpAddress>
      addresses;  // on interface eth0, with the default route; 127.0.0.1 and ::1 are always there
  size_t workers = 1;
  Account self = {.name = "root", .uid = 0, .gid = 0, .groups = {}, .home = "/root"};
  int descriptor_limit = 65536;  // open files, streams and listeners together; beyond is EMFILE
  // The pool answers after a random time between these two, plus `sync_latency` at most for each
  // sync that the work did.
  Duration pool_latency_min = absl::Microseconds(2);
  Duration pool_latency_max = absl::Microseconds(200);
  Duration sync_latency = absl::Milliseconds(2);
  // A post to a loop from outside of it arrives this much later at most.
  Duration post_latency = absl::Microseconds(5);
  DiskOptions disk;
};

class Host {
 public:
  Host(Simulation* simulation, HostOptions options);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // world is the World of the current life. A World stays valid (dead, but callable) until the
  // simulation goes.
  World& world();
  Executor& main_loop() { return world().main_loop(); }
  Life& life();

  const std::string& name() const { return options_.name; }
  const HostOptions& options() const { return options_; }
  Simulation& simulation() { return *simulation_; }
  // disk gives the test a view that never fails and is never counted, faults and crash points.
  Disk& disk() { return disk_; }

  // up tells whether a life is running; powered whether the machine is on (after kKill it is, and
  // refuses connections).
  bool up() const;
  bool powered() const { return powered_; }

  // Crash ends the life. It may be called from anywhere, even from within a call of the code under
  // test on its files. On a host that is down it does nothing, except that kPowerLoss after kKill
  // takes the unsynced data as well.
  void Crash(CrashKind kind);
  // CrashAtFileOperation crashes at the `n`-th counted file operation from now (1 is the next one;
  // see disk.h for what counts), before it, after it, or for a write in the middle of it: the seed
  // chooses.
  void CrashAtFileOperation(uint64_t n, CrashKind kind);
  // SetCrashHandler: `handler` runs as an event of its own after each crash, to stop and destroy
  // the code under test.
  void SetCrashHandler(std::function<void()> handler) { crash_handler_ = std::move(handler); }
  uint64_t crashes() const { return crashes_; }

  // Restart begins the next life after a crash. The code under test must have closed its files and
  // databases by then: what is still open fails a check.
  World& Restart();

  // JumpWallClock moves the date of this machine alone.
  void JumpWallClock(Duration by) { wall_jump_ += by; }
  Duration wall_jump() const { return wall_jump_; }

  // AddAccount makes `account` known to Processes::FindAccount, with a crypt(3) hash if there is
  // one.
  void AddAccount(Account account, std::optional<std::string> password_hash = std::nullopt);
  // SetProgram answers Processes::Run: `program` is called when the process starts and says how it
  // ends and after how long; longer than the spec's time limit is a process that is killed. Without
  // one every program is missing (kNotFound).
  struct ProgramEnd {
    StatusOr<ProcessResult> result = ProcessResult();
    Duration after = absl::Milliseconds(1);
  };
  using Program = std::function<ProgramEnd(const ProcessSpec& spec)>;
  void SetProgram(Program program) { program_ = std::move(program); }

  // SetConversation answers Processes::Converse: `partner` is called when the program starts and
  // gives its side of the conversation, whose calls are events of the simulation and so must answer
  // at once. Without one every program is missing.
  using Partner = std::function<StatusOr<std::unique_ptr<Conversation>>(const ProcessSpec& spec)>;
  void SetConversation(Partner partner) { partner_ = std::move(partner); }

  // OwnsAddress tells whether `address` is one of this machine's (loopback included).
  bool OwnsAddress(const IpAddress& address) const;

 private:
  friend class HostProcesses;
  struct KnownAccount {
    Account account;
    std::optional<std::string> password_hash;
  };

  Simulation* simulation_;
  HostOptions options_;
  SeededRandom random_;
  Disk disk_;
  bool powered_ = true;
  uint64_t crashes_ = 0;
  Duration wall_jump_;
  std::function<void()> crash_handler_;
  Program program_;
  Partner partner_;
  std::vector<KnownAccount> accounts_;
  // All lives, the last one current: coroutines of a dead one may still hold its World while they
  // unwind.
  class Incarnation;
  std::vector<std::unique_ptr<Incarnation>> incarnations_;
};

}  // namespace postern::rt::sim
