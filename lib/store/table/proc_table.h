// Tables that a program serves: `table N TYPE:/path` runs `table-TYPE /path` and asks it by the
// table protocol (core/policy/table_protocol.h).
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/policy/model.h"
#include "lib/core/policy/table.h"
#include "lib/core/policy/table_protocol.h"
#include "lib/rt/processes.h"
#include "lib/rt/world.h"

namespace postern::store {

// kTableProgramFolders are where OpenSMTPD and its packages put table-TYPE, first place first. The
// configuration's `libexec` goes before them.
inline constexpr const char* kTableProgramFolders[] = {
    "/usr/local/libexec/smtpd",
    "/usr/local/libexec/opensmtpd",
    "/usr/libexec/smtpd",
    "/usr/libexec/opensmtpd",
    "/usr/lib/x86_64-linux-gnu/opensmtpd",
    "/usr/lib/aarch64-linux-gnu/opensmtpd",
    "/usr/lib/opensmtpd",
};

// FindTableProgram returns the path of table-`backend`: kNotFound names the folders looked into.
// Blocks.
StatusOr<std::string> FindTableProgram(rt::Files& files, const policy::Config& config,
                                       std::string_view backend);

// ListTablePrograms gives the TYPE of each table-TYPE in the usual folders, sorted. Blocks.
std::vector<std::string> ListTablePrograms(rt::Files& files);

struct ProcTableOptions {
  // How long the program may take from its start until it has named its services, and for one
  // answer. OpenSMTPD waits for ever, and all mail with it. A pool's thread waits so long.
  Duration start_limit = absl::Seconds(10);
  Duration answer_limit = absl::Seconds(10);
  // A program that ended, lied or did not answer is ended, and started again by the first question
  // after this wait, which doubles with each failure in a row; meanwhile every question fails at
  // once.
  Duration first_restart_wait = absl::Seconds(1);
  Duration longest_restart_wait = absl::Seconds(60);
  // How many questions may be without an answer at a time; more wait their turn.
  size_t max_questions = 32;
  policy::TableProtocolOptions protocol;
  // run_as is whom the program runs as where we are root; unset: as we do.
  std::optional<rt::Credentials> run_as;
};

// ProcTable asks a program. Whatever that does, a look-up ends in time: a program that dies, hangs,
// floods or lies makes temporary failures and nothing worse. Questions of several threads are under
// way at the same time, and answers may come in any order. Calls block: on the pool only.
class ProcTable final : public policy::Table {
 public:
  // `declaration`, `processes` and `clock` outlive the table. `program` is the path to run. It is
  // started by the first question.
  ProcTable(const policy::TableDeclaration* declaration, std::string program,
            rt::Processes* processes, rt::Clock* clock, ProcTableOptions options = {});
  ~ProcTable() override;

  StatusOr<std::optional<std::string>> Lookup(policy::Service service,
                                              std::string_view key) override;
  StatusOr<bool> Match(policy::Service service, std::string_view key) override;
  StatusOr<std::optional<std::string>> Fetch(policy::Service service) override;
  // CheckPassword asks the `auth` service, when the program has it.
  StatusOr<std::optional<bool>> CheckPassword(std::string_view user,
                                              std::string_view password) override;
  std::string SampleValue() override;

  // Update tells the program to read its data anew.
  Status Update();

 private:
  struct Question {
    policy::TableOperation operation = policy::TableOperation::kLookup;
    bool answered = false;
    bool failed = false;  // then `failure` says why
    Status failure;
    policy::TableAnswer answer;
  };
  // Run is one life of the program.
  struct Run;

  // Ask puts one question and waits. `service` is the protocol's word, empty for an update.
  StatusOr<policy::TableAnswer> Ask(policy::TableOperation operation, std::string_view service,
                                    std::string_view key);
  // These are called with `lock` held, which they let go while they wait.
  StatusOr<std::shared_ptr<Run>> RunningProgram(std::unique_lock<std::mutex>& lock);
  Status Greet(Run& run);
  void ReadOnce(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Run>& run,
                Duration patience);
  void GiveUp(const std::shared_ptr<Run>& run, const Status& why);
  Status About(const Status& status) const;

  const policy::TableDeclaration* declaration_;
  const std::string program_;
  rt::Processes* processes_;
  rt::Clock* clock_;
  const ProcTableOptions options_;

  std::mutex mutex_;  // guards all below, and the fields of the Run that say so
  std::condition_variable changed_;
  std::shared_ptr<Run> run_;
  bool starting_ = false;
  Instant not_before_;  // of the next start
  Duration restart_wait_;
  Status last_failure_;
  uint32_t next_id_ = 1;
  std::string last_secret_;  // for SampleValue
};

}  // namespace postern::store
