// ImapTest's scripted tests (their format is described in the suites' README), against the whole
// service over memory stores.
#include "tests/conformance/suite.h"
#include "tests/dialog/imap_server_harness.h"
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/imap/capability.h"

namespace postern::service {
namespace {

using conformance::Tally;

// Node is a word, a string or a list of a response.
struct Node {
  bool list = false;
  std::string text;
  std::vector<Node> children;
};

// Reader turns a response, or what is expected of one, into nodes. Literals of responses are "{n}"
// CRLF and octets, those of expectations "{{{" to "}}}".
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  std::vector<Node> All() {
    std::vector<Node> nodes;
    while (at_ < text_.size() && text_[at_] != ')') {
      if (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r') {
        ++at_;
        continue;
      }
      nodes.push_back(One());
    }
    return nodes;
  }

 private:
  Node One() {
    Node node;
    if (text_[at_] == '(') {
      ++at_;
      node.list = true;
      node.children = All();
      ++at_;
      return node;
    }
    if (text_[at_] == '"') {
      for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
        if (text_[at_] == '\\') ++at_;
        if (at_ < text_.size()) node.text.push_back(text_[at_]);
      }
      ++at_;
      return node;
    }
    if (text_.substr(at_, 4) == "{{{\n") {
      const size_t end = text_.find("\n}}}", at_ + 3);
      std::string_view body = text_.substr(at_ + 4, end > at_ + 4 ? end - at_ - 4 : 0);
      for (char c : body) node.text.append(c == '\n' ? "\r\n" : std::string(1, c));
      at_ = end + 4;
      return node;
    }
    if (text_[at_] == '{') {
      const size_t end = text_.find('}', at_);
      const size_t size =
          static_cast<size_t>(ParseUint(text_.substr(at_ + 1, end - at_ - 1)).value_or(0));
      node.text = std::string(text_.substr(end + 3, size));
      at_ = end + 3 + size;
      return node;
    }
    int brackets = 0;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '[') ++brackets;
      if (c == ']') --brackets;
      if (brackets <= 0 && (c == ' ' || c == '(' || c == ')' || c == '\r' || c == '\n')) break;
      node.text.push_back(c);
    }
    return node;
  }
  std::string_view text_;
  size_t at_ = 0;
};

// Script is one test file.
struct Script {
  std::vector<std::string> capabilities;
  std::string state = "selected";
  size_t connections = 1;
  std::string messages;
  struct Block {
    int line = 0;
    size_t connection = 0;
    std::string command;
    std::string status;                 // "ok", "no", "bad", "" for any
    std::string status_code;            // "[…]" expected with it
    std::vector<std::string> expected;  // "* …" without the star
    std::vector<std::string> banned;    // "! …"
  };
  std::vector<Block> blocks;
};

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

bool TakeStatus(std::string* line, std::string* status) {
  for (const std::string_view word : {"ok", "no", "bad", "\"\""}) {
    if (line->rfind(word, 0) != 0 || (line->size() > word.size() && (*line)[word.size()] != ' '))
      continue;
    *status = word == "\"\"" ? "" : std::string(word);
    line->erase(0, std::min(line->size(), word.size() + 1));
    return true;
  }
  return false;
}

