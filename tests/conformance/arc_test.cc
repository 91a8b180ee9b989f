// The ARC suites: chains to be validated, messages to be sealed, and sealed messages from the wild.

#include "tests/conformance/json.h"
#include "tests/conformance/suite.h"
#include <algorithm>
#include <sstream>

#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/trust/arc_seal.h"
#include "lib/core/trust/tag_list.h"

namespace postern::trust {
namespace {

using conformance::Json;

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// Block is what these YAML files are made of: maps, literal and folded blocks, plain scalars.
struct Block {
  struct Member;
  std::string text;
  std::vector<Member> members;
  const Block& operator[](std::string_view name) const;
};
struct Block::Member {
  std::string key;
  Block value;
};

const Block& Block::operator[](std::string_view name) const {
  static const Block kNone;
  for (const auto& [key, value] : members) {
    if (key == name) return value;
  }
  return kNone;
}

size_t IndentOf(std::string_view line) {
  return std::min(line.find_first_not_of(' '), line.size());
}

// ReadMap reads the map whose keys stand at `indent`, from lines[*at] on.
Block ReadMap(const std::vector<std::string_view>& lines, size_t* at, size_t indent) {
  Block map;
  while (*at < lines.size()) {
    const std::string_view line = lines[*at];
    if (Trim(line).empty() || Trim(line).front() == '#') {
      ++*at;
      continue;
    }
    if (IndentOf(line) < indent) break;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) {
      ++*at;
      continue;
    }
    const std::string key(Trim(line.substr(0, colon)));
    const std::string_view rest = Trim(line.substr(colon + 1));
    ++*at;
    Block value;
    if (!rest.empty() && (rest.front() == '|' || rest.front() == '>')) {
      size_t inner = 0;
      std::string blanks;
      for (; *at < lines.size(); ++*at) {
        const std::string_view each = lines[*at];
        if (Trim(each).empty()) {
          blanks += "\n";
          continue;
        }
        if (inner == 0) inner = IndentOf(each);
        if (IndentOf(each) <= indent) break;
        value.text += blanks;
        blanks.clear();
        StrAppend(value.text, each.substr(inner), "\n");
      }
    } else if (rest.empty()) {
      size_t next = *at;
      while (next < lines.size() && Trim(lines[next]).empty()) ++next;
      if (next < lines.size() && IndentOf(lines[next]) > indent)
        value = ReadMap(lines, at, IndentOf(lines[next]));
    } else {
      value.text = std::string(rest);
    }
    map.members.push_back({key, std::move(value)});
  }
  return map;
}

std::vector<Block> ReadScenarios(const std::string& text) {
  std::vector<Block> scenarios;
  std::vector<std::string_view> lines;
  const auto flush = [&] {
    size_t at = 0;
    Block scenario = ReadMap(lines, &at, 0);
    if (!scenario.members.empty()) scenarios.push_back(std::move(scenario));
    lines.clear();
  };
  for (std::string_view line : Split(text, '\n')) {
    if (line.rfind("---", 0) == 0) {
      flush();
    } else {
      lines.push_back(line);
    }
  }
  flush();
  return scenarios;
}

dns::ZoneData ZoneOf(const Block& records) {
  dns::ZoneData zone;
  for (const auto& [name, value] : records.members) {
    const StatusOr<dns::Name> parsed = dns::Name::Parse(name);
    if (!parsed.ok()) continue;
    zone.Add(dns::Record{*parsed, dns::Type::kTxt, 300, dns::TxtData{{value.text}}});
  }
  return zone;
}

MessageScanOptions Files() {
  MessageScanOptions options;
  options.bare_lf_is_line_end = true;
  return options;
}

ArcVerdict Verify(const std::string& message, const dns::ZoneData& zone) {
  return dns::RunOnZone(zone, CheckArc(message, Files(), {}));
}

TEST(ArcSuite, Validation) {
  const auto folder = conformance::Folder("arc");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("arc/validation");
  const std::string text = ReadFile(*folder + "/arc-draft-validation-tests.yml");
  for (const Block& scenario : ReadScenarios(text)) {
    const dns::ZoneData zone = ZoneOf(scenario["txt-records"]);
    for (const auto& [name, test] : scenario["tests"].members) {
      const ArcVerdict verdict = Verify(test["message"].text, zone);
      // A cv= without a value is the suite's way to say that the chain had failed before.
      std::string expected = AsciiLower(Trim(test["cv"].text));
      if (expected.empty()) expected = "fail";
      tally.Count(name, ArcResultName(verdict.result) == expected,
                  StrCat("expected ", expected, ", but ", verdict.explanation));
    }
  }
  tally.Finish();
}

// Tags gives the tags of a field's value, without white space.
std::map<std::string, std::string> Tags(std::string_view value) {
  std::map<std::string, std::string> tags;
  const StatusOr<TagList> list = TagList::Parse(value);
  if (!list.ok()) return tags;
  for (const Tag& tag : list->tags()) {
    std::string& text = tags[std::string(tag.name)];
    for (const char c : tag.value) {
      if (!IsFws(c)) text += c;
    }
  }
  return tags;
}

TEST(ArcSuite, Sealing) {
  const auto folder = conformance::Folder("arc");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("arc/sealing");
  const std::string text = ReadFile(*folder + "/arc-draft-sign-tests.yml");
  for (const Block& scenario : ReadScenarios(text)) {
    const dns::ZoneData zone = ZoneOf(scenario["txt-records"]);
    const auto key = PrivateKey::ParsePem(scenario["privatekey"].text);
    ASSERT_TRUE(key.ok()) << key.status();
    for (const auto& [name, test] : scenario["tests"].members) {
      ArcSealOptions options;
      options.key = {*key, scenario["domain"].text, scenario["sel"].text, ""};
      options.authserv_id = test["srv-id"].text;
      options.fields.clear();
      options.oversigned.clear();  // the suite names every field that is signed
      for (std::string_view field : SplitColons(test["sig-headers"].text))
        options.fields.emplace_back(field);
      ArcVerifier verifier;
      ArcSealer sealer(options);
      MessageScan scan({&verifier, &sealer}, Files());
      scan.Feed(test["message"].text);
      scan.Finish();
      const ArcVerdict before = dns::RunOnZone(zone, verifier.Check());
      const auto fields =
          sealer.Seal(before, absl::FromUnixSeconds(std::atoi(test["t"].text.c_str())));
      ASSERT_TRUE(fields.ok()) << name << ": " << fields.status();
      const HeaderFields header(*fields, 10);
      ASSERT_EQ(header.fields().size(), 3U);
      const auto seal = Tags(header.fields()[0].value);
      const auto message = Tags(header.fields()[1].value);
      auto expected_seal = Tags(test["AS"].text);
      const auto expected_message = Tags(test["AMS"].text);
      // The message signature is theirs octet for octet, as tags stand in the same order. A seal
      // covers the blanks inside b= of the message signature, which are the sealer's choice: it is
      // checked by validating what comes out.
      tally.Count(StrCat(name, ":AMS"), message == expected_message, header.fields()[1].raw.data());
      expected_seal["b"] = seal.count("b") != 0 ? seal.at("b") : "";
      tally.Count(StrCat(name, ":AS"), seal == expected_seal, header.fields()[0].raw.data());
      const auto squeezed = [](std::string_view value) {
        std::string out;
        for (const char c : value) {
          if (!IsFws(c)) out += c;
        }
        return out;
      };
      tally.Count(StrCat(name, ":AAR"),
                  squeezed(header.fields()[2].value) == squeezed(test["AAR"].text),
                  header.fields()[2].raw.data());
      const ArcVerdict after = Verify(*fields + test["message"].text, zone);
      tally.Count(StrCat(name, ":chain"), after.result == ArcResult::kPass, after.explanation);
    }
  }
  tally.Finish();
}

// What upstream's own programs say of these: the chain holds, unless the name says otherwise.
TEST(ArcSuite, Wild) {
  const auto folder = conformance::Folder("arc");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("arc/wild");
  {
    // Keys, a blank line, the message.
    const std::string text = ReadFile(*folder + "/mail-auth/002.txt");
    const size_t blank = text.find("\n\n");
    dns::ZoneData zone;
    for (std::string_view line : Split(std::string_view(text).substr(0, blank), '\n')) {
      const size_t end = line.find(' ');
      if (end == std::string_view::npos) continue;
      zone.Add(dns::Record{*dns::Name::Parse(line.substr(0, end)), dns::Type::kTxt, 300,
                           dns::TxtData{{std::string(Trim(line.substr(end)))}}});
    }
    const ArcVerdict verdict = Verify(text.substr(blank + 2), zone);
    tally.Count("mail-auth/002.txt", verdict.result == ArcResult::kPass, verdict.explanation);
  }
  {
    const Json records = Json::Parse(ReadFile(*folder + "/rspamd/dns.json"));
    dns::ZoneData zone;
    for (const Json& record : records.Array()) {
      const StatusOr<dns::Name> name = dns::Name::Parse(record["name"].String());
      if (!name.ok() || record["type"].String() != "txt") continue;
      for (const Json& reply : record["replies"].Array()) {
        zone.Add(dns::Record{*name, dns::Type::kTxt, 300, dns::TxtData{{reply.String()}}});
      }
    }
    const ArcVerdict verdict = Verify(ReadFile(*folder + "/rspamd/messages/arcbad.eml"), zone);
    tally.Count("rspamd/arcbad.eml", verdict.result == ArcResult::kFail, verdict.explanation);
  }
  // For these no keys are kept: their form is whole, and the keys are all that is missing.
  for (const char* file :
       {"kumomta/arc-example.eml", "mailauth/arc-fail3.eml", "spamassassin/ok01.eml"}) {
    const ArcVerdict verdict = Verify(ReadFile(StrCat(*folder, "/", file)), {});
    tally.Count(file, verdict.result == ArcResult::kFail && verdict.instances > 0,
                verdict.explanation);
    std::printf("%s: %u sets, %s\n", file, verdict.instances, verdict.explanation.c_str());
  }
  tally.Finish();
}

}  // namespace
}  // namespace postern::trust
