// The DMARC suites: policies of mailauth, records of mox, reports of many hands.
#include "tests/conformance/json.h"
#include "tests/conformance/suite.h"
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/core/message/arf.h"
#include "lib/core/message/parser.h"
#include "lib/core/trust/authenticate.h"
#include "lib/core/trust/dmarc_check.h"
#include "lib/core/trust/dmarc_report.h"

namespace postern::conformance {
namespace {

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// ZoneOf makes a zone of mailauth's answers: "name TYPE" to lists of character-strings.
dns::ZoneData ZoneOf(const Json& dns) {
  dns::ZoneData zone;
  for (const auto& [question, answer] : dns.Object()) {
    const std::vector<std::string_view> words = SplitWords(question);
    for (const Json& strings : answer["answer"].Array()) {
      dns::TxtData txt;
      for (const Json& string : strings.Array()) txt.strings.push_back(string.String());
      zone.Add({*dns::Name::Parse(words[0]), dns::Type::kTxt, 60, std::move(txt)});
    }
  }
  return zone;
}

std::string Show(const trust::DmarcCheck& check) {
  std::string out = StrCat("result=", DmarcResultName(check.result));
  if (!check.record) return out;
  const trust::DmarcRecord& record = *check.record;
  const auto strict = [](trust::DmarcAlignment mode) {
    return mode == trust::DmarcAlignment::kStrict ? "s" : "r";
  };
  using Whose = trust::DmarcRecord::Whose;
  StrAppend(out, " policy=", DmarcPolicyName(check.policy),
            " p=", DmarcPolicyName(record.PolicyFor(Whose::kItself)),
            " sp=", DmarcPolicyName(record.PolicyFor(Whose::kSubdomain)),
            " pct=", record.pct ? StrCat(*record.pct) : "-", " spf=", check.spf_domain, "/",
            strict(record.aspf), " dkim=", check.dkim_domain, "/", strict(record.adkim));
  return out;
}

std::string Expected(const Json& expect) {
  const std::string result = expect["result"].IsNull() ? "none" : expect["result"].String();
  std::string out = StrCat("result=", result);
  if (!expect.Has("p")) return out;
  const Json& alignment = expect["alignment"];
  const auto strict = [&alignment](std::string_view method) {
    return alignment[method]["strict"].Bool() ? "s" : "r";
  };
  StrAppend(out, " policy=", expect["policy"].String(), " p=", expect["p"].String(),
            " sp=", expect["sp"].String(),
            " pct=", expect["pct"].IsNull() ? "-" : StrCat(expect["pct"].Int()),
            " spf=", alignment["spf"]["result"].String(), "/", strict("spf"),
            " dkim=", alignment["dkim"]["result"].String(), "/", strict("dkim"));
  return out;
}

std::vector<std::string> Domains(const Json& list) {
  std::vector<std::string> out;
  for (const Json& item : list.Array())
    out.push_back(item.kind() == Json::Kind::kString ? item.String() : item["domain"].String());
  return out;
}

trust::DmarcInput InputOf(const Json& input) {
  std::vector<std::string> from;
  if (input["headerFrom"].kind() == Json::Kind::kString)
    from.push_back(input["headerFrom"].String());
  for (const Json& one : input["headerFrom"].Array()) from.push_back(one.String());
  std::string value;
  // Upstream takes a bare domain for an address.
  for (const std::string& one : from)
    StrAppend(value, value.empty() ? "" : ", ", one.find('@') == std::string::npos ? "x@" : "",
              one);
  trust::DmarcInput out;
  out.author = trust::DmarcAuthorOf({value});
  for (const std::string& domain : Domains(input["spfDomains"]))
    out.spf = trust::DmarcIdentity{domain};
  for (const std::string& domain : Domains(input["dkimDomains"])) out.dkim.push_back({domain});
  return out;
}

// Each case runs by the tree walk and by the public suffix list; "domain" is what the list says, in
// upstream too.
TEST(Dmarc, Mailauth) {
  const std::optional<std::string> folder = Folder("dmarc");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  const std::optional<std::string> lists = Folder("publicsuffix");
  if (!lists.has_value()) GTEST_SKIP() << kSkipped;
  const StatusOr<trust::PublicSuffixList> list =
      trust::PublicSuffixList::Parse(ReadFile(*lists + "/public_suffix_list.dat"));
  ASSERT_TRUE(list.ok()) << list.status();
  const Json cases = Json::Parse(ReadFile(*folder + "/mailauth-dmarc.json"));
  Tally tally("dmarc/mailauth-dmarc.json");
  int number = 0;
  for (const Json& test : cases.Array()) {
    const dns::ZoneData zone = ZoneOf(test["dns"]);
    const std::string expected = Expected(test["expect"]);
    const std::string id = StrCat("#", number++);
    const trust::DmarcCheck walk = dns::RunOnZone(zone, trust::CheckDmarc(InputOf(test["input"])));
    tally.Count(
        id + "/walk", Show(walk) == expected,
        StrCat(test["name"].String(), "\n  got      ", Show(walk), "\n  expected ", expected));
    trust::DmarcOptions options;
    options.method = trust::DmarcMethod::kPublicSuffixList;
    options.suffixes = &*list;
    const trust::DmarcCheck by_list =
        dns::RunOnZone(zone, trust::CheckDmarc(InputOf(test["input"]), options));
    const bool same_domain = !test["expect"].Has("domain") ||
                             by_list.organizational_domain == test["expect"]["domain"].String();
    tally.Count(id + "/list", Show(by_list) == expected && same_domain,
                StrCat(test["name"].String(), "\n  got      ", Show(by_list), " ",
                       by_list.organizational_domain, "\n  expected ", expected, " ",
                       test["expect"]["domain"].String()));
  }
  tally.Finish();
}

TEST(Dmarc, MailauthDiscovery) {
  const std::optional<std::string> folder = Folder("dmarc");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  const Json cases = Json::Parse(ReadFile(*folder + "/mailauth-record-discovery.json"));
  Tally tally("dmarc/mailauth-record-discovery.json");
  int number = 0;
  for (const Json& test : cases.Array()) {
    const trust::DmarcDiscovery found =
        dns::RunOnZone(ZoneOf(test["dns"]), trust::DiscoverDmarc(test["domain"].String()));
    const trust::DmarcFound* policy = found.policy();
    const Json& expect = test["expect"];
    bool good = (policy != nullptr) == (expect.kind() == Json::Kind::kObject);
    std::string got = policy == nullptr ? "nothing" : policy->text;
    if (good && policy != nullptr) {
      const trust::DmarcRecord& record = policy->record;
      good = policy->text == expect["rr"].String() && record.p &&
             DmarcPolicyName(*record.p) == expect["p"].String() &&
             expect.Has("pct") == record.pct.has_value() &&
             (!record.pct || *record.pct == expect["pct"].Int()) &&
             expect.Has("ri") == record.ri.has_value() &&
             (!record.ri || *record.ri == expect["ri"].Int()) &&
             expect["isOrgRecord"].Bool() == (policy->domain != found.domain);
    }
    tally.Count(StrCat("#", number++), good, StrCat(test["name"].String(), ": got ", got));
  }
  tally.Finish();
}

TEST(Dmarc, RecordSyntax) {
  const std::optional<std::string> folder = Folder("dmarc");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  const Json cases = Json::Parse(ReadFile(*folder + "/record-syntax.json"));
  Tally tally("dmarc/record-syntax.json");
  int number = 0;
  for (const Json& test : cases.Array()) {
    const std::optional<trust::DmarcRecord> record =
        trust::ParseDmarcRecord(test["input"].String());
    const bool good = record && record->usable();
    tally.Count(StrCat("#", number++), good == test["valid"].Bool(), test["input"].String());
  }
  tally.Finish();
}

// --- whole messages ---

// ZoneOfRspamd makes a zone of rspamd's list of names.
dns::ZoneData ZoneOfRspamd(const Json& records) {
  std::string text;
  for (const Json& record : records.Array()) {
    const std::string name = record["name"].String() + ".";
    const std::string type = AsciiUpper(record["type"].String());
    if (record["rcode"].String() == "timeout") StrAppend(text, name, " TIMEOUT\n");
    for (const Json& reply : record["replies"].Array()) {
      std::string data = reply.String();
      if (type == "TXT") {
        // Character-strings of at most 255 octets.
        std::string quoted = data.empty() ? " \"\"" : "";
        for (size_t at = 0; at < data.size(); at += 250)
          StrAppend(quoted, " \"", data.substr(at, 250), "\"");
        data = quoted;
      } else if (type == "PTR") {
        data += ".";
      } else if (type == "MX") {
        data = StrCat("10 ", data.substr(data.rfind(' ') + 1), ".");
      }
      StrAppend(text, name, " ", type, " ", data, "\n");
    }
  }
  StatusOr<dns::ZoneData> zone = dns::ZoneData::Parse(text);
  if (!zone.ok()) ADD_FAILURE() << zone.status();
  return zone.ok() ? *std::move(zone) : dns::ZoneData();
}

std::string Symbol(const trust::DmarcCheck& check) {
  switch (check.result) {
    case trust::DmarcResult::kPass: return "DMARC_POLICY_ALLOW";
    case trust::DmarcResult::kTempError: return "DMARC_DNSFAIL";
    case trust::DmarcResult::kPermError: return "DMARC_BAD_POLICY";
    case trust::DmarcResult::kNone: return "DMARC_NA";
    case trust::DmarcResult::kFail: break;
  }
  switch (check.disposition) {
    case trust::DmarcPolicy::kNone: return "DMARC_POLICY_SOFTFAIL";
    case trust::DmarcPolicy::kQuarantine: return "DMARC_POLICY_QUARANTINE";
    case trust::DmarcPolicy::kReject: return "DMARC_POLICY_REJECT";
  }
  return "";
}

TEST(Dmarc, Rspamd) {
  const std::optional<std::string> folder = Folder("dmarc/rspamd");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  const std::optional<std::string> lists = Folder("publicsuffix");
  if (!lists.has_value()) GTEST_SKIP() << kSkipped;
  const StatusOr<trust::PublicSuffixList> list =
      trust::PublicSuffixList::Parse(ReadFile(*lists + "/public_suffix_list.dat"));
  ASSERT_TRUE(list.ok()) << list.status();
  const dns::ZoneData zone = ZoneOfRspamd(Json::Parse(ReadFile(*folder + "/dns.json")));
  const Json cases = Json::Parse(ReadFile(*folder + "/cases.json"));
  Tally tally("dmarc/rspamd");
  int number = 0;
  for (const Json& test : cases.Array()) {
    trust::AuthenticateRequest request;
    request.client = IpAddress::Parse(test["options"]["IP"].String());
    request.mail_from = test["options"]["From"].String();
    request.now = absl::FromUnixSeconds(1'700'000'000);
    trust::AuthenticateOptions options;
    options.scan.bare_lf_is_line_end = true;
    // The suite is of RFC 7489's time.
    options.dmarc.method = trust::DmarcMethod::kPublicSuffixList;
    options.dmarc.suffixes = &*list;
    const trust::Authentication found = dns::RunOnZone(
        zone, trust::Authenticate(ReadFile(*folder + "/messages/" + test["message"].String()),
                                  request, options));
    const std::string got = Symbol(*found.dmarc);
    tally.Count(StrCat("#", number++), got == test["expect_symbols"].Array().at(0).String(),
                StrCat(test["case"].String(), ": got ", got, ": ", found.dmarc->explanation));
  }
  tally.Finish();
}

// --- reports ---

// Word brings what mail-auth prints for an enumeration to the report's own word.
std::string Word(const Json& value) {
  const std::string text = AsciiLower(value.String());
  if (text == "unspecified") return "";
  if (text == "relaxed") return "r";
  if (text == "strict") return "s";
  if (text == "mailfrom") return "mfrom";
  std::string out;
  for (char c : value.String()) {
    if (c >= 'A' && c <= 'Z' && !out.empty()) out += '_';
    out += AsciiToLower(c);
  }
  return out == "temp_error"   ? "temperror"
         : out == "perm_error" ? "permerror"
         : out == "soft_fail"  ? "softfail"
                               : out;
}

struct Differences {
  std::string text;
  void Compare(std::string_view what, std::string_view got, std::string_view expected) {
    if (got != expected)
      StrAppend(text, "\n  ", what, ": got \"", got, "\", expected \"", expected, "\"");
  }
};

std::string CompareReport(const trust::DmarcReport& report, const Json& expect) {
  Differences out;
  const Json& metadata = expect["report_metadata"];
  out.Compare("org_name", report.org_name, metadata["org_name"].String());
  out.Compare("email", report.email, metadata["email"].String());
  out.Compare("extra_contact_info", report.extra_contact_info,
              metadata["extra_contact_info"].String());
  out.Compare("report_id", report.report_id, metadata["report_id"].String());
  out.Compare("begin", StrCat(report.begin), StrCat(metadata["date_range"]["begin"].Int()));
  out.Compare("end", StrCat(report.end), StrCat(metadata["date_range"]["end"].Int()));
  out.Compare("errors", StrCat(report.errors.size()), StrCat(metadata["error"].Array().size()));
  const Json& policy = expect["policy_published"];
  out.Compare("domain", report.domain, policy["domain"].String());
  out.Compare("adkim", report.adkim, Word(policy["adkim"]));
  out.Compare("aspf", report.aspf, Word(policy["aspf"]));
  out.Compare("p", report.p, Word(policy["p"]));
  out.Compare("sp", report.sp, Word(policy["sp"]));
  out.Compare("testing", report.testing == "y" ? "y" : "n", policy["testing"].Bool() ? "y" : "n");
  out.Compare("fo", report.fo, policy["fo"].String());
  const std::vector<Json>& records = expect["record"].Array();
  out.Compare("records", StrCat(report.records.size()), StrCat(records.size()));
  for (size_t i = 0; i < std::min(records.size(), report.records.size()); ++i) {
    const trust::DmarcReportRecord& record = report.records[i];
    const Json& row = records[i]["row"];
    out.Compare("source_ip", record.source_ip, row["source_ip"].String());
    out.Compare("count", StrCat(record.count), StrCat(row["count"].Int()));
    const Json& evaluated = row["policy_evaluated"];
    out.Compare("disposition", record.disposition, Word(evaluated["disposition"]));
    out.Compare("dkim", record.dkim, Word(evaluated["dkim"]));
    out.Compare("spf", record.spf, Word(evaluated["spf"]));
    const std::vector<Json>& reasons = evaluated["reason"].Array();
    out.Compare("reasons", StrCat(record.reasons.size()), StrCat(reasons.size()));
    for (size_t j = 0; j < std::min(reasons.size(), record.reasons.size()); ++j) {
      out.Compare("reason", record.reasons[j].type, Word(reasons[j]["type_"]));
      out.Compare("comment", record.reasons[j].comment, reasons[j]["comment"].String());
    }
    const Json& identifiers = records[i]["identifiers"];
    out.Compare("header_from", record.header_from, identifiers["header_from"].String());
    out.Compare("envelope_from", record.envelope_from.value_or(""),
                identifiers["envelope_from"].String());
    out.Compare("envelope_to", record.envelope_to.value_or(""),
                identifiers["envelope_to"].String());
    const std::vector<Json>& dkim = records[i]["auth_results"]["dkim"].Array();
    out.Compare("dkim results", StrCat(record.dkim_results.size()), StrCat(dkim.size()));
    for (size_t j = 0; j < std::min(dkim.size(), record.dkim_results.size()); ++j) {
      out.Compare("dkim domain", record.dkim_results[j].domain, dkim[j]["domain"].String());
      out.Compare("dkim selector", record.dkim_results[j].selector, dkim[j]["selector"].String());
      out.Compare("dkim result", record.dkim_results[j].result, Word(dkim[j]["result"]));
      out.Compare("dkim human", record.dkim_results[j].human_result,
                  dkim[j]["human_result"].String());
    }
    const std::vector<Json>& spf = records[i]["auth_results"]["spf"].Array();
    out.Compare("spf results", StrCat(record.spf_results.size()), StrCat(spf.size()));
    for (size_t j = 0; j < std::min(spf.size(), record.spf_results.size()); ++j) {
      out.Compare("spf domain", record.spf_results[j].domain, spf[j]["domain"].String());
      out.Compare("spf scope", record.spf_results[j].scope, Word(spf[j]["scope"]));
      out.Compare("spf result", record.spf_results[j].result, Word(spf[j]["result"]));
      out.Compare("spf human", record.spf_results[j].human_result, spf[j]["human_result"].String());
    }
  }
  return out.text;
}

// CaseName is a path as one word.
std::string CaseName(const std::filesystem::path& path) {
  std::string out = path.parent_path().filename().string() + "/" + path.filename().string();
  std::replace(out.begin(), out.end(), ' ', '_');
  return out;
}

std::vector<std::filesystem::path> Files(const std::string& folder) {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().extension() != ".json") out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

std::optional<Json> Beside(std::filesystem::path path) {
  path.replace_extension(".json");
  if (!std::filesystem::exists(path)) return std::nullopt;
  return Json::Parse(ReadFile(path));
}

// A report without an expectation beside it must be read, tell what its file name says ("!domain!
// begin!end"), and come back from what we write of it.
TEST(Dmarc, AggregateReports) {
  const std::optional<std::string> folder = Folder("dmarc/aggregate-reports");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  Tally tally("dmarc/aggregate-reports");
  for (const std::filesystem::path& path : Files(*folder)) {
    const StatusOr<std::vector<trust::DmarcReport>> reports =
        trust::ReadDmarcReports(ReadFile(path));
    if (!reports.ok() || reports->size() != 1) {
      tally.Count(CaseName(path), false, Text(reports.status()));
      continue;
    }
    const trust::DmarcReport& report = reports->front();
    std::string wrong;
    if (const std::optional<Json> expect = Beside(path)) wrong = CompareReport(report, *expect);
    const std::vector<std::string> parts = [&path] {
      std::vector<std::string> out;
      const std::string name = path.filename().string();
      for (std::string_view part : Split(name, '!'))
        out.emplace_back(part.substr(0, part.find(".xml")));
      return out;
    }();
    Differences out;
    if (parts.size() >= 4) {
      // Four reports were made anonymous after they were named; their dates stayed.
      out.Compare("begin", StrCat(report.begin), parts[2]);
      out.Compare("end", StrCat(report.end), std::string_view(parts[3]).substr(0, 10));
    }
    trust::DmarcReport copy = report;
    copy.problems.clear();
    const StatusOr<trust::DmarcReport> back =
        trust::ParseDmarcReport(trust::FormatDmarcReport(copy));
    if (!back.ok()) {
      out.Compare("round trip", Text(back.status()), "ok");
    } else {
      out.Compare("round trip", trust::FormatDmarcReport(*back), trust::FormatDmarcReport(copy));
    }
    if (report.records.empty()) wrong += "\n  no record";
    tally.Count(CaseName(path), wrong.empty() && out.text.empty(), wrong + out.text);
  }
  tally.Finish();
}

// OneBlank squeezes runs of white space: folding is no content.
std::string OneBlank(std::string_view text) {
  std::string out;
  for (char c : text) {
    const bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
    if (!blank) out += c;
    if (blank && !out.empty() && out.back() != ' ') out += ' ';
  }
  return out;
}
std::string NoBlank(std::string_view text) {
  std::string out = OneBlank(text);
  out.erase(std::remove(out.begin(), out.end(), ' '), out.end());
  return out;
}
std::string Letters(std::string_view text) {
  std::string out;
  for (char c : text)
    if (IsAsciiAlnum(c)) out += AsciiToLower(c);
  return out;
}

std::string CompareFeedback(const message::ArfReport& report, const Json& expect) {
  Differences out;
  const auto word = [&](const char* name, const std::string& got) {
    out.Compare(name, Letters(got),
                Letters(expect[name].String() == "Unspecified" ? "" : expect[name].String()));
  };
  const auto text = [&](const char* name, const std::string& got) {
    out.Compare(name, OneBlank(got), OneBlank(expect[name].String()));
  };
  const auto list = [&](const char* name, const std::vector<std::string>& got) {
    std::string expected;
    for (const Json& one : expect[name].Array()) StrAppend(expected, OneBlank(one.String()), "|");
    std::string have;
    for (const std::string& one : got) StrAppend(have, OneBlank(one), "|");
    out.Compare(name, have, expected);
  };
  word("feedback_type", report.feedback_type);
  word("auth_failure", report.auth_failure);
  word("delivery_result", report.delivery_result);
  word("identity_alignment", report.identity_alignment);
  list("authentication_results", report.authentication_results);
  list("reported_domain", report.reported_domain);
  list("reported_uri", report.reported_uri);
  text("original_envelope_id", report.original_envelope_id);
  text("original_mail_from", report.original_mail_from);
  text("original_rcpt_to", report.original_rcpt_to.empty() ? "" : report.original_rcpt_to.back());
  text("reporting_mta", report.reporting_mta);
  text("source_ip", report.source_ip);
  text("user_agent", report.user_agent);
  text("dkim_domain", report.dkim_domain);
  text("dkim_identity", report.dkim_identity);
  text("dkim_selector", report.dkim_selector);
  text("dkim_selector_dns", report.dkim_selector_dns);
  text("dkim_adsp_dns", report.dkim_adsp_dns);
  text("spf_dns", report.spf_dns.empty() ? "" : report.spf_dns.back());
  out.Compare("body", report.dkim_canonicalized_body,
              NoBlank(expect["dkim_canonicalized_body"].String()));
  out.Compare("header", report.dkim_canonicalized_header,
              NoBlank(expect["dkim_canonicalized_header"].String()));
  out.Compare("incidents", StrCat(report.incidents), StrCat(expect["incidents"].Int()));
  out.Compare("version", report.version, StrCat(expect["version"].Int()));
  const StatusOr<mail::MailDate> date = mail::ParseDate(report.arrival_date);
  out.Compare("arrival_date", date.ok() ? StrCat(absl::ToUnixSeconds(date->time)) : "",
              expect["arrival_date"].IsNull() ? "" : StrCat(expect["arrival_date"].Int()));
  if (!expect["headers"].IsNull())
    out.Compare("headers", OneBlank(report.original), OneBlank(expect["headers"].String()));
  return out.text;
}

// Without an expectation beside it a report must be read, with its fields known and its message.
void RunFeedback(const char* suite) {
  const std::optional<std::string> folder = Folder(suite);
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  Tally tally(suite);
  for (const std::filesystem::path& path : Files(*folder)) {
    const std::string octets = ReadFile(path);
    const StatusOr<message::ArfReport> report = message::ParseArf(message::ParseMessage(octets));
    if (!report.ok()) {
      tally.Count(CaseName(path), false, Text(report.status()));
      continue;
    }
    std::string wrong;
    if (const std::optional<Json> expect = Beside(path)) wrong = CompareFeedback(*report, *expect);
    if (report->original.empty()) wrong += "\n  no message";
    if (report->feedback_type == "auth-failure" &&
        (report->source_ip.empty() || report->reported_domain.empty() ||
         report->authentication_results.empty()))
      wrong += "\n  no source, domain or results";
    const StatusOr<message::ArfReport> back =
        message::ParseFeedbackFields(message::FormatFeedbackFields(*report));
    if (!back.ok() ||
        message::FormatFeedbackFields(*back) != message::FormatFeedbackFields(*report))
      wrong += "\n  no round trip";
    tally.Count(CaseName(path), wrong.empty(), wrong);
  }
  tally.Finish();
}

TEST(Dmarc, FailureReports) { RunFeedback("dmarc/failure-reports"); }
TEST(Dmarc, FeedbackArf) { RunFeedback("dmarc/feedback-arf"); }

}  // namespace
}  // namespace postern::conformance
