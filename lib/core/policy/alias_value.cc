// The right-hand sides of aliases(5), and forward(5) files.

#include "lib/core/base/strings.h"
#include "lib/core/policy/alias_advice.h"
#include "lib/core/policy/expansion.h"

namespace postern::policy {
namespace {

// SplitItems cuts at commas that neither quotes nor a backslash protect. The items keep their
// quotes. A quote that is not closed makes the rest one item, and `*open_quote` its start.
std::vector<std::string_view> SplitItems(std::string_view text, size_t* open_quote) {
  std::vector<std::string_view> items;
  size_t start = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
      *open_quote = quoted ? i : std::string_view::npos;
    } else if (text[i] == ',' && !quoted) {
      items.push_back(Trim(text.substr(start, i - start)));
      start = i + 1;
    }
  }
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

std::vector<AliasFault> FindAliasFaults(std::string_view text, std::vector<AliasValue>* values) {
  std::vector<AliasFault> faults;
  size_t open_quote = std::string_view::npos;
  const std::vector<std::string_view> items = SplitItems(text, &open_quote);
  if (open_quote != std::string_view::npos) {
    // Where it was meant to end nobody knows, so that nothing of the list can be believed.
    faults.push_back({1, open_quote, std::string(text.substr(open_quote)),
                      StrCat("\"", Escape(text, 80), "\": a quote is not closed")});
    return faults;
  }
  for (const std::string_view item : items) {
    if (item.empty()) continue;
    if (faults.size() >= kMaxAliasFaults) break;
    StatusOr<AliasValue> value = ParseItem(item);
    if (value.ok()) {
      values->push_back(*std::move(value));
    } else {
      faults.push_back({1, static_cast<size_t>(item.data() - text.data()), std::string(item),
                        std::string(Message(value.status()))});
    }
  }
  return faults;
}

std::vector<AliasFault> FindForwardFaults(std::string_view text, std::vector<AliasValue>* values) {
  std::vector<AliasFault> faults;
  int number = 0;
  for (const std::string_view line : Split(text, '\n')) {
    ++number;
    if (faults.size() >= kMaxAliasFaults) break;
    for (AliasFault& fault : FindAliasFaults(WithoutComment(line), values)) {
      fault.line = number;
      faults.push_back(std::move(fault));
    }
  }
  return faults;
}

StatusOr<std::vector<AliasValue>> ParseAliasValues(std::string_view text) {
  std::vector<AliasValue> values;
  const std::vector<AliasFault> faults = FindAliasFaults(text, &values);
  if (!faults.empty()) return InvalidArgument(faults.front().message);
  return values;
}

StatusOr<std::vector<AliasValue>> ParseForwardText(std::string_view text) {
  std::vector<AliasValue> values;
  const std::vector<AliasFault> faults = FindForwardFaults(text, &values);
  if (!faults.empty())
    return InvalidArgument(StrCat("line ", faults.front().line, ": ", faults.front().message));
  return values;
}

}  // namespace postern::policy
