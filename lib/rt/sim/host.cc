#include "lib/rt/sim/host.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/executor.h"
#include "lib/rt/sim/fabric.h"
#include "lib/rt/sim/files.h"
#include "lib/rt/sim/sqlite_vfs.h"

namespace postern::rt::sim {
namespace {

constexpr uint64_t kTraceCrash = 0x200;
constexpr uint64_t kTraceRestart = 0x201;

class HostClock : public Clock {
 public:
  explicit HostClock(Host* host) : host_(host) {}
  Instant Now() override { return host_->simulation().now(); }
  WallTime WallNow() override { return host_->simulation().wall_now() + host_->wall_jump(); }

 private:
  Host* host_;
};

// RunWatch wakes a coroutine that waits for a process when the machine dies.
class RunWatch : public Mortal {
 public:
  RunWatch(Life* life, Executor* loop) : ended(loop), life_(life), enrolment_(life->Enroll(this)) {}
  ~RunWatch() override { life_->Dismiss(enrolment_); }
  void OnHostDown() override { ended.Set(); }
  Event ended;

 private:
  Life* life_;
  uint64_t enrolment_;
};

}  // namespace

class HostProcesses : public Processes {
 public:
  HostProcesses(Host* host, Life* life) : host_(host), life_(life) {}

  Task<StatusOr<ProcessResult>> Run(Executor& loop, ProcessSpec spec) override {
    if (!life_->alive()) co_return HostIsDown();
    Executor* const executor = &loop;
    RunWatch watch(life_, executor);
    if (!host_->program_)
      co_return NotFound(
          StrCat(spec.argv.empty() ? std::string() : spec.argv[0], ": no such program"));
    Host::ProgramEnd end = host_->program_(spec);
    const bool too_long = end.after > spec.time_limit;
    const Instant at = executor->Now() + (too_long ? spec.time_limit : end.after);
    co_await watch.ended.Wait(at);
    if (!life_->alive()) co_return HostIsDown();
    if (too_long) {
      ProcessResult killed;
      killed.timed_out = true;
      killed.signal = 9;
      co_return killed;
    }
    if (end.result.ok() && end.result->output.size() > spec.output_limit_bytes) {
      end.result->output.resize(spec.output_limit_bytes);
    }
    co_return std::move(end.result);
  }

  StatusOr<std::unique_ptr<Conversation>> Converse(ProcessSpec spec) override {
    if (!life_->alive()) return HostIsDown();
    if (!host_->partner_)
      return NotFound(
          StrCat(spec.argv.empty() ? std::string() : spec.argv[0], ": no such program"));
    return host_->partner_(spec);
  }

  StatusOr<Account> FindAccount(const std::string& name) override {
    if (!life_->alive()) return HostIsDown();
    const Host::KnownAccount* known = Find(name);
    if (known == nullptr) return NotFound(StrCat("no account ", name));
    return known->account;
  }

  StatusOr<std::string> FindPasswordHash(const std::string& name) override {
    if (!life_->alive()) return HostIsDown();
    if (Self().uid != 0) return PermissionDenied("the shadow file is for root only");
    const Host::KnownAccount* known = Find(name);
    if (known == nullptr || !known->password_hash.has_value())
      return NotFound(StrCat("no password for ", name));
    return *known->password_hash;
  }

  Account Self() override { return host_->options().self; }

 private:
  const Host::KnownAccount* Find(const std::string& name) const {
    for (const Host::KnownAccount& known : host_->accounts_) {
      if (known.account.name == name) return &known;
    }
    return nullptr;
  }

