// The accounts of this machine, as expansion and AUTH see them.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "lib/core/policy/expansion.h"
#include "lib/core/policy/table.h"
#include "lib/rt/files.h"
#include "lib/rt/helper.h"
#include "lib/rt/processes.h"
#include "lib/rt/world.h"

namespace postern::store {

// SystemAccounts looks accounts up in the system and reads their ~/.forward with the checks of
// forward(5): a regular file (no symbolic link) of the user's, writable by nobody else, in a home
// of the user's or root's that nobody else may write to; a sticky home means "being edited": a
// temporary failure. With privilege the files are read as the user. Blocks: pool only.
class SystemAccounts final : public policy::AccountSource {
 public:
  // `helper` reads what is the users' for a server without privileges; null: the server itself
  // does.
  SystemAccounts(rt::Processes* processes, rt::Files* files, rt::Helper* helper = nullptr)
      : processes_(processes), files_(files), helper_(helper) {}
  StatusOr<std::optional<policy::LocalAccount>> FindAccount(const std::string& name) override;
  StatusOr<policy::ForwardFile> ReadForward(const policy::LocalAccount& account) override;
  StatusOr<std::string> ReadInclude(const std::string& path) override;

 private:
  // Ask has the helper read for `account`.
  StatusOr<std::vector<std::string>> Ask(const policy::LocalAccount& account,
                                         const std::vector<std::string>& request);

  rt::Processes* processes_;
  rt::Files* files_;
  rt::Helper* helper_;
};

// DoAccountWork is what the helper does for SystemAccounts (rt/helper.h): it reads the .forward of
// the user that it has become. nullopt for other requests.
std::optional<std::string> DoAccountWork(const rt::HelperTask& task);

// IsForwardRequest tells whether `request` asks for the .forward in `home`.
bool IsForwardRequest(std::string_view request, std::string_view home);

// ReadForwardFile reads ~/.forward of `account` through `files`, which have the account's rights,
// with the checks that SystemAccounts tells of. Those of the file are made on the open file, so
// that nobody can put another one in its place between the look and the reading. Blocks.
StatusOr<policy::ForwardFile> ReadForwardFile(rt::Files& files,
                                              const policy::LocalAccount& account);

struct RecentAccountsOptions {
  // lifetime is how long an answer is taken for true: an account or a .forward that changes is seen
  // so much later.
  Duration lifetime = absl::Seconds(2);
  // max_accounts bounds how many are remembered; when they are too many, all are forgotten.
  size_t max_accounts = 4096;
};

// RecentAccounts remembers for a moment what another source said of accounts and their .forward
// files, so that a burst of mail asks the system once and not for each recipient. Failures and
// missing accounts are not remembered. Any thread.
class RecentAccounts final : public policy::AccountSource {
 public:
  // `clock` and `source` outlive it.
  RecentAccounts(rt::Clock* clock, policy::AccountSource* source,
                 RecentAccountsOptions options = {})
      : clock_(clock), source_(source), options_(options) {}

  // These ask the source for what is not remembered; they block as it does.
  StatusOr<std::optional<policy::LocalAccount>> FindAccount(const std::string& name) override;
  StatusOr<policy::ForwardFile> ReadForward(const policy::LocalAccount& account) override;
  StatusOr<std::string> ReadInclude(const std::string& path) override;

  // FromMemory answers with what is remembered and never blocks. Anything else is an error, and
  // `missed` is true from then on: what was made with its answers is to be dropped and made anew
  // with the source itself, on the pool.
  class FromMemory final : public policy::AccountSource {
   public:
    explicit FromMemory(RecentAccounts* recent) : recent_(recent) {}
    StatusOr<std::optional<policy::LocalAccount>> FindAccount(const std::string& name) override;
    StatusOr<policy::ForwardFile> ReadForward(const policy::LocalAccount& account) override;
    StatusOr<std::string> ReadInclude(const std::string& path) override;
    bool missed() const { return missed_; }

   private:
    Status Miss();
    RecentAccounts* recent_;
    bool missed_ = false;
  };

 private:
  template <typename T>
  struct Remembered {
    T value;
    Instant until;
  };
  // Key tells .forward files apart: two userbases may give one name two homes.
  using Key = std::pair<std::string, std::string>;
  std::optional<policy::LocalAccount> RememberedAccount(const std::string& name);
  std::optional<policy::ForwardFile> RememberedForward(const policy::LocalAccount& account);

  rt::Clock* clock_;
  policy::AccountSource* source_;
  const RecentAccountsOptions options_;
  std::mutex mutex_;
  std::map<std::string, Remembered<policy::LocalAccount>> accounts_;
  std::map<Key, Remembered<policy::ForwardFile>> forwards_;
};

// SystemLogins is the table behind `auth` without one: the system's password hashes (service
// credentials). Blocks: pool only.
class SystemLogins final : public policy::Table {
 public:
  explicit SystemLogins(rt::Processes* processes) : processes_(processes) {}
  StatusOr<std::optional<std::string>> Lookup(policy::Service service,
                                              std::string_view key) override;
  StatusOr<std::optional<std::string>> Fetch(policy::Service service) override;
  // SampleValue is the hash that was found last.
  std::string SampleValue() override;

 private:
  rt::Processes* processes_;
  std::mutex mutex_;
  std::string last_hash_;
};

}  // namespace postern::store
