#include "lib/rt/asio/posix_processes.h"

#include <cerrno>
#include <ctime>
#include <grp.h>
#include <pwd.h>
#include <shadow.h>
#include <unistd.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/descriptor.h"
#include "lib/rt/asio/posix_companion.h"
#include "lib/rt/asio/posix_conversation.h"
#include "lib/rt/asio/program_run.h"

namespace postern::rt {
namespace {

constexpr size_t kAccountBufferBytes = 64 * 1024;
constexpr size_t kMaxKnownAccounts = 4096;
constexpr Duration kAccountLifetime = absl::Seconds(2);

Account AccountOf(const passwd& entry) {
  Account account;
  account.name = entry.pw_name;
  account.uid = entry.pw_uid;
  account.gid = entry.pw_gid;
  account.home = entry.pw_dir;
  std::vector<gid_t> groups(kMaxGroups);
  int count = kMaxGroups;
  if (::getgrouplist(entry.pw_name, entry.pw_gid, groups.data(), &count) >= 0) {
    account.groups.assign(groups.begin(), groups.begin() + count);
  } else {
    account.groups.push_back(entry.pw_gid);
  }
  return account;
}

Instant MonotonicNow() {
  timespec ts{};
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return Instant{ts.tv_sec * int64_t{1'000'000'000} + ts.tv_nsec};
}

}  // namespace

Task<StatusOr<ProcessResult>> PosixProcesses::Run(Executor& loop, ProcessSpec spec) {
  return RunProgram(loop, std::move(spec));
}

StatusOr<std::unique_ptr<Conversation>> PosixProcesses::Converse(ProcessSpec spec) {
  return StartConversation(spec);
}

StatusOr<std::unique_ptr<Companion>> PosixProcesses::Accompany(Executor& loop, ProcessSpec spec) {
  return StartCompanion(loop, spec);
}

StatusOr<Account> PosixProcesses::FindAccount(const std::string& name) {
  const Instant now = MonotonicNow();
  const auto missing = [&name] { return NotFound(StrCat("no account ", Escape(name))); };
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto known = known_.find(name);
    if (known != known_.end() && now < known->second.until) {
      if (!known->second.account.has_value()) return missing();
      return *known->second.account;
    }
  }
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(kAccountBufferBytes);
  const int error = ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr && error != 0 && error != ENOENT && error != ESRCH)
    return ErrnoError(error, "getpwnam");
  std::optional<Account> account;
  if (found != nullptr) account = AccountOf(entry);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (known_.size() >= kMaxKnownAccounts) known_.clear();
  known_.insert_or_assign(name, Known{account, now + kAccountLifetime});
  if (!account.has_value()) return missing();
  return *std::move(account);
}

StatusOr<uint32_t> PosixProcesses::FindGroup(const std::string& name) {
  group entry{};
  group* found = nullptr;
  std::vector<char> buffer(kAccountBufferBytes);
  const int error = ::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found != nullptr) return static_cast<uint32_t>(entry.gr_gid);
  if (error != 0 && error != ENOENT && error != ESRCH) return ErrnoError(error, "getgrnam");
  return NotFound(StrCat("no group ", Escape(name)));
}

StatusOr<std::string> PosixProcesses::FindPasswordHash(const std::string& name) {
  spwd entry{};
  spwd* found = nullptr;
  std::vector<char> buffer(kAccountBufferBytes);
  const int error = ::getspnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found != nullptr) return std::string(entry.sp_pwdp);
  if (error == EACCES || error == EPERM || ::geteuid() != 0) {
    return PermissionDenied("the shadow file is for privileged processes");
  }
  return NotFound(StrCat("no account ", Escape(name)));
}

Account PosixProcesses::Self() {
  const uint32_t uid = ::geteuid();
  const Instant now = MonotonicNow();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (self_.account.has_value() && self_.account->uid == uid && now < self_.until)
      return *self_.account;
  }
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(kAccountBufferBytes);
  ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
  Account account;
  if (found != nullptr) {
    account = AccountOf(entry);
  } else {
    account.name = StrCat(uid);
    account.uid = uid;
    account.gid = ::getegid();
    account.home = "/";
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  self_ = Known{account, now + kAccountLifetime};
  return account;
}

}  // namespace postern::rt
