// The IMAP scripts of Apache James (their format is described in the suites' README), against the
// whole service over memory stores. Replies are compared by tag and condition, responses as the
// scripts' expressions say, whatever their order; what belongs to James (texts, response codes of
// extensions, the order of flags and of STATUS items) does not count.
#include "tests/conformance/suite.h"
#include "tests/dialog/imap_server_harness.h"
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::service {
namespace {

using conformance::Tally;

// Exchange is lines sent at once and the lines expected then.
struct Exchange {
  int line = 0;
  std::string session;
  bool reinit = false;
  std::vector<std::string> sent;
  std::vector<std::string> expected;
};

std::vector<Exchange> ParseScript(const std::filesystem::path& path) {
  std::vector<Exchange> exchanges;
  std::ifstream in(path);
  std::string session = "1";
  bool reinit = false;
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.rfind("SESSION:", 0) == 0) session = std::string(Trim(line.substr(8)));
    if (line.rfind("REINIT", 0) == 0) reinit = true;
    const bool sent = line.rfind("C:", 0) == 0;
    if (!sent && line.rfind("S:", 0) != 0) continue;
    std::string text = line.size() > 3 ? line.substr(3) : "";
    if (exchanges.empty() || exchanges.back().session != session || reinit ||
        (sent && !exchanges.back().expected.empty())) {
      exchanges.push_back({number, session, reinit, {}, {}});
      reinit = false;
    }
    (sent ? exchanges.back().sent : exchanges.back().expected).push_back(text);
  }
  return exchanges;
}

// Normal brings what we say into the order in which James says it.
std::string Normal(std::string line) {
  const size_t flags = line.find("FLAGS (");
  if (flags != std::string::npos) {
    const size_t start = flags + 7;
    const size_t end = line.find(')', start);
    std::string inner = line.substr(start, end - start);
    std::vector<std::string_view> words = SplitWords(inner);
    // Which of several sessions a message is recent to is the server's choice (RFC 3501 §2.3.2).
    std::erase(words, "\\Recent");
    std::sort(words.begin(), words.end());
    // "\*" comes last in their PERMANENTFLAGS.
    std::stable_partition(words.begin(), words.end(),
                          [](std::string_view word) { return word != "\\*"; });
    line.replace(start, end - start, StrJoin(words, " "));
  }
  if (line.rfind("* STATUS ", 0) == 0 && line.find('(') != std::string::npos) {
    const size_t start = line.rfind('(') + 1;
    std::string inner = line.substr(start, line.size() - start - 1);
    const std::vector<std::string_view> words = SplitWords(inner);
    std::map<std::string, std::string> items;
    for (size_t i = 0; i + 1 < words.size(); i += 2)
      items[std::string(words[i])] = std::string(words[i + 1]);
    std::string sorted;
    for (const auto& [name, value] : items)
      StrAppend(sorted, sorted.empty() ? "" : " ", name, " ", value);
    line.replace(start, inner.size(), sorted);
  }
  return line;
}

// WithoutRecent takes \Recent out of an expression.
std::string WithoutRecent(std::string expected) {
  for (const std::string_view recent : {R"(\\Recent )", R"( \\Recent)", R"(\\Recent)"}) {
    for (size_t at; (at = expected.find(recent)) != std::string::npos;)
      expected.erase(at, recent.size());
  }
  return expected;
}

// Expunged reads EXPUNGE lines as the messages that went, by the numbers they had before the first:
// servers are free to begin at either end.
std::vector<uint64_t> Expunged(const std::vector<std::string>& lines, bool expressions) {
  static const std::regex plain(R"(\* (\d+) EXPUNGE)");
  static const std::regex expression(R"(\\\* (\d+) EXPUNGE)");
  std::vector<uint64_t> numbers(1000);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = i + 1;
  std::vector<uint64_t> gone;
  for (const std::string& line : lines) {
    std::smatch match;
    if (!std::regex_match(line, match, expressions ? expression : plain)) continue;
    const size_t number = static_cast<size_t>(std::stoul(match[1].str()));
    if (number == 0 || number > numbers.size()) continue;
    gone.push_back(numbers[number - 1]);
    numbers.erase(numbers.begin() + static_cast<long>(number - 1));
  }
  std::sort(gone.begin(), gone.end());
  return gone;
}

