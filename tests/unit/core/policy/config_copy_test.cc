#include "lib/core/policy/config_copy.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

constexpr char kMain[] = R"(include "/more"
listen on lo0
table t { "a" = "b" }
action "away" relay host $host auth <creds>
match for any action "away"
)";

ConfigCopy CopyOf(const std::string& main, ParseResult* result) {
  ConfigCopy copy;
  copy.main = "/conf";
  copy.macros = {{"host", "\"smtps://l@relay.example\""}};
  MemoryLoader memory("/conf", main);
  memory.Add("/more",
             "table creds { \"l\" = \"user:word\" }\ntable aliases file:/aliases\n"
             "action \"here\" mbox alias <aliases>\n");
  CopyingLoader loader(&memory, &copy);
  ParseOptions options;
  options.macros = copy.macros;
  *result = Parse("/conf", loader, options);
  return copy;
}

std::string Told(const ParseResult& result) {
  return result.diagnostics.empty() ? "" : result.diagnostics[0].ToString();
}

TEST(ConfigCopy, WhatWasReadIsParsedAgain) {
  ParseResult first;
  const ConfigCopy copy = CopyOf(kMain, &first);
  ASSERT_NE(first.config, nullptr) << Told(first);
  ASSERT_EQ(copy.files.size(), 2u);
  EXPECT_EQ(copy.files[1].first, "/more");
  const StatusOr<ConfigCopy> decoded = DecodeConfigCopy(EncodeConfigCopy(copy));
  ASSERT_TRUE(decoded.ok()) << Text(decoded.status());
  EXPECT_EQ(*decoded, copy);
  const ParseResult again = ParseCopy(*decoded, ParseOptions());
  ASSERT_NE(again.config, nullptr) << Told(again);
  EXPECT_EQ(again.config->actions.size(), 2u);
  EXPECT_EQ(again.config->actions[1].location.ToString(), "/conf:4:1");
}

TEST(ConfigCopy, NothingThatIsNotWholeIsTaken) {
  ParseResult first;
  const std::string whole = EncodeConfigCopy(CopyOf(kMain, &first));
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_EQ(DecodeConfigCopy(whole.substr(0, size)).status().code(), StatusCode::kDataLoss);
  EXPECT_FALSE(DecodeConfigCopy(whole + "x").ok());
  EXPECT_FALSE(DecodeConfigCopy("postern configuration 2\n0\n0\n0\n").ok());
  EXPECT_TRUE(DecodeConfigCopy("postern configuration 1\n0\n0\n0\n").ok());
  // Numbers that are larger than memory.
  EXPECT_FALSE(DecodeConfigCopy("postern configuration 1\n999999999999999\nx").ok());
  EXPECT_FALSE(DecodeConfigCopy("postern configuration 1\n0\n999999999999999\n").ok());
}

TEST(ConfigCopy, AnActionAloneNeedsItsOwnFilesOnly) {
  ParseResult parsed;
  CopyOf(kMain, &parsed);
  ASSERT_NE(parsed.config, nullptr) << Told(parsed);
  const int away = parsed.config->FindAction("away");
  const Config only = OnlyAction(*parsed.config, away);
  ASSERT_EQ(only.actions.size(), 1u);
  EXPECT_TRUE(only.listeners.empty());
  EXPECT_TRUE(only.rules.empty());
  const auto size = [&only](TableId id) {
    return only.tables[static_cast<size_t>(id)].entries.size();
  };
  EXPECT_EQ(size(only.actions[0].relay.host), 1u);
  EXPECT_EQ(size(only.actions[0].relay.auth), 1u);
  EXPECT_EQ(size(only.FindTable("t")), 0u);
  for (const TableDeclaration& table : only.tables) EXPECT_EQ(table.path, "");
}

}  // namespace
}  // namespace postern::policy
