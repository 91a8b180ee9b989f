// What a configuration needs of the privileges that a server gives up when it becomes an account of
// its own (rt/helper.h): what must be kept, or named to the helper before.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/model.h"
#include "lib/rt/pam.h"
#include "lib/server/runtime.h"

namespace postern::server {

// ServerAccount is the account that a server of root's becomes unless it is told another; unset
// where we are not root, or the machine has no such account. Blocks.
std::optional<rt::Account> ServerAccount(rt::World& world);

struct PrivilegeNeeds {
  // Listeners that serve IMAP: they read and write mailboxes with the rights of their users, which
  // only root can take on.
  bool mailboxes = false;
  bool passwords = false;        // listeners with `auth` and no table: the system's passwords
  std::set<rt::PamService> pam;  // those of `auth pam`, which the helper asks as root
  // The filter programs with a `user`, `group` or `chroot`, by ProgramNameForHelper: only those can
  // be started once the privileges are gone.
  std::set<std::string> programs;
};
PrivilegeNeeds NeedsOf(const policy::Config& config);

// UserbasePairs gives the users and groups that the userbases of `runtime` name, which the helper
// may take together: of those that are written in the configuration or are files (a database or a
// program cannot be asked for all it has). Root's are left out. Sorted.
std::vector<std::pair<uint32_t, uint32_t>> UserbasePairs(const Runtime& runtime);

// CheckReloadNeeds tells, at its line, about each listener and filter of `config` that needs what a
// server that started with `had` has given up: errors, as only a restart can help.
void CheckReloadNeeds(const policy::Config& config, const PrivilegeNeeds& had,
                      policy::Diagnostics* diagnostics);

}  // namespace postern::server
