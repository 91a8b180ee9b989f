// PosixProcesses: programs and accounts of this machine.
#pragma once

#include "lib/rt/processes.h"

namespace postern::rt {

class PosixProcesses final : public Processes {
 public:
  // Run occupies one thread of the pool for as long as the program runs.
  Task<StatusOr<ProcessResult>> Run(Executor& loop, ProcessSpec spec) override;
  StatusOr<Account> FindAccount(const std::string& name) override;
  StatusOr<std::string> FindPasswordHash(const std::string& name) override;
  Account Self() override;
};

}  // namespace postern::rt
