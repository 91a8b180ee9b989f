// Queue, scheduler and local delivery under crashes at file operations: what was acknowledged is
// delivered exactly once to a mailbox, and at least once to a relay.

#include "lib/store/queue/queue.h"

#include "tests/sim/world.h"
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/service/deliver/local_deliverer.h"
#include "lib/service/schedule/scheduler.h"

namespace postern::sim_test {
namespace {

using queue::Envelope;
using rt::World;
using rt::sim::CrashKind;
using rt::sim::Host;
using schedule::DeliveryResult;

constexpr size_t kPieceBytes = 2500;  // how a message comes in

// Ledger is what the outside world saw: it survives every crash.
struct Ledger {
  uint64_t submitted = 0;
  std::map<uint64_t, bool>
      acknowledged;  // by message number; true: it goes to a mailbox, false: to the relay
  std::map<std::string, int> relayed;  // by body
  std::string broken;                  // a failure that no crash explains
  bool submit = true;
};

std::string BodyOf(uint64_t number) {
  // One in seven is too large for the memory, one in three for the database (see MailProgram).
  const size_t filler = number % 7 == 0 ? 10000 : number % 3 == 0 ? 3000 : number * 37 % 1500;
  std::string body = StrCat("Subject: m", number, "\r\n\r\n");
  while (body.size() < filler) StrAppend(body, "line of message ", number, "\r\n");
  return StrCat(body, "end ", number, "\r\n");
}

class Targets : public deliver::TargetResolver {
 public:
  StatusOr<deliver::LocalTarget> ResolveTarget(const Envelope& envelope) override {
    deliver::LocalTarget target;
    target.path = StrCat("/home/", envelope.user, "/Maildir");
    return target;
  }
};

class NoNotices : public schedule::NoticeRouter {
 public:
  rt::Task<StatusOr<std::vector<Envelope>>> Route(mail::Address) override {
    co_return NotFound("nobody");
  }
};

// Peer is the next hop: it takes what it gets, now and then after a refusal.
class Peer : public schedule::Deliverer {
 public:
  Peer(World& world, store::Queue& queue, Ledger& ledger)
      : world_(world), queue_(queue), ledger_(ledger) {}
  queue::ReadyQueue::BatchRule Batching() const override {
    return {.max_batch = 10, .same_message = true};
  }
  size_t max_batches() const override { return 4; }
  rt::Task<std::vector<DeliveryResult>> Deliver(std::vector<Envelope> batch) override {
    std::vector<DeliveryResult> results;
    for (const Envelope& envelope : batch) {
      DeliveryResult result;
      result.id = envelope.id;
      result.text = "451 later";
      StatusOr<std::shared_ptr<const store::Body>> body =
          co_await queue_.OpenBody(world_.main_loop(), envelope.message_id());
      if (body.ok() && world_.random().Below(3) != 0) {
        std::string octets((*body)->size_bytes(), '\0');
        const StatusOr<size_t> got = (*body)->ReadAt(0, octets);
        if (got.ok()) {
          ++ledger_.relayed[octets];
          result.outcome = DeliveryResult::Outcome::kDelivered;
        }
      }
      results.push_back(std::move(result));
    }
    co_return results;
  }
  void Stop() override {}

 private:
  World& world_;
  store::Queue& queue_;
  Ledger& ledger_;
};

class MailProgram : public Program {
 public:
  MailProgram(World& world, Host& host, Ledger& ledger) : world_(world), ledger_(ledger) {
    store::QueueOptions options;
    options.wal_autocheckpoint_pages = 60;  // so that checkpoints happen within a short life
    // A crash strikes large messages as well, and those need not be large for that.
    options.inline_body_bytes = 2000;
    options.memory_body_bytes = 6000;
    options.log_growth_bytes = 30'000;
    StatusOr<std::unique_ptr<store::Queue>> opened =
        store::OpenSqliteQueue(world, log_, "/var/spool/postern", options);
    if (!opened.ok()) {
      if (host.up()) ledger.broken = StrCat("the queue does not open: ", Text(opened.status()));
      return;
    }
    queue_ = *std::move(opened);
    local_ = std::make_unique<deliver::LocalDeliverer>(world, *queue_, targets_);
    peer_ = std::make_unique<Peer>(world, *queue_, ledger);
    schedule::SchedulerOptions scheduling;
    scheduling.retry.relay_base = absl::Seconds(5);
    scheduler_ = std::make_unique<schedule::Scheduler>(world, *queue_, log_, notices_, local_.get(),
                                                       peer_.get(), scheduling);
    world.main_loop().Post([this] {
      tasks_.Spawn(scheduler_->Run());
      for (int i = 0; i < 4; ++i) tasks_.Spawn(Submit());
    });
  }