bool IsOptional(const std::string& expected) {
  for (const std::string_view name : {"MAILBOXID", "HIGHESTMODSEQ", "RECENT", "UNSEEN"}) {
    if (StartsWithIgnoreCase(expected, "\\*") && expected.find(name) != std::string::npos &&
        expected.find("STATUS") == std::string::npos &&
        expected.find("FETCH") == std::string::npos) {
      return true;
    }
  }
  return false;
}

bool IsExtra(const std::string& line) {
  static const std::regex extra(R"(\* (OK .*|FLAGS .*|\d+ RECENT|\d+ EXISTS|CAPABILITY .*))");
  return std::regex_match(line, extra);
}

// SplitTagged takes "tag OK" off an expected line; false for an untagged one.
bool SplitTagged(const std::string& line, std::string* head) {
  static const std::regex tagged(R"(^([^ *+\\]\S*) (OK|NO|BAD)\b.*)");
  std::smatch match;
  if (!std::regex_match(line, match, tagged)) return false;
  *head = StrCat(match[1].str(), " ", match[2].str());
  return true;
}

class Runner {
 public:
  Runner() : harness_(Options()) {
    harness_.AddUser("imapuser", "password", Dots());
    harness_.AddUser("delegate", "password", Dots());
  }

  std::string Run(const std::vector<Exchange>& exchanges, bool login) {
    for (const Exchange& exchange : exchanges) {
      if (exchange.reinit) sessions_.erase(exchange.session);
      if (sessions_.count(exchange.session) == 0) {
        const size_t client = harness_.Connect();
        sessions_[exchange.session] = client;
        if (login) {
          harness_.Send(client, "zz LOGIN imapuser password\r\n");
          harness_.Take(client);
        }
      }
      const size_t client = sessions_[exchange.session];
      if (exchange.sent.empty()) {
        const std::string wrong = Compare(exchange, harness_.Take(client));
        if (!wrong.empty()) return wrong;
        continue;
      }
      if (!login && exchange.expected.empty()) continue;
      if (!greeted_.count(client)) {
        greeted_.insert(client);
        harness_.Take(client);
      }
      for (const std::string& line : exchange.sent) harness_.Send(client, StrCat(line, "\r\n"));
      const std::string wrong = Compare(exchange, harness_.Take(client));
      if (!wrong.empty()) return wrong;
    }
    return "";
  }

 private:
  static ImapServerHarness::Options Options() {
    ImapServerHarness::Options options;
    options.service.max_login_failure_pause = absl::ZeroDuration();
    return options;
  }
  static mailbox::MemoryStoreOptions Dots() {
    mailbox::MemoryStoreOptions options;
    options.separator = '.';
    return options;
  }

