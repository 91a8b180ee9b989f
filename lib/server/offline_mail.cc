#include "lib/server/offline_mail.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/server/submission_words.h"
#include "lib/service/schedule/notice.h"

namespace postern::server {
namespace {

constexpr std::string_view kHead = "postern offline 1\n";
constexpr std::string_view kUnfinished = "new.";  // a file that is being written
constexpr std::string_view kAside = "bad.";
constexpr size_t kMaxNotices = 1000;  // recipients that one notice tells of

}  // namespace

Status ParseOffline(std::string_view text, Submission* out) {
  *out = Submission();
  if (!text.starts_with(kHead)) return InvalidArgument("it does not begin as such a file does");
  text.remove_prefix(kHead.size());
  std::vector<std::string> words;
  std::vector<std::string> recipients;
  for (;;) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return InvalidArgument("it ends in its envelope");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line.empty()) break;
    if (line.size() < 3 || line[1] != ':' || line[2] != ' ')
      return InvalidArgument("a line of its envelope is none");
    const std::string value(line.substr(3));
    switch (line[0]) {
      case 't': recipients.push_back(value); break;
      case 'f':
      case 'l':
      case 'N':
      case 'R':
      case 'V':
        words.push_back(StrCat("-", line[0]));
        words.push_back(value);
        break;
      default: return InvalidArgument("a line of its envelope has no known name");
    }
  }
  words.push_back("--");
  words.insert(words.end(), recipients.begin(), recipients.end());
  POSTERN_RETURN_IF_ERROR(ReadSubmission(words, out));
  out->content = text;
  return OkStatus();
}

OfflineMail::OfflineMail(rt::World* world, LogSink* log, std::string spool,
                         uint64_t max_message_bytes, std::string server_name, Submit submit,
                         OfflineOptions options)
    : world_(world),
      log_(log),
      folder_(StrCat(spool, "/", kOfflineFolder)),
      max_message_bytes_(max_message_bytes),
      server_name_(std::move(server_name)),
      submit_(std::move(submit)),
      options_(options),
      stop_(&world->main_loop()) {}

void OfflineMail::Log(LogLevel level, std::string event, std::string file, std::string reason) {
  log_->Write(LogRecord{.level = level,
                        .subsystem = "offline",
                        .session = "",
                        .event = std::move(event),
                        .fields = {{"file", std::move(file)}, {"reason", std::move(reason)}}});
}

rt::Task<void> OfflineMail::Run() {
  rt::Executor& loop = world_->main_loop();
  bool told = false;
  while (!stop_.is_set()) {
    try {
      auto list = loop.RunBlocking([this] { return List(); });
      const StatusOr<std::vector<std::string>> names = co_await list;
      if (!names.ok() && !std::exchange(told, true))
        Log(LogLevel::kWarning, "cannot look for mail handed in offline", folder_,
            Text(names.status()));
      if (names.ok()) {
        for (const std::string& name : *names) {
          if (stop_.is_set()) break;
          // What must wait keeps nobody else's from being taken.
          co_await Take(name);
        }
      }
    } catch (const std::bad_alloc&) {
      // The next look finds it.
    }
    const Instant again = loop.Now() + options_.interval;
    co_await stop_.Wait(again);
  }
}

// List makes the folder where there is none. What was begun and never finished goes after a day.
StatusOr<std::vector<std::string>> OfflineMail::List() {
  rt::Files& files = world_->files();
  const StatusOr<rt::FileInfo> info = files.Stat(folder_);
  if (info.status().code() == StatusCode::kNotFound) {
    POSTERN_RETURN_IF_ERROR(files.MakeDirectory(folder_, 01733));
    return std::vector<std::string>();
  }
  if (!info.ok()) return info.status();
  if (info->kind != rt::FileInfo::Kind::kDirectory) return FailedPrecondition("it is no folder");
  const StatusOr<std::vector<rt::DirectoryEntry>> entries = files.List(folder_);
  if (!entries.ok()) return entries.status();
  std::vector<std::string> names;
  const WallTime oldest = world_->clock().WallNow() - options_.stale;
  for (const rt::DirectoryEntry& entry : *entries) {
    if (entry.name.starts_with(kAside)) continue;
    if (entry.name.starts_with(kUnfinished)) {
      const StatusOr<rt::FileInfo> file = files.Stat(StrCat(folder_, "/", entry.name));
      if (file.ok() && file->modified < oldest)
        (void)files.Unlink(StrCat(folder_, "/", entry.name));
      continue;
    }
    if (names.size() < options_.max_files) names.push_back(entry.name);
  }
  std::sort(names.begin(), names.end());  // they begin with the time
  return names;
}

