#include "lib/core/imap/fetch_items.h"

#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/imap/scanner.h"
#include "lib/core/imap/strings_out.h"

namespace postern::imap {
namespace {

using Kind = FetchItem::Kind;

// The items that are a word and nothing more; an extension's item is a row. BODY and BODY.PEEK,
// which may have a section, are read apart.
struct ItemRow {
  std::string_view name;
  Kind kind;
};
constexpr ItemRow kItems[] = {
    {"FLAGS", Kind::kFlags},
    {"UID", Kind::kUid},
    {"INTERNALDATE", Kind::kInternalDate},
    {"RFC822.SIZE", Kind::kRfc822Size},
    {"ENVELOPE", Kind::kEnvelope},
    {"BODY", Kind::kBody},
    {"BODYSTRUCTURE", Kind::kBodyStructure},
    {"RFC822", Kind::kRfc822},
    {"RFC822.HEADER", Kind::kRfc822Header},
    {"RFC822.TEXT", Kind::kRfc822Text},
    {"MODSEQ", Kind::kModSeq},
};

// RFC 3501 §6.4.5: the macros, which must stand alone.
struct MacroRow {
  std::string_view name;
  std::vector<Kind> kinds;
};
const std::vector<MacroRow>& Macros() {
  static const std::vector<MacroRow> macros = {
      {"ALL", {Kind::kFlags, Kind::kInternalDate, Kind::kRfc822Size, Kind::kEnvelope}},
      {"FAST", {Kind::kFlags, Kind::kInternalDate, Kind::kRfc822Size}},
      {"FULL",
       {Kind::kFlags, Kind::kInternalDate, Kind::kRfc822Size, Kind::kEnvelope, Kind::kBody}},
  };
  return macros;
}

struct TextRow {
  std::string_view name;
  BodySection::Text text;
};
constexpr TextRow kTexts[] = {
    {"HEADER", BodySection::Text::kHeader},
    {"HEADER.FIELDS", BodySection::Text::kHeaderFields},
    {"HEADER.FIELDS.NOT", BodySection::Text::kHeaderFieldsNot},
    {"TEXT", BodySection::Text::kText},
    {"MIME", BodySection::Text::kMime},
};

bool IsItemChar(char c) { return IsAsciiAlnum(c) || c == '.'; }

bool ParseFieldNames(Scanner& scanner, std::vector<std::string>* fields) {
  if (!scanner.Space() || !scanner.Char('('))
    return scanner.Fail("a list of header names in parentheses was expected");
  while (true) {
    std::string name;
    if (!scanner.AString(&name)) return false;
    fields->push_back(std::move(name));
    if (scanner.Char(')')) return true;
    if (!scanner.Space())
      return scanner.Fail("a blank or ')' was expected in the list of header names");
  }
}

// RFC 3501 §9: section-spec = section-msgtext / (section-part ["." section-text]).
bool ParseSection(Scanner& scanner, BodySection* section) {
  constexpr size_t kMaxPartDepth = 100;  // no deeper than the MIME tree that message/ makes
  if (scanner.Char(']')) return true;
  while (IsAsciiDigit(scanner.Peek())) {
    uint32_t number = 0;
    if (!scanner.NonZeroNumber(&number)) return scanner.Fail("a part number was expected");
    if (section->part.size() >= kMaxPartDepth) return scanner.Fail("the section goes too deep");
    section->part.push_back(number);
    if (scanner.Char(']')) return true;
    if (!scanner.Char('.')) return scanner.Fail("'.' or ']' was expected in the section");
  }
  const std::string_view word = scanner.While(IsItemChar);
  const TextRow* found = nullptr;
  for (const TextRow& row : kTexts) {
    if (EqualsIgnoreCase(row.name, word)) found = &row;
  }
  if (found == nullptr) return scanner.Fail("the section is unknown");
  section->text = found->text;
  // RFC 3501 §6.4.5: MIME is about a part; the message as a whole has none.
  if (section->text == BodySection::Text::kMime && section->part.empty()) {
    return scanner.Fail("MIME needs a part number");
  }
  if (section->text == BodySection::Text::kHeaderFields ||
      section->text == BodySection::Text::kHeaderFieldsNot) {
    if (!ParseFieldNames(scanner, &section->fields)) return false;
  }
  return scanner.Char(']') || scanner.Fail("']' was expected");
}

bool ParsePartial(Scanner& scanner, std::optional<FetchItem::Partial>* partial) {
  if (!scanner.Char('<')) return true;
  FetchItem::Partial range;
  if (!scanner.Number(&range.first) || !scanner.Char('.') ||
      !scanner.NonZeroNumber(&range.length) || !scanner.Char('>')) {
    return scanner.Fail("a partial is <first.length>, and the length is not zero");
  }
  *partial = range;
  return true;
}

bool ParseItem(Scanner& scanner, FetchItem* item) {
  const std::string_view word = scanner.While(IsItemChar);
  const bool peek = EqualsIgnoreCase(word, "BODY.PEEK");
  if ((peek || EqualsIgnoreCase(word, "BODY")) && scanner.Char('[')) {
    item->kind = Kind::kSection;
    item->peek = peek;
    return ParseSection(scanner, &item->section) && ParsePartial(scanner, &item->partial);
  }
  for (const ItemRow& row : kItems) {
    if (!EqualsIgnoreCase(row.name, word)) continue;
    item->kind = row.kind;
    return true;
  }
  return scanner.Fail("an item of FETCH is unknown");
}

}  // namespace

std::string BodySection::ToString() const {
  std::string out;
  for (uint32_t number : part) {
    if (!out.empty()) out.push_back('.');
    StrAppend(out, number);
  }
  if (text == Text::kAll) return out;
  if (!out.empty()) out.push_back('.');
  for (const TextRow& row : kTexts) {
    if (row.text == text) out.append(row.name);
  }
  if (fields.empty()) return out;
  out.append(" (");
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) out.push_back(' ');
    AppendAString(out, fields[i]);
  }
  out.push_back(')');
  return out;
}