Script ParseScript(const std::string& text) {
  Script script;
  std::istringstream in(text);
  std::string line;
  bool header = true;
  bool open = false;  // a command without a status waits for its status line
  for (int number = 1; std::getline(in, line); ++number) {
    if (!line.empty() && line[0] == '#') continue;
    if (header) {
      const size_t colon = line.find(": ");
      const bool is_field = colon != std::string::npos && line.find(' ') == colon + 1;
      if (line.empty()) {
        header = false;
        continue;
      }
      if (is_field) {
        const std::string name = line.substr(0, colon);
        const std::string value = line.substr(colon + 2);
        if (name == "state") script.state = value;
        if (name == "messages") script.messages = value;
        if (name == "connections") script.connections = static_cast<size_t>(std::stoi(value));
        if (name == "capabilities") {
          for (std::string_view word : SplitWords(value)) script.capabilities.emplace_back(word);
        }
        continue;
      }
      header = false;
    }
    if (line.empty()) continue;
    while (std::count(line.begin(), line.end(), '{') > std::count(line.begin(), line.end(), '}')) {
      std::string more;
      if (!std::getline(in, more)) break;
      ++number;
      line += "\n" + more;
    }
    if (line.rfind("* ", 0) == 0) {
      script.blocks.back().expected.push_back(line.substr(2));
      continue;
    }
    if (line.rfind("? ", 0) == 0) continue;  // may come or not
    if (line.rfind("! ", 0) == 0) {
      script.blocks.back().banned.push_back(line.substr(2));
      continue;
    }
    size_t connection = 0;
    if (line.size() > 2 && IsAsciiDigit(line[0]) && line[1] == ' ') {
      connection = static_cast<size_t>(line[0] - '1');
      line.erase(0, 2);
    }
    std::string status;
    const bool has_status = TakeStatus(&line, &status);
    if (has_status && open && (line.empty() || line[0] == '[')) {
      script.blocks.back().status = status;
      script.blocks.back().status_code = line;
      open = false;
      continue;
    }
    script.blocks.push_back({number, connection, line, status, "", {}, {}});
    open = !has_status;
  }
  return script;
}

std::vector<std::string> ReadMbox(const std::string& text) {
  std::vector<std::string> messages;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("From ", 0) == 0) {
      messages.emplace_back();
      continue;
    }
    if (!messages.empty()) messages.back() += line + "\r\n";
  }
  // The empty line before "From " belongs to the format, not to the message.
  for (std::string& message : messages) {
    if (message.size() > 4 && message.substr(message.size() - 4) == "\r\n\r\n")
      message.resize(message.size() - 2);
  }
  return messages;
}

class Runner {
 public:
  Runner(const Script& script, std::vector<std::string> messages)
      : script_(script), messages_(std::move(messages)), harness_(Options()) {
    harness_.AddUser("tester", "secret");
    variables_["mailbox"] = "imaptest";
    variables_["user"] = "tester";
    variables_["username"] = "tester";
    variables_["password"] = "secret";
  }

  // Run returns what went wrong first; empty when all is well.
  std::string Run() {
    for (size_t i = 0; i < script_.connections; ++i) {
      harness_.Connect();
      harness_.Take(i);
      if (script_.state != "nonauth") Raw(i, "LOGIN tester secret");
    }
    if (script_.state == "created" || script_.state == "selected") Raw(0, "CREATE imaptest");
    if (script_.state == "selected") {
      const size_t count = script_.messages == "all" ? messages_.size()
                           : script_.messages.empty()
                               ? 0
                               : static_cast<size_t>(std::stoi(script_.messages));
      for (size_t i = 0; i < count; ++i) Raw(0, AppendCommand("append imaptest"));
      for (size_t i = 0; i < script_.connections; ++i) Raw(i, "SELECT imaptest");
    }
    for (const Script::Block& block : script_.blocks) {
      const std::string wrong = RunBlock(block);
      if (!wrong.empty())
        return StrCat("line ", block.line, " (", block.command.substr(0, 60), "): ", wrong);
    }
    return "";
  }

 private:
  static ImapServerHarness::Options Options() {
    ImapServerHarness::Options options;
    options.service.max_login_failure_pause = absl::ZeroDuration();
    return options;
  }

  std::string AppendCommand(std::string command) {
    if (command == "append") command += " imaptest";
    const std::string& message = messages_[next_message_++ % messages_.size()];
    return StrCat(command, " {", message.size(), "+}\r\n", message);
  }

  // Raw sends a command and returns all that came back.
  std::string Raw(size_t connection, const std::string& command) {
    harness_.Take(connection);
    harness_.Send(connection, StrCat("t", ++tag_, " ", command, "\r\n"));
    return harness_.Take(connection);
  }

