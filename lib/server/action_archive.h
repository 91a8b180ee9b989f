// ActionArchive keeps in the spool what mail in the queue needs of configurations that are gone:
// an envelope names its action, and a reload, or a restart with another file, may have no action of
// that name any more. Each configuration that comes into force is copied to a file of its own
// (policy::ConfigCopy), and stays as long as it alone has an action that mail may wait for. The
// files that an action names (tables, certificates) are read where they are.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/core/base/log.h"
#include "lib/core/policy/config_copy.h"
#include "lib/rt/world.h"
#include "lib/server/runtime.h"

namespace postern::server {

// Any thread; all functions block.
class ActionArchive {
 public:
  // `folder` is in the spool, whose lock is held. `world`, `log` and `runtimes` outlive it.
  ActionArchive(rt::World* world, LogSink* log, RuntimeHolder* runtimes, std::string folder);

  // Restore gives `runtimes` the actions that the configuration in force does not have. What cannot
  // be read or loaded is told to the log, and its mail waits. Once, at the start.
  void Restore();

  // Keep copies a configuration that is about to come into force, and forgets those that have
  // nothing of their own any more. A disk that does not take it is told to the log.
  void Keep(const policy::ConfigCopy& copy, const policy::Config& config);

  // An action by its name, and whether it is a local one.
  using Key = RuntimeHolder::ActionKey;
  // restored tells whether Restore gave anything. Then the actions that some mail waits for are
  // looked for, and Forget drops the others.
  bool restored() const;
  void Forget(const std::set<Key>& in_use);

  // kMaxCopies of configurations are kept; the oldest goes, with a warning. Somebody would have to
  // rename an action a hundred times while mail waits for the first.
  static constexpr size_t kMaxCopies = 100;

 private:
  struct Restored {
    Key key;
    uint64_t number = 0;
    std::shared_ptr<const Runtime> runtime;
  };
  std::string PathOf(uint64_t number) const;
  void RestoreFrom(uint64_t number, const policy::ConfigCopy& copy);
  // Prune removes the copies that have no action of their own. With `mutex_` held.
  void Prune();
  void Tell(LogLevel level, std::string event, std::vector<LogField> fields);

  rt::World* world_;
  LogSink* log_;
  RuntimeHolder* runtimes_;
  const std::string folder_;
  mutable std::mutex mutex_;
  std::map<uint64_t, std::set<Key>> copies_;  // by number, rising with time: their actions
  uint64_t last_ = 0;  // number of the newest, also of those that cannot be read and stay
  std::vector<Restored> restored_;
};

}  // namespace postern::server