bool FetchItem::SetsSeen() const {
  return kind == Kind::kRfc822 || kind == Kind::kRfc822Text || (kind == Kind::kSection && !peek);
}

bool FetchItem::NeedsContent() const {
  switch (kind) {
    case Kind::kFlags:
    case Kind::kUid:
    case Kind::kInternalDate:
    case Kind::kRfc822Size:
    case Kind::kModSeq: return false;
    default: return true;
  }
}

std::string FetchItem::ResponseName() const {
  if (kind != Kind::kSection) {
    for (const ItemRow& row : kItems) {
      if (row.kind == kind) return std::string(row.name);
    }
  }
  std::string out = StrCat("BODY[", section.ToString(), "]");
  // RFC 3501 §7.4.2: only the first octet's number comes back.
  if (partial) StrAppend(out, "<", partial->first, ">");
  return out;
}

bool ParseFetchItems(Scanner& scanner, size_t max_items, std::vector<FetchItem>* items) {
  if (!scanner.Char('(')) {
    for (const MacroRow& macro : Macros()) {
      if (!scanner.Keyword(macro.name)) continue;
      for (Kind kind : macro.kinds) items->emplace_back().kind = kind;
      return true;
    }
    return ParseItem(scanner, &items->emplace_back());
  }
  while (true) {
    scanner.SkipSpaces();
    if (scanner.Char(')')) return !items->empty() || scanner.Fail("the list of items is empty");
    if (items->size() >= max_items) return scanner.Fail("too many items");
    if (!ParseItem(scanner, &items->emplace_back())) return false;
    if (scanner.Peek() != ' ' && scanner.Peek() != ')')
      return scanner.Fail("a blank or ')' was expected after an item");
  }
}

}  // namespace postern::imap
