// The accounts of this machine, as expansion and AUTH see them.
#pragma once

#include <mutex>
#include <string>

#include "lib/core/policy/expansion.h"
#include "lib/core/policy/table.h"
#include "lib/rt/files.h"
#include "lib/rt/processes.h"

namespace postern::store {

// SystemAccounts looks accounts up in the system and reads their ~/.forward with the checks of forward(5): a regular file (no
// symbolic link) of the user's, writable by nobody else, in a home of the user's or root's that nobody else may write to; a
// sticky home means "being edited": a temporary failure. With privilege the files are read as the user. Blocks: pool only.
class SystemAccounts final : public policy::AccountSource {
 public:
  SystemAccounts(rt::Processes* processes, rt::Files* files) : processes_(processes), files_(files) {}
  StatusOr<std::optional<policy::LocalAccount>> FindAccount(const std::string& name) override;
  StatusOr<policy::ForwardFile> ReadForward(const policy::LocalAccount& account) override;
  StatusOr<std::string> ReadInclude(const std::string& path, const policy::LocalAccount* reader) override;

 private:
  rt::Processes* processes_;
  rt::Files* files_;
};

// SystemLogins is the table behind `auth` without one: the system's password hashes (service credentials). Blocks: pool only.
class SystemLogins final : public policy::Table {
 public:
  explicit SystemLogins(rt::Processes* processes) : processes_(processes) {}
  StatusOr<std::optional<std::string>> Lookup(policy::Service service, std::string_view key) override;
  StatusOr<std::optional<std::string>> Fetch(policy::Service service) override;
  // SampleValue is the hash that was found last.
  std::string SampleValue() override;

 private:
  rt::Processes* processes_;
  std::mutex mutex_;
  std::string last_hash_;
};

}  // namespace postern::store
