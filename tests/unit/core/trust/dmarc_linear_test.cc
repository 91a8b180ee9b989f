// Hostile shapes of DMARC's inputs: time grows with the input and no faster.
#include "tests/unit/core/growth.h"
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/message/arf.h"
#include "lib/core/trust/authentication_results.h"
#include "lib/core/trust/dmarc_record.h"
#include "lib/core/trust/dmarc_report.h"

namespace postern::trust {
namespace {

void Results(const std::string& text) {
  AuthResultsLimits limits;
  limits.max_bytes = limits.max_results = limits.max_properties = 1 << 30;
  const StatusOr<AuthenticationResults> results = ParseAuthenticationResults(text, limits);
  if (results.ok()) FormatAuthenticationResults(*results);
}
void Forged(const std::string& text) {
  ForgedOptions options;
  options.authserv_ids = {"mx"};
  size_t body = 0;
  RemoveForgedAuthenticationResults(text, options, &body);
}
void Record(const std::string& text) {
  DmarcRecordLimits limits;
  limits.max_bytes = limits.max_tags = limits.max_uris = 1 << 30;
  ParseDmarcRecord(text, limits);
}
void Report(const std::string& text) { ReadDmarcReports(text).IgnoreError(); }

struct Shape {
  std::string_view name;
  std::function<std::string(size_t)> make;
  void (*read)(const std::string&);
  size_t count;
};

const Shape kShapes[] = {
    {"results", [](size_t n) { return "mx" + Repeat("; spf=pass smtp.mailfrom=a", n); }, Results,
     20'000},
    {"properties", [](size_t n) { return "mx; dkim=pass" + Repeat(" header.d=a", n); }, Results,
     20'000},
    {"comments in comments", [](size_t n) { return "mx; spf=pass " + std::string(n, '('); },
     Results, 500'000},
    {"comments and no results", [](size_t n) { return "mx" + Repeat("; (a", n); }, Results,
     200'000},
    {"open quotes", [](size_t n) { return "mx" + Repeat("; \"a", n); }, Results, 200'000},
    {"nothing that is a property", [](size_t n) { return "mx; spf=pass " + Repeat("= ", n); },
     Results, 300'000},
    {"forged fields",
     [](size_t n) { return Repeat("Authentication-Results: mx; none\r\n", n) + "\r\n"; }, Forged,
     20'000},
    {"one forged field of many lines",
     [](size_t n) { return "Authentication-Results: (" + Repeat("\r\n x", n); }, Forged, 200'000},
    {"tags", [](size_t n) { return "v=DMARC1" + Repeat("; a=b", n); }, Record, 100'000},
    {"addresses", [](size_t n) { return "v=DMARC1; rua=" + Repeat("mailto:a@b,", n); }, Record,
     20'000},
    {"records of a report",
     [](size_t n) {
       return "<feedback>" + Repeat("<record><row><count>1</count></row></record>", n) +
              "</feedback>";
     },
     Report, 20'000},
    {"elements that nobody knows",
     [](size_t n) { return "<feedback>" + Repeat("<a b='c'/>", n) + "</feedback>"; }, Report,
     100'000},
    {"one long text",
     [](size_t n) { return "<feedback><version>" + std::string(n, 'x') + "</version></feedback>"; },
     Report, 2'000'000},
    {"one open tag", [](size_t n) { return "<feedback><a " + std::string(n, 'x'); }, Report,
     2'000'000},
    {"attributes",
     [](size_t n) {
       std::string out = "<feedback";
       for (size_t i = 0; i < n; ++i) StrAppend(out, " a", i, "='b'");
       return out + "></feedback>";
     },
     Report, 10'000},
    {"attributes of many elements",
     [](size_t n) {
       std::string out = "<feedback>";
       for (size_t i = 0; i < n; ++i) StrAppend(out, "<row a", i, "='b'/>");
       return out + "</feedback>";
     },
     Report, 50'000},
    {"elements of many names",
     [](size_t n) {
       std::string out = "<feedback>";
       for (size_t i = 0; i < n; ++i) StrAppend(out, "<a", i, "/>");
       return out + "</feedback>";
     },
     Report, 50'000},
    {"a comment", [](size_t n) { return "<feedback><!--" + std::string(n, '-'); }, Report,
     2'000'000},
    {"members of a gzip file", [](size_t n) { return Repeat(GzipCompress("x"), n); }, Report,
     3'000},
    {"fields of feedback",
     [](size_t n) { return "Feedback-Type: abuse\r\n" + Repeat("Reported-Domain: a\r\n", n); },
     [](const std::string& text) {
       message::ArfLimits limits;
       limits.max_fields = 1 << 20;
       message::ParseFeedbackFields(text, limits).IgnoreError();
     },
     20'000},
};

TEST(DmarcLinearTest, TimeGrowsWithTheInputAndNoFaster) {
  for (const Shape& shape : kShapes) {
    const std::string small = shape.make(shape.count);
    const std::string large = shape.make(4 * shape.count);
    // Four times the input: quadratic work would take sixteen times as long.
    const Growth growth =
        MeasureGrowth([&] { shape.read(small); }, [&] { shape.read(large); }, 8, 0.02);
    EXPECT_TRUE(growth.ok()) << shape.name << ": " << growth;
  }
}

}  // namespace
}  // namespace postern::trust
