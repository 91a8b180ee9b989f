// What a hostile domain or client may make SPF do: time grows with the record and no faster, and
// the number of questions has a bound whatever the records say.
#include "tests/unit/core/growth.h"
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/trust/spf_check.h"

namespace postern::trust {
namespace {

// The longest reverse-path and HELO name that SMTP takes (RFC 5321 §4.5.3.1).
const std::string kLocalPart = Repeat("a-", 32);
const std::string kDomain = Repeat("a.", 120) + "example.org";

void Expand(const std::string& text) {
  SpfMacroValues values;
  values.client = *IpAddress::Parse("2001:db8::1");
  values.local_part = kLocalPart;
  values.sender_domain = values.domain = values.helo = kDomain;
  if (const auto domain = ParseSpfMacroString(text, SpfMacroUse::kDomain); domain.ok()) {
    ASSERT_LE(ExpandSpfDomain(*domain, values).size(), 253u);
  }
  if (const auto reply = ParseSpfMacroString(text, SpfMacroUse::kExplanation); reply.ok()) {
    ASSERT_LE(ExpandSpfText(*reply, values, 1024).size(), 1024u);
  }
}

void Read(const std::string& text) {
  SpfRecordLimits limits;
  limits.max_bytes = 1 << 30;
  const StatusOr<SpfRecord> record = ParseSpfRecord(text, limits);
  if (record.ok()) {
    ASSERT_FALSE(record->ToString().empty());
  }
}

// CheckRecord judges a client by `text`, put into a zone of its own.
void CheckRecord(const std::string& text) {
  dns::ZoneData zone = *dns::ZoneData::Parse("example.org. TXT \"v=spf1 -all\"\n");
  SpfQuery query;
  query.client = *IpAddress::Parse("2001:db8::1");
  query.sender = StrCat(kLocalPart, "@example.org");
  query.helo = kDomain;
  SpfLimits limits;
  limits.record.max_bytes = 1 << 30;
  dns::Answer answer;
  answer.kind = dns::Answer::Kind::kOk;
  dns::TxtData data;
  for (size_t at = 0; at < text.size(); at += 255) data.strings.push_back(text.substr(at, 255));
  answer.records.push_back(
      dns::Record{*dns::Name::Parse("example.org"), dns::Type::kTxt, 1, std::move(data)});
  dns::Inquiry<Spf> check = CheckSpf(query, limits);
  while (!check.questions().empty()) {
    std::vector<dns::Answer> answers;
    for (const dns::Question& question : check.questions())
      answers.push_back(
          question.type == dns::Type::kTxt ? answer : zone.Query(question.name, question.type));
    check.Resume(std::move(answers));
  }
  const Spf spf = check.Take();
  ASSERT_LE(spf.lookups, 10u);
  ASSERT_LE(spf.explanation.size(), 2000u);
}

struct Shape {
  std::string_view name;
  std::function<std::string(size_t)> make;
  void (*read)(const std::string&);
  size_t count;
};

const Shape kShapes[] = {
    {"networks", [](size_t n) { return "v=spf1" + Repeat(" ip4:192.0.2.0/24", n); }, CheckRecord,
     20'000},
    {"blanks", [](size_t n) { return "v=spf1" + std::string(n, ' '); }, CheckRecord, 400'000},
    {"one long term", [](size_t n) { return "v=spf1 " + std::string(n, 'a'); }, CheckRecord,
     400'000},
    {"labels of one name", [](size_t n) { return "v=spf1 a:" + Repeat("a.", n) + "org"; },
     CheckRecord, 200'000},
    {"terms that ask", [](size_t n) { return "v=spf1" + Repeat(" a:a.example.org", n); },
     CheckRecord, 20'000},
    {"includes of itself", [](size_t n) { return "v=spf1" + Repeat(" include:example.org", n); },
     CheckRecord, 5'000},
    {"modifiers", [](size_t n) { return "v=spf1" + Repeat(" x=%{s}", n); }, CheckRecord, 40'000},
    {"modifiers of other names",
     [](size_t n) {
       std::string out = "v=spf1";
       for (size_t i = 0; i < n; ++i) StrAppend(out, " x", i, "=");
       return out;
     },
     Read, 40'000},
    {"mistakes at the end", [](size_t n) { return "v=spf1" + Repeat(" mx//64", n) + " ?"; }, Read,
     40'000},
    {"macros", [](size_t n) { return Repeat("%{s}", n); }, Expand, 20'000},
    {"macros turned round", [](size_t n) { return Repeat("%{lr+-}.%{ir}.%{h9r.}", n); }, Expand,
     2'000},
    {"macros for a web page", [](size_t n) { return Repeat("%{SR-}", n); }, Expand, 10'000},
    {"delimiters", [](size_t n) { return "%{s" + Repeat("+-.,/_=", n) + "}"; }, Expand, 40'000},
    {"digits", [](size_t n) { return "%{s" + std::string(n, '9') + "}"; }, Expand, 400'000},
    {"per cent signs", [](size_t n) { return Repeat("%%%_%-", n) + ".org"; }, Expand, 100'000},
    {"a macro without end", [](size_t n) { return Repeat("%{", n); }, Expand, 200'000},
    {"macros in terms that ask",
     [](size_t n) { return "v=spf1 exists:" + Repeat("%{l1r+-}.%{d}.", n) + "%{d2}"; }, CheckRecord,
     10'000},
};

TEST(SpfLinearTest, TimeGrowsWithTheRecordAndNoFaster) {
  for (const Shape& shape : kShapes) {
    const std::string small = shape.make(shape.count);
    const std::string large = shape.make(4 * shape.count);
    // Four times the input: quadratic work would take sixteen times as long.
    const Growth growth =
        MeasureGrowth([&] { shape.read(small); }, [&] { shape.read(large); }, 8, 0.02);
    EXPECT_TRUE(growth.ok()) << shape.name << ": " << growth;
    EXPECT_LT(growth.large, 1.0 * kSlowdown) << shape.name;
  }
}

// Questions counts what the DNS is asked for one check of joe@DOMAIN from 192.0.2.7.
struct Questions {
  Spf spf;
  size_t asked = 0;
};
Questions Count(const std::string& zone_text, std::string_view domain) {
  const dns::ZoneData zone = *dns::ZoneData::Parse(zone_text);
  SpfQuery query;
  query.client = *IpAddress::Parse("192.0.2.7");
  query.sender = StrCat("joe+tag-x@", domain);
  query.helo = "mail.example.com";
  dns::Inquiry<Spf> check = CheckSpf(query);
  while (!check.questions().empty()) {
    std::vector<dns::Answer> answers;
    for (const dns::Question& question : check.questions())
      answers.push_back(zone.Query(question.name, question.type));
    check.Resume(std::move(answers));
  }
  const size_t asked = check.asked();
  return {check.Take(), asked};
}

TEST(SpfLinearTest, AskNoMoreThanTheLimitsAllow) {
  std::string tree, loop, mx, ptr, exists, voids, everything;
  // Each record includes ten, which include ten.
  for (const char* level : {"a", "b", "c", "d"}) {
    StrAppend(tree, level, ".example.org. TXT \"v=spf1");
    for (int i = 0; i < 10; ++i)
      StrAppend(tree, "\" \" include:", std::string(1, static_cast<char>(level[0] + 1)),
                ".example.org");
    tree += " -all\"\n";
  }
  tree += "e.example.org. TXT \"v=spf1 ?all\"\n";
  loop =
      "a.example.org. TXT \"v=spf1 a:c1.example.org a:c2.example.org redirect=a.example.org\"\n"
      "c1.example.org. CNAME c2.example.org.\nc2.example.org. CNAME c1.example.org.\n";
  // Twelve mechanisms that each lead to ten names of servers, or of the client.
  mx = ptr = "a.example.org. TXT \"v=spf1";
  for (int i = 0; i < 12; ++i) {
    StrAppend(mx, "\" \" mx:m", i, ".example.org");
    StrAppend(ptr, "\" \" ptr:p", i, ".example.org");
  }
  mx += " -all\"\n";
  ptr += " -all exp=x.example.org\"\nx.example.org. TXT \"%{p} is none of ours\"\n";
  for (int i = 0; i < 12; ++i)
    for (int j = 0; j < 10; ++j)
      StrAppend(mx, "m", i, ".example.org. MX 1 h", j, ".m", i, ".example.org.\nh", j, ".m", i,
                ".example.org. A 192.0.2.99\n");
  for (int j = 0; j < 40; ++j)
    for (int i = 0; i < 12; ++i)
      StrAppend(ptr, "7.2.0.192.in-addr.arpa. PTR h", j, ".p", i, ".example.org.\n");
  exists = "a.example.org. TXT \"v=spf1";
  for (int i = 0; i < 50; ++i) exists += "\" \" exists:%{l1r+-}.%{l2+}.%{o}.%{h}.%{p}.example.org";
  exists += " -all\"\n*.example.org. A 127.0.0.2\n";
  voids = "a.example.org. TXT \"v=spf1 a:n1.a.org a:n2.a.org a:n3.a.org a:n4.a.org -all\"\n";
  const struct {
    const char* name;
    const std::string& zone;
    const char* reason;
    size_t asked;
  } kCases[] = {
      // One record for each lookup, and the first.
      {"a tree of includes", tree, "too_many_lookups", 11},
      {"names that lead to each other", loop, "dns_failed", 2},
      // Ten times the names and ten addresses.
      {"servers", mx, "too_many_lookups", 1 + 10 * 11},
      {"the client's names", ptr, "too_many_lookups", 1 + 10 * 11},
      {"macros", exists, "matched", 2 + 1},
      {"what is not there", voids, "too_many_void_lookups", 1 + 3},
  };
  for (const auto& c : kCases) {
    const Questions found = Count(c.zone, "a.example.org");
    EXPECT_EQ(found.spf.reason, c.reason) << c.name << ": " << found.spf.explanation;
    EXPECT_LE(found.asked, c.asked) << c.name;
    EXPECT_LE(found.spf.lookups, 10u) << c.name;
    EXPECT_LE(found.spf.void_lookups, 3u) << c.name;
  }
}

}  // namespace
}  // namespace postern::trust
