#include "lib/server/log_writer.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <mutex>
#include <new>
#include <poll.h>
#include <unistd.h>
#include <utility>

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

// Waiting is the output and what waits for it. It outlives the writer where the main loop still has
// a look at it to take.
struct LogWriter::Waiting : std::enable_shared_from_this<LogWriter::Waiting> {
  Waiting(rt::World* on, std::unique_ptr<rt::LogOutput> to, LogQueueLimits within)
      : world(on), limits(within), output(std::move(to)), wait(within.first_wait) {}

  // Add takes a line; it is the caller's turn to Bring. `note` makes the line that tells of `lost`.
  void Add(std::string line) {
    const std::lock_guard lock(mutex);
    if (!lines.empty() && bytes + line.size() > limits.max_bytes) {
      ++lost;
      return;
    }
    // Those that were lost stood before this one.
    if (lost > 0) Push(note(std::exchange(lost, 0)));
    Push(std::move(line));
  }

  // Bring writes what can be written; true: nothing waits.
  bool Bring() {
    const std::lock_guard lock(mutex);
    if (closed) return true;
    while (!lines.empty()) {
      const rt::LogOutput::Taken taken = output->Write(lines.front());
      if (taken == rt::LogOutput::Taken::kLater) return false;
      if (taken == rt::LogOutput::Taken::kNever) ++lost;
      bytes -= lines.front().size();
      lines.pop_front();
      if (lines.empty() && lost > 0) Push(note(std::exchange(lost, 0)));
    }
    return output->Finish();
  }

  // LookLater has the main loop bring what waits, once it may be taken.
  void LookLater() {
    {
      const std::lock_guard lock(mutex);
      if (closed || std::exchange(looking, true)) return;
    }
    try {
      world->main_loop().Post([self = weak_from_this()] { Look(self); });
    } catch (const std::bad_alloc&) {
      const std::lock_guard lock(mutex);
      looking = false;  // the next line asks again
    }
  }

  static void Look(const std::weak_ptr<Waiting>& weak) {
    const std::shared_ptr<Waiting> self = weak.lock();
    if (self == nullptr) return;
    const bool done = self->Bring();
    const std::lock_guard lock(self->mutex);
    if (done || self->closed) {
      self->looking = false;
      self->wait = self->limits.first_wait;
      return;
    }
    rt::Executor& loop = self->world->main_loop();
    try {
      loop.CallAt(loop.Now() + self->wait, [weak] { Look(weak); });
      self->wait = std::min(self->wait * 2, self->limits.most_wait);
    } catch (const std::bad_alloc&) {
      self->looking = false;
    }
  }

  rt::World* const world;
  const LogQueueLimits limits;
  std::function<std::string(uint64_t lost)> note;
  std::mutex mutex;
  const std::unique_ptr<rt::LogOutput> output;
  std::deque<std::string> lines;
  size_t bytes = 0;
  uint64_t lost = 0;
  bool looking = false;
  bool closed = false;  // the writer is gone
  Duration wait;

 private:
  void Push(std::string line) {
    bytes += line.size();
    lines.push_back(std::move(line));
  }
};

LogWriter::LogWriter(rt::World* world, Form form, bool json, std::string tag,
                     std::unique_ptr<rt::LogOutput> output, LogQueueLimits limits)
    : world_(world),
      form_(form),
      json_(json),
      waiting_(std::make_shared<Waiting>(world, std::move(output), limits)) {
  stamp_.zone = absl::LocalTimeZone();
  stamp_.tag = std::move(tag);
  stamp_.process_id = ::getpid();
  if (form == Form::kSyslog5424) stamp_.host = world->network().HostName();
  waiting_->note = [this](uint64_t lost) {
    LogRecord note;
    note.level = LogLevel::kError;
    note.subsystem = "log";
    note.event = "lines-lost";
    note.fields.push_back(LogField{"count", StrCat(lost)});
    return Format(note);
  };
}

LogWriter::~LogWriter() {
  constexpr Duration kPause = absl::Milliseconds(5);
  bool done = waiting_->Bring();
  for (Duration left = waiting_->limits.last_wait; !done && left > absl::ZeroDuration();
       left -= kPause) {
    ::usleep(static_cast<useconds_t>(absl::ToInt64Microseconds(kPause)));
    done = waiting_->Bring();
  }
  const std::lock_guard lock(waiting_->mutex);
  waiting_->closed = true;
  waiting_->note = nullptr;
  const uint64_t rest = waiting_->lines.size() + waiting_->lost;
  if (rest > 0) {
    const std::string text = StrCat("log lines-lost count=", rest, "\n");
    struct pollfd ready = {STDERR_FILENO, POLLOUT, 0};
    if (::poll(&ready, 1, 0) > 0) (void)!::write(STDERR_FILENO, text.data(), text.size());
  }
}

Status LogWriter::Reopen() {
  const std::lock_guard lock(waiting_->mutex);
  return waiting_->output->Reopen();
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
  waiting_->Add(Format(record));
  if (!waiting_->Bring()) waiting_->LookLater();
}

}  // namespace postern::server
