#include "lib/server/log_writer.h"

#include <unistd.h>

#include "lib/core/base/strings.h"

namespace postern::server {
namespace {

using Form = LogTarget::Form;

constexpr char kSyslogSocket[] = "/dev/log";
constexpr char kJournalSocket[] = "/run/systemd/journal/socket";

struct Row {
  std::string_view name;
  Form form;
  const char* path;  // unless one is given; null: one must be
};
constexpr Row kRows[] = {
    {"file", Form::kPlain, nullptr},
    {"syslog", Form::kLocalSyslog, kSyslogSocket},
    {"syslog5424", Form::kSyslog5424, nullptr},
    {"journal", Form::kJournal, kJournalSocket},
};

}  // namespace

StatusOr<LogTarget> ParseLogTarget(std::string_view text) {
  if (text == "stderr") return LogTarget();
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  for (const Row& row : kRows) {
    if (row.name != name) continue;
    LogTarget target;
    target.form = row.form;
    if (colon != std::string_view::npos) {
      target.path = text.substr(colon + 1);
    } else if (row.path != nullptr) {
      target.path = row.path;
    }
    if (target.path.empty() || target.path[0] != '/')
      return InvalidArgument(
          StrCat("log ", Escape(text), ": an absolute path is wanted, as ", name, ":/path"));
    return target;
  }
  return InvalidArgument(
      StrCat("log ", Escape(text), ": stderr, file:/path, syslog, syslog5424:/path or journal"));
}

LogWriter::LogWriter(rt::World* world, Form form, bool json, std::string tag,
                     std::unique_ptr<rt::LogOutput> output)
    : world_(world), form_(form), json_(json), output_(std::move(output)) {
  stamp_.zone = absl::LocalTimeZone();
  stamp_.tag = std::move(tag);
  stamp_.process_id = ::getpid();
  if (form == Form::kSyslog5424) stamp_.host = world->network().HostName();
}

std::string LogWriter::Format(const LogRecord& record) const {
  LogStamp stamp = stamp_;
  stamp.time = world_->clock().WallNow();
  switch (form_) {
    case Form::kPlain: return json_ ? JsonLogLine(record, stamp) : PlainLogLine(record, stamp);
    case Form::kLocalSyslog: return LocalSyslog(record, stamp, json_);
    case Form::kSyslog5424: return Syslog5424(record, stamp, json_);
    case Form::kJournal: break;
  }
  return JournalEntry(record, stamp);
}

void LogWriter::Write(const LogRecord& record) {
  const uint64_t lost = lost_.exchange(0, std::memory_order_relaxed);
  if (lost > 0) {
    LogRecord note;
    note.level = LogLevel::kError;
    note.subsystem = "log";
    note.event = "lines-lost";
    note.fields.push_back(LogField{"count", StrCat(lost)});
    if (!output_->Write(Format(note))) {
      lost_.fetch_add(lost + 1, std::memory_order_relaxed);
      return;
    }
  }
  if (!output_->Write(Format(record))) lost_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace postern::server
