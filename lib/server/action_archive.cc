#include "lib/server/action_archive.h"

#include <algorithm>
#include <optional>

#include "lib/core/base/strings.h"
#include "lib/store/table/proc_table.h"
#include "lib/store/table/tables.h"

namespace postern::server {
namespace {

constexpr uint64_t kMaxCopyBytes = 128 << 20;  // twice what a configuration may have
constexpr size_t kDigits = 16;

std::set<ActionArchive::Key> ActionsOf(const policy::Config& config) {
  std::set<ActionArchive::Key> out;
  for (const policy::Action& action : config.actions) out.insert({action.name, action.IsLocal()});
  return out;
}

std::optional<uint64_t> NumberOf(std::string_view name) {
  if (name.size() != kDigits) return std::nullopt;
  const std::optional<std::string> octets = HexDecode(name);
  if (!octets) return std::nullopt;
  uint64_t number = 0;
  for (const char c : *octets) number = number << 8 | static_cast<uint8_t>(c);
  return number;
}

}  // namespace

ActionArchive::ActionArchive(rt::World* world, LogSink* log, RuntimeHolder* runtimes,
                             std::string folder)
    : world_(world), log_(log), runtimes_(runtimes), folder_(std::move(folder)) {}

std::string ActionArchive::PathOf(uint64_t number) const {
  return StrCat(folder_, "/", Hex(number, kDigits));
}

void ActionArchive::Tell(LogLevel level, std::string event, std::vector<LogField> fields) {
  log_->Write(LogRecord{.level = level,
                        .subsystem = "server",
                        .session = "",
                        .event = std::move(event),
                        .fields = std::move(fields)});
}

bool ActionArchive::restored() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return !restored_.empty();
}

void ActionArchive::Restore() {
  const std::lock_guard<std::mutex> lock(mutex_);
  rt::Files& files = world_->files();
  const StatusOr<std::vector<rt::DirectoryEntry>> entries = files.List(folder_);
  if (!entries.ok()) return;  // there was no server here before
  std::vector<uint64_t> numbers;
  for (const rt::DirectoryEntry& entry : *entries) {
    if (const std::optional<uint64_t> number = NumberOf(entry.name)) numbers.push_back(*number);
  }
  // The newest first: of two actions of one name that is the one that mail was queued under last.
  std::sort(numbers.rbegin(), numbers.rend());
  if (!numbers.empty()) last_ = numbers.front();
  for (const uint64_t number : numbers) {
    const StatusOr<std::string> text = rt::ReadFile(files, PathOf(number), kMaxCopyBytes);
    StatusOr<policy::ConfigCopy> copy =
        text.ok() ? policy::DecodeConfigCopy(*text) : StatusOr<policy::ConfigCopy>(text.status());
    if (!copy.ok()) {
      Tell(LogLevel::kWarning, "the copy of an old configuration cannot be read",
           {{"file", PathOf(number)}, {"error", Text(copy.status())}});
      continue;
    }
    RestoreFrom(number, *copy);
  }
}

void ActionArchive::RestoreFrom(uint64_t number, const policy::ConfigCopy& copy) {
  const std::shared_ptr<const Runtime> current = runtimes_->Get();
  const std::set<Key> in_force = ActionsOf(current->config());
  policy::ParseOptions options;
  options.server_name = [current] { return current->server_name(); };
  options.table_backends = store::ListTablePrograms(world_->files());
  const policy::ParseResult parsed = policy::ParseCopy(copy, options);
  if (parsed.readable == nullptr) {
    Tell(LogLevel::kWarning, "an old configuration is none any more", {{"file", PathOf(number)}});
    return;
  }
  copies_[number] = ActionsOf(*parsed.readable);
  const policy::Config& config = *parsed.readable;
  for (size_t i = 0; i < config.actions.size(); ++i) {
    const Key key = {config.actions[i].name, config.actions[i].IsLocal()};
    const auto is_known = [&key](const Restored& each) { return each.key == key; };
    if (in_force.contains(key) || std::any_of(restored_.begin(), restored_.end(), is_known))
      continue;
    policy::Diagnostics wrong;
    const std::shared_ptr<const Runtime> runtime = Runtime::Load(
        *world_,
        std::make_shared<const policy::Config>(policy::OnlyAction(config, static_cast<int>(i))),
        config.mailname.empty() ? current->server_name() : config.mailname, &wrong, log_);
    restored_.push_back({key, number, runtime});
    if (runtime != nullptr) {
      runtimes_->Keep(key, runtime);
      continue;
    }
    for (const policy::Diagnostic& each : wrong) {
      if (each.severity != policy::Severity::kError) continue;
      Tell(LogLevel::kWarning, "mail of an action that is gone has to wait",
           {{"action", key.first}, {"error", each.ToString()}});
      break;
    }
  }
}

void ActionArchive::Keep(const policy::ConfigCopy& copy, const policy::Config& config) {
  const std::lock_guard<std::mutex> lock(mutex_);
  rt::Files& files = world_->files();
  std::string encoded = policy::EncodeConfigCopy(copy);
  // The key of the queue does not lie beside what it locks; no action needs it.
  if (const std::string& key = config.queue.encryption_key; !key.empty()) {
    for (size_t at = 0; (at = encoded.find(key, at)) != std::string::npos; at += key.size())
      encoded.replace(at, key.size(), key.size(), '0');
  }
  const StatusOr<std::string> there = rt::ReadFile(files, PathOf(last_), kMaxCopyBytes);
  const uint64_t number = there.ok() && *there == encoded ? last_ : last_ + 1;
  if (number != last_) {
    Status written = rt::MakeDirectories(files, folder_, 0700);
    if (written.ok()) written = rt::WriteFileDurably(files, PathOf(number), encoded, 0600);
    if (!written.ok()) {
      Tell(LogLevel::kWarning, "the configuration is not copied to the spool",
           {{"error", Text(written)},
            {"consequence", "after a restart with another one, mail may miss its action"}});
      return;
    }
  }
  last_ = number;
  copies_[number] = ActionsOf(config);
  Prune();
}

void ActionArchive::Forget(const std::set<Key>& in_use) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Restored& each : restored_) {
    if (in_use.contains(each.key)) continue;
    if (each.runtime != nullptr) runtimes_->Forget(each.key, each.runtime);
    // Those of older copies, which it stood before, were not restored; nothing waits for them.
    for (auto& [number, own] : copies_) {
      if (number <= each.number) own.erase(each.key);
    }
  }
  std::erase_if(restored_, [&](const Restored& each) { return !in_use.contains(each.key); });
  Prune();
}

void ActionArchive::Prune() {
  std::set<Key> seen;
  std::vector<uint64_t> useless;
  for (auto each = copies_.rbegin(); each != copies_.rend(); ++each) {
    const bool newest = each == copies_.rbegin();
    const size_t before = seen.size();
    seen.insert(each->second.begin(), each->second.end());
    if (!newest && seen.size() == before) useless.push_back(each->first);
  }
  if (copies_.size() - useless.size() > kMaxCopies) {
    Tell(LogLevel::kWarning, "too many old configurations: the oldest is forgotten",
         {{"file", PathOf(copies_.begin()->first)}});
    useless.push_back(copies_.begin()->first);
  }
  for (const uint64_t number : useless) {
    (void)world_->files().Unlink(PathOf(number));
    copies_.erase(number);
  }
}

}  // namespace postern::server
