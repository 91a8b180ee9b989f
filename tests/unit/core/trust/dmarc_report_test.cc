#include "lib/core/trust/dmarc_report.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::trust {
namespace {

DmarcReport Sample() {
  DmarcReport report;
  report.org_name = "Reporter & Sons <x>";
  report.email = "r@reporter.example";
  report.report_id = "abc.123@reporter.example";
  report.begin = 1700000000;
  report.end = 1700086399;
  report.generator = "Postern";
  report.errors = {"bad \"rua\""};
  report.domain = "example.com";
  report.discovery_method = "treewalk";
  report.p = "reject";
  report.sp = report.np = "quarantine";
  report.adkim = "r";
  report.aspf = "s";
  report.fo = "0:d";
  report.testing = "n";
  report.version = "1.0";
  DmarcReportRecord record;
  record.source_ip = "2001:db8::1";
  record.count = 3;
  record.disposition = "reject";
  record.dkim = "fail";
  record.spf = "fail";
  record.reasons = {{"local_policy", "we know them"}};
  record.header_from = "mail.example.com";
  record.envelope_from = "";
  record.envelope_to = "example.net";
  record.dkim_results = {{"example.com", "s1", "fail", "body hash"},
                         {"evil.example", "s2", "pass", ""}};
  record.spf_results = {{"example.com", "mfrom", "softfail", ""}};
  report.records.push_back(record);
  record.dkim = "pass";
  record.disposition = "pass";
  record.source_ip = "192.0.2.1";
  record.reasons.clear();
  record.envelope_from.reset();
  report.records.push_back(record);
  return report;
}

void ExpectEqual(const DmarcReport& a, const DmarcReport& b) {
  EXPECT_EQ(FormatDmarcReport(a), FormatDmarcReport(b));
  EXPECT_EQ(a.records, b.records);
  EXPECT_EQ(a.rfc9990, b.rfc9990);
}

TEST(DmarcReportTest, WhatIsWrittenIsRead) {
  const DmarcReport report = Sample();
  const StatusOr<DmarcReport> back = ParseDmarcReport(FormatDmarcReport(report));
  ASSERT_TRUE(back.ok()) << back.status();
  ExpectEqual(*back, report);
  EXPECT_EQ(back->org_name, "Reporter & Sons <x>");
  EXPECT_TRUE(back->problems.empty());
  EXPECT_EQ(back->message_count(), 6u);
  EXPECT_EQ(back->aligned_count(), 3u);
  DmarcReport old = report;
  old.rfc9990 = false;
  const StatusOr<DmarcReport> old_back = ParseDmarcReport(FormatDmarcReport(old));
  ASSERT_TRUE(old_back.ok());
  EXPECT_FALSE(old_back->rfc9990);
  EXPECT_EQ(old_back->records, report.records);
}

TEST(DmarcReportTest, XmlThatCannotBeIsMadeHarmless) {
  DmarcReport report = Sample();
  report.org_name = std::string("a\0b\x01\xff]]>&", 9);
  const StatusOr<DmarcReport> back = ParseDmarcReport(FormatDmarcReport(report));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->org_name,
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD\xEF\xBF\xBD]]>&");
}

TEST(DmarcReportTest, NamesItsFileAndItsMail) {
  const DmarcReport report = Sample();
  EXPECT_EQ(DmarcReportFileName(report, "mx.Receiver.example"),
            "mx.receiver.example!example.com!1700000000!1700086399.xml.gz");
  EXPECT_EQ(DmarcReportFileName(report, "../r", "a/1", false),
            "..r!example.com!1700000000!1700086399!a1.xml");
  DmarcReportMail mail;
  mail.receiver = "receiver.example";
  mail.from = "dmarc@receiver.example";
  mail.to = {"r@example.com"};
  mail.message_id = "<1@receiver.example>";
  mail.boundary_seed = "0123456789abcdef";
  const std::string text = BuildDmarcReportMail(report, mail);
  EXPECT_NE(text.find("Report-ID:\r\n <abc.123@reporter.example>"), std::string::npos) << text;
  for (char c : text) EXPECT_TRUE(IsAscii(c));
  const StatusOr<std::vector<DmarcReport>> back = ReadDmarcReports(text);
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_EQ(back->size(), 1u);
  ExpectEqual(back->front(), report);
}