  rt::Task<void> Stop() override {
    stopping_ = true;
    if (!queue_) co_return;
    // The tasks may not have been started yet: their start was posted before this ran.
    co_await world_.main_loop().Yield();
    scheduler_->Stop();
    co_await tasks_.Join();
    const Status closed = co_await queue_->Close(world_.main_loop());
    (void)closed;
  }

  store::Queue* queue() { return queue_.get(); }

 private:
  rt::Task<void> Submit() {
    rt::Executor& loop = world_.main_loop();
    while (!stopping_ && ledger_.submit) {
      const uint64_t number = ++ledger_.submitted;
      const bool local = number % 4 != 0;
      const std::string body = BodyOf(number);
      StatusOr<std::unique_ptr<store::MessageWriter>> writer = queue_->NewMessage(loop);
      if (!writer.ok()) co_return;
      bool good = true;
      for (size_t at = 0; good && at < body.size(); at += kPieceBytes) {
        const std::string part = body.substr(at, kPieceBytes);
        const Status appended = co_await (*writer)->Append(part);
        good = appended.ok();
      }
      if (!good) co_return;
      std::vector<Envelope> envelopes(1);
      envelopes[0].user = StrCat("u", number % 2);
      envelopes[0].destination = mail::Address{envelopes[0].user, "example.org"};
      envelopes[0].kind = local ? Envelope::Kind::kLocal : Envelope::Kind::kRelay;
      const StatusOr<queue::MessageId> id = co_await (*writer)->Commit(std::move(envelopes));
      if (!id.ok()) co_return;
      ledger_.acknowledged[number] = local;
      rt::Event pause(&loop);
      const Instant until =
          loop.Now() + absl::Milliseconds(static_cast<int64_t>(world_.random().Below(20)));
      co_await pause.Wait(until);
    }
  }

