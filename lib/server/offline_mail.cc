#include "lib/server/offline_mail.h"

#include <algorithm>
#include <array>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/core/mail/line_ends.h"
#include "lib/core/mail/message_id.h"
#include "lib/server/submission_words.h"
#include "lib/service/schedule/notice.h"
#include "lib/service/smtp/message_intake.h"

namespace postern::server {
namespace {

constexpr std::string_view kHead = "postern offline 1\n";
constexpr std::string_view kUnfinished = "new.";  // a file that is being written
constexpr std::string_view kAside = "bad.";
constexpr size_t kMaxNotices = 1000;  // recipients that one notice tells of

bool IsTaken(const SubmissionResult& result) {
  return result.status.ok() && result.reply.IsPositive();
}

// MustWait tells whether it may go well another time.
bool MustWait(const SubmissionResult& result) {
  if (!result.status.ok()) return result.status.code() != StatusCode::kInvalidArgument;
  return result.reply.IsTransient();
}

std::string ReasonOf(const SubmissionResult& result) {
  return result.status.ok() ? result.reply.ToString() : Text(result.status);
}

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

void OfflineMail::LogOutcome(LogLevel level, std::string event, const std::string& file,
                             const std::string& recipients, const SubmissionResult& result) {
  std::vector<LogField> fields = {{"file", file}, {"to", recipients}};
  if (IsTaken(result)) {
    fields.push_back({"msgid", result.message_id});
  } else {
    fields.push_back({"reason", ReasonOf(result)});
  }
  log_->Write(LogRecord{.level = level,
                        .subsystem = "offline",
                        .session = "",
                        .event = std::move(event),
                        .fields = std::move(fields)});
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
    Submission left = found.submission;
    const auto known = done_.find(name);
    if (known != done_.end())
      std::erase_if(left.recipients,
                    [&](const std::string& each) { return known->second.contains(each); });
    const Outcome outcome = co_await HandIn(&name, &left, &reason);
    if (outcome == Outcome::kWaits) co_return;
    aside = outcome == Outcome::kAside;
    done_.erase(name);
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

// HandIn submits what a file is about. Who must wait and who is refused keep it from nobody else:
// where not all are taken at once it goes to each alone.
rt::Task<OfflineMail::Outcome> OfflineMail::HandIn(const std::string* name, const Submission* all,
                                                   std::string* reason) {
  Submission whole = *all;
  const SubmissionResult result = co_await submit_(std::move(whole));
  const std::string everybody = StrJoin(all->recipients, ",");
  if (IsTaken(result)) {
    LogOutcome(LogLevel::kInfo, "mail handed in offline", *name, everybody, result);
    co_return Outcome::kDone;
  }
  const bool alone =
      !result.status.ok() || all->recipients.size() < 2 || done_.size() >= options_.max_files;
  if (alone && MustWait(result)) {
    LogOutcome(LogLevel::kWarning, "mail handed in offline waits", *name, everybody, result);
    co_return Outcome::kWaits;
  }
  Outcome outcome = Outcome::kDone;
  for (size_t i = 0; i < (alone ? 1 : all->recipients.size()); ++i) {
    Submission one = *all;
    if (!alone) one.recipients = {all->recipients[i]};
    const std::string who = alone ? everybody : one.recipients[0];
    SubmissionResult each = result;
    if (!alone) {
      Submission copy = one;
      each = co_await submit_(std::move(copy));
    }
    if (IsTaken(each)) {
      LogOutcome(LogLevel::kInfo, "mail handed in offline", *name, who, each);
    } else if (MustWait(each)) {
      LogOutcome(LogLevel::kWarning, "mail handed in offline waits", *name, who, each);
      outcome = Outcome::kWaits;
      continue;
    } else {
      LogOutcome(LogLevel::kInfo, "mail handed in offline is refused", *name, who, each);
      const bool told = co_await Tell(&one, &each);
      if (!told) {
        *reason = ReasonOf(each);
        if (outcome == Outcome::kDone) outcome = Outcome::kAside;
        continue;
      }
    }
    if (!alone) done_[*name].insert(who);
  }
  co_return outcome;
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
    // A bare name was one of this machine.
    if (item.envelope.recipient.domain.empty()) item.envelope.recipient.domain = server_name_;
    item.envelope.created = world_->clock().WallNow();
    item.result.outcome = schedule::DeliveryResult::Outcome::kPermanent;
    item.result.status = mail::EnhancedStatus{5, 0, 0};
    if (result->status.ok() && result->reply.status.klass == 5)
      item.result.status = result->reply.status;
    item.result.text = ReasonOf(*result);
  }
  // What comes back is what would have been sent: names with their domain.
  service::MessageIntakeOptions complete;
  complete.complete = true;
  complete.domain = server_name_;
  complete.date = mail::FormatDate(world_->clock().WallNow(), 0);
  std::array<uint8_t, 16> octets;
  world_->random().Fill(octets);
  complete.message_id = mail::MakeMessageId(
      std::string_view(reinterpret_cast<const char*>(octets.data()), octets.size()), server_name_);
  service::MessageIntake intake(std::move(complete));
  const std::string lines = mail::CrlfLines(submission->content);
  std::string original(intake.Push(lines));
  original += intake.Finish();
  if (intake.problem() != service::MessageIntake::Problem::kNone) original = lines;
  Submission notice;
  notice.content = schedule::BuildNotice(message::DsnAction::kFailed, items, original, server_name_,
                                         world_->clock().WallNow(), world_->random());
  notice.recipients = {sender};
  const SubmissionResult sent = co_await submit_(std::move(notice));
  co_return sent.status.ok() && sent.reply.IsPositive();
}

}  // namespace postern::server