  static std::string Compare(const Exchange& exchange, const std::string& received) {
    std::vector<std::string> lines;
    std::vector<std::string> as_received;
    for (std::string_view line : Split(received, '\n')) {
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      as_received.emplace_back(line);
      lines.push_back(Normal(std::string(line)));
    }
    if (!lines.empty() && lines.back().empty()) lines.pop_back();
    std::vector<bool> used(lines.size(), false);
    const bool same_expunged = Expunged(exchange.expected, true) == Expunged(lines, false);
    for (size_t i = 0; i < lines.size() && same_expunged; ++i) {
      if (lines[i].find(" EXPUNGE") != std::string::npos && lines[i][0] == '*') used[i] = true;
    }
    for (const std::string& with_recent : exchange.expected) {
      const std::string expected = WithoutRecent(with_recent);
      bool found = same_expunged && std::regex_match(expected, std::regex(R"(\\\* \d+ EXPUNGE)"));
      std::string head;
      const bool tagged = SplitTagged(expected, &head);
      for (size_t i = 0; i < lines.size() && !found; ++i) {
        if (used[i]) continue;
        if (tagged) {
          found = lines[i].rfind(head, 0) == 0;
        } else if (StartsWithIgnoreCase(expected, "\\* OK \\[") &&
                   expected.rfind("\\]") != std::string::npos) {
          const std::string code = expected.substr(0, expected.rfind("\\]") + 2);
          found = std::regex_search(lines[i], std::regex("^" + code));
        } else if (StartsWithIgnoreCase(expected, "\\* BYE")) {
          found = lines[i].rfind("* BYE", 0) == 0;
        } else if (StartsWithIgnoreCase(expected, "\\* OK ")) {
          found = lines[i].rfind("* OK", 0) == 0;
        } else if (StartsWithIgnoreCase(expected, "\\+")) {
          found = lines[i].rfind("+", 0) == 0;
        } else {
          // Types and encodings of MIME have no case.
          const std::regex expression(expected, std::regex::icase);
          found = std::regex_match(lines[i], expression) ||
                  std::regex_match(as_received[i], expression);
        }
        if (found) used[i] = true;
      }
      if (!found && !IsOptional(expected)) {
        return StrCat("line ", exchange.line, ": wanted ", expected, ", received:\n",
                      received.substr(0, 1500));
      }
    }
    for (size_t i = 0; i < lines.size(); ++i) {
      if (!used[i] && !IsExtra(lines[i])) {
        return StrCat("line ", exchange.line, ": not expected: ", lines[i], ", received:\n",
                      received.substr(0, 1500));
      }
    }
    return "";
  }

  ImapServerHarness harness_;
  std::map<std::string, size_t> sessions_;
  std::set<size_t> greeted_;
};

// StartsLoggedOut tells whether a script logs in itself.
bool StartsLoggedOut(const std::vector<Exchange>& exchanges) {
  for (const Exchange& exchange : exchanges) {
    if (exchange.sent.empty()) return true;  // it waits for the greeting
    const std::vector<std::string_view> words = SplitWords(exchange.sent[0]);
    return words.size() > 1 &&
           (EqualsIgnoreCase(words[1], "LOGIN") || EqualsIgnoreCase(words[1], "AUTHENTICATE"));
  }
  return false;
}

// NeedsSelected tells whether a script begins with a command that works on a mailbox before it has
// selected one.
bool NeedsSelected(const std::vector<Exchange>& exchanges) {
  for (const Exchange& exchange : exchanges) {
    for (const std::string& line : exchange.sent) {
      const std::vector<std::string_view> words = SplitWords(line);
      if (words.size() < 2) continue;
      const std::string name =
          AsciiUpper(words[1] == "UID" || words[1] == "uid" ? words[2] : words[1]);
      if (name == "SELECT" || name == "EXAMINE") return false;
      if (name == "FETCH" || name == "STORE" || name == "COPY" || name == "MOVE" ||
          name == "EXPUNGE") {
        return !exchange.expected.empty() &&
               exchange.expected.back().find("not valid in this state") == std::string::npos;
      }
    }
  }
  return false;
}

TEST(Imap, JamesScripts) {
  const std::optional<std::string> folder = conformance::Folder("imap/james-scripts");
  if (!folder.has_value()) GTEST_SKIP() << conformance::kSkipped;
  Tally tally("imap/james-scripts");
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(*folder)) {
    const std::string stem = entry.path().stem().string();
    if (entry.path().extension() == ".test" && stem != "SelectedStateSetup" &&
        stem != "SelectedStateCleanup") {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  for (const std::filesystem::path& file : files) {
    const std::vector<Exchange> exchanges = ParseScript(file);
    Runner runner;
    std::string wrong;
    if (NeedsSelected(exchanges)) {
      wrong =
          runner.Run(ParseScript(std::filesystem::path(*folder) / "SelectedStateSetup.test"), true);
      if (!wrong.empty()) wrong = "setup: " + wrong;
    }
    if (wrong.empty()) wrong = runner.Run(exchanges, !StartsLoggedOut(exchanges));
    tally.Count(file.stem().string(), wrong.empty(), wrong);
  }
  tally.Finish();
}

}  // namespace
}  // namespace postern::service