  World& world_;
  Ledger& ledger_;
  NullLogSink log_;
  Targets targets_;
  NoNotices notices_;
  std::unique_ptr<store::Queue> queue_;
  std::unique_ptr<deliver::LocalDeliverer> local_;
  std::unique_ptr<Peer> peer_;
  std::unique_ptr<schedule::Scheduler> scheduler_;
  rt::TaskGroup tasks_;
  bool stopping_ = false;
};

// Delivered counts the copies of each message in both mailboxes, by number; "" when every file is
// whole.
std::string Delivered(rt::Files& files, std::map<uint64_t, int>* copies) {
  for (const char* user : {"u0", "u1"}) {
    const std::string folder = StrCat("/home/", user, "/Maildir/new");
    const StatusOr<std::vector<rt::DirectoryEntry>> entries = files.List(folder);
    if (!entries.ok()) continue;
    for (const rt::DirectoryEntry& entry : *entries) {
      const StatusOr<std::string> text =
          rt::ReadFile(files, StrCat(folder, "/", entry.name), 1 << 20);
      if (!text.ok()) return StrCat(entry.name, ": ", Text(text.status()));
      const size_t subject = text->find("Subject: m");
      if (subject == std::string::npos) return StrCat(entry.name, ": no message in it");
      const size_t end = text->find('\n', subject);
      const std::optional<uint64_t> number =
          ParseUint(text->substr(subject + 10, end - subject - 10));
      if (!number) return StrCat(entry.name, ": no number in it");
      std::string wanted;
      for (const char c : BodyOf(*number)) {
        if (c != '\r') wanted.push_back(c);
      }
      if (text->substr(subject) != wanted)
        return StrCat(entry.name, ": the text is not that of message ", *number);
      ++(*copies)[*number];
    }
  }
  return {};
}

// RequireDelivered demands that what was acknowledged is in its mailbox once, or was relayed. It
// gives how often each message is in a mailbox.
std::map<uint64_t, int> RequireDelivered(Run& run, Host& host, Ledger* ledger) {
  std::map<uint64_t, int> copies;
  const std::string problem = Delivered(host.disk().view(), &copies);
  run.Require(problem.empty(), problem);
  for (const auto& [number, local] : ledger->acknowledged) {
    if (local)
      run.Require(copies[number] == 1,
                  StrCat("message ", number, " was delivered ", copies[number], " times"));
    if (!local)
      run.Require(ledger->relayed[BodyOf(number)] >= 1,
                  StrCat("message ", number, " was not relayed"));
  }
  return copies;
}

void CrashAndDeliver(Run& run, CrashKind kind, bool any_names) {
  rt::sim::Simulation& simulation = run.simulation();
  rt::sim::HostOptions options{.name = "mx.example"};
  if (any_names) options.disk.name_loss = rt::sim::NameLoss::kAnySubset;
  Host& host = simulation.AddHost(options);
  Ledger ledger;
  int crashes_left = 6;
  Keeper::Options keeping;
  keeping.restart_delay_max = absl::Seconds(2);
  keeping.before_start = [&](Host& restarted) {
    if (crashes_left-- > 0) restarted.CrashAtFileOperation(1 + run.random().Below(300), kind);
  };
  host.CrashAtFileOperation(1 + run.random().Below(300), kind);
  Keeper keeper(
      &host, [&](World& world) { return std::make_unique<MailProgram>(world, host, ledger); },
      keeping);
  simulation.RunUntil([&] { return crashes_left < 0 || !ledger.broken.empty(); },
                      simulation.now() + absl::Minutes(10));
  simulation.RunFor(absl::Seconds(1));
  ledger.submit = false;
  // Calm: everything that was acknowledged gets where it goes.
  simulation.RunFor(absl::Minutes(30));
  std::string left = "the server is not up";
  if (keeper.program() != nullptr &&
      static_cast<MailProgram*>(keeper.program())->queue() != nullptr) {
    store::Queue* queue = static_cast<MailProgram*>(keeper.program())->queue();
    const StatusOr<store::QueueCounts> counts =
        simulation.Await(host.main_loop(), queue->Counts(host.main_loop()));
    left = !counts.ok()            ? Text(counts.status())
           : counts->messages == 0 ? ""
                                   : StrCat(counts->messages, " messages are left");
  }
  keeper.Shutdown();
  run.Require(ledger.broken.empty(), ledger.broken);
  run.Require(left.empty(), left);
  run.Require(ledger.acknowledged.size() > 5, "hardly anything was accepted");

  const std::map<uint64_t, int> copies = RequireDelivered(run, host, &ledger);
  for (const auto& [number, count] : copies)
    run.Require(count == 1, StrCat("message ", number, " has ", count, " copies"));
  int extra = 0;
  for (const auto& [body, count] : ledger.relayed) extra += std::max(0, count - 1);
  run.Require(extra <= 4 * 7,
              StrCat(extra, " messages were relayed again, of at most 4 in flight at 7 crashes"));
  const StatusOr<std::vector<rt::DirectoryEntry>> bodies =
      host.disk().view().List("/var/spool/postern/bodies");
  run.Require(bodies.ok() && bodies->empty(), "files of messages that are gone are left");
}

// Faults: writes and syncs fail now and then; nothing that was acknowledged is lost, and nothing is
// acknowledged in vain.
void FaultsAndDeliver(Run& run) {
  rt::sim::Simulation& simulation = run.simulation();
  Host& host = simulation.AddHost({.name = "mx.example"});
  Ledger ledger;
  Keeper keeper(
      &host, [&](World& world) { return std::make_unique<MailProgram>(world, host, ledger); }, {});
  for (int i = 0; i < 8; ++i) {
    rt::sim::FileFault fault;
    fault.operation =
        run.random().Chance(0.5) ? rt::sim::FileOperation::kSync : rt::sim::FileOperation::kWrite;
    fault.skip = run.random().Below(300);
    fault.error_number = run.random().Chance(0.5) ? 5 : 28;
    host.disk().Inject(fault);
  }
  simulation.RunFor(absl::Seconds(3));
  host.disk().ClearFaults();
  ledger.submit = false;
  simulation.RunFor(absl::Seconds(1));
  // The power goes: what was acknowledged in spite of the faults must be on the disk.
  host.Crash(CrashKind::kPowerLoss);
  simulation.RunFor(absl::Minutes(30));
  keeper.Shutdown();
  run.Require(ledger.broken.empty(), ledger.broken);
  (void)RequireDelivered(run, host, &ledger);
}

}  // namespace
}  // namespace postern::sim_test

int main(int argc, char** argv) {
  using namespace postern::sim_test;
  using postern::rt::sim::CrashKind;
  return RunScenarios(argc, argv,
                      {{.name = "kill",
                        .run = [](Run& run) { CrashAndDeliver(run, CrashKind::kKill, false); },
                        .seeds = 300},
                       {.name = "power",
                        .run = [](Run& run) { CrashAndDeliver(run, CrashKind::kPowerLoss, false); },
                        .seeds = 400},
                       {.name = "power-any-names",
                        .run = [](Run& run) { CrashAndDeliver(run, CrashKind::kPowerLoss, true); },
                        .seeds = 300},
                       {.name = "faults", .run = FaultsAndDeliver, .seeds = 200}});
}
