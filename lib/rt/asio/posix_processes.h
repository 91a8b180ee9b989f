// PosixProcesses: programs and accounts of this machine.
#pragma once

#include <map>
#include <mutex>

#include "lib/rt/processes.h"

namespace postern::rt {

class PosixProcesses final : public Processes {
 public:
  Task<StatusOr<ProcessResult>> Run(Executor& loop, ProcessSpec spec) override;
  StatusOr<std::unique_ptr<Conversation>> Converse(ProcessSpec spec) override;
  StatusOr<std::unique_ptr<Companion>> Accompany(Executor& loop, ProcessSpec spec) override;
  StatusOr<Account> FindAccount(const std::string& name) override;
  StatusOr<uint32_t> FindGroup(const std::string& name) override;
  StatusOr<std::string> FindPasswordHash(const std::string& name) override;
  Account Self() override;

 private:
  struct Known {
    std::optional<Account> account;  // nullopt: there is none of that name
    Instant until;
  };
  // A burst of deliveries asks for the same accounts again and again, and each look-up walks
  // through every source of nsswitch.conf. Failures are not kept.
  std::mutex mutex_;
  std::map<std::string, Known> known_;
  Known self_;
};

}  // namespace postern::rt
