#include "lib/core/imap/search_criteria.h"

#include <utility>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/imap/date_time.h"
#include "lib/core/imap/parse_commands.h"
#include "lib/core/imap/scanner.h"

namespace postern::imap {
namespace {

using mailbox::SearchKey;
using Kind = SearchKey::Kind;

// What follows a key's name.
enum class Argument : uint8_t {
  kNone,
  kString,
  kKeyword,
  kDate,
  kNumber,
  kNumber64,
  kUids,
  kHeader,
  kKey,
  kTwoKeys
};

// KeyRow is one key of RFC 3501 §6.4.4; an extension's key is a row.
struct KeyRow {
  std::string_view name;
  Argument argument;
  Kind kind = Kind::kAll;
  mailbox::SystemFlags flag = 0;
  bool negated = false;
  std::string_view field = {};
};

constexpr KeyRow kKeys[] = {
    {"ALL", Argument::kNone, Kind::kAll},
    {"ANSWERED", Argument::kNone, Kind::kFlag, mailbox::kAnswered},
    {"BCC", Argument::kString, Kind::kHeader, 0, false, "Bcc"},
    {"BEFORE", Argument::kDate, Kind::kBefore},
    {"BODY", Argument::kString, Kind::kBody},
    {"CC", Argument::kString, Kind::kHeader, 0, false, "Cc"},
    {"DELETED", Argument::kNone, Kind::kFlag, mailbox::kDeleted},
    {"DRAFT", Argument::kNone, Kind::kFlag, mailbox::kDraft},
    {"FLAGGED", Argument::kNone, Kind::kFlag, mailbox::kFlagged},
    {"FROM", Argument::kString, Kind::kHeader, 0, false, "From"},
    {"HEADER", Argument::kHeader, Kind::kHeader},
    {"KEYWORD", Argument::kKeyword, Kind::kKeyword},
    {"LARGER", Argument::kNumber, Kind::kLarger},
    {"NOT", Argument::kKey, Kind::kNot},
    {"OLD", Argument::kNone, Kind::kRecent, 0, true},
    {"OLDER", Argument::kNumber, Kind::kOlder},  // RFC 5032
    {"ON", Argument::kDate, Kind::kOn},
    {"OR", Argument::kTwoKeys, Kind::kOr},
    {"RECENT", Argument::kNone, Kind::kRecent},
    {"SEEN", Argument::kNone, Kind::kFlag, mailbox::kSeen},
    {"SENTBEFORE", Argument::kDate, Kind::kSentBefore},
    {"SENTON", Argument::kDate, Kind::kSentOn},
    {"SENTSINCE", Argument::kDate, Kind::kSentSince},
    {"SINCE", Argument::kDate, Kind::kSince},
    {"SMALLER", Argument::kNumber, Kind::kSmaller},
    {"SUBJECT", Argument::kString, Kind::kHeader, 0, false, "Subject"},
    {"TEXT", Argument::kString, Kind::kText},
    {"TO", Argument::kString, Kind::kHeader, 0, false, "To"},
    {"UID", Argument::kUids, Kind::kUids},
    {"UNANSWERED", Argument::kNone, Kind::kFlag, mailbox::kAnswered, true},
    {"UNDELETED", Argument::kNone, Kind::kFlag, mailbox::kDeleted, true},
    {"UNDRAFT", Argument::kNone, Kind::kFlag, mailbox::kDraft, true},
    {"UNFLAGGED", Argument::kNone, Kind::kFlag, mailbox::kFlagged, true},
    {"UNKEYWORD", Argument::kKeyword, Kind::kKeyword, 0, true},
    {"UNSEEN", Argument::kNone, Kind::kFlag, mailbox::kSeen, true},
    {"YOUNGER", Argument::kNumber, Kind::kYounger},  // RFC 5032
};

bool IsSetChar(char c) { return IsAsciiDigit(c) || c == ':' || c == ',' || c == '*'; }

class CriteriaReader {
 public:
  CriteriaReader(Scanner& scanner, const SearchContext& context)
      : scanner_(scanner), context_(context) {}

  // Keys reads keys with blanks between, up to the end or a ')'; they hold together (RFC 3501
  // §6.4.4: AND).
  bool Keys(int depth, SearchKey* out) {
    std::vector<SearchKey> keys;
    do {
      SearchKey key;
      if (!Key(depth, &key)) return false;
      keys.push_back(std::move(key));
    } while (scanner_.Space() && !scanner_.AtEnd() && scanner_.Peek() != ')');
    *out = keys.size() == 1 ? std::move(keys[0]) : SearchKey::And(std::move(keys));
    return true;
  }