TEST(DmarcReportTest, CountsEqualMessagesTogether) {
  DmarcReportCollector collector(2);
  DmarcReportRecord record = Sample().records[0];
  record.count = 1;
  for (int i = 0; i < 5; ++i) collector.Add(record);
  record.header_from = "other.example.com";
  collector.Add(record);
  record.header_from = "third.example.com";
  collector.Add(record);
  EXPECT_EQ(collector.dropped(), 1u);
  const std::vector<DmarcReportRecord> records = collector.Take();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].count + records[1].count, 6u);
}

TEST(DmarcReportTest, RefusesWhatNoReportNeeds) {
  const std::string body =
      "<feedback><report_metadata><org_name>&x;</org_name></report_metadata></feedback>";
  const struct {
    std::string xml;
    const char* error;
  } kCases[] = {
      {"<!DOCTYPE f [<!ENTITY x \"y\">]>" + body, "document type"},
      {"<!DOCTYPE f SYSTEM \"file:///etc/passwd\">" + body, "document type"},
      {body, "undefined entity"},
      {"<feedback>", "no element found"},
      {"<feedback><version>1</feedback>", "mismatched tag"},
      {"<other/>", "no <feedback>"},
      {"", "no element found"},
      {"nonsense", "syntax error"},
  };
  for (const auto& c : kCases) {
    const StatusOr<DmarcReport> report = ParseDmarcReport(c.xml);
    ASSERT_FALSE(report.ok()) << c.xml;
    EXPECT_NE(Message(report.status()).find(c.error), std::string_view::npos) << report.status();
  }
}

// What would make the numbers wrong is told with its line, and never read as something else.
TEST(DmarcReportTest, RefusesValuesThatAreNone) {
  const auto row = [](std::string_view inside) {
    return StrCat("<feedback>\n<record>\n<row>", inside, "</row></record></feedback>");
  };
  const auto range = [](std::string_view inside) {
    return StrCat("<feedback>\n<report_metadata>\n<date_range>", inside,
                  "</date_range></report_metadata></feedback>");
  };
  const struct {
    std::string xml;
    const char* error;  // nullptr: fine
  } kCases[] = {
      {row("<source_ip>192.0.2.1</source_ip><count>3</count>"), nullptr},
      {row("<count>-3</count>"), "line 3: <count> is \"-3\""},
      {row("<count>100000000000000000000000</count>"), "line 3: <count>"},
      {row("<count>1.5</count>"), "line 3: <count>"},
      {row("<count></count>"), "line 3: <count>"},
      {row("<source_ip>not-an-ip</source_ip>"), "line 3: <source_ip> is \"not-an-ip\""},
      {range("<begin>1337270400.0</begin><end>1337270500</end>"), nullptr},
      {range("<begin>garbage</begin>"), "line 3: <begin> of the date range is \"garbage\""},
  };
  for (const auto& c : kCases) {
    const StatusOr<DmarcReport> report = ParseDmarcReport(c.xml);
    EXPECT_EQ(report.ok(), c.error == nullptr) << c.xml << report.status();
    if (c.error != nullptr) {
      EXPECT_NE(Message(report.status()).find(c.error), std::string_view::npos) << report.status();
    }
  }
}

