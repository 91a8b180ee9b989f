// The right-hand sides of aliases(5), and forward(5) files.

#include "lib/core/base/strings.h"
#include "lib/core/policy/expansion.h"

namespace postern::policy {
namespace {

// SplitItems cuts at commas that neither quotes nor a backslash protect. The items keep their
// quotes.
StatusOr<std::vector<std::string_view>> SplitItems(std::string_view text) {
  std::vector<std::string_view> items;
  size_t start = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == ',' && !quoted) {
      items.push_back(Trim(text.substr(start, i - start)));
      start = i + 1;
    }
  }
  if (quoted) return InvalidArgument(StrCat("\"", Escape(text, 80), "\": a quote is not closed"));
  items.push_back(Trim(text.substr(start)));
  return items;
}

// Unquote takes the quotes off an item that is one quoted string as a whole; others stay as they
// are.
std::string Unquote(std::string_view item) {
  if (item.size() < 2 || item.front() != '"' || item.back() != '"') return std::string(item);
  std::string out;
  for (size_t i = 1; i + 1 < item.size(); ++i) {
    if (item[i] == '\\' && i + 2 < item.size()) {
      ++i;
    } else if (item[i] == '"') {
      return std::string(item);  // quotes in the middle: "a"@"b" and the like
    }
    out.push_back(item[i]);
  }
  return out;
}

bool IsUserName(std::string_view text) {
  if (text.empty() || text.size() > mail::kMaxLocalPartBytes) return false;
  for (const char c : text) {
    if (!IsAsciiAlnum(c) && c != '_' && c != '.' && c != '-' && c != '+') return false;
  }
  return true;
}

// After reads what follows a word like "include:", with or without a colon in front of it.
std::optional<std::string_view> After(std::string_view item, std::string_view word) {
  if (!item.empty() && item[0] == ':') item.remove_prefix(1);
  if (!StartsWithIgnoreCase(item, word)) return std::nullopt;
  return Trim(item.substr(word.size()));
}

StatusOr<AliasValue> ParseItem(std::string_view raw) {
  AliasValue value;
  const std::string item = Unquote(raw);
  const auto bad = [&](std::string_view why) {
    return InvalidArgument(StrCat("\"", Escape(raw, 80), "\": ", why));
  };
  if (item.find('\0') != std::string::npos) return bad("a NUL octet");
  if (const auto text = After(item, "error:")) {
    value.kind = AliasValue::Kind::kError;
    value.text = std::string(*text);
    if (!mail::Reply::FromText(value.text).ok())
      return bad("error: wants a 4xx or 5xx code and a text");
    return value;
  }
  if (const auto path = After(item, "include:")) {
    value.kind = AliasValue::Kind::kInclude;
    value.text = std::string(*path);
    if (value.text.empty() || value.text[0] != '/') return bad("include: wants an absolute path");
    return value;
  }
  if (item[0] == '|') {
    value.kind = AliasValue::Kind::kCommand;
    value.text = std::string(Trim(Unquote(Trim(std::string_view(item).substr(1)))));
    if (value.text.empty()) return bad("a command is wanted behind |");
    return value;
  }
  if (item[0] == '/') {
    value.kind = AliasValue::Kind::kFile;
    value.text = item;
    return value;
  }
  if (raw.find('@') != std::string_view::npos) {
    value.kind = AliasValue::Kind::kAddress;
    StatusOr<mail::Address> address = mail::ParseAddress(raw);
    if (!address.ok() && item != raw) address = mail::ParseAddress(item);
    if (!address.ok()) return bad(Message(address.status()));
    value.address = *std::move(address);
    return value;
  }
  value.kind = AliasValue::Kind::kUser;
  value.text =
      AsciiLower(item[0] == '\\' ? std::string_view(item).substr(1) : std::string_view(item));
  if (!IsUserName(value.text))
    return bad("neither a user, an address, a file, a command, an include nor an error");
  return value;
}

// WithoutComment cuts a line at a `#` that begins it or follows a blank or a comma, outside of
// quotes: within a word it belongs to the word.
std::string_view WithoutComment(std::string_view line) {
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\') {
      ++i;
    } else if (line[i] == '"') {
      quoted = !quoted;
    } else if (line[i] == '#' && !quoted &&
               (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t' || line[i - 1] == ',')) {
      return line.substr(0, i);
    }
  }
  return line;
}

}  // namespace

StatusOr<std::vector<AliasValue>> ParseAliasValues(std::string_view text) {
  StatusOr<std::vector<std::string_view>> items = SplitItems(text);
  if (!items.ok()) return items.status();
  std::vector<AliasValue> values;
  for (const std::string_view item : *items) {
    if (item.empty()) continue;
    StatusOr<AliasValue> value = ParseItem(item);
    if (!value.ok()) return value.status();
    values.push_back(*std::move(value));
  }
  return values;
}

StatusOr<std::vector<AliasValue>> ParseForwardText(std::string_view text) {
  std::vector<AliasValue> values;
  int number = 0;
  for (std::string_view line : Split(text, '\n')) {
    ++number;
    line = Trim(WithoutComment(line));
    if (line.empty()) continue;
    StatusOr<std::vector<AliasValue>> parsed = ParseAliasValues(line);
    if (!parsed.ok()) return Annotate(parsed.status(), StrCat("line ", number));
    values.insert(values.end(), std::make_move_iterator(parsed->begin()),
                  std::make_move_iterator(parsed->end()));
  }
  return values;
}

}  // namespace postern::policy
