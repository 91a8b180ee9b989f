#include "lib/server/privileges.h"

#include <algorithm>
#include <set>

#include "lib/core/base/strings.h"

namespace postern::server {
namespace {

using policy::Listener;

bool ReadsMail(const Listener& listener) {
  return listener.protocol == policy::ListenerProtocol::kImap;
}

bool AsksSystemPasswords(const Listener& listener) {
  return listener.auth != policy::ListenerAuth::kNone && listener.auth_table == policy::kNoIndex;
}

}  // namespace

PrivilegeNeeds NeedsOf(const policy::Config& config) {
  return PrivilegeNeeds{
      .mailboxes = std::any_of(config.listeners.begin(), config.listeners.end(), ReadsMail),
      .passwords =
          std::any_of(config.listeners.begin(), config.listeners.end(), AsksSystemPasswords)};
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
    }
  }
}

}  // namespace postern::server
