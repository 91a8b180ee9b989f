// The queue on a machine that crashes at every one of its file operations: what Commit has answered
// is there afterwards, whole; what a Flush has taken out stays out.

#include "tests/sim/world.h"
#include <map>
#include <memory>
#include <set>
#include <string>

#include "lib/core/base/log.h"
#include "lib/core/base/strings.h"
#include "lib/store/queue/queue.h"
#include "lib/store/queue/spool_seal.h"

namespace postern::sim_test {
namespace {

using queue::Envelope;
using queue::MessageId;
using rt::Executor;
using rt::Task;
using rt::TaskGroup;
using rt::World;
using rt::sim::CrashKind;
using rt::sim::Host;
using store::Change;
using store::MessageWriter;
using store::Queue;

constexpr uint64_t kSessions = 3;
constexpr uint64_t kMessagesEach = 3;
// Inline in the database, in a file of its own, and too large for memory.
constexpr size_t kSizes[] = {200, 40 * 1024, 300 * 1024};

std::string Content(uint64_t session, uint64_t number) {
  const std::string line = StrCat("session ", session, " message ", number, "\r\n");
  std::string text;
  while (text.size() < kSizes[(session + number) % 3]) text += line;
  return text;
}

// Ledger is what the outside knows: which messages got their 250, and which were given up after it.
struct Ledger {
  std::map<MessageId, std::string> promised;
  std::set<MessageId> removed;
  uint64_t refused = 0;
};

Task<void> Session(World& world, Queue& spool, uint64_t session, Ledger* ledger) {
  Executor& loop = world.main_loop();
  for (uint64_t number = 0; number < kMessagesEach; ++number) {
    const std::string content = Content(session, number);
    StatusOr<std::unique_ptr<MessageWriter>> started = spool.NewMessage(loop);
    if (!started.ok()) {
      ++ledger->refused;
      co_return;
    }
    std::unique_ptr<MessageWriter> writer = std::move(*started);
    const Status appended = co_await writer->Append(content);
    std::vector<Envelope> envelopes(1);
    envelopes[0].user = "ann";
    StatusOr<MessageId> committed = Cancelled("not tried");
    if (appended.ok()) committed = co_await writer->Commit(envelopes);
    if (!committed.ok()) {
      ++ledger->refused;
      co_return;
    }
    ledger->promised[*committed] = content;
    if (number != 1) continue;
    // The second one is delivered at once and leaves.
    store::DueRequest due;
    due.now = spool.Now();
    StatusOr<std::vector<Envelope>> loaded = co_await spool.LoadDue(loop, due);
    if (!loaded.ok()) co_return;
    for (const Envelope& envelope : *loaded) {
      if (envelope.message_id() != *committed) continue;
      std::vector<Change> changes(1);
      changes[0].id = envelope.id;
      changes[0].urgent = true;
      spool.Record(changes);
    }
    // From here on it may be gone, and after the flush it must be.
    ledger->promised.erase(*committed);
    const Status flushed = co_await spool.Flush(loop);
    if (flushed.ok()) ledger->removed.insert(*committed);
  }
}

Task<void> Verify(Run& run, World& world, Queue& spool, const Ledger& ledger) {
  Executor& loop = world.main_loop();
  store::ListRequest request;
  StatusOr<std::vector<Envelope>> listed = co_await spool.List(loop, request);
  run.Require(listed.ok(), StrCat("list: ", Text(listed.status())));
  std::set<MessageId> present;
  for (const Envelope& envelope : *listed) {
    const MessageId id = envelope.message_id();
    present.insert(id);
    run.Require(!ledger.removed.contains(id), "a message that was removed for good is back");
    StatusOr<std::shared_ptr<const store::Body>> body = co_await spool.OpenBody(loop, id);
    run.Require(body.ok(), StrCat("a listed message cannot be read: ", Text(body.status())));
    const auto promised = ledger.promised.find(id);
    if (promised == ledger.promised.end()) continue;
    std::string octets((*body)->size_bytes(), '\0');
    const std::span<char> into(octets.data(), octets.size());
    StatusOr<size_t> got =
        co_await loop.RunBlocking([&body, into] { return (*body)->ReadAt(0, into); });
    run.Require(got.ok() && octets == promised->second, "a message is altered");
  }
  for (const auto& [id, content] : ledger.promised) {
    run.Require(present.contains(id),
                StrCat("message ", queue::MessageIdText(id), " got its 250 and is lost"));
  }
}

// OptionsOf are the queue's; `sealed`: texts are compressed, and they and the envelopes encrypted.
store::QueueOptions OptionsOf(World& world, bool sealed) {
  store::QueueOptions options = {.log_growth_bytes = 20'000};
  if (sealed)
    options.seal =
        *store::SpoolSeal::Make(true, "0123456789abcdef0123456789abcdef", world.random());
  return options;
}

uint64_t CommitAndCrash(Run& run, CrashKind kind, const std::string& missing_sync, bool sealed,
                        uint64_t crash_at) {
  rt::sim::Simulation& simulation = run.simulation();
  Host& host = simulation.AddHost({.name = "mx"});
  if (!missing_sync.empty()) host.disk().LieAbout(missing_sync);
  if (crash_at != 0) host.CrashAtFileOperation(crash_at, kind);
  NullLogSink log;
  Ledger ledger;
  {
    World& world = host.world();
    StatusOr<std::unique_ptr<Queue>> opened =
        store::OpenSqliteQueue(world, log, "/spool", OptionsOf(world, sealed));
    run.Require(opened.ok() || !host.up(), StrCat("open: ", Text(opened.status())));
    if (opened.ok()) {
      Queue& spool = **opened;
      TaskGroup sessions;
      for (uint64_t session = 0; session < kSessions; ++session) {
        world.main_loop().Post(
            [&, session] { sessions.Spawn(Session(world, spool, session, &ledger)); });
      }
      const auto over = [&] {
        return sessions.running() == 0 && ledger.promised.size() + ledger.refused > 0;
      };
      simulation.RunFor(absl::Seconds(1));
      simulation.RunUntil(over, simulation.now() + absl::Minutes(10));
      run.Require(over(), "a session hangs");
      run.Require(ledger.refused == 0 || !host.up(), "a message was refused on a healthy machine");
      (void)simulation.Await(world.main_loop(), spool.Close(world.main_loop()));
      simulation.RunFor(absl::Seconds(5));
    }
  }
  simulation.RunFor(absl::Seconds(5));
  const uint64_t operations = host.disk().operations();
  host.Crash(kind);
  if (kind == CrashKind::kKill) {
    // What the process had not synced is still there for the next one, which must not build on it:
    // then the power goes.
    World& restarted = host.Restart();
    StatusOr<std::unique_ptr<Queue>> next =
        store::OpenSqliteQueue(restarted, log, "/spool", OptionsOf(restarted, sealed));
    run.Require(next.ok(), StrCat("open after the kill: ", Text(next.status())));
    host.Crash(CrashKind::kPowerLoss);
    (void)simulation.Await(host.main_loop(), (*next)->Close(host.main_loop()));
    next->reset();
    simulation.RunFor(absl::Seconds(5));
  }
  World& world = host.Restart();
  StatusOr<std::unique_ptr<Queue>> opened =
      store::OpenSqliteQueue(world, log, "/spool", OptionsOf(world, sealed));
  run.Require(opened.ok(), StrCat("open after the crash: ", Text(opened.status())));
  simulation.Await(world.main_loop(), Verify(run, world, **opened, ledger));
  (void)simulation.Await(world.main_loop(), (*opened)->Close(world.main_loop()));
  simulation.RunFor(absl::Seconds(5));
  return operations;
}

Scenario Of(const char* name, CrashKind kind, uint64_t seeds,
            const std::string& missing_sync = std::string(), bool sealed = false) {
  const auto world = [kind, missing_sync, sealed](Run& inner, uint64_t crash_at) {
    return CommitAndCrash(inner, kind, missing_sync, sealed, crash_at);
  };
  return {.name = name,
          .run = [world](Run& run) { CrashAtOperations(run, 20, world); },
          .seeds = seeds,
          .must_find_failure = !missing_sync.empty(),
          .replay_every = 50};
}

}  // namespace
}  // namespace postern::sim_test

int main(int argc, char** argv) {
  using namespace postern::sim_test;
  return RunScenarios(argc, argv,
                      {Of("power", CrashKind::kPowerLoss, 150), Of("kill", CrashKind::kKill, 150),
                       Of("power-sealed", CrashKind::kPowerLoss, 50, "", true),
                       Of("kill-sealed", CrashKind::kKill, 50, "", true),
                       Of("planted-log-not-synced", CrashKind::kPowerLoss, 100, "queue.db-wal"),
                       Of("planted-bodies-not-synced", CrashKind::kPowerLoss, 100, "/bodies")});
}
