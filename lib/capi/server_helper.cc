#include "lib/capi/server_helper.h"

#include <utility>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/helper_process.h"
#include "lib/server/filter_programs.h"
#include "lib/server/helper_work.h"
#include "lib/server/privileges.h"
#include "lib/server/spool_owner.h"

namespace postern::capi {
namespace {

constexpr char kHelperLost[] =
    "the helper process has ended, which delivers to users: the server stops and must be started "
    "again";

using UserPairs = std::vector<std::pair<uint32_t, uint32_t>>;
using NamedPrograms = std::vector<std::pair<std::string, rt::ProcessSpec>>;

// PrepareToBecome arranges that the server becomes `account` when it starts.
void PrepareToBecome(postern_server* handle, const rt::Account& account, bool passwords,
                     UserPairs pairs, NamedPrograms programs, server::ServerOptions* options) {
  options->become = [handle, account, passwords, pairs = std::move(pairs),
                     programs = std::move(programs)](const std::string& spool) -> Status {
    if (!spool.empty()) {
      POSTERN_RETURN_IF_ERROR(
          server::GiveSpool(handle->world->files(), spool, account.uid, account.gid));
    }
    POSTERN_RETURN_IF_ERROR(handle->helped->Become(account, passwords, pairs, programs));
    handle->log->Write(LogRecord{.level = LogLevel::kInfo,
                                 .subsystem = "server",
                                 .session = "",
                                 .event = "privileges given up",
                                 .fields = {{"user", account.name}}});
    return OkStatus();
  };
}

}  // namespace

postern_status StartHelperFor(postern_server* handle, const char* run_as,
                              server::ServerOptions* options, postern_error** out_error) {
  if (run_as == nullptr || handle->world->processes().Self().uid != 0) return POSTERN_OK;
  const StatusOr<rt::Account> account = handle->world->processes().FindAccount(run_as);
  if (!account.ok()) return FailWith(out_error, account.status());
  if (account->uid == 0) return POSTERN_OK;
  options->account = *account;
  StatusOr<std::unique_ptr<rt::Helper>> helper =
      rt::StartHelper(server::HelperWork(&handle->world->files(), &handle->world->processes()));
  if (!helper.ok()) return FailWith(out_error, helper.status());
  handle->helped = std::make_unique<rt::HelpedWorld>(handle->world.get(), *std::move(helper));
  if (handle->log_path.empty()) return POSTERN_OK;
  const Status allowed = handle->helped->AllowLog(handle->log_path);
  return allowed.ok() ? POSTERN_OK : FailWith(out_error, allowed);
}

void ArrangePrivileges(postern_server* handle, const server::Runtime& runtime,
                       server::ServerOptions* options) {
  if (handle->helped == nullptr) return;
  const policy::Config& config = runtime.config();
  const server::PrivilegeNeeds needs = server::NeedsOf(config);
  if (needs.mailboxes) {
    handle->log->Write(LogRecord{
        .level = LogLevel::kWarning,
        .subsystem = "server",
        .session = "",
        .event = "privileges kept",
        .fields = {
            {"reason", "the configuration serves IMAP, which acts as the mailboxes' users"}}});
    return;
  }
  const rt::Account& account = *options->account;
  PrepareToBecome(handle, account, needs.passwords, server::UserbasePairs(runtime),
                  server::ProgramsForHelper(*handle->helped, config, account), options);
}

void WatchHelper(postern_server* handle) {
  const rt::Helper* helper = handle->helped != nullptr ? handle->helped->helper() : nullptr;
  if (helper == nullptr || helper->end_descriptor() < 0) return;
  handle->helper_watch = handle->world->main_loop().WatchFd(
      helper->end_descriptor(), {.read = true}, [handle](rt::FdInterest) {
        handle->helper_lost = true;
        handle->log->Write(LogRecord{.level = LogLevel::kError,
                                     .subsystem = "server",
                                     .session = "",
                                     .event = StrCat("ALARM: ", kHelperLost),
                                     .fields = {}});
        BeginStop(handle, absl::Milliseconds(kDefaultGraceMs));
        handle->helper_watch.reset();  // last: what is used here goes with it
      });
}

postern_status Ended(const postern_server* handle, postern_status status,
                     postern_error** out_error) {
  return handle->helper_lost ? Fail(out_error, POSTERN_ERR_CLOSED, "helper", kHelperLost) : status;
}

}  // namespace postern::capi