  std::string Expand(const std::string& text) const {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '$') {
        out.push_back(text[i]);
        continue;
      }
      if (text[i + 1] == '$') {
        out.push_back('$');
        ++i;
        continue;
      }
      const bool braces = text[i + 1] == '{';
      size_t end = i + (braces ? 2 : 1);
      const size_t start = end;
      while (end < text.size() && (IsAsciiAlnum(text[end]) || text[end] == '_')) ++end;
      const auto at = variables_.find(text.substr(start, end - start));
      if (at == variables_.end()) {
        out.append(text, i, end + (braces ? 1 : 0) - i);
      } else {
        out.append(at->second);
      }
      i = end - (braces ? 0 : 1);
    }
    return out;
  }

  struct Response {
    std::string raw;
    std::vector<Node> nodes;
    uint64_t original = 0;  // the number its message had when the command began
    bool used = false;
  };

  // Cut splits what came back into responses; literals belong to their line.
  static std::vector<std::string> Cut(std::string_view received) {
    std::vector<std::string> responses;
    std::string current;
    while (!received.empty()) {
      const size_t end = std::min(received.find("\r\n"), received.size());
      std::string_view line = received.substr(0, end);
      received.remove_prefix(std::min(received.size(), end + 2));
      current.append(line);
      const size_t open = line.rfind('{');
      if (!line.empty() && line.back() == '}' && open != std::string_view::npos) {
        const size_t size = static_cast<size_t>(
            ParseUint(line.substr(open + 1, line.size() - open - 2)).value_or(0));
        current.append("\r\n").append(received.substr(0, size));
        received.remove_prefix(std::min(received.size(), size));
        continue;
      }
      responses.push_back(std::exchange(current, ""));
    }
    return responses;
  }

  // RunTagged is for commands that a script sends under a tag of its own, without waiting, and for
  // the lines that name such a tag with the reply that it must have got.
  std::string RunTagged(const Script::Block& block, const std::string& command) {
    const size_t blank = command.find(' ');
    const std::string tag = command.substr(0, blank);
    const std::string rest = command.substr(blank + 1);
    std::string& received = unread_[block.connection];
    if (rest == "ok" || rest == "no" || rest == "bad") {
      return received.find(StrCat(tag, " ", AsciiUpper(rest), " ")) == std::string::npos
                 ? StrCat("wanted ", command, ", received ", received)
                 : "";
    }
    harness_.Send(block.connection, StrCat(command, "\r\n"));
    received += harness_.Take(block.connection);
    std::vector<Response> responses;
    for (const std::string& raw : Cut(received)) {
      if (raw.rfind("* ", 0) == 0)
        responses.push_back({raw, Reader(std::string_view(raw).substr(2)).All(), 0, false});
    }
    for (const std::string& expected : block.expected) {
      if (!FindResponse(expected, &responses))
        return StrCat("wanted * ", expected, ", received:\n", received);
    }
    return "";
  }

  std::string RunBlock(const Script::Block& block) {
    std::string command = Expand(block.command);
    if (command.rfind("tag", 0) == 0) return RunTagged(block, command);
    if (EqualsIgnoreCase(command.substr(0, 6), "append") &&
        command.find('{') == std::string::npos) {
      command = AppendCommand(command);
    }
    // Message numbers as they are now, for "$3".
    std::vector<uint64_t> numbers;
    for (uint64_t i = 1; i <= 1000; ++i) numbers.push_back(i);
    const std::string received = Raw(block.connection, command);
    const std::string tag = StrCat("t", tag_, " ");
    std::vector<Response> responses;
    std::string status;
    for (const std::string& raw : Cut(received)) {
      if (raw.rfind(tag, 0) == 0) {
        status = raw.substr(tag.size());
        break;
      }
      if (raw.rfind("* ", 0) != 0) continue;
      Response response{raw, Reader(std::string_view(raw).substr(2)).All(), 0, false};
      if (response.nodes.size() >= 2) {
        const std::optional<uint64_t> number = ParseUint(response.nodes[0].text);
        if (number && *number > 0 && *number <= numbers.size()) {
          response.original = numbers[*number - 1];
          if (EqualsIgnoreCase(response.nodes[1].text, "EXPUNGE")) {
            numbers.erase(numbers.begin() + static_cast<long>(*number - 1));
          }
        }
      }
      responses.push_back(std::move(response));
    }
    if (status.empty()) return StrCat("no tagged reply; received: ", received.substr(0, 300));
    if (!block.status.empty() && !StartsWithIgnoreCase(status, StrCat(block.status, " "))) {
      return StrCat("wanted ", block.status, ", received ", status);
    }
    if (!block.status_code.empty() &&
        !MatchText(block.status_code, status.substr(status.find(' ') + 1))) {
      return StrCat("wanted ", block.status_code, ", received ", status);
    }
    for (const std::string& expected : block.expected) {
      if (!FindResponse(expected, &responses))
        return StrCat("wanted * ", expected, ", received:\n", received.substr(0, 1500));
    }
    for (const std::string& banned : block.banned) {
      std::vector<Response> copy = responses;
      if (FindResponse(banned, &copy)) return StrCat("banned but received: ", banned);
    }
    return "";
  }

  // MatchText compares "[code arguments]".
  bool MatchText(std::string expected, std::string received) {
    const auto inner = [](std::string s) {
      const size_t open = s.find('[');
      const size_t close = s.rfind(']');
      return open == std::string::npos || close == std::string::npos
                 ? std::string()
                 : s.substr(open + 1, close - open - 1);
    };
    const std::vector<Node> wanted = Reader(inner(expected)).All();
    const std::string text = inner(received);
    const std::vector<Node> got = Reader(text).All();
    if (wanted.size() > got.size()) return false;
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (!Match(wanted[i], got[i])) return false;
    }
    return !wanted.empty();
  }

  bool FindResponse(const std::string& expected, std::vector<Response>* responses) {
    for (Response& response : *responses) {
      if (response.used) continue;
      const std::map<std::string, std::string> before = variables_;
      if (MatchResponse(expected, response)) {
        // A script may say two things about one line of LIST.
        response.used = !StartsWithIgnoreCase(expected, "list ");
        return true;
      }
      variables_ = before;
    }
    return false;
  }

  bool MatchResponse(const std::string& expected, const Response& response) {
    if (StartsWithIgnoreCase(expected, "ok [")) {
      return StartsWithIgnoreCase(response.raw, "* OK [") && MatchText(expected, response.raw);
    }
    const std::vector<Node> wanted = Reader(expected).All();
    const std::vector<Node>& got = response.nodes;
    if (wanted.empty() || wanted.size() > got.size()) return false;
    const std::string keyword = AsciiLower(wanted[0].text);
    if (keyword == "search" && wanted.size() != got.size()) return false;
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (i == 0 && wanted[0].text.size() > 1 && wanted[0].text[0] == '$' &&
          IsAsciiDigit(wanted[0].text[1])) {
        if (StrCat("$", response.original) != wanted[0].text) return false;
        continue;
      }
      if (i > 0 && wanted[i].list && got[i].list) {
        const bool pairs =
            keyword == "status" || (wanted.size() > 1 && EqualsIgnoreCase(wanted[1].text, "fetch"));
        if (pairs && !MatchPairs(wanted[i], got[i])) return false;
        if (keyword == "list" && i == 1 && !MatchSubset(wanted[i], got[i])) return false;
        if (!pairs && keyword != "list" && !Match(wanted[i], got[i])) return false;
        continue;
      }
      if (!Match(wanted[i], got[i])) return false;
    }
    return true;
  }

  // MatchPairs compares names and values, whatever their order; what was not asked for may be
  // there.
  bool MatchPairs(const Node& wanted, const Node& got) {
    for (size_t i = 0; i + 1 < wanted.children.size(); i += 2) {
      bool found = false;
      for (size_t k = 0; k + 1 < got.children.size() && !found; k += 2) {
        if (!EqualsIgnoreCase(wanted.children[i].text, got.children[k].text)) continue;
        found = EqualsIgnoreCase(wanted.children[i].text, "flags")
                    ? MatchFlags(wanted.children[i + 1], got.children[k + 1])
                    : Match(wanted.children[i + 1], got.children[k + 1]);
      }
      if (!found) return false;
    }
    return true;
  }

  bool MatchSubset(const Node& wanted, const Node& got) {
    bool ban = false;
    for (const Node& flag : wanted.children) {
      if (flag.text == "$!unordered") continue;
      std::string name = flag.text;
      ban = name.rfind("$!ban=", 0) == 0;
      if (ban) name = name.substr(6);
      const bool there =
          std::any_of(got.children.begin(), got.children.end(),
                      [&](const Node& other) { return EqualsIgnoreCase(other.text, name); });
      if (there == ban) return false;
    }
    return true;
  }

  // MatchFlags compares sets; \Recent counts only when it is asked for.
  bool MatchFlags(const Node& wanted, const Node& got) {
    std::set<std::string> a;
    std::set<std::string> b;
    for (const Node& flag : wanted.children) a.insert(AsciiLower(Expand(flag.text)));
    for (const Node& flag : got.children) b.insert(AsciiLower(flag.text));
    if (a.count("\\recent") == 0) b.erase("\\recent");
    return a == b;
  }

  bool Match(const Node& wanted, const Node& got) {
    if (wanted.list != got.list) return false;
    if (wanted.list) {
      if (wanted.children.size() != got.children.size()) return false;
      for (size_t i = 0; i < wanted.children.size(); ++i) {
        if (!Match(wanted.children[i], got.children[i])) return false;
      }
      return true;
    }
    const std::string expanded = Expand(wanted.text);
    if (expanded.size() > 1 && expanded[0] == '$' &&
        expanded.find_first_of("{:,") == std::string::npos) {
      variables_[expanded.substr(1)] = got.text;
      return true;
    }
    return EqualsIgnoreCase(expanded, got.text);
  }

  const Script& script_;
  std::vector<std::string> messages_;
  ImapServerHarness harness_;
  std::map<std::string, std::string> variables_;
  std::map<size_t, std::string> unread_;
  size_t next_message_ = 0;
  int tag_ = 0;
};