 private:
  bool Key(int depth, SearchKey* out) {
    if (depth > context_.depth_limit)
      return scanner_.Fail("parentheses, NOT and OR stand too deep in one another");
    if (++count_ > context_.keys_limit) return scanner_.Fail("too many criteria");
    if (scanner_.Char('(')) {
      scanner_.SkipSpaces();
      return Keys(depth + 1, out) && (scanner_.Char(')') || scanner_.Fail("')' was expected"));
    }
    if (IsSetChar(scanner_.Peek())) {
      out->kind = Kind::kNumbers;
      return Set(context_.largest_number, &out->set);
    }
    std::string_view word;
    if (!scanner_.Atom(&word)) return false;
    if (EqualsIgnoreCase(word, "NEW")) {
      *out = SearchKey::And({SearchKey::Recent(), SearchKey::Not(SearchKey::Flag(mailbox::kSeen))});
      return true;
    }
    for (const KeyRow& row : kKeys) {
      if (!EqualsIgnoreCase(row.name, word)) continue;
      out->kind = row.kind;
      out->flag = row.flag;
      out->field = std::string(row.field);
      if (!Arguments(row, depth, out)) return false;
      if (row.negated) *out = SearchKey::Not(std::move(*out));
      return true;
    }
    return scanner_.Fail("a search key is unknown");
  }

  bool Arguments(const KeyRow& row, int depth, SearchKey* out) {
    if (row.argument == Argument::kNone) return true;
    if (!scanner_.Space()) return scanner_.Fail("an argument of a search key is missing");
    switch (row.argument) {
      case Argument::kNone: return true;
      case Argument::kString: return scanner_.AString(&out->text);
      case Argument::kKeyword: {
        std::string_view word;
        if (!scanner_.Atom(&word)) return false;
        out->text = std::string(word);
        return true;
      }
      case Argument::kDate: return Date(&out->number);
      case Argument::kNumber: {
        uint32_t number = 0;
        if (!scanner_.Number(&number)) return false;
        out->number = number;
        return true;
      }
      case Argument::kNumber64: return scanner_.Number64(&out->number);
      case Argument::kUids: return Set(context_.largest_uid, &out->set);
      case Argument::kHeader:
        return scanner_.AString(&out->field) &&
               (scanner_.Space() || scanner_.Fail("an argument of HEADER is missing")) &&
               scanner_.AString(&out->text);
      case Argument::kKey: return Key(depth + 1, &out->children.emplace_back());
      case Argument::kTwoKeys:
        out->children.resize(2);
        return Key(depth + 1, &out->children[0]) &&
               (scanner_.Space() || scanner_.Fail("OR takes two keys")) &&
               Key(depth + 1, &out->children[1]);
    }
    return false;
  }

  bool Set(uint32_t largest, mailbox::UidSet* set) {
    std::optional<mailbox::UidSet> parsed =
        mailbox::ParseUidSet(scanner_.While(IsSetChar), largest);
    if (!parsed) return scanner_.Fail("a sequence set was expected");
    *set = std::move(*parsed);
    return true;
  }

  // RFC 3501 §9: date = date-text / DQUOTE date-text DQUOTE
  bool Date(uint64_t* days) {
    std::string text;
    if (!scanner_.AString(&text)) return false;
    const std::optional<int64_t> parsed = ParseSearchDate(text);
    if (!parsed) return scanner_.Fail("a date is not well formed");
    // No message is older than the epoch of its clock.
    *days = static_cast<uint64_t>(*parsed < 0 ? 0 : *parsed);
    return true;
  }

  Scanner& scanner_;
  const SearchContext& context_;
  size_t count_ = 0;
};

// ReadCriteria reads the arguments of SEARCH; false with the reason in `scanner`.
bool ReadCriteria(Scanner& scanner, const SearchContext& context, std::string* charset,
                  SearchKey* key) {
  *charset = "US-ASCII";
  if (scanner.Keyword("CHARSET") &&
      (!scanner.Space() || !scanner.AString(charset) || !scanner.Space())) {
    return scanner.Fail("CHARSET takes a name, and criteria follow");
  }
  CriteriaReader reader(scanner, context);
  if (!reader.Keys(0, key)) return false;
  scanner.SkipSpaces();
  return scanner.AtEnd() || scanner.Fail("there is more than criteria");
}

}  // namespace

StatusOr<SearchKey> ParseSearchCriteria(std::string_view text, const SearchContext& context) {
  Scanner scanner(text);
  std::string charset;
  SearchKey key;
  if (!ReadCriteria(scanner, context, &charset, &key))
    return InvalidArgument(std::string(scanner.error()));
  if (!EqualsIgnoreCase(charset, "UTF-8") && !EqualsIgnoreCase(charset, "US-ASCII")) {
    return Unimplemented("the charset is not known");
  }
  return key;
}

bool ParseSearch(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments) {
  if (!scanner.Space()) return scanner.Fail("the criteria are missing");
  SearchArguments search;
  search.criteria = std::string(scanner.rest());
  // "*" may be anything for the check.
  SearchContext context;
  context.largest_number = mailbox::kMaxNumber;
  context.largest_uid = mailbox::kMaxNumber;
  context.depth_limit = limits.search_depth;
  context.keys_limit = limits.search_keys;
  // A charset that is not known is answered with NO, by whoever runs the command.
  Scanner criteria(search.criteria);
  std::string charset;
  SearchKey key;
  if (!ReadCriteria(criteria, context, &charset, &key)) return scanner.Fail(criteria.error());
  *arguments = std::move(search);
  return true;
}

}  // namespace postern::imap
