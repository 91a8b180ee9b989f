#include "lib/server/privileges.h"

#include <algorithm>
#include <set>

#include "lib/core/base/strings.h"
#include "lib/server/filter_programs.h"
#include "lib/server/pam_services.h"

namespace postern::server {
namespace {

using policy::Listener;

bool ReadsMail(const Listener& listener) {
  return listener.protocol == policy::ListenerProtocol::kImap;
}

bool AsksSystemPasswords(const Listener& listener) {
  return listener.auth != policy::ListenerAuth::kNone && listener.auth_table == policy::kNoIndex &&
         listener.pam_service.empty();
}

// ProcOfOthers gives the program of `filter` if it is to run with other rights; else null.
const policy::Proc* ProcOfOthers(const policy::Config& config, const policy::Filter& filter) {
  if (filter.kind != policy::FilterKind::kProgram || filter.proc == policy::kNoIndex)
    return nullptr;
  const policy::Proc& proc = config.procs[static_cast<size_t>(filter.proc)];
  return NeedsOtherRights(proc) ? &proc : nullptr;
}

}  // namespace

std::optional<rt::Account> ServerAccount(rt::World& world) {
  constexpr char kAccount[] = "postern";
  if (world.processes().Self().uid != 0) return std::nullopt;
  const StatusOr<rt::Account> account = world.processes().FindAccount(kAccount);
  if (!account.ok() || account->uid == 0) return std::nullopt;
  return *account;
}

PrivilegeNeeds NeedsOf(const policy::Config& config) {
  PrivilegeNeeds needs;
  needs.mailboxes = std::any_of(config.listeners.begin(), config.listeners.end(), ReadsMail);
  needs.passwords =
      std::any_of(config.listeners.begin(), config.listeners.end(), AsksSystemPasswords);
  for (const Listener& listener : config.listeners) {
    if (!listener.pam_service.empty()) needs.pam.insert(PamServiceOf(listener));
  }
  for (const policy::Filter& filter : config.filters) {
    if (const policy::Proc* proc = ProcOfOthers(config, filter); proc != nullptr)
      needs.programs.insert(ProgramNameForHelper(config, *proc));
  }
  return needs;
}

std::vector<std::pair<uint32_t, uint32_t>> UserbasePairs(const Runtime& runtime) {
  const policy::Config& config = runtime.config();
  std::set<policy::TableId> userbases;
  for (const policy::Action& action : config.actions) {
    if (action.userbase != policy::kNoIndex) userbases.insert(action.userbase);
  }
  std::set<std::pair<uint32_t, uint32_t>> pairs;
  for (const policy::TableId id : userbases) {
    policy::Table* const table = runtime.tables().Get(id);
    if (table == nullptr) continue;
    (void)table->EachValue(policy::Service::kUserinfo, [&pairs](std::string_view value) {
      const StatusOr<policy::TableUserinfo> info = policy::ParseUserinfo(value);
      if (info.ok() && info->uid != 0 && info->gid != 0) pairs.emplace(info->uid, info->gid);
    });
  }
  return {pairs.begin(), pairs.end()};
}

void CheckReloadNeeds(const policy::Config& config, const PrivilegeNeeds& had,
                      policy::Diagnostics* diagnostics) {
  for (const Listener& listener : config.listeners) {
    if (ReadsMail(listener) && !had.mailboxes) {
      diagnostics->push_back(policy::MakeError(
          listener.location,
          "serving IMAP takes a restart: the server has given up the privileges that reading "
          "mailboxes needs, as nothing served IMAP when it started"));
    } else if (AsksSystemPasswords(listener) && !had.passwords) {
      diagnostics->push_back(policy::MakeError(
          listener.location,
          "auth with the system's passwords takes a restart: the server has given up the "
          "privileges that reading them needs, as no listener asked for them when it started"));
    } else if (!listener.pam_service.empty() && !had.pam.contains(PamServiceOf(listener))) {
      diagnostics->push_back(policy::MakeError(
          listener.location,
          StrCat("auth pam \"", listener.pam_service,
                 "\" takes a restart: the server has given up the privileges that asking PAM "
                 "needs, but for the services that were named when it started")));
    }
  }
  std::set<std::string> told;
  for (const policy::Filter& filter : config.filters) {
    const policy::Proc* proc = ProcOfOthers(config, filter);
    if (proc == nullptr) continue;
    const std::string name = ProgramNameForHelper(config, *proc);
    if (had.programs.contains(name) || !told.insert(name).second) continue;
    diagnostics->push_back(policy::MakeError(
        proc->location,
        "a program with a user, group or chroot that was not there at the start takes a restart: "
        "the server has given up the privileges that it needs"));
  }
}

}  // namespace postern::server
