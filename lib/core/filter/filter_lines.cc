#include "lib/core/filter/filter_lines.h"

#include <cinttypes>
#include <cstdio>

#include "lib/core/base/strings.h"

namespace postern::filter {
namespace {

constexpr std::string_view kIn = "smtp-in";
constexpr std::string_view kOut = "smtp-out";

// Fields takes a line apart, from the left.
class Fields {
 public:
  explicit Fields(std::string_view line) : rest_(line) {}
  // Take gives the next field; "" and at_end() behind the last one.
  std::string_view Take() {
    const size_t bar = rest_.find('|');
    const std::string_view field = rest_.substr(0, bar);
    at_end_ = bar == std::string_view::npos;
    rest_ = at_end_ ? std::string_view() : rest_.substr(bar + 1);
    return field;
  }
  std::string_view Rest() const { return rest_; }
  bool at_end() const { return at_end_; }

 private:
  std::string_view rest_;
  bool at_end_ = false;
};

// ParseId reads 16 hexadecimal digits. Programs that count their sessions with other numbers leave
// zeros out, which is the same number.
bool ParseId(std::string_view text, uint64_t* id) {
  if (text.empty() || text.size() > kIdDigits) return false;
  uint64_t value = 0;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    const bool lower = c >= 'a' && c <= 'f';
    if (!digit && !lower && !(c >= 'A' && c <= 'F')) return false;
    value = value * 16 + static_cast<uint64_t>(digit ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  *id = value;
  return true;
}

Status Wrong(std::string_view what, std::string_view line) {
  return InvalidArgument(StrCat(what, ": ", Escape(line, 120)));
}

struct DecisionRow {
  std::string_view word;
  Decision decision;
  bool has_text;
};
constexpr DecisionRow kDecisions[] = {
    {"proceed", Decision::kProceed, false}, {"junk", Decision::kJunk, false},
    {"reject", Decision::kReject, true},    {"disconnect", Decision::kDisconnect, true},
    {"rewrite", Decision::kRewrite, true},  {"report", Decision::kReport, true},
};

StatusOr<ProgramLine> ParseRegister(Fields fields, std::string_view line) {
  ProgramLine parsed;
  const std::string_view what = fields.Take();
  if (what == "ready" && fields.at_end()) return parsed;
  if (what != "report" && what != "filter") return Wrong("a registration of nothing known", line);
  parsed.kind =
      what == "report" ? ProgramLine::Kind::kRegisterReport : ProgramLine::Kind::kRegisterFilter;
  const std::string_view side = fields.Take();
  if (side != kIn && side != kOut) return Wrong("a registration for no known side", line);
  parsed.incoming = side == kIn;
  parsed.name = fields.Rest();
  if (parsed.name.empty()) return Wrong("a registration without a name", line);
  return parsed;
}

StatusOr<ProgramLine> ParseResult(Fields fields, std::string_view line) {
  ProgramLine parsed;
  parsed.kind = ProgramLine::Kind::kResult;
  if (!ParseId(fields.Take(), &parsed.session)) return Wrong("no session", line);
  if (!ParseId(fields.Take(), &parsed.token)) return Wrong("no token", line);
  const std::string_view word = fields.Take();
  for (const DecisionRow& row : kDecisions) {
    if (row.word != word) continue;
    if (row.has_text == fields.at_end())
      return Wrong(row.has_text ? "a decision without its text" : "too much", line);
    parsed.decision = row.decision;
    parsed.text = fields.Rest();
    return parsed;
  }
  return Wrong("no decision", line);
}

std::optional<Version> ParseVersion(std::string_view text) {
  for (const Version version : {Version::k05, Version::k06, Version::k07}) {
    if (VersionText(version) == text) return version;
  }
  return std::nullopt;
}

void AppendTime(WallTime now, std::string* out) {
  const int64_t micros = absl::ToUnixMicros(now);
  char text[48];
  const int length = std::snprintf(text, sizeof text, "%" PRId64 ".%06d", micros / 1'000'000,
                                   static_cast<int>(micros % 1'000'000));
  out->append(text, static_cast<size_t>(length));
}

void AppendField(std::string_view field, std::string* out) {
  const size_t start = out->size();
  out->append(field);
  if (field.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos) return;
  for (size_t i = start; i < out->size(); ++i) {
    char& c = (*out)[i];
    if (c == '\r' || c == '\n' || c == '\0') c = ' ';
  }
}

void AppendHead(std::string_view kind, Version version, WallTime now, std::string_view name,
                uint64_t session, std::string* out) {
  StrAppend(*out, kind, "|", VersionText(version), "|");
  AppendTime(now, out);
  StrAppend(*out, "|", kIn, "|", name, "|", Hex(session, kIdDigits));
}

}  // namespace

std::string_view VersionText(Version version) {
  switch (version) {
    case Version::k05: return "0.5";
    case Version::k06: return "0.6";
    case Version::k07: break;
  }
  return "0.7";
}

StatusOr<ProgramLine> ParseProgramLine(std::string_view line) {
  Fields fields(line);
  const std::string_view kind = fields.Take();
  if (kind == "register") return ParseRegister(fields, line);
  if (kind == "filter-result") return ParseResult(fields, line);
  ProgramLine parsed;
  if (kind == "filter-dataline") {
    parsed.kind = ProgramLine::Kind::kDataLine;
    if (!ParseId(fields.Take(), &parsed.session)) return Wrong("no session", line);
    if (!ParseId(fields.Take(), &parsed.token)) return Wrong("no token", line);
    if (fields.at_end()) return Wrong("a data line without a line", line);
    parsed.text = fields.Rest();
    return parsed;
  }
  if (kind == "report") {
    parsed.kind = ProgramLine::Kind::kReport;
    fields.Take();  // the time
    const std::string_view side = fields.Take();
    parsed.incoming = side == kIn;
    if (side != kIn && side != kOut) return Wrong("a report of no known side", line);
    if (!ParseId(fields.Take(), &parsed.session)) return Wrong("no session", line);
    if (fields.at_end()) return Wrong("a report without a text", line);
    parsed.text = fields.Rest();
    return parsed;
  }
  return Wrong("a line of no known kind", line);
}

void AppendProgramLine(const ProgramLine& line, std::string* out) {
  const std::string_view side = line.incoming ? kIn : kOut;
  const std::string session = Hex(line.session, kIdDigits);
  const std::string token = Hex(line.token, kIdDigits);
  switch (line.kind) {
    case ProgramLine::Kind::kRegisterReport:
      StrAppend(*out, "register|report|", side, "|", line.name);
      break;
    case ProgramLine::Kind::kRegisterFilter:
      StrAppend(*out, "register|filter|", side, "|", line.name);
      break;
    case ProgramLine::Kind::kRegisterReady: *out += "register|ready"; break;
    case ProgramLine::Kind::kResult:
      for (const DecisionRow& row : kDecisions) {
        if (row.decision != line.decision) continue;
        StrAppend(*out, "filter-result|", session, "|", token, "|", row.word);
        if (row.has_text) StrAppend(*out, "|", line.text);
      }
      break;
    case ProgramLine::Kind::kDataLine:
      StrAppend(*out, "filter-dataline|", session, "|", token, "|", line.text);
      break;
    case ProgramLine::Kind::kReport:
      StrAppend(*out, "report|0.000000|", side, "|", session, "|", line.text);
      break;
  }
  *out += '\n';
}

StatusOr<ServerLine> ParseServerLine(std::string_view line) {
  Fields fields(line);
  const std::string_view kind = fields.Take();
  ServerLine parsed;
  if (kind == "config") {
    parsed.name = fields.Take();
    if (parsed.name == "ready" && fields.at_end()) return parsed;
    if (fields.at_end()) return Wrong("a setting without a value", line);
    parsed.kind = ServerLine::Kind::kConfig;
    parsed.fields = fields.Rest();
    return parsed;
  }
  if (kind != "report" && kind != "filter") return Wrong("a line of no known kind", line);
  const std::optional<Version> version = ParseVersion(fields.Take());
  if (!version.has_value()) return Wrong("no known version", line);
  parsed.version = *version;
  fields.Take();  // the time
  const std::string_view side = fields.Take();
  if (side != kIn && side != kOut) return Wrong("no known side", line);
  parsed.incoming = side == kIn;
  parsed.name = fields.Take();
  if (!ParseId(fields.Take(), &parsed.session)) return Wrong("no session", line);
  parsed.kind = ServerLine::Kind::kReport;
  if (kind == "filter") {
    parsed.kind = ServerLine::Kind::kRequest;
    if (!ParseId(fields.Take(), &parsed.token)) return Wrong("no token", line);
  }
  parsed.fields = fields.Rest();
  return parsed;
}

void AppendConfig(std::string_view name, std::string_view value, std::string* out) {
  StrAppend(*out, "config|", name, "|");
  AppendField(value, out);
  *out += '\n';
}

void AppendConfigReady(std::string* out) { *out += "config|ready\n"; }

void AppendReport(Version version, WallTime now, std::string_view event, uint64_t session,
                  std::initializer_list<std::string_view> fields, std::string* out) {
  AppendHead("report", version, now, event, session, out);
  for (const std::string_view field : fields) {
    *out += '|';
    AppendField(field, out);
  }
  *out += '\n';
}

void AppendRequest(Version version, WallTime now, std::string_view phase, uint64_t session,
                   uint64_t token, std::initializer_list<std::string_view> fields,
                   std::string* out) {
  AppendHead("filter", version, now, phase, session, out);
  StrAppend(*out, "|", Hex(token, kIdDigits));
  // Programs want the bar behind the token where nothing follows, too.
  if (fields.size() == 0) *out += '|';
  for (const std::string_view field : fields) {
    *out += '|';
    AppendField(field, out);
  }
  *out += '\n';
}

std::string DataLinePrefix(Version version, WallTime now, uint64_t session, uint64_t token) {
  std::string prefix;
  AppendHead("filter", version, now, "data-line", session, &prefix);
  StrAppend(prefix, "|", Hex(token, kIdDigits), "|");
  return prefix;
}

void AppendDataLine(std::string_view prefix, std::string_view line, std::string* out) {
  out->append(prefix);
  if (!line.empty() && line.front() == '.') *out += '.';
  out->append(line);
  *out += '\n';
}

void AppendDataEnd(std::string_view prefix, std::string* out) {
  out->append(prefix);
  *out += ".\n";
}

std::optional<std::string_view> UnstuffDataLine(std::string_view text) {
  if (text.empty() || text.front() != '.') return text;
  if (text.size() == 1) return std::nullopt;
  return text.substr(1);
}

void LineReader::Feed(std::string_view octets) {
  if (start_ > 0) {
    bytes_.erase(0, start_);
    scanned_ -= start_;
    start_ = 0;
  }
  bytes_.append(octets);
}

std::optional<std::string_view> LineReader::Next() {
  if (overflowed_) return std::nullopt;
  const size_t end = bytes_.find('\n', scanned_);
  const bool found = end != std::string::npos;
  if ((found ? end : bytes_.size()) - start_ > max_line_bytes_) {
    overflowed_ = true;
    return std::nullopt;
  }
  if (!found) {
    scanned_ = bytes_.size();
    return std::nullopt;
  }
  std::string_view line = std::string_view(bytes_).substr(start_, end - start_);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  start_ = scanned_ = end + 1;
  return line;
}

}  // namespace postern::filter
