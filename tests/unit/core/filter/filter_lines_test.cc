#include "lib/core/filter/filter_lines.h"

#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::filter {
namespace {

const WallTime kNow = absl::FromUnixMicros(1'700'000'000'000'042);

TEST(FilterLines, WhatAServerSays) {
  std::string out;
  AppendConfig("admd", "mx.example.org", &out);
  AppendConfigReady(&out);
  AppendReport(Version::k07, kNow, "link-connect", 0x1f,
               {"a.example", "pass", "192.0.2.1:1", "x|y"}, &out);
  AppendRequest(Version::k05, kNow, "ehlo", 0x1f, 0xabc, {"two\nlines\r"}, &out);
  AppendRequest(Version::k06, kNow, "data", 0x1f, 0xabc, {}, &out);
  EXPECT_EQ(out,
            "config|admd|mx.example.org\nconfig|ready\n"
            "report|0.7|1700000000.000042|smtp-in|link-connect|000000000000001f|a.example|pass|"
            "192.0.2.1:1|x|y\n"
            "filter|0.5|1700000000.000042|smtp-in|ehlo|000000000000001f|0000000000000abc|two lines "
            "\n"
            "filter|0.6|1700000000.000042|smtp-in|data|000000000000001f|0000000000000abc|\n");
  out.clear();
  const std::string prefix = DataLinePrefix(Version::k07, kNow, 1, 2);
  AppendDataLine(prefix, "", &out);
  AppendDataLine(prefix, ".dot", &out);
  AppendDataEnd(prefix, &out);
  const std::string_view head =
      "filter|0.7|1700000000.000042|smtp-in|data-line|0000000000000001|0000000000000002|";
  EXPECT_EQ(out, StrCat(head, "\n", head, "..dot\n", head, ".\n"));
}

TEST(FilterLines, AServersLinesAreReadAgain) {
  std::string out;
  AppendConfig("protocol", "0.7", &out);
  AppendReport(Version::k06, kNow, "tx-mail", 3, {"m", "ok", "a|b@c"}, &out);
  AppendRequest(Version::k07, kNow, "commit", 3, 4, {}, &out);
  LineReader reader(200);
  reader.Feed(out);
  StatusOr<ServerLine> line = ParseServerLine(*reader.Next());
  ASSERT_TRUE(line.ok());
  EXPECT_EQ(line->kind, ServerLine::Kind::kConfig);
  EXPECT_EQ(line->name, "protocol");
  EXPECT_EQ(line->fields, "0.7");
  line = ParseServerLine(*reader.Next());
  ASSERT_TRUE(line.ok());
  EXPECT_EQ(line->kind, ServerLine::Kind::kReport);
  EXPECT_EQ(line->version, Version::k06);
  EXPECT_EQ(line->session, 3u);
  EXPECT_EQ(line->fields, "m|ok|a|b@c");
  line = ParseServerLine(*reader.Next());
  ASSERT_TRUE(line.ok());
  EXPECT_EQ(line->kind, ServerLine::Kind::kRequest);
  EXPECT_EQ(line->token, 4u);
  EXPECT_EQ(line->fields, "");
  EXPECT_FALSE(reader.Next().has_value());
}

TEST(FilterLines, WhatAProgramSays) {
  using Kind = ProgramLine::Kind;
  const struct {
    const char* line;
    Kind kind;
    Decision decision;
    uint64_t session, token;
    const char* name;
    const char* text;
  } rows[] = {
      {"register|report|smtp-in|*", Kind::kRegisterReport, {}, 0, 0, "*", ""},
      {"register|filter|smtp-in|data-line", Kind::kRegisterFilter, {}, 0, 0, "data-line", ""},
      {"register|ready", Kind::kRegisterReady, {}, 0, 0, "", ""},
      {"filter-result|000000000000001f|2|proceed", Kind::kResult, Decision::kProceed, 31, 2, "",
       ""},
      {"filter-result|1F|2|junk", Kind::kResult, Decision::kJunk, 31, 2, "", ""},
      {"filter-result|1f|2|reject|550 a|b", Kind::kResult, Decision::kReject, 31, 2, "", "550 a|b"},
      {"filter-result|1f|2|disconnect|421 x", Kind::kResult, Decision::kDisconnect, 31, 2, "",
       "421 x"},
      {"filter-result|1f|2|rewrite|", Kind::kResult, Decision::kRewrite, 31, 2, "", ""},
      {"filter-result|1f|2|report|hm", Kind::kResult, Decision::kReport, 31, 2, "", "hm"},
      {"filter-dataline|1f|2|", Kind::kDataLine, {}, 31, 2, "", ""},
      {"filter-dataline|1f|2|a|b", Kind::kDataLine, {}, 31, 2, "", "a|b"},
      {"report|1.2|smtp-in|1f|text|more", Kind::kReport, {}, 31, 0, "", "text|more"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.line);
    const StatusOr<ProgramLine> line = ParseProgramLine(row.line);
    ASSERT_TRUE(line.ok()) << Message(line.status());
    EXPECT_EQ(line->kind, row.kind);
    EXPECT_EQ(line->decision, row.decision);
    EXPECT_EQ(line->session, row.session);
    EXPECT_EQ(line->token, row.token);
    EXPECT_EQ(line->name, row.name);
    EXPECT_EQ(line->text, row.text);
    std::string printed;
    AppendProgramLine(*line, &printed);
    const StatusOr<ProgramLine> again =
        ParseProgramLine(std::string_view(printed).substr(0, printed.size() - 1));
    ASSERT_TRUE(again.ok()) << printed;
    EXPECT_EQ(again->text, line->text);
    EXPECT_EQ(again->token, line->token);
  }
  for (const char* wrong : {
           "",
           "x",
           "register",
           "register|",
           "register|ready|x",
           "register|report|smtp-in",
           "register|report|smtp-up|*",
           "register|filter|smtp-in|",
           "filter-result",
           "filter-result|1|2",
           "filter-result|g|2|proceed",
           "filter-result|1||proceed",
           "filter-result|1|2|proceed|x",
           "filter-result|1|2|reject",
           "filter-result|1|2|perhaps",
           "filter-result|00000000000000001|2|proceed",
           "filter-dataline|1|2",
           "filter-dataline||2|x",
           "report|1|smtp-in|1",
           "report|1|nowhere|1|x",
           "filter|0.7|1|smtp-in|data|1|2",
       }) {
    EXPECT_FALSE(ParseProgramLine(wrong).ok()) << wrong;
  }
}

TEST(FilterLines, DotsComeOff) {
  EXPECT_EQ(UnstuffDataLine("a.b"), "a.b");
  EXPECT_EQ(UnstuffDataLine("..b"), ".b");
  EXPECT_EQ(UnstuffDataLine(".b"), "b");
  EXPECT_EQ(UnstuffDataLine(""), "");
  EXPECT_EQ(UnstuffDataLine("."), std::nullopt);
}

TEST(FilterLines, LinesAreCutAndBounded) {
  LineReader reader(5);
  std::vector<std::string> lines;
  for (const char c : std::string("ab\r\n\n12345\nx")) {
    reader.Feed(std::string_view(&c, 1));
    while (const auto line = reader.Next()) lines.emplace_back(*line);
  }
  EXPECT_EQ(lines, (std::vector<std::string>{"ab", "", "12345"}));
  EXPECT_FALSE(reader.overflowed());
  reader.Feed("23456");
  EXPECT_FALSE(reader.Next().has_value());
  EXPECT_TRUE(reader.overflowed());
}

}  // namespace
}  // namespace postern::filter
