#include "lib/core/control/stats.h"

#include "lib/core/base/strings.h"

namespace postern::control {
namespace {

std::string_view FieldOf(const LogRecord& record, std::string_view name) {
  for (const LogField& field : record.fields) {
    if (field.name == name) return field.value;
  }
  return "";
}

}  // namespace

void Histogram::Add(int64_t seconds) {
  ++count;
  sum_seconds += seconds;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    if (seconds <= kBounds[i]) ++buckets[i];
  }
}

void StatBook::Add(std::string_view name, int64_t change) {
  const auto found = numbers_.find(name);
  if (found == numbers_.end()) {
    numbers_.emplace(name, change);
  } else {
    found->second += change;
  }
}

void StatBook::Set(std::string_view name, int64_t value) {
  const auto found = numbers_.find(name);
  if (found == numbers_.end()) {
    numbers_.emplace(name, value);
  } else {
    found->second = value;
  }
}

int64_t StatBook::Get(std::string_view name) const {
  const auto found = numbers_.find(name);
  return found == numbers_.end() ? 0 : found->second;
}

void StatBook::Count(const LogRecord& record) {
  const std::string_view event = record.event;
  if (record.subsystem == "smtp") {
    if (event == "connected") {
      const std::string_view address = FieldOf(record, "address");
      Add("smtp.session", 1);
      Add("smtp.session.total", 1);
      Add(address == "local"                            ? "smtp.session.local"
          : address.find(':') != std::string_view::npos ? "smtp.session.inet6"
                                                        : "smtp.session.inet4",
          1);
    } else if (event == "disconnected") {
      // A handshake that failed before the greeting was no session yet.
      if (Get("smtp.session") > 0) Add("smtp.session", -1);
      const auto secure = secure_.find(record.session);
      if (secure != secure_.end()) {
        Add(secure->second, -1);
        secure_.erase(secure);
      }
    } else if (event == "tls") {
      Add("smtp.tls.ok", 1);
      const char* kind = FieldOf(record, "mode") == "smtps" ? "smtp.smtps" : "smtp.tls";
      if (secure_.size() < kMaxSecureSessions && secure_.emplace(record.session, kind).second)
        Add(kind, 1);
    } else if (event == "tls-failed") {
      Add("smtp.tls.failed", 1);
    } else if (event == "message") {
      Add("smtp.message.accepted", 1);
    } else if (event == "failed-command") {
      Add("smtp.command.refused", 1);
      if (FieldOf(record, "command") == "message") Add("smtp.message.refused", 1);
      if (FieldOf(record, "reason").starts_with("filter ")) Add("filter.refused", 1);
    } else if (event == "filter-failed") {
      Add("filter.failed", 1);
    } else if (event == "authentication") {
      const std::string_view result = FieldOf(record, "result");
      Add(result == "ok"         ? "smtp.auth.ok"
          : result == "permfail" ? "smtp.auth.permfail"
                                 : "smtp.auth.tempfail",
          1);
    }
  } else if (record.subsystem == "filter") {
    if (event == "program-ended") Add("filter.ended", 1);
    if (event == "slow") Add("filter.slow", 1);
  } else if (record.subsystem == "imap") {
    if (event == "connected") Add("imap.session.total", 1);
    if (event == "connected") Add("imap.session", 1);
    if (event == "disconnected" && Get("imap.session") > 0) Add("imap.session", -1);
    if (event == "authentication")
      Add(FieldOf(record, "result") == "ok" ? "imap.auth.ok" : "imap.auth.failed", 1);
  } else if ((record.subsystem == "mta" || record.subsystem == "mda") && event == "delivery") {
    const bool relay = record.subsystem == "mta";
    const std::string_view result = FieldOf(record, "result");
    const std::string outcome = result == "Ok"         ? "ok"
                                : result == "TempFail" ? "tempfail"
                                                       : "permfail";
    Add(StrCat("scheduler.delivery.", outcome), 1);
    Add(StrCat(record.subsystem, ".delivery.", outcome), 1);
    if (result == "PermFail" &&
        FieldOf(record, "stat").find("oop detected") != std::string_view::npos)
      Add("scheduler.delivery.loop", 1);
    const int64_t delay = ParseDelay(FieldOf(record, "delay"));
    if (result == "Ok" && delay >= 0) (relay ? relay_delay : local_delay).Add(delay);
  }
}

int64_t ParseDelay(std::string_view text) {
  int64_t total = 0;
  int64_t number = -1;
  for (const char c : text) {
    if (IsAsciiDigit(c)) {
      if (number > INT64_MAX / 1000000) return -1;
      number = (number < 0 ? 0 : number * 10) + (c - '0');
      continue;
    }
    const int64_t unit = c == 'd' ? 86400 : c == 'h' ? 3600 : c == 'm' ? 60 : c == 's' ? 1 : 0;
    if (unit == 0 || number < 0) return -1;
    total += number * unit;
    number = -1;
  }
  return text.empty() || number >= 0 ? -1 : total;
}

std::string UptimeText(int64_t seconds) {
  std::string text;
  if (seconds <= 0) return "0s";
  for (const auto& [unit, name] :
       {std::pair<int64_t, char>{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}}) {
    if (seconds >= unit) StrAppend(text, seconds / unit, name);
    seconds %= unit;
  }
  return text;
}

}  // namespace postern::control
