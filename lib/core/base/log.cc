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
    if (!NeedsQuotes(field.value)) {
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
