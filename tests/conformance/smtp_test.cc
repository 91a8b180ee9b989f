// The smtp suite: dialogues of two other servers, the sequences that must not end a text, commands
// injected behind STARTTLS, and what odd servers do to a client that wants TLS. Replies are
// compared by code: texts and enhanced codes are each server's own.
#include "tests/conformance/suite.h"
#include "tests/dialog/smtp_server_harness.h"
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/smtp/client_session.h"

namespace postern::smtp {
namespace {

using conformance::Tally;

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

std::vector<std::filesystem::path> FilesUnder(const std::string& folder,
                                              const std::string& extension) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == extension)
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// JsonObjects reads a flat array of objects of strings and words, which is all that these suites
// use.
std::vector<std::map<std::string, std::string>> JsonObjects(const std::string& text) {
  std::vector<std::map<std::string, std::string>> objects;
  const std::regex pair(R"re("([a-z_]+)": (?:"((?:[^"\\]|\\.)*)"|([a-z]+)))re");
  size_t at = 0;
  while ((at = text.find('{', at)) != std::string::npos) {
    const size_t end = text.find("\n }", at);
    const std::string object = text.substr(at, end - at);
    auto& fields = objects.emplace_back();
    for (std::sregex_iterator it(object.begin(), object.end(), pair), last; it != last; ++it) {
      std::string value = (*it)[2].matched ? (*it)[2].str() : (*it)[3].str();
      value = std::regex_replace(std::regex_replace(value, std::regex(R"(\\r)"), "\r"),
                                 std::regex(R"(\\n)"), "\n");
      fields[(*it)[1].str()] = value;
    }
    at = end;
  }
  return objects;
}

bool Contains(const std::vector<std::string>& lines, std::string_view part) {
  return std::any_of(lines.begin(), lines.end(),
                     [&](const std::string& line) { return line.find(part) != std::string::npos; });
}

TEST(Smtp, EndOfDataSequences) {
  const std::optional<std::string> folder = conformance::Folder("smtp");
  if (!folder.has_value()) GTEST_SKIP() << conformance::kSkipped;
  Tally tally("smtp/end-of-data-sequences");
  for (auto& test : JsonObjects(ReadFile(*folder + "/end-of-data-sequences.json"))) {
    for (const bool refuse : {true, false}) {
      for (const size_t piece_bytes : {size_t{1}, size_t{2}, size_t{1} << 20}) {
        ServerOptions options;
        options.refuse_bare_line_ends = refuse;
        ServerHarness harness(options);
        harness.Run();
        harness.Send("EHLO c\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
        harness.SendInPieces(StrCat("text", HexDecode(test["bytes_hex"]).value(),
                                    "MAIL FROM:<smuggled@example.net>\r\nQUIT\r\n"),
                             piece_bytes);
        const bool ended = Contains(harness.log(), "message-end") ||
                           Contains(harness.log(), "smuggled") || harness.closed();
        harness.SendInPieces("\r\n.\r\n", piece_bytes);
        // With the refusal off, the look-alike is content of the one message.
        const bool kept = refuse || (harness.messages().size() == 1 &&
                                     harness.messages()[0].find("smuggled") != std::string::npos);
        tally.Count(StrCat(test["name"], refuse ? "/refuse" : "/keep", "/", piece_bytes),
                    !ended && kept && harness.fault().empty(), "the text was ended");
      }
    }
  }
  tally.Finish();
}

TEST(Smtp, StartTlsCommandInjection) {
  const std::optional<std::string> folder = conformance::Folder("smtp");
  if (!folder.has_value()) GTEST_SKIP() << conformance::kSkipped;
  Tally tally("smtp/starttls-command-injection");
  int number = 0;
  for (auto& test : JsonObjects(ReadFile(*folder + "/starttls-command-injection.json"))) {
    ++number;
    if (test["protocol"] != "smtp") continue;
    ServerOptions options;
    options.tls_available = true;
    ServerHarness harness(options);
    harness.Run();
    harness.Send("EHLO c\r\n");
    harness.TakeReplies();
    harness.Send(test["plaintext_segment"]);
    const std::vector<std::string> clear = harness.TakeReplyLines();
    const size_t logged = harness.log().size();
    harness.EstablishTls();
    harness.Run();
    const bool quiet = harness.TakeReplies().empty() && !harness.closed();
    const bool unheard = std::none_of(
        harness.log().begin() + static_cast<std::ptrdiff_t>(logged), harness.log().end(),
        [](const std::string& line) { return line.substr(0, 5) == "hello"; });
    tally.Count(StrCat(number), clear.size() == 1 && quiet && unheard,
                "what was injected was answered in TLS");
  }
  tally.Finish();
}

// --- chasquid's dialogues
// ---------------------------------------------------------------------------------------------

// Evaluate reads the Python expressions of "~>" lines: string literals, "+", "*" by a number,
// parentheses.
class Expression {
 public:
  explicit Expression(std::string_view text) : text_(text) {}

  std::string Sum() {
    std::string value = Product();
    while (Skip('+')) value += Product();
    return value;
  }

 private:
  bool Skip(char c) {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string Product() {
    std::string value = Atom();
    while (Skip('*')) {
      while (text_[at_] == ' ') ++at_;
      size_t count = 0;
      while (at_ < text_.size() && IsAsciiDigit(text_[at_]))
        count = count * 10 + static_cast<size_t>(text_[at_++] - '0');
      std::string repeated;
      for (size_t i = 0; i < count; ++i) repeated += value;
      value = repeated;
    }
    return value;
  }
  std::string Atom() {
    if (Skip('(')) {
      std::string value = Sum();
      Skip(')');
      return value;
    }
    std::string value;
    if (!Skip('\'')) return value;
    for (; at_ < text_.size() && text_[at_] != '\''; ++at_) {
      if (text_[at_] != '\\') {
        value.push_back(text_[at_]);
        continue;
      }
      const char c = text_[++at_];
      value.push_back(c == 'n' ? '\n' : c == 'r' ? '\r' : c == '0' ? '\0' : c);
    }
    ++at_;
    return value;
  }

  std::string_view text_;
  size_t at_ = 0;
};

TEST(Smtp, ChasquidDialogs) {
  const std::optional<std::string> folder = conformance::Folder("smtp/chasquid-dialogs");
  if (!folder.has_value()) GTEST_SKIP() << conformance::kSkipped;
  Tally tally("smtp/chasquid-dialogs");
  for (const std::filesystem::path& path : FilesUnder(*folder, ".cmy")) {
    ServerOptions options;
    options.max_message_bytes = 1 << 20;
    options.auth_available = true;
    options.max_errors = 3;
    std::unique_ptr<ServerHarness> harness;
    std::vector<std::string> lines;
    std::ifstream stream(path);
    std::string line;
    for (int number = 1; std::getline(stream, line); ++number) {
      if (line.substr(0, 2) != "c ") continue;
      const std::string_view rest = std::string_view(line).substr(2);
      const size_t blank = std::min(rest.find(' '), rest.size());
      const std::string_view verb = rest.substr(0, blank);
      const std::string_view text = rest.substr(std::min(blank + 1, rest.size()));
      if (verb == "tcp_connect" || verb == "tls_connect") {
        harness = std::make_unique<ServerHarness>(options, verb == "tls_connect");
        harness->Run();
        lines = harness->TakeReplyLines();
      } else if (verb == "->") {
        harness->Send(StrCat(text, "\r\n"));
      } else if (verb == "~>") {
        harness->Send(Expression(text).Sum());
      } else if (verb == "<-" || verb == "<~" || verb == "<...") {
        for (std::string& reply : harness->TakeReplyLines()) lines.push_back(std::move(reply));
        if (verb == "<...") {
          while (!lines.empty() && lines.front().substr(0, text.size()) != text)
            lines.erase(lines.begin());
        }
        const std::string got = lines.empty() ? "" : lines.front();
        if (!lines.empty()) lines.erase(lines.begin());
        tally.Count(StrCat(path.stem().string(), ":", number),
                    got.substr(0, 3) == text.substr(0, 3), StrCat("wanted ", text, ", got ", got));
      }
    }
  }
  tally.Finish();
}

// --- James's scripts
// ----------------------------------------------------------------------------------------------------

std::string Collapse(const std::vector<std::string>& lines) {
  std::string codes;
  for (const std::string& line : lines) {
    const std::string code = line.substr(0, 3);
    if (codes.size() < 3 || codes.substr(codes.size() - 3) != code)
      StrAppend(codes, codes.empty() ? "" : " ", code);
  }
  return codes;
}

TEST(Smtp, JamesScripts) {
  const std::optional<std::string> folder = conformance::Folder("smtp/james-scripts");
  if (!folder.has_value()) GTEST_SKIP() << conformance::kSkipped;
  Tally tally("smtp/james-scripts");
  for (const std::filesystem::path& path : FilesUnder(*folder, ".test")) {
    const std::string name = path.stem().string();
    ServerOptions options;
    options.tls_available = options.auth_available = options.auth_without_tls =
        name.find("starttls") != std::string::npos;
    ServerHarness harness(options);
    harness.Run();
    std::vector<std::string> wanted;
    std::ifstream stream(path);
    std::string line;
    while (std::getline(stream, line)) {
      if (line.substr(0, 2) == "C:")
        harness.Send(StrCat(line.size() > 3 ? line.substr(3) : "", "\r\n"));
      if (line.substr(0, 3) == "S: ") wanted.push_back(line.substr(3));
    }
    const std::string got = Collapse(harness.TakeReplyLines());
    tally.Count(name, got == Collapse(wanted), StrCat("wanted ", Collapse(wanted), ", got ", got));
  }
  tally.Finish();
}

// --- odd servers and STARTTLS
// -------------------------------------------------------------------------------------------

// OddServer answers a client as a scenario says.
struct OddServer {
  std::string greeting = "220 example.org ESMTP\r\n";
  std::map<std::string, std::string> overrides;  // by upper-case verb
  bool offers_tls = false;
  bool in_tls = false;
  bool in_text = false;
  std::vector<std::string> clear_commands;

  std::string Answer(const std::string& line) {
    const std::string verb = AsciiUpper(std::string_view(line).substr(0, line.find(' ')));
    if (in_text) {
      if (line != ".") return "";
      in_text = false;
      return "250 2.0.0 Ok\r\n";
    }
    if (!in_tls) clear_commands.push_back(verb);
    // Overrides are about the clear part: inside TLS the server is a good one.
    if (const auto found = overrides.find(verb); found != overrides.end() && !in_tls)
      return found->second;
    if (verb == "EHLO")
      return in_tls ? "250-example.org\r\n250 AUTH PLAIN\r\n"
                    : StrCat("250-example.org\r\n", offers_tls ? "250-STARTTLS\r\n" : "",
                             "250 AUTH PLAIN\r\n");
    if (verb == "STARTTLS") return "220 Go ahead\r\n";
    if (verb == "DATA") {
      in_text = true;
      return "354 Go ahead\r\n";
    }
    if (verb == "AUTH") return "235 2.7.0 Ok\r\n";
    if (verb == "QUIT") return "221 Bye\r\n";
    return "250 Ok\r\n";
  }
};

struct ClientRun {
  bool finished = false;
  bool delivered = false;
  bool delivered_in_tls = false;
};

// RunClient lets a client that will not send in the clear deliver one message.
ClientRun RunClient(OddServer& server) {
  ClientRun run;
  auto options = std::make_shared<ClientOptions>();
  options->helo_name = "client.example.net";
  const Instant now{1};
  ClientSession session(options, /*tls=*/false, now);
  session.Feed(server.greeting);
  std::string pending;
  bool tried_tls = false;
  bool tried_auth = false;
  bool sent = false;
  for (int turn = 0; turn < 200; ++turn) {
    const ClientEvent event = session.NextEvent(now);
    using Kind = ClientEvent::Kind;
    const auto flush = [&] {
      pending.append(session.PendingOutput());
      session.Wrote(session.PendingOutput().size());
      size_t end;
      while ((end = pending.find("\r\n")) != std::string::npos) {
        const std::string answer = server.Answer(pending.substr(0, end));
        pending.erase(0, end + 2);
        session.Feed(answer);
      }
    };
    switch (event.kind) {
      case Kind::kNeedOutput: flush(); break;
      case Kind::kNeedInput:
        if (session.PendingOutput().empty()) {
          session.FeedEnd();
        } else {
          flush();
        }
        break;
      case Kind::kReady:
        if (!session.in_tls() && !tried_tls) {
          tried_tls = true;
          session.StartTls();
        } else if (!session.in_tls() || sent) {
          session.Quit();
        } else if (!tried_auth && session.offer().auth_plain) {
          tried_auth = true;
          sasl::Credentials credentials;
          credentials.authentication_id = "user";
          credentials.password = "secret";
          session.Authenticate(std::move(credentials));
        } else {
          sent = true;
          OutgoingMessage message;
          message.reverse_path.address = {"a", "example.net"};
          message.recipients.emplace_back().address = {"b", "example.org"};
          session.SendMessage(std::move(message));
        }
        break;
      case Kind::kStartTls:
        server.in_tls = true;
        session.TlsEstablished();
        break;
      case Kind::kSendBody:
        session.Body("hello\r\n");
        session.BodyEnd();
        break;
      case Kind::kMessageDone:
        run.delivered = event.results->at(0).accepted();
        run.delivered_in_tls = session.in_tls();
        break;
      case Kind::kClosed: run.finished = true; return run;
      default: break;
    }
  }
  return run;
}

TEST(Smtp, StartTlsClientScenarios) {
  const std::optional<std::string> folder = conformance::Folder("smtp/starttls-client-scenarios");
  if (!folder.has_value()) GTEST_SKIP() << conformance::kSkipped;
  Tally tally("smtp/starttls-client-scenarios");
  const auto unescape = [](std::string text) {
    return std::regex_replace(std::regex_replace(text, std::regex(R"(\\r)"), "\r"),
                              std::regex(R"(\\n)"), "\n");
  };
  for (const std::filesystem::path& path : FilesUnder(*folder, ".ron")) {
    const std::string text = ReadFile(path);
    OddServer server;
    std::smatch match;
    const std::string capabilities = text.substr(0, text.find("capabilities_tls"));
    server.offers_tls = capabilities.find("StartTLS") != std::string::npos;
    if (std::regex_search(text, match, std::regex(R"re(greeting: "([^"]*)")re")))
      server.greeting = unescape(match[1]);
    // The second step of B_1 stands in a comment: replies glued behind the 220.
    if (std::regex_search(text, match, std::regex(R"re(stls_response: "([^"]*)")re"))) {
      server.overrides["STARTTLS"] = unescape(match[1]);
    }
    const size_t overrides = text.find("override_response");
    if (overrides != std::string::npos) {
      const std::string block = text.substr(overrides, text.find('}', overrides) - overrides);
      const std::regex pair(R"re("([A-Za-z]+)": "([^"]*)")re");
      for (std::sregex_iterator it(block.begin(), block.end(), pair), last; it != last; ++it) {
        server.overrides[AsciiUpper((*it)[1].str())] = unescape((*it)[2]);
      }
    }
    const ClientRun run = RunClient(server);
    const auto& clear = server.clear_commands;
    const bool leaked = std::any_of(clear.begin(), clear.end(), [](const std::string& verb) {
      return verb == "AUTH" || verb == "MAIL" || verb == "RCPT" || verb == "DATA";
    });
    const bool good = run.finished && !leaked && (!run.delivered || run.delivered_in_tls);
    tally.Count(path.lexically_relative(*folder).string(), good,
                StrCat("finished ", run.finished ? 1 : 0, ", leaked ", leaked ? 1 : 0,
                       ", delivered ", run.delivered ? 1 : 0));
  }
  tally.Finish();
}

}  // namespace
}  // namespace postern::smtp
