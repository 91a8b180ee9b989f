// The table protocol as lines: what we say, and what a program may answer.
#include "lib/core/policy/table_protocol.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

using ::testing::HasSubstr;
using Kind = TableAnswer::Kind;

constexpr char kReady[] = "register|alias\nregister|auth\nregister|ready\n";

TEST(TableProtocol, WhatIsSaid) {
  EXPECT_EQ(
      TableGreeting("7.8", "users"),
      "config|smtpd-version|7.8\nconfig|protocol|0.1\nconfig|tablename|users\nconfig|ready\n");
  const WallTime now = absl::FromUnixMicros(1576146008'000071);
  const auto line = [&](TableOperation operation, std::string_view service, std::string_view key) {
    const StatusOr<std::string> text = FormatTableRequest(
        {.operation = operation, .service = service, .id = 0xab, .key = key}, "users", now);
    return text.ok() ? *text : "refused";
  };
  EXPECT_EQ(line(TableOperation::kLookup, "alias", "bob|x"),
            "table|0.1|1576146008.000071|users|lookup|alias|000000ab|bob|x\n");
  EXPECT_EQ(line(TableOperation::kCheck, "auth", "bob:secret"),
            "table|0.1|1576146008.000071|users|check|auth|000000ab|bob:secret\n");
  EXPECT_EQ(line(TableOperation::kFetch, "source", ""),
            "table|0.1|1576146008.000071|users|fetch|source|000000ab\n");
  EXPECT_EQ(line(TableOperation::kUpdate, "", ""),
            "table|0.1|1576146008.000071|users|update|000000ab\n");
  EXPECT_EQ(line(TableOperation::kLookup, "alias", "a\nb"), "refused");
  EXPECT_EQ(line(TableOperation::kLookup, "alias", "a\rb"), "refused");
}

struct Said {
  const char* line;
  TableOperation operation;
  Kind kind;
  uint32_t id;
  const char* text;
};

TEST(TableProtocol, Answers) {
  const Said vectors[] = {
      {"lookup-result|0000000a|found|bob, carol", TableOperation::kLookup, Kind::kFound, 10,
       "bob, carol"},
      {"lookup-result|0000000A|found|a|b", TableOperation::kLookup, Kind::kFound, 10, "a|b"},
      {"lookup-result|00000001|found|", TableOperation::kLookup, Kind::kFound, 1, ""},
      {"lookup-result|00000001|not-found", TableOperation::kLookup, Kind::kNotFound, 1, ""},
      {"check-result|00000001|found", TableOperation::kCheck, Kind::kFound, 1, ""},
      {"check-result|00000001|found\r", TableOperation::kCheck, Kind::kFound, 1, ""},
      {"fetch-result|ffffffff|found|::1", TableOperation::kFetch, Kind::kFound, 0xffffffff, "::1"},
      {"update-result|00000001|ok", TableOperation::kUpdate, Kind::kUpdated, 1, ""},
      {"update-result|00000001|error|no file", TableOperation::kUpdate, Kind::kError, 1, "no file"},
      {"check-result|00000001|error", TableOperation::kCheck, Kind::kError, 1, ""},
  };
  for (const Said& v : vectors) {
    TableReader reader;
    std::vector<TableAnswer> answers;
    ASSERT_TRUE(reader.Feed(StrCat(kReady, v.line, "\n"), &answers).ok()) << v.line;
    ASSERT_EQ(answers.size(), 1u) << v.line;
    EXPECT_EQ(answers[0].operation, v.operation) << v.line;
    EXPECT_EQ(answers[0].kind, v.kind) << v.line;
    EXPECT_EQ(answers[0].id, v.id) << v.line;
    EXPECT_EQ(answers[0].text, v.text) << v.line;
  }
}

TEST(TableProtocol, Nonsense) {
  const char* lines[] = {
      "",
      "hello",
      "register|late",
      "lookup-result|1|found|x",
      "lookup-result|0000000g|found|x",
      "lookup-result|00000001",
      "lookup-result|00000001|found",
      "lookup-result|00000001|not-found|x",
      "lookup-result|00000001|perhaps",
      "check-result|00000001|found|x",
      "update-result|00000001|found",
      "update-result|00000001|not-found",
      "config|ready",
  };
  for (const char* line : lines) {
    TableReader reader;
    std::vector<TableAnswer> answers;
    EXPECT_FALSE(reader.Feed(StrCat(kReady, line, "\n"), &answers).ok()) << line;
    EXPECT_TRUE(answers.empty()) << line;
  }
  std::vector<TableAnswer> answers;
  // An answer before the services, services that are none, and none at all.
  for (const char* text : {"check-result|00000001|found\n", "register|\n", "register|a|b\n",
                           "register|ready\n", "\n"}) {
    TableReader reader;
    EXPECT_FALSE(reader.Feed(text, &answers).ok()) << text;
  }
}

TEST(TableProtocol, PiecesAndBounds) {
  TableReader reader({.max_line_bytes = 40, .max_services = 3});
  std::vector<TableAnswer> answers;
  for (const char c : std::string(kReady)) ASSERT_TRUE(reader.Feed({&c, 1}, &answers).ok());
  EXPECT_TRUE(reader.ready());
  EXPECT_TRUE(reader.Serves("auth"));
  EXPECT_FALSE(reader.Serves("domain"));
  EXPECT_TRUE(reader.Feed("check-result|00000001|found\ncheck-result|000", &answers).ok());
  EXPECT_TRUE(reader.Feed("00002|not-found\n", &answers).ok());
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[1].id, 2u);
  const Status flood = reader.Feed(std::string(41, 'x'), &answers);
  EXPECT_THAT(std::string(Message(flood)), HasSubstr("more than 40 octets"));
  TableReader many({.max_line_bytes = 40, .max_services = 3});
  EXPECT_FALSE(many.Feed("register|a\nregister|b\nregister|c\nregister|d\n", &answers).ok());
}

}  // namespace
}  // namespace postern::policy
