#include "lib/store/table/accounts.h"

#include "lib/core/base/strings.h"
#include "lib/store/table/tables.h"

namespace postern::store {
namespace {

using policy::ForwardFile;
using policy::LocalAccount;

constexpr uint32_t kSticky = 01000;
constexpr uint32_t kWritableByOthers = 022;
constexpr uint32_t kWritableByAll = 002;
constexpr uint64_t kMaxForwardBytes = 64 << 10;  // expansion has the narrower bound
constexpr uint64_t kMaxIncludeBytes = 1 << 20;
constexpr Duration kHelperLimit = absl::Seconds(60);
// The request to the helper.
constexpr char kReadForward[] = "forward";

}  // namespace

StatusOr<std::optional<LocalAccount>> SystemAccounts::FindAccount(const std::string& name) {
  StatusOr<rt::Account> account = processes_->FindAccount(name);
  if (account.ok())
    return std::optional<LocalAccount>({account->name, account->uid, account->gid, account->home});
  if (account.status().code() == StatusCode::kNotFound) return std::optional<LocalAccount>();
  return account.status();
}

StatusOr<ForwardFile> SystemAccounts::ReadForward(const LocalAccount& account) {
  if (account.home.empty()) return ForwardFile();
  const uint32_t self = processes_->Self().uid;
  if (helper_ != nullptr && self != account.uid) {
    const StatusOr<std::vector<std::string>> answer =
        Ask(account, {kReadForward, account.name, account.home});
    if (!answer.ok()) return answer.status();
    ForwardFile forward;
    if (answer->size() != 4) return Unavailable("the helper's answer is not whole");
    if ((*answer)[2] == "present") {
      forward.state = ForwardFile::State::kPresent;
      forward.text = (*answer)[3];
    } else if ((*answer)[2] == "later") {
      forward.state = ForwardFile::State::kTemporary;
    } else if ((*answer)[2] != "missing") {
      forward.state = ForwardFile::State::kUnsafe;
    }
    return forward;
  }
  if (self != 0) return ReadForwardFile(*files_, account);
  const std::unique_ptr<rt::Files> as_user =
      files_->As(rt::Credentials{account.uid, account.gid, {}});
  return ReadForwardFile(*as_user, account);
}

StatusOr<std::vector<std::string>> SystemAccounts::Ask(const LocalAccount& account,
                                                       const std::vector<std::string>& request) {
  rt::HelperCall call;
  call.who = rt::Credentials{account.uid, account.gid, {account.gid}};
  call.request = rt::EncodeFields(request);
  call.time_limit = kHelperLimit;
  StatusOr<std::unique_ptr<rt::HelperAnswer>> answer = helper_->Begin(call);
  if (!answer.ok()) return answer.status();
  (*answer)->Wait(kHelperLimit);
  const StatusOr<std::string> text = (*answer)->Result();
  if (!text.ok()) return text.status();
  std::optional<std::vector<std::string>> fields = rt::DecodeFields(*text, 8);
  if (!fields) return Unavailable("the helper's answer is not whole");
  POSTERN_RETURN_IF_ERROR(rt::StatusOfFields(*fields, 0));
  return *std::move(fields);
}

bool IsForwardRequest(std::string_view request, std::string_view home) {
  const std::optional<std::vector<std::string>> fields = rt::DecodeFields(request, 8);
  return fields && fields->size() == 3 && (*fields)[0] == kReadForward && (*fields)[2] == home;
}

std::optional<std::string> DoAccountWork(const rt::HelperTask& task) {
  const std::optional<std::vector<std::string>> request = rt::DecodeFields(task.request, 8);
  if (!request || request->empty()) return std::nullopt;
  std::vector<std::string> answer;
  if ((*request)[0] == kReadForward && request->size() == 3) {
    const StatusOr<ForwardFile> forward = ReadForwardFile(
        *task.files, LocalAccount{(*request)[1], task.who.uid, task.who.gid, (*request)[2]});
    rt::AppendStatus(forward.status(), &answer);
    if (forward.ok()) {
      const ForwardFile::State state = forward->state;
      answer.push_back(state == ForwardFile::State::kPresent     ? "present"
                       : state == ForwardFile::State::kMissing   ? "missing"
                       : state == ForwardFile::State::kTemporary ? "later"
                                                                 : "unsafe");
      answer.push_back(forward->text);
    }
    return rt::EncodeFields(answer);
  }
  return std::nullopt;
}

StatusOr<ForwardFile> ReadForwardFile(rt::Files& files, const LocalAccount& account) {
  ForwardFile forward;
  const StatusOr<rt::FileInfo> home = files.Stat(account.home);
  if (!home.ok()) {
    if (home.status().code() == StatusCode::kNotFound)
      return forward;  // delivery makes the home, or fails with its reason
    return home.status();
  }
  // Sticky by its owner's hand: he is at work on it (smtpd's rule). Where everybody may write
  // (/tmp), it is the place that is so, and will stay so: no .forward there is obeyed.
  if ((home->mode & kSticky) != 0 && (home->mode & kWritableByAll) == 0) {
    forward.state = ForwardFile::State::kTemporary;
    return forward;
  }
  // What is checked is the file that was opened, whatever its name leads to by then.
  const std::string path = StrCat(account.home, "/.forward");
  const StatusOr<std::unique_ptr<rt::File>> file = files.Open(path, rt::OpenOptions());
  if (file.status().code() == StatusCode::kNotFound) return forward;
  if (!file.ok() && file.status().code() != StatusCode::kFailedPrecondition) {
    // Another user's that cannot be read is unsafe, not late.
    const StatusOr<rt::FileInfo> named = files.Stat(path);
    if (!named.ok() || named->uid == account.uid) return file.status();
  }
  const bool home_safe =
      (home->uid == account.uid || home->uid == 0) && (home->mode & kWritableByOthers) == 0;
  forward.state = ForwardFile::State::kUnsafe;
  if (!file.ok() || !home_safe) return forward;
  const StatusOr<rt::FileInfo> info = (*file)->Stat();
  if (!info.ok()) return info.status();
  if (info->uid != account.uid || (info->mode & kWritableByOthers) != 0 || info->links != 1)
    return forward;
  // Expansion has the narrower bound, and says so.
  std::string text(kMaxForwardBytes, '\0');
  const StatusOr<size_t> got = (*file)->ReadAt(0, text);
  if (!got.ok()) return got.status();
  text.resize(*got);
  const bool empty = Trim(text).empty();
  forward.state = empty ? ForwardFile::State::kMissing : ForwardFile::State::kPresent;
  if (!empty) forward.text = std::move(text);
  return forward;
}

StatusOr<std::string> SystemAccounts::ReadInclude(const std::string& path) {
  return ReadTextFile(*files_, path, kMaxIncludeBytes);
}

std::optional<LocalAccount> RecentAccounts::RememberedAccount(const std::string& name) {
  const Instant now = clock_->Now();
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = accounts_.find(name);
  if (found == accounts_.end() || found->second.until <= now) return std::nullopt;
  return found->second.value;
}

std::optional<ForwardFile> RecentAccounts::RememberedForward(const LocalAccount& account) {
  const Instant now = clock_->Now();
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = forwards_.find(Key(account.name, account.home));
  if (found == forwards_.end() || found->second.until <= now) return std::nullopt;
  return found->second.value;
}

StatusOr<std::optional<LocalAccount>> RecentAccounts::FindAccount(const std::string& name) {
  if (std::optional<LocalAccount> known = RememberedAccount(name)) return known;
  StatusOr<std::optional<LocalAccount>> account = source_->FindAccount(name);
  if (!account.ok() || !account->has_value()) return account;
  const Instant until = clock_->Now() + options_.lifetime;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (accounts_.size() >= options_.max_accounts) accounts_.clear();
  accounts_.insert_or_assign(name, Remembered<LocalAccount>{**account, until});
  return account;
}

StatusOr<ForwardFile> RecentAccounts::ReadForward(const LocalAccount& account) {
  if (std::optional<ForwardFile> known = RememberedForward(account)) return *std::move(known);
  StatusOr<ForwardFile> forward = source_->ReadForward(account);
  if (!forward.ok()) return forward;
  const Instant until = clock_->Now() + options_.lifetime;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (forwards_.size() >= options_.max_accounts) forwards_.clear();
  forwards_.insert_or_assign(Key(account.name, account.home),
                             Remembered<ForwardFile>{*forward, until});
  return forward;
}

StatusOr<std::string> RecentAccounts::ReadInclude(const std::string& path) {
  return source_->ReadInclude(path);
}

Status RecentAccounts::FromMemory::Miss() {
  missed_ = true;
  return Unavailable("not remembered");
}

StatusOr<std::optional<LocalAccount>> RecentAccounts::FromMemory::FindAccount(
    const std::string& name) {
  if (std::optional<LocalAccount> known = recent_->RememberedAccount(name)) return known;
  return Miss();
}

StatusOr<ForwardFile> RecentAccounts::FromMemory::ReadForward(const LocalAccount& account) {
  if (std::optional<ForwardFile> known = recent_->RememberedForward(account))
    return *std::move(known);
  return Miss();
}

StatusOr<std::string> RecentAccounts::FromMemory::ReadInclude(const std::string&) { return Miss(); }

StatusOr<std::optional<std::string>> SystemLogins::Lookup(policy::Service service,
                                                          std::string_view key) {
  if (service != policy::Service::kCredentials)
    return FailedPrecondition("system accounts answer for credentials alone");
  StatusOr<std::string> hash = processes_->FindPasswordHash(std::string(key));
  if (!hash.ok()) {
    if (hash.status().code() == StatusCode::kNotFound) return std::optional<std::string>();
    return hash.status();
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  last_hash_ = *hash;
  return std::optional<std::string>(*std::move(hash));
}

StatusOr<std::optional<std::string>> SystemLogins::Fetch(policy::Service) {
  return std::optional<std::string>();
}

std::string SystemLogins::SampleValue() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return last_hash_;
}

}  // namespace postern::store
