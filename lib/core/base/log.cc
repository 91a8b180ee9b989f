#include "lib/core/base/log.h"

namespace postern {
namespace {

constexpr size_t kMaxValueBytes = 1024;

bool NeedsQuotes(std::string_view value) {
  if (value.empty()) return true;
  for (const char c : value) {
    if (!IsAsciiPrintable(c) || c == ' ' || c == '"' || c == '\\' || c == '=') return true;
  }
  return value.size() > kMaxValueBytes;
}

// What OpenSMTPD writes in quotes whatever it is: tools look for them.
bool AlwaysQuoted(const LogRecord& record, std::string_view field) {
  if (record.subsystem == "mta")
    return field == "source" || field == "relay" || field == "result" || field == "stat";
  return record.subsystem == "smtp" && record.event == "failed-command" &&
         (field == "command" || field == "result");
}

}  // namespace

std::string FormatLogRecord(const LogRecord& record) {
  std::string line = record.session;
  if (!line.empty()) line += ' ';
  line += record.subsystem;
  line += ' ';
  line += Escape(record.event, kMaxValueBytes);
  for (const LogField& field : record.fields) {
    line += ' ';
    line += field.name;
    line += '=';
    if (!NeedsQuotes(field.value) && !AlwaysQuoted(record, field.name)) {
      line += field.value;
      continue;
    }
    line += '"';
    for (const char c : Escape(field.value, kMaxValueBytes)) {
      if (c == '"') line += '\\';
      line += c;
    }
    line += '"';
  }
  return line;
}

}  // namespace postern
