#include "lib/core/policy/table_text.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/table.h"

namespace postern::policy {
namespace {

// LineReader gives the lines of a text with their numbers.
class LineReader {
 public:
  explicit LineReader(std::string_view text) : rest_(text) {}
  bool Next(std::string_view* line) {
    if (rest_.empty()) return false;
    ++number_;
    const size_t end = rest_.find('\n');
    *line = rest_.substr(0, end);
    rest_ = end == std::string_view::npos ? std::string_view() : rest_.substr(end + 1);
    return true;
  }
  int number() const { return number_; }

 private:
  std::string_view rest_;
  int number_ = 0;
};

bool IsSeparator(char c) { return c == ' ' || c == '\t' || c == ':'; }

// KeyEnd is where the key of a data line ends: at the first blank, tab or colon, or after the ] of
// a key that starts with [.
size_t KeyEnd(std::string_view line) {
  if (line[0] == '[') {
    const size_t close = line.find(']');
    if (close != std::string_view::npos) return close + 1;
  }
  size_t end = 0;
  while (end < line.size() && !IsSeparator(line[end])) ++end;
  return end;
}

// ValueOf drops the separator that ended the key, then blanks, and colons that a blank follows
// ("key : value"). Any other colon belongs to the value ("label user:password", "host ::1").
std::string_view ValueOf(std::string_view rest) {
  if (rest.empty()) return rest;
  rest.remove_prefix(1);
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!rest.empty()) {
    const bool loose_colon = rest[0] == ':' && (rest.size() == 1 || is_blank(rest[1]));
    if (!is_blank(rest[0]) && !loose_colon) break;
    rest.remove_prefix(1);
  }
  return rest;
}

bool CheckBounds(std::string_view line, const TableText& table, const std::string& file, int number,
                 const TableTextOptions& options, Diagnostics* diagnostics) {
  std::string message;
  if (line.size() > options.max_line_bytes)
    message = StrCat("line of more than ", options.max_line_bytes, " octets");
  if (line.find('\0') != std::string_view::npos) message = "a NUL octet";
  if (table.entries.size() >= options.max_entries)
    message = StrCat("more than ", options.max_entries, " entries");
  if (message.empty()) return true;
  diagnostics->push_back(MakeError({file, number, 0}, std::move(message)));
  return false;
}

}  // namespace

TableText ParseTableText(std::string_view text, const std::string& file,
                         const TableTextOptions& options, Diagnostics* diagnostics) {
  constexpr size_t kMaxErrors = 20;
  TableText table;
  bool says_list = false;
  LineReader lines(text);
  const size_t errors_before = diagnostics->size();
  for (std::string_view line;
       diagnostics->size() - errors_before < kMaxErrors && lines.Next(&line);) {
    line = Trim(line);
    if (line.empty()) continue;
    if (line[0] == '#') {
      if (table.entries.empty() && Trim(line.substr(1)) == "@list") {
        table.form = TableForm::kList;
        says_list = true;
      }
      continue;
    }
    if (!CheckBounds(line, table, file, lines.number(), options, diagnostics)) {
      if (table.entries.size() >= options.max_entries) break;
      continue;
    }
    const size_t key_end = KeyEnd(line);
    if (table.form == TableForm::kUnknown)
      table.form = key_end == line.size() ? TableForm::kList : TableForm::kMapping;
    TableEntry entry;
    entry.line = lines.number();
    if (table.form == TableForm::kList) {
      entry.key = std::string(line);
      const bool is_pair = key_end < line.size() && !ValueOf(line.substr(key_end)).empty();
      if (is_pair && table.pair_line == 0 && !says_list) table.pair_line = entry.line;
    } else {
      const std::string_view value = ValueOf(line.substr(key_end));
      if (key_end == 0 || value.empty()) {
        diagnostics->push_back(
            MakeError({file, lines.number(), 0},
                      StrCat("\"", Escape(line, 80), "\" has no ", key_end == 0 ? "key" : "value",
                             ": the first line makes this table a mapping (`# @list` before it "
                             "would make it a list)")));
        continue;
      }
      entry.key = std::string(line.substr(0, key_end));
      entry.value = std::string(value);
    }
    table.entries.push_back(std::move(entry));
  }
  return table;
}

TableText ParsePasswdText(std::string_view text, const std::string& file, PasswdUse use,
                          const TableTextOptions& options, Diagnostics* diagnostics) {
  constexpr size_t kMaxErrors = 20;
  constexpr size_t kMaxWarnings = 20;  // one mistake in how a file was made is one mistake
  constexpr size_t kMinFields = 6;
  TableText table;
  table.form = TableForm::kMapping;
  LineReader lines(text);
  const size_t before = diagnostics->size();
  size_t warnings = 0;
  size_t told = 0;  // of them
  for (std::string_view line;
       diagnostics->size() - before - told < kMaxErrors && lines.Next(&line);) {
    line = Trim(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    if (!CheckBounds(line, table, file, lines.number(), options, diagnostics)) {
      if (table.entries.size() >= options.max_entries) break;
      continue;
    }
    const std::vector<std::string_view> fields = Split(line, ':');
    if (fields.size() < kMinFields || fields[0].empty()) {
      diagnostics->push_back(MakeError(
          {file, lines.number(), 0},
          StrCat("login:hash:uid:gid:gecos:home is wanted, found ", fields.size(), " field",
                 fields.size() == 1 ? "" : "s", fields[0].empty() ? " and no login" : "")));
      continue;
    }
    TableEntry entry;
    entry.line = lines.number();
    entry.key = std::string(fields[0]);
    if (use == PasswdUse::kCredentials) {
      entry.value = std::string(fields[1]);
    } else {
      entry.value = StrCat(fields[2], ":", fields[3], ":", fields[5]);
      // Such a login may still authenticate; it has no mailbox.
      if (const StatusOr<TableUserinfo> user = ParseUserinfo(entry.value); !user.ok()) {
        if (warnings++ >= kMaxWarnings) continue;
        ++told;
        diagnostics->push_back(MakeWarning({file, lines.number(), 0},
                                           StrCat("login \"", Escape(fields[0], 80),
                                                  "\" gets no mail: ", Message(user.status()))));
        continue;
      }
    }
    table.entries.push_back(std::move(entry));
  }
  return table;
}

}  // namespace postern::policy