OfflineMail::Found OfflineMail::Read(const std::string& name) {
  Found found;
  found.path = StrCat(folder_, "/", name);
  rt::Files& files = world_->files();
  // A symbolic link and a pipe are not opened.
  StatusOr<std::unique_ptr<rt::File>> file = files.Open(found.path, rt::OpenOptions());
  if (!file.ok()) {
    found.problem = file.status();
    found.gone = file.status().code() == StatusCode::kNotFound;
    return found;
  }
  const StatusOr<rt::FileInfo> info = (*file)->Stat();
  if (!info.ok()) {
    found.problem = info.status();
    return found;
  }
  // A second name would let somebody hand in what another wrote, in his name.
  if (info->kind != rt::FileInfo::Kind::kRegular || info->links != 1) {
    found.problem = FailedPrecondition("not a file with one name");
    return found;
  }
  if (info->size_bytes > max_message_bytes_ + options_.max_head_bytes) {
    found.problem = FailedPrecondition("too large");
    return found;
  }
  std::string text(static_cast<size_t>(info->size_bytes), '\0');
  const StatusOr<size_t> got = (*file)->ReadAt(0, std::span<char>(text));
  if (!got.ok()) {
    found.problem = got.status();
    return found;
  }
  text.resize(*got);
  found.problem = ParseOffline(text, &found.submission);
  found.submission.uid = info->uid;
  return found;
}

// Take submits one file and removes it, or leaves it for later. When its removal fails, or the
// machine does between the two, it is handed in twice, never not at all.
rt::Task<void> OfflineMail::Take(std::string name) {
  rt::Executor& loop = world_->main_loop();
  auto read = loop.RunBlocking([&] { return Read(name); });
  Found found = co_await read;
  if (found.gone) co_return;
  const std::string path = found.path;
  bool aside = !found.problem.ok();
  std::string reason = aside ? Text(found.problem) : std::string();
  if (!aside) {
    // One by one, so that a recipient who is refused does not keep it from the others.
    SubmissionResult result;
    Submission all = found.submission;
    result = co_await submit_(std::move(all));
    const bool refused = result.status.ok() && !result.reply.IsPositive();
    if ((!result.status.ok() && result.status.code() != StatusCode::kInvalidArgument) ||
        (refused && result.reply.IsTransient())) {
      Log(LogLevel::kWarning, "mail handed in offline waits", name,
          result.status.ok() ? result.reply.ToString() : Text(result.status));
      co_return;
    }
    if (refused && found.submission.recipients.size() > 1) {
      for (const std::string& recipient : found.submission.recipients) {
        Submission one = found.submission;
        one.recipients = {recipient};
        Submission copy = one;
        const SubmissionResult each = co_await submit_(std::move(copy));
        if (each.status.ok() && each.reply.IsPositive()) continue;
        const bool told = co_await Tell(&one, &each);
        if (!told) aside = true;
        if (!told) reason = each.status.ok() ? each.reply.ToString() : Text(each.status);
      }
    } else if (refused || !result.status.ok()) {
      const bool told = co_await Tell(&found.submission, &result);
      aside = !told;
      reason = result.status.ok() ? result.reply.ToString() : Text(result.status);
    } else {
      Log(LogLevel::kInfo, "mail handed in offline", name, result.message_id);
    }
  }
  if (aside) Log(LogLevel::kError, "mail handed in offline is put aside", name, reason);
  auto remove = loop.RunBlocking([&]() -> Status {
    if (!aside) return world_->files().Unlink(path);
    return world_->files().Rename(path, StrCat(folder_, "/", kAside, name));
  });
  const Status removed = co_await remove;
  if (!removed.ok())
    Log(LogLevel::kError, "cannot remove a file handed in offline", name, Text(removed));
}

// Tell sends the notice that nobody else can send: whoever ran sendmail is gone.
rt::Task<bool> OfflineMail::Tell(const Submission* submission, const SubmissionResult* result) {
  std::string sender = submission->reverse_path;
  if (sender.empty()) co_return false;
  if (sender.find('@') == std::string::npos) StrAppend(sender, "@", server_name_);
  const StatusOr<mail::Address> address = mail::ParseAddress(sender);
  if (!address.ok()) co_return false;
  std::vector<schedule::NoticeItem> items;
  for (const std::string& each : submission->recipients) {
    if (items.size() == kMaxNotices) break;
    schedule::NoticeItem& item = items.emplace_back();
    item.envelope.sender.address = *address;
    mail::AddressOptions options;
    options.allow_no_domain = true;
    StatusOr<mail::Address> recipient = mail::ParseAddress(each, options);
    if (recipient.ok()) item.envelope.recipient = *std::move(recipient);
    item.envelope.created = world_->clock().WallNow();
    item.result.outcome = schedule::DeliveryResult::Outcome::kPermanent;
    item.result.status = mail::EnhancedStatus{5, 0, 0};
    item.result.text = result->status.ok() ? result->reply.ToString() : Text(result->status);
  }
  Submission notice;
  notice.content = schedule::BuildNotice(message::DsnAction::kFailed, items, submission->content,
                                         server_name_, world_->clock().WallNow(), world_->random());
  notice.recipients = {sender};
  const SubmissionResult sent = co_await submit_(std::move(notice));
  co_return sent.status.ok() && sent.reply.IsPositive();
}

}  // namespace postern::server