  Host* host_;
  Life* life_;
};

// Incarnation is the World of one life.
class Host::Incarnation : public World {
 public:
  Incarnation(Host* host, uint64_t number, SeededRandom random)
      : life_(host->simulation_, host, number, random, host->options_.descriptor_limit),
        random_(life_.random().Fork("program")),
        clock_(host),
        vfs_(&host->disk_, &life_),
        files_(&host->disk_, &life_, CredentialsOf(host->options_.self), vfs_.name()),
        network_(host->simulation_->network().MakeNetwork(&life_)),
        processes_(host, &life_) {
    for (size_t i = 0; i < std::max<size_t>(host->options_.workers, 1); ++i) {
      workers_.push_back(std::make_unique<SimExecutor>(&life_));
    }
  }

  Clock& clock() override { return clock_; }
  Random& random() override { return random_; }
  Files& files() override { return files_; }
  Network& network() override { return *network_; }
  Processes& processes() override { return processes_; }
  size_t worker_count() const override { return workers_.size(); }
  Executor& worker(size_t index) override { return *workers_.at(index); }

  Life& life() { return life_; }
  SqliteVfs& vfs() { return vfs_; }

 private:
  static Credentials CredentialsOf(const Account& account) {
    return {account.uid, account.gid, account.groups};
  }

  Life life_;
  SeededRandom random_;
  HostClock clock_;
  SqliteVfs vfs_;
  SimFiles files_;
  std::unique_ptr<Network> network_;
  HostProcesses processes_;
  std::vector<std::unique_ptr<SimExecutor>> workers_;
};

Host::Host(Simulation* simulation, HostOptions options)
    : simulation_(simulation),
      options_(std::move(options)),
      random_(simulation->random().Fork(options_.name)),
      disk_(simulation, options_.disk, random_.Fork("disk")) {
  AddAccount(options_.self);
  simulation_->network().AddHost(this);
  incarnations_.push_back(std::make_unique<Incarnation>(this, 1, random_.Fork("life")));
}

Host::~Host() = default;

World& Host::world() { return *incarnations_.back(); }
Life& Host::life() { return incarnations_.back()->life(); }
bool Host::up() const { return incarnations_.back()->life().alive(); }

void Host::Crash(CrashKind kind) {
  const bool dark = kind == CrashKind::kPowerLoss;
  simulation_->Note(kTraceCrash, dark ? 1 : 0);
  if (simulation_->tracing())
    simulation_->Tell(StrCat(dark ? "power loss of " : "kill on ", name()));
  if (!up()) {
    if (dark && powered_) {
      powered_ = false;
      disk_.LosePower();
    }
    return;
  }
  ++crashes_;
  if (dark) powered_ = false;
  life().End();
  simulation_->network().HostDied(*this, dark);
  disk_.EndLife();
  if (dark) disk_.LosePower();
  if (crash_handler_) simulation_->At(simulation_->now(), nullptr, crash_handler_);
}

void Host::CrashAtFileOperation(uint64_t n, CrashKind kind) {
  POSTERN_CHECK(n > 0);
  disk_.CrashAt(n, [this, kind] { Crash(kind); });
}

World& Host::Restart() {
  POSTERN_CHECK(!up());
  // A stream, listener, file or database of the life that ended is still open: its owner was not
  // destroyed.
  POSTERN_CHECK(life().descriptors() == 0);
  incarnations_.back()->vfs().Unregister();
  simulation_->Note(kTraceRestart, incarnations_.size());
  if (simulation_->tracing()) simulation_->Tell(StrCat("restart of ", name()));
  powered_ = true;
  incarnations_.push_back(
      std::make_unique<Incarnation>(this, incarnations_.size() + 1, random_.Fork("life")));
  simulation_->network().Kick();
  return world();
}

void Host::AddAccount(Account account, std::optional<std::string> password_hash) {
  std::erase_if(accounts_, [&account](const KnownAccount& known) {
    return known.account.name == account.name;
  });
  accounts_.push_back({std::move(account), std::move(password_hash)});
}

bool Host::OwnsAddress(const IpAddress& address) const {
  if (address.IsLoopback()) return true;
  return std::find(options_.addresses.begin(), options_.addresses.end(), address) !=
         options_.addresses.end();
}

}  // namespace postern::rt::sim
