#include "lib/core/mailbox/search.h"

#include <gtest/gtest.h>

namespace postern::mailbox {
namespace {

class FakeMessage final : public SearchableMessage {
 public:
  explicit FakeMessage(int* opened) { ++*opened; }
  StatusOr<bool> EachHeader(
      std::string_view name,
      const std::function<bool(std::string_view, std::string_view)>& visit) override {
    if ((name.empty() || name == "Subject") &&
        visit("Subject", "Gr\xc3\x9c\xc3\x9f\x65  aus K\xc3\x96LN"))
      return true;
    return (name.empty() || name == "X-Empty") && visit("X-Empty", "");
  }
  StatusOr<std::optional<mail::MailDate>> SentDate() override {
    mail::MailDate date;
    // 23:00 on day 1, 01:00 on day 2 in its own zone
    date.time = absl::FromUnixSeconds(2 * 86400 - 3600);
    date.offset_minutes = 120;
    return std::optional<mail::MailDate>(date);
  }
  StatusOr<bool> EachText(const std::function<bool(std::string_view)>& visit) override {
    return visit("The quick\r\nbrown Fox");
  }
};

TEST(SearchTest, EveryKey) {
  using Key = SearchKey;
  using Kind = SearchKey::Kind;
  MessageInfo message;
  message.uid = 50;
  message.flags = kSeen;
  message.recent = true;
  message.modseq = 7;
  message.keywords = 2;
  message.size_bytes = 1000;
  message.internal_date_s = 10 * 86400 + 100;
  KeywordTable table;
  table.Set(1, "Work");
  struct Row {
    Key key;
    bool matches;
    int opened;
  };
  const Row rows[] = {
      {Key::All(), true, 0},
      {Key::And({}), true, 0},
      {Key::And({Key::Flag(kSeen), Key::Flag(kDeleted)}), false, 0},
      {Key::Or(Key::Flag(kSeen), Key::Flag(kDeleted)), true, 0},
      {Key::Not(Key::Flag(kDeleted)), true, 0},
      {Key::Numbers(UidSet{4}), true, 0},
      {Key::Uids(UidSet{4}), false, 0},
      {Key::Uids(UidSet::OfRange(1, 100)), true, 0},
      {Key::Keyword("work"), true, 0},
      {Key::Keyword("play"), false, 0},
      {Key::Recent(), true, 0},
      {Key::Number(Kind::kLarger, 1000), false, 0},
      {Key::Number(Kind::kLarger, 999), true, 0},
      {Key::Number(Kind::kSmaller, 1001), true, 0},
      {Key::Number(Kind::kModSeq, 7), true, 0},
      {Key::Number(Kind::kModSeq, 8), false, 0},
      {Key::Number(Kind::kOn, 10), true, 0},
      {Key::Number(Kind::kBefore, 10), false, 0},
      {Key::Number(Kind::kSince, 10), true, 0},
      {Key::Number(Kind::kOlder, 86300), true, 0},
      {Key::Number(Kind::kYounger, 60), false, 0},
      {Key::Number(Kind::kSentOn, 2), true, 1},
      {Key::Number(Kind::kSentBefore, 2), false, 1},
      {Key::Number(Kind::kSentSince, 2), true, 1},
      {Key::Header("Subject", "gr\xc3\xbc\xc3\x9f\x65 AUS k\xc3\xb6ln"), true, 1},
      {Key::Header("Subject", "berlin"), false, 1},
      {Key::Header("X-Empty", ""), true, 1},
      {Key::Header("X-None", ""), false, 1},
      {Key::Body("QUICK brown fox"), true, 1},
      {Key::Body("subject"), false, 1},
      {Key::Text("subject: gr"), true, 1},
      {Key::Text("brown"), true, 1},
      {Key::And({Key::Body("brown"), Key::Flag(kDeleted)}), false, 0},
      {Key::Or(Key::Body("nothing"), Key::Flag(kSeen)), true, 0},
  };
  int row_number = 0;
  for (const Row& row : rows) {
    int opened = 0;
    const Search search(row.key, table, absl::FromUnixSeconds(11 * 86400));
    EXPECT_EQ(search.Matches(message, 4, [&] { return std::make_unique<FakeMessage>(&opened); }),
              row.matches)
        << "row " << row_number;
    EXPECT_EQ(opened, row.opened) << "row " << row_number;
    ++row_number;
  }
}

TEST(SearchTest, AMessageThatIsGoneDoesNotMatchContent) {
  KeywordTable table;
  const Search search(SearchKey::Body("x"), table, absl::UnixEpoch());
  EXPECT_FALSE(search.Matches(MessageInfo(), 1, [] { return nullptr; }));
}

TEST(SearchTest, LimitsDepthAndNumber) {
  SearchKey deep = SearchKey::All();
  for (size_t i = 0; i < kMaxSearchDepth; ++i) deep = SearchKey::Not(std::move(deep));
  EXPECT_FALSE(WithinSearchLimits(deep));
  EXPECT_FALSE(WithinSearchLimits(SearchKey::And(std::vector<SearchKey>(kMaxSearchKeys))));
  EXPECT_TRUE(WithinSearchLimits(SearchKey::And(std::vector<SearchKey>(10))));
}

}  // namespace
}  // namespace postern::mailbox
