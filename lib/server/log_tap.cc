#include "lib/server/log_tap.h"

#include <algorithm>

#include "lib/core/base/json.h"
#include "lib/core/base/strings.h"

namespace postern::server {
namespace {

constexpr int64_t kHostStatSeconds = 4 * 3600;
constexpr std::string_view kNoSession = "0000000000000000";

std::string_view FieldOf(const LogRecord& record, std::string_view name) {
  for (const LogField& field : record.fields) {
    if (field.name == name) return field.value;
  }
  return "";
}

// MessageOf is the id of the message that a record is about: 8 digits, or "".
std::string_view MessageOf(const LogRecord& record) {
  const std::string_view message = FieldOf(record, "msgid");
  if (!message.empty()) return message.substr(0, 8);
  return FieldOf(record, "evpid").substr(0, 8);
}

bool Contains(std::string_view text, std::string_view part) {
  return AsciiLower(text).find(part) != std::string::npos;
}

std::string JsonLine(const LogRecord& record) {
  JsonWriter json;
  json.BeginObject();
  json.Key("subsystem").String(record.subsystem);
  if (!record.session.empty()) json.Key("session").String(record.session);
  json.Key("event").String(record.event);
  for (const LogField& field : record.fields) json.Key(field.name).String(field.value);
  json.EndObject();
  return json.Take();
}

}  // namespace

Watch::Watch(std::string_view selector, bool json) : selector_(AsciiLower(selector)), json_(json) {}

bool Watch::Wants(const LogRecord& record) {
  const std::string_view message = MessageOf(record);
  bool wanted =
      record.session == selector_ || (!message.empty() && messages_.contains(std::string(message)));
  wanted = wanted || (!record.session.empty() && sessions_.contains(record.session));
  for (const LogField& field : record.fields) wanted = wanted || Contains(field.value, selector_);
  if (!wanted) return false;
  if (!message.empty() && messages_.size() < kMaxKnown) messages_.emplace(message);
  // What a session does belongs to the message; what a delivery's session does, too.
  if (!record.session.empty() && record.session != kNoSession && sessions_.size() < kMaxKnown)
    sessions_.insert(record.session);
  return true;
}

void Watch::Offer(const LogRecord& record) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!Wants(record)) return;
  if (lines_.size() >= kMaxLines) {
    ++lost_;
    return;
  }
  lines_.push_back((json_ ? JsonLine(record) : FormatLogRecord(record)) + "\n");
}

std::vector<std::string> Watch::Take(size_t* lost) {
  const std::lock_guard<std::mutex> lock(mutex_);
  *lost = std::exchange(lost_, 0);
  std::vector<std::string> taken(std::make_move_iterator(lines_.begin()),
                                 std::make_move_iterator(lines_.end()));
  lines_.clear();
  return taken;
}

LogTap::LogTap(LogSink* out, std::function<int64_t()> clock_unix_s)
    : out_(out), clock_unix_s_(std::move(clock_unix_s)) {}

void LogTap::Write(const LogRecord& record) {
  bool shown = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    book_.Count(record);
    if (record.subsystem == "mta" && record.event == "delivery") NoteHost(record);
    for (const std::shared_ptr<Watch>& watch : watches_) watch->Offer(record);
    shown = record.level >= least_ ||
            (!traced_.empty() && (traced_.contains(record.subsystem) || traced_.contains("all")));
  }
  if (shown) out_->Write(record);
}

void LogTap::NoteHost(const LogRecord& record) {
  const std::string_view to = FieldOf(record, "to");
  const size_t at = to.rfind('@');
  if (at == std::string_view::npos) return;
  std::string domain = AsciiLower(to.substr(at + 1));
  if (!domain.empty() && domain.back() == '>') domain.pop_back();
  const int64_t now = clock_unix_s_();
  if (hosts_.size() >= kMaxHostStats && !hosts_.contains(domain)) {
    std::erase_if(hosts_,
                  [now](const auto& each) { return each.second.unix_s < now - kHostStatSeconds; });
    if (hosts_.size() >= kMaxHostStats) hosts_.erase(hosts_.begin());
  }
  hosts_[domain] = HostStat{now, std::string(FieldOf(record, "stat"))};
}

void LogTap::SetLevel(LogLevel least) {
  const std::lock_guard<std::mutex> lock(mutex_);
  least_ = least;
}

LogLevel LogTap::level() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return least_;
}

void LogTap::SetTrace(std::string_view subsystem, bool on) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (on) {
    traced_.emplace(subsystem);
  } else if (const auto found = traced_.find(subsystem); found != traced_.end()) {
    traced_.erase(found);
  }
}

std::shared_ptr<Watch> LogTap::AddWatch(std::string_view selector, bool json) {
  auto watch = std::make_shared<Watch>(selector, json);
  const std::lock_guard<std::mutex> lock(mutex_);
  watches_.push_back(watch);
  return watch;
}

void LogTap::DropWatch(const std::shared_ptr<Watch>& watch) {
  const std::lock_guard<std::mutex> lock(mutex_);
  watches_.remove(watch);
}

control::StatBook LogTap::Numbers() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return book_;
}

std::map<std::string, HostStat> LogTap::HostStats() const {
  const int64_t oldest = clock_unix_s_() - kHostStatSeconds;
  const std::lock_guard<std::mutex> lock(mutex_);
  std::map<std::string, HostStat> found;
  for (const auto& [domain, stat] : hosts_) {
    if (stat.unix_s >= oldest) found.emplace(domain, stat);
  }
  return found;
}

}  // namespace postern::server