TEST(DmarcReportTest, KeepsItsBounds) {
  DmarcReportLimits limits;
  limits.max_depth = 5;
  limits.max_records = 3;
  limits.max_elements = 50;
  limits.max_results = 2;
  limits.max_text_bytes = 10;
  const auto code = [&limits](const std::string& inside) {
    return ParseDmarcReport(StrCat("<feedback>", inside, "</feedback>"), limits).status().code();
  };
  const auto times = [](int n, std::string_view text) {
    std::string out;
    for (int i = 0; i < n; ++i) out += text;
    return out;
  };
  EXPECT_EQ(code("<a><a><a><a/></a></a></a>"), StatusCode::kOk);
  EXPECT_EQ(code("<a><a><a><a><a/></a></a></a></a>"), StatusCode::kResourceExhausted);
  EXPECT_EQ(code(times(3, "<record/>")), StatusCode::kOk);
  EXPECT_EQ(code(times(4, "<record/>")), StatusCode::kResourceExhausted);
  EXPECT_EQ(code(times(51, "<x/>")), StatusCode::kResourceExhausted);
  const StatusOr<DmarcReport> report = ParseDmarcReport(
      StrCat("<feedback><report_metadata><org_name>0123456789ABC</org_name></"
             "report_metadata><record><auth_results>",
             times(4, "<dkim><domain>d</domain></dkim>"), "</auth_results></record></feedback>"),
      limits);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->org_name, "0123456789");
  EXPECT_EQ(report->records.at(0).dkim_results.size(), 2u);
  limits.max_elements = 1000;
  limits.max_attributes = 4;
  EXPECT_EQ(code("<a b='' c=''/><a b='' c=''/>"), StatusCode::kOk);
  EXPECT_EQ(code("<a b='' c=''/><a b='' c=''/><a b=''/>"), StatusCode::kResourceExhausted);
  limits.max_unknown_elements = 5;
  EXPECT_EQ(code("<x/><x/><e:row/><extension><row/><row/></extension><row/>"), StatusCode::kOk);
  EXPECT_EQ(code("<x/><x/><e:x/><extension><row/><row/><row/></extension>"),
            StatusCode::kResourceExhausted);
  // Only what is between "<" and ">" has this bound, wherever the pieces that are read end.
  for (const size_t before : {0, 1, 50, 99, 100}) {
    limits.max_markup_bytes = 100;
    const std::string blanks(before, ' ');
    EXPECT_EQ(code(StrCat(blanks, "<version>", std::string(500, 'x'), "</version>",
                          std::string(300, '\n'), "<!--", std::string(93, 'c'), "-->")),
              StatusCode::kOk);
    for (const std::string_view open : {"<a b='", "<!--", "<?x ", "<", "</"})
      EXPECT_EQ(code(StrCat(blanks, open, std::string(300, 'x'))), StatusCode::kResourceExhausted)
          << open;
  }
  limits.max_xml_bytes = 10;
  EXPECT_EQ(code("abcdefghijk"), StatusCode::kResourceExhausted);
}

TEST(DmarcReportTest, ExtensionsArePassedOver) {
  const StatusOr<DmarcReport> report = ParseDmarcReport(
      "<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\" "
      "xmlns:e=\"urn:x\"><extension><record><row/></record></extension>"
      "<record><e:row><count>9</count></e:row><row><count>1</count></row></record></feedback>");
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->rfc9990);
  ASSERT_EQ(report->records.size(), 1u);
  EXPECT_EQ(report->records[0].count, 1u);
}

TEST(DmarcReportTest, BombsDoNotGrow) {
  DmarcReportLimits limits;
  limits.max_xml_bytes = 100'000;
  const std::string bomb = GzipCompress(std::string(10'000'000, ' '));
  EXPECT_LT(bomb.size(), 20'000u);
  EXPECT_EQ(UnpackReportFile(bomb, "x", limits).status().code(), StatusCode::kResourceExhausted);
  // Members that follow one another count together.
  std::string many;
  for (int i = 0; i < 20; ++i) many += GzipCompress(std::string(10'000, ' '));
  EXPECT_EQ(UnpackReportFile(many, "x", limits).status().code(), StatusCode::kResourceExhausted);
  limits.max_xml_bytes = 200'000;
  EXPECT_EQ(UnpackReportFile(many, "x", limits)->at(0).data.size(), 200'000u);
  const std::string good = GzipCompress("<feedback/>");
  EXPECT_EQ(UnpackReportFile(good.substr(0, good.size() - 4), "x", limits).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(UnpackReportFile("PK\3\4", "x", limits).status().code(), StatusCode::kInvalidArgument);
}

TEST(DmarcReportTest, TellsPeople) {
  const std::string text = DescribeDmarcReport(Sample());
  EXPECT_NE(text.find("messages 6, of which 3 passed DMARC and 3 did not"), std::string::npos)
      << text;
  EXPECT_LT(text.find("2001:db8::1  3 messages from mail.example.com (envelope <>)"),
            text.find("192.0.2.1"));
}

}  // namespace
}  // namespace postern::trust
