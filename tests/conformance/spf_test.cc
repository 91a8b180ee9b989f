// The SPF suites: RFC 7208's own, and those of pyspf, blitiri, mail-auth, mailauth and rspamd.
// spf_cases.py brings them into one form.
#include "tests/conformance/json.h"
#include "tests/conformance/suite.h"
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/trust/spf_check.h"

namespace postern::conformance {
namespace {

// RawName makes a name whose octets all mean themselves, as the suites write them.
dns::Name RawName(std::string_view text) {
  if (!text.empty() && text.back() == '.') text.remove_suffix(1);
  std::string wire;
  for (const std::string_view label : Split(text, '.')) {
    if (label.empty()) break;
    wire.push_back(static_cast<char>(label.size()));
    wire += label;
  }
  wire.push_back('\0');
  return dns::Name::FromWire(wire).value_or(dns::Name());
}

// Zone answers like the suites' own test servers: a name's failure shows only where nothing else
// answers.
class Zone {
 public:
  explicit Zone(const Json& records) {
    for (const Json& record : records.Array()) Add(record);
  }

  dns::Answer Query(dns::Name name, dns::Type type) const {
    dns::Answer answer;
    for (int hops = 0; hops < 12; ++hops) {
      const auto it = nodes_.find(name.Key());
      if (it == nodes_.end()) return dns::Answer::Failure(dns::Answer::Kind::kNxDomain, "");
      const Node& node = it->second;
      for (const dns::Record& record : node.records)
        if (record.type == type) answer.records.push_back(record);
      if (!answer.records.empty()) {
        answer.kind = dns::Answer::Kind::kOk;
        answer.name = name;
        return answer;
      }
      if (node.failure != dns::Answer::Kind::kOk) return dns::Answer::Failure(node.failure, "");
      const auto alias =
          std::find_if(node.records.begin(), node.records.end(),
                       [](const dns::Record& r) { return r.type == dns::Type::kCname; });
      if (alias == node.records.end()) return dns::Answer::Failure(dns::Answer::Kind::kNoData, "");
      name = std::get<dns::NameData>(alias->data).name;
    }
    return dns::Answer::Failure(dns::Answer::Kind::kServFail, "a loop of CNAMEs");
  }

 private:
  struct Node {
    std::vector<dns::Record> records;
    dns::Answer::Kind failure = dns::Answer::Kind::kOk;
  };

  void Add(const Json& entry) {
    const std::string& type = entry["type"].String();
    const Json& value = entry["value"];
    const dns::Name name = RawName(entry["name"].String());
    Node& node = nodes_[name.Key()];
    dns::Record record{name, dns::Type::kA, 300, {}};
    if (type == "TIMEOUT") {
      node.failure = dns::Answer::Kind::kTimeout;
      return;
    }
    if (type == "SERVFAIL") {
      node.failure = dns::Answer::Kind::kServFail;
      return;
    }
    if (type == "A" || type == "AAAA") {
      record.type = type == "A" ? dns::Type::kA : dns::Type::kAaaa;
      record.data = dns::AddressData{*IpAddress::Parse(value.String())};
    } else if (type == "TXT") {
      dns::TxtData text;
      for (const Json& string : value.Array()) text.strings.push_back(string.String());
      record.type = dns::Type::kTxt;
      record.data = text;
    } else if (type == "MX") {
      record.type = dns::Type::kMx;
      record.data = dns::MxData{static_cast<uint16_t>(value.Array()[0].Int()),
                                RawName(value.Array()[1].String())};
    } else if (type == "PTR" || type == "CNAME") {
      record.type = type == "PTR" ? dns::Type::kPtr : dns::Type::kCname;
      record.data = dns::NameData{RawName(value.String())};
    } else {
      return;  // NODATA, SPF: the name exists
    }
    node.records.push_back(std::move(record));
  }

  std::map<std::string, Node> nodes_;
};

trust::Spf Answered(const Zone& zone, dns::Inquiry<trust::Spf> inquiry) {
  while (!inquiry.questions().empty()) {
    std::vector<dns::Answer> answers;
    for (const dns::Question& question : inquiry.questions())
      answers.push_back(zone.Query(question.name, question.type));
    inquiry.Resume(std::move(answers));
  }
  return inquiry.Take();
}

Json ReadCases(const std::string& folder) {
  const std::string command = StrCat("python3 '", POSTERN_SPF_CASES, "' '", folder, "'");
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  char buffer[65536];
  while (const size_t got = fread(buffer, 1, sizeof buffer, pipe.get())) text.append(buffer, got);
  return Json::Parse(text);
}

TEST(SpfConformance, Suites) {
  const auto folder = Folder("spf");
  if (!folder) GTEST_SKIP() << kSkipped;
  const Json groups = ReadCases(*folder);
  ASSERT_FALSE(groups.Array().empty()) << "spf_cases.py gave nothing: is python3-yaml there?";
  std::map<std::string, Tally> tallies;
  for (const Json& group : groups.Array()) {
    const std::string& suite = group["suite"].String();
    Tally& tally = tallies.try_emplace(suite, suite).first->second;
    const Zone zone(group["zone"]);
    for (const Json& test : group["cases"].Array()) {
      trust::SpfQuery query;
      query.client = *IpAddress::Parse(test["ip"].String());
      query.helo = test["helo"].String();
      query.sender = test["sender"].String();
      trust::SpfLimits limits;
      if (test.Has("max_void"))
        limits.max_void_lookups = static_cast<size_t>(test["max_void"].Int());
      trust::Spf spf;
      spf.result = trust::SpfResult::kPass;
      if (test["helo_first"].Bool()) {
        trust::SpfQuery helo = query;
        helo.identity = trust::SpfIdentity::kHelo;
        spf = Answered(zone, trust::CheckSpf(helo, limits));
      }
      if (spf.result == trust::SpfResult::kPass)
        spf = Answered(zone, trust::CheckSpf(query, limits));

      const std::string result = trust::SpfResultName(spf.result);
      bool passed = false;
      std::string wanted;
      for (const Json& allowed : test["results"].Array()) {
        passed = passed || allowed.String() == result;
        wanted += " " + allowed.String();
      }
      std::string detail = StrCat("got ", result, ", wanted", wanted, " (", spf.explanation, ")");
      if (passed && test.Has("explanation")) {
        const std::string& text = test["explanation"].String();
        passed = spf.published == (text == "DEFAULT" ? "" : text);
        if (!passed) detail = StrCat("says \"", spf.published, "\", not \"", text, "\"");
      }
      tally.Count(test["name"].String(), passed, detail);
    }
  }
  for (const auto& [suite, tally] : tallies) tally.Finish();
}

}  // namespace
}  // namespace postern::conformance
