#include "lib/server/helper_work.h"

#include "lib/service/deliver/helper_jobs.h"
#include "lib/store/table/accounts.h"

namespace postern::server {
namespace {

constexpr uint32_t kGroupMayWrite = 020;

}  // namespace

rt::HelperOptions HelperWork(rt::Files* files, rt::Processes* processes) {
  rt::HelperOptions options;
  options.grant = [files, processes](const rt::Credentials& who, std::string_view request) {
    // The account is the one that the mailbox is named after, if it has this uid.
    const std::string name = deliver::SpoolMailboxOf(request);
    if (!name.empty()) {
      const StatusOr<rt::Account> account = processes->FindAccount(name);
      if (!account.ok() || account->uid != who.uid) return rt::HelperGrant();
      const StatusOr<rt::FileInfo> spool =
          files->Stat(std::string(deliver::kMailSpool.substr(0, deliver::kMailSpool.size() - 1)));
      std::optional<uint32_t> group;
      if (spool.ok() && (spool->mode & kGroupMayWrite) != 0 && spool->gid != 0) group = spool->gid;
      return rt::HelperGrant{.as_root = who.uid == 0, .extra_group = group};
    }
    // root's own .forward is root's to read, and no other file.
    if (who.uid == 0) {
      const StatusOr<rt::Account> root = processes->FindAccount("root");
      return rt::HelperGrant{.as_root = root.ok() && root->uid == 0 &&
                                        store::IsForwardRequest(request, root->home)};
    }
    return rt::HelperGrant();
  };
  options.work = [](const rt::HelperTask& task) {
    if (std::optional<std::string> answer = store::DoAccountWork(task)) return *std::move(answer);
    return deliver::DoDelivery(task);
  };
  return options;
}

}  // namespace postern::server