TEST(Imap, ImapTestScripts) {
  const std::optional<std::string> folder = conformance::Folder("imap/imaptest");
  if (!folder.has_value()) GTEST_SKIP() << conformance::kSkipped;
  imap::CapabilityContext context;
  context.state = imap::State::kAuthenticated;
  const std::string offered = StrCat(" ", imap::FormatCapabilities(context), " ");
  Tally tally("imap/imaptest");
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(*folder)) {
    if (entry.path().extension().empty()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const std::filesystem::path& file : files) {
    const Script script = ParseScript(ReadFile(file));
    std::string missing;
    for (const std::string& capability : script.capabilities) {
      if (offered.find(StrCat(" ", AsciiUpper(capability), " ")) == std::string::npos)
        missing = capability;
    }
    const std::string name = file.filename().string();
    if (!missing.empty()) {
      tally.Count(name, false, StrCat("needs ", missing));
      continue;
    }
    std::filesystem::path mbox = file;
    mbox += ".mbox";
    if (!std::filesystem::exists(mbox)) mbox = std::filesystem::path(*folder) / "default.mbox";
    Runner runner(script, ReadMbox(ReadFile(mbox)));
    const std::string wrong = runner.Run();
    tally.Count(name, wrong.empty(), wrong);
  }
  tally.Finish();
}

}  // namespace
}  // namespace postern::service
