#include "lib/core/base/log_format.h"

#include "lib/core/base/json.h"
#include "lib/core/base/strings.h"

namespace postern {
namespace {

constexpr int kMailFacility = 2;  // RFC 5424 table 1

int SeverityOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return 7;
    case LogLevel::kInfo: return 6;
    case LogLevel::kWarning: return 4;
    case LogLevel::kError: break;
  }
  return 3;
}

const char* LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kError: break;
  }
  return "error";
}

std::string Text(const LogRecord& record, const LogStamp& stamp, bool json) {
  return json ? JsonLogLine(record, stamp) : FormatLogRecord(record);
}

std::string Cut(std::string datagram) {
  if (datagram.size() > kMaxLogDatagramBytes) datagram.resize(kMaxLogDatagramBytes);
  return datagram;
}

// Token is a word of a syslog header: RFC 5424 §6 wants printable ASCII without blanks, "-" for
// none.
std::string Token(std::string_view text, size_t most) {
  std::string token;
  for (const char c : text.substr(0, most)) token += c > ' ' && c < 0x7f ? c : '?';
  return token.empty() ? "-" : token;
}

void JournalField(std::string_view name, std::string_view value, std::string* out) {
  out->append(name);
  if (value.find('\n') == std::string_view::npos) {
    StrAppend(*out, "=", value, "\n");
    return;
  }
  // A value with line ends comes with its length, 64 bits little-endian.
  out->push_back('\n');
  for (int shift = 0; shift < 64; shift += 8)
    out->push_back(static_cast<char>(static_cast<uint64_t>(value.size()) >> shift & 0xff));
  StrAppend(*out, value, "\n");
}

// JournalName is a field's name as the journal takes them: capitals, digits, underscores.
std::string JournalName(std::string_view name) {
  std::string out = "POSTERN_";
  for (const char c : name.substr(0, 40)) out += IsAsciiAlnum(c) ? AsciiToUpper(c) : '_';
  return out;
}

}  // namespace

std::string PlainLogLine(const LogRecord& record, const LogStamp& stamp) {
  return StrCat(absl::FormatTime("%b %e %H:%M:%S ", stamp.time, stamp.zone),
                record.level >= LogLevel::kWarning ? "warn: " : "", FormatLogRecord(record));
}

std::string JsonLogLine(const LogRecord& record, const LogStamp& stamp) {
  JsonWriter json;
  json.BeginObject();
  json.Key("time").String(
      absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", stamp.time, absl::UTCTimeZone()));
  json.Key("level").String(LevelName(record.level));
  json.Key("subsystem").String(record.subsystem);
  if (!record.session.empty()) json.Key("session").String(record.session);
  json.Key("event").String(record.event);
  for (const LogField& field : record.fields) json.Key(field.name).String(field.value);
  json.EndObject();
  return json.Take();
}

std::string LocalSyslog(const LogRecord& record, const LogStamp& stamp, bool json) {
  return Cut(StrCat("<", kMailFacility * 8 + SeverityOf(record.level), ">",
                    absl::FormatTime("%b %e %H:%M:%S ", stamp.time, stamp.zone),
                    Token(stamp.tag, 32), "[", stamp.process_id, "]: ", Text(record, stamp, json)));
}

std::string Syslog5424(const LogRecord& record, const LogStamp& stamp, bool json) {
  return Cut(StrCat("<", kMailFacility * 8 + SeverityOf(record.level), ">1 ",
                    absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", stamp.time, absl::UTCTimeZone()), " ",
                    Token(stamp.host, 255), " ", Token(stamp.tag, 48), " ", stamp.process_id,
                    " - - ", Text(record, stamp, json)));
}

std::string JournalEntry(const LogRecord& record, const LogStamp& stamp) {
  std::string entry;
  JournalField("MESSAGE", FormatLogRecord(record), &entry);
  JournalField("PRIORITY", StrCat(SeverityOf(record.level)), &entry);
  JournalField("SYSLOG_IDENTIFIER", Token(stamp.tag, 48), &entry);
  JournalField("SYSLOG_FACILITY", StrCat(kMailFacility), &entry);
  JournalField("SYSLOG_PID", StrCat(stamp.process_id), &entry);
  JournalField("POSTERN_SUBSYSTEM", record.subsystem, &entry);
  if (!record.session.empty()) JournalField("POSTERN_SESSION", record.session, &entry);
  JournalField("POSTERN_EVENT", record.event, &entry);
  for (const LogField& field : record.fields) {
    // Cut in its middle an entry would be none.
    if (entry.size() + field.value.size() > kMaxLogDatagramBytes) break;
    JournalField(JournalName(field.name), field.value, &entry);
  }
  return entry;
}

}  // namespace postern
