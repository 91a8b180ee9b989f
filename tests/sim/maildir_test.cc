// A file is written to tmp, synced, renamed into new and the directory synced: nothing less keeps
// it. Each omission is a scenario that must be found out, at some file operation, by some seed.

#include "tests/sim/world.h"
#include <string>

#include "lib/core/base/strings.h"

namespace postern::sim_test {
namespace {

using rt::File;
using rt::Files;
using rt::OpenOptions;
using rt::sim::CrashKind;
using rt::sim::Host;

struct Care {
  bool sync_file = true;
  bool sync_directory = true;
};

constexpr uint64_t kMessages = 4;

std::string Content(uint64_t id) {
  return StrCat("message ", id, "\n", std::string(600 * id, 'm'));
}

Status Deliver(Files& files, uint64_t id, const Care& care) {
  const std::string temporary = StrCat("/mail/tmp/", id);
  {
    OpenOptions options;
    options.write = options.create = options.exclusive = true;
    StatusOr<std::unique_ptr<File>> file = files.Open(temporary, options);
    if (!file.ok()) return file.status();
    POSTERN_RETURN_IF_ERROR((*file)->Append(Content(id)));
    if (care.sync_file) POSTERN_RETURN_IF_ERROR((*file)->Sync());
  }
  POSTERN_RETURN_IF_ERROR(files.Rename(temporary, StrCat("/mail/new/", id)));
  return care.sync_directory ? files.SyncDirectory("/mail/new") : OkStatus();
}

uint64_t DeliverAndCrash(Run& run, const Care& care, uint64_t crash_at) {
  Host& host = run.simulation().AddHost({.name = "mail"});
  if (crash_at != 0) host.CrashAtFileOperation(crash_at, CrashKind::kPowerLoss);
  Files& files = host.world().files();
  Status status = MakeDirectories(files, "/mail/tmp", 0700);
  if (status.ok()) status = MakeDirectories(files, "/mail/new", 0700);
  uint64_t delivered = 0;
  while (status.ok() && delivered < kMessages) {
    status = Deliver(files, delivered + 1, care);
    if (status.ok()) ++delivered;
  }
  run.Require(crash_at != 0 || delivered == kMessages, "a delivery failed on a healthy machine");
  const uint64_t operations = host.disk().operations();
  host.Crash(CrashKind::kPowerLoss);
  host.Restart();
  for (uint64_t id = 1; id <= kMessages; ++id) {
    const StatusOr<std::string> kept =
        ReadFile(host.world().files(), StrCat("/mail/new/", id), 1 << 20);
    run.Require(id > delivered || kept.ok(), StrCat("message ", id, " was delivered and is gone"));
    run.Require(!kept.ok() || *kept == Content(id), StrCat("message ", id, " is in new and torn"));
  }
  return operations;
}

Scenario Of(const char* name, const Care& care, bool must_find) {
  const auto world = [care](Run& inner, uint64_t crash_at) {
    return DeliverAndCrash(inner, care, crash_at);
  };
  return {.name = name,
          .run = [world](Run& run) { CrashAtOperations(run, 1, world); },
          .seeds = 500,
          .must_find_failure = must_find};
}

}  // namespace
}  // namespace postern::sim_test

int main(int argc, char** argv) {
  using namespace postern::sim_test;
  return RunScenarios(
      argc, argv,
      {Of("careful", {}, false), Of("planted-file-not-synced", {.sync_file = false}, true),
       Of("planted-directory-not-synced", {.sync_directory = false}, true)});
}
