// Tables of what IMAP's grammar takes, what it gives, and what it refuses.
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/imap/command_table.h"
#include "lib/core/imap/date_time.h"
#include "lib/core/imap/fetch_items.h"
#include "lib/core/imap/scanner.h"
#include "lib/core/imap/search_criteria.h"
#include "lib/core/imap/sequence_set.h"
#include "lib/core/imap/strings_out.h"

namespace postern::imap {
namespace {

TEST(SequenceSet, ReadsAndWrites) {
  struct Case {
    std::string_view text;
    uint32_t largest;
    std::string_view resolved;  // "-" is refused
  };
  constexpr Case kCases[] = {
      {"1", 10, "1"},
      {"1:3,5", 10, "1:3,5"},
      {"4:2", 10, "2:4"},
      {"*", 10, "10"},
      {"*", 0, ""},
      {"8:*", 10, "8:10"},
      {"12:*", 10, "10:12"},
      {"*:3", 10, "3:10"},
      {"3,2,1", 10, "1:3"},
      {"1:4294967295", 10, "1:4294967295"},
      {"4294967295,4294967294", 10, "4294967294:4294967295"},
      {"0", 10, "-"},
      {"01", 10, "-"},
      {"", 10, "-"},
      {"1,", 10, "-"},
      {",1", 10, "-"},
      {"1::2", 10, "-"},
      {"1:2:3", 10, "-"},
      {"4294967296", 10, "-"},
      {"-1", 10, "-"},
      {"1 2", 10, "-"},
  };
  for (const Case& c : kCases) {
    const std::optional<SequenceSet> set = ParseSequenceSet(c.text);
    if (c.resolved == "-") {
      EXPECT_FALSE(set.has_value()) << c.text;
      continue;
    }
    ASSERT_TRUE(set.has_value()) << c.text;
    EXPECT_EQ(set->ToString(), c.text);
    EXPECT_EQ(set->Resolve(c.largest).ToString(), c.resolved) << c.text;
  }
  EXPECT_FALSE(ParseSequenceSet("1,2,3", 2).has_value());
}

TEST(DateTime, ReadsAndWrites) {
  struct Case {
    std::string_view text;
    std::string_view utc;  // "-" is refused
  };
  constexpr Case kCases[] = {
      {"17-Jul-1996 02:44:25 -0700", "17-Jul-1996 09:44:25 +0000"},
      {" 1-Feb-2008 00:00:00 +0100", "31-Jan-2008 23:00:00 +0000"},
      {"1-Feb-2008 00:00:00 +0000", " 1-Feb-2008 00:00:00 +0000"},
      {"01-feb-2008 23:59:60 +0000", " 2-Feb-2008 00:00:00 +0000"},
      {"31-Feb-2008 00:00:00 +0000", "-"},
      {"1-Feb-2008 24:00:00 +0000", "-"},
      {"1-Feb-2008 00:00:00 0000", "-"},
      {"1-Feb-2008 00:00:00 +9900", "-"},
      {"1-Feb-08 00:00:00 +0000", "-"},
      {"1-Feb-2008 00:00:00", "-"},
      {"", "-"},
  };
  for (const Case& c : kCases) {
    const std::optional<WallTime> time = ParseDateTime(c.text);
    EXPECT_EQ(time ? FormatDateTime(*time) : "-", c.utc) << c.text;
  }
  EXPECT_EQ(ParseSearchDate("1-Jan-1970"), 0);
  EXPECT_EQ(ParseSearchDate("29-Feb-2024"), 19782);
  EXPECT_EQ(ParseSearchDate("29-Feb-2023"), std::nullopt);
  EXPECT_EQ(ParseSearchDate("1-Jan-70"), std::nullopt);
  EXPECT_EQ(FormatSearchDate(19782), "29-Feb-2024");
}

TEST(FetchItems, ReadsAndWrites) {
  struct Case {
    std::string_view text;
    std::string_view names;  // of the answer, with ';' between; "-" is refused
  };
  constexpr Case kCases[] = {
      {"FLAGS", "FLAGS"},
      {"fast", "FLAGS;INTERNALDATE;RFC822.SIZE"},
      {"ALL", "FLAGS;INTERNALDATE;RFC822.SIZE;ENVELOPE"},
      {"FULL", "FLAGS;INTERNALDATE;RFC822.SIZE;ENVELOPE;BODY"},
      {"(UID FLAGS)", "UID;FLAGS"},
      {"( UID  FLAGS )", "UID;FLAGS"},
      {"(ALL)", "-"},
      {"()", "-"},
      {"BODY", "BODY"},
      {"BODYSTRUCTURE", "BODYSTRUCTURE"},
      {"BODY[]", "BODY[]"},
      {"BODY.PEEK[]", "BODY[]"},
      {"body.peek[text]<0.100>", "BODY[TEXT]<0>"},
      {"BODY[1.2.MIME]", "BODY[1.2.MIME]"},
      {"BODY[1.2]<4294967295.1>", "BODY[1.2]<4294967295>"},
      {"BODY[HEADER.FIELDS (From \"To\")]", "BODY[HEADER.FIELDS (From To)]"},
      {"BODY[HEADER.FIELDS.NOT ({4}\r\nFrom)]", "BODY[HEADER.FIELDS.NOT (From)]"},
      {"(BODY[1.HEADER] RFC822.TEXT)", "BODY[1.HEADER];RFC822.TEXT"},
      {"BODY[MIME]", "-"},
      {"BODY[0]", "-"},
      {"BODY[1.]", "-"},
      {"BODY[1", "-"},
      {"BODY[FOO]", "-"},
      {"BODY[HEADER.FIELDS]", "-"},
      {"BODY[HEADER.FIELDS ()]", "-"},
      {"BODY[]<0.0>", "-"},
      {"BODY[]<0>", "-"},
      {"BODY.PEEK", "-"},
      {"FLAGSX", "-"},
      {"(FLAGS", "-"},
      {"(FLAGS,UID)", "-"},
  };
  for (const Case& c : kCases) {
    Scanner scanner(c.text);
    std::vector<FetchItem> items;
    const bool good = ParseFetchItems(scanner, 100, &items) && scanner.AtEnd();
    std::string names;
    for (const FetchItem& item : items) {
      if (!names.empty()) names.push_back(';');
      names.append(item.ResponseName());
    }
    EXPECT_EQ(good ? names : "-", c.names) << c.text;
  }
}

TEST(StringsOut, ChooseTheFormThatHolds) {
  struct Case {
    std::string octets;
    std::string_view string;
    std::string_view astring;
  };
  const Case kCases[] = {
      {"", "\"\"", "\"\""},
      {"word", "\"word\"", "word"},
      {"two words", "\"two words\"", "\"two words\""},
      {"a\"b\\", "\"a\\\"b\\\\\"", "\"a\\\"b\\\\\""},
      {"NIL", "\"NIL\"", "\"NIL\""},
      {"a]b", "\"a]b\"", "a]b"},
      {"\r\n", "{2}\r\n\r\n", "{2}\r\n\r\n"},
      {"\xc3\xa9", "{2}\r\n\xc3\xa9", "{2}\r\n\xc3\xa9"},
      {std::string("a\0b", 3), "{3}\r\na?b", "{3}\r\na?b"},
  };
  for (const Case& c : kCases) {
    std::string out;
    AppendString(out, c.octets);
    EXPECT_EQ(out, c.string);
    out.clear();
    AppendAString(out, c.octets);
    EXPECT_EQ(out, c.astring);
    std::string again;
    Scanner scanner(c.string);
    EXPECT_TRUE(scanner.QuotedOrLiteral(&again) && scanner.AtEnd()) << c.string;
  }
}

// Shape writes a key as a Lisp-like tree, so that a table can hold it.
std::string Shape(const mailbox::SearchKey& key) {
  using Kind = mailbox::SearchKey::Kind;
  constexpr std::string_view kNames[] = {
      "all",    "and",        "or",      "not",       "numbers", "uids",    "flag",   "keyword",
      "recent", "larger",     "smaller", "modseq",    "older",   "younger", "before", "on",
      "since",  "sentbefore", "senton",  "sentsince", "header",  "body",    "text"};
  std::string out = StrCat("(", kNames[static_cast<int>(key.kind)]);
  if (key.kind == Kind::kFlag) StrAppend(out, " ", mailbox::SystemFlagName(key.flag));
  if (key.kind == Kind::kNumbers || key.kind == Kind::kUids)
    StrAppend(out, " ", key.set.ToString());
  if (key.number != 0) StrAppend(out, " ", key.number);
  if (!key.field.empty()) StrAppend(out, " ", key.field);
  if (!key.text.empty()) StrAppend(out, " '", key.text, "'");
  for (const mailbox::SearchKey& child : key.children) StrAppend(out, " ", Shape(child));
  return StrCat(out, ")");
}

TEST(SearchCriteria, ReadEveryKey) {
  struct Case {
    std::string_view text;
    std::string_view shape;  // "-" is a syntax error, "charset" a charset that is not known
  };
  constexpr Case kCases[] = {
      {"ALL", "(all)"},
      {"all answered", "(and (all) (flag \\Answered))"},
      {"2:4", "(numbers 2:4)"},
      {"9:*", "(numbers 9:10)"},
      {"UID 5:*", "(uids 5:77)"},
      {"NEW", "(and (recent) (not (flag \\Seen)))"},
      {"OLD", "(not (recent))"},
      {"UNSEEN UNKEYWORD $Junk", "(and (not (flag \\Seen)) (not (keyword '$Junk')))"},
      {"NOT (DELETED SEEN)", "(not (and (flag \\Deleted) (flag \\Seen)))"},
      {"OR FROM a TO \"b c\"", "(or (header From 'a') (header To 'b c'))"},
      {"OR (1 2) OR 3 4", "(or (and (numbers 1) (numbers 2)) (or (numbers 3) (numbers 4)))"},
      {"HEADER X-Spam \"\"", "(header X-Spam)"},
      {"BODY {3}\r\na)b", "(body 'a)b')"},
      {"TEXT x LARGER 5 SMALLER 4294967295", "(and (text 'x') (larger 5) (smaller 4294967295))"},
      {"SINCE 1-Feb-1994", "(since 8797)"},
      {"SENTBEFORE \"1-Feb-1994\"", "(sentbefore 8797)"},
      {"CHARSET UTF-8 SUBJECT {2+}\r\n\xc3\xa9", "(header Subject '\xc3\xa9')"},
      {"charset us-ascii ALL", "(all)"},
      {"YOUNGER 3600", "(younger 3600)"},
      {"CHARSET KOI8-R ALL", "charset"},
      {"CHARSET UTF-8", "-"},
      {"", "-"},
      {"BOGUS", "-"},
      {"FROM", "-"},
      {"NOT", "-"},
      {"OR 1", "-"},
      {"(ALL", "-"},
      {"ALL)", "-"},
      {"()", "-"},
      {"SINCE 31-Feb-1994", "-"},
      {"SINCE tomorrow", "-"},
      {"LARGER -1", "-"},
      {"LARGER 4294967296", "-"},
      {"0", "-"},
      {"ALL ,", "-"},
  };
  SearchContext context;
  context.largest_number = 10;
  context.largest_uid = 77;
  for (const Case& c : kCases) {
    const StatusOr<mailbox::SearchKey> key = ParseSearchCriteria(c.text, context);
    std::string shape = key.ok()                                            ? Shape(*key)
                        : key.status().code() == StatusCode::kUnimplemented ? "charset"
                                                                            : "-";
    EXPECT_EQ(shape, c.shape) << c.text;
  }
}

TEST(SearchCriteria, DepthAndCountAreBounded) {
  SearchContext context;
  context.depth_limit = 32;
  context.keys_limit = 100;
  const auto good = [&context](const std::string& text) {
    return ParseSearchCriteria(text, context).ok();
  };
  EXPECT_TRUE(good(StrCat(std::string(32, '('), "ALL", std::string(32, ')'))));
  EXPECT_FALSE(good(StrCat(std::string(33, '('), "ALL", std::string(33, ')'))));
  EXPECT_FALSE(good(std::string(100000, '(')));
  std::string nots;
  for (int i = 0; i < 33; ++i) nots += "NOT ";
  EXPECT_FALSE(good(StrCat(nots, "ALL")));
  std::string many = "ALL";
  for (int i = 0; i < 99; ++i) many += " ALL";
  EXPECT_TRUE(good(many));
  EXPECT_FALSE(good(StrCat(many, " ALL")));
}

TEST(CommandTable, EveryRowHasAnArgumentReaderAndAState) {
  for (int i = 0; i <= static_cast<int>(CommandKind::kMove); ++i) {
    const CommandRow& row = RowOf(static_cast<CommandKind>(i));
    EXPECT_NE(row.parse, nullptr) << row.name;
    EXPECT_NE(row.states, 0) << row.name;
    EXPECT_EQ(FindCommand(AsciiLower(row.name)), &row);
    EXPECT_FALSE(AllowedIn(row, State::kLogout)) << row.name;
  }
}

}  // namespace
}  // namespace postern::imap
