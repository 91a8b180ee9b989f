// The dialogs of tests/dialog/imap, each played line by line, octet by octet and in random cuts
// against the whole service over memory stores. The format: "C: " and "S: " lines; "2C: " and "2S:
// " are another connection. Received lines are compared as they are, except that "<n>" in an
// expected line stands for any number.
#include "tests/dialog/imap_server_harness.h"
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <regex>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::service {
namespace {

struct Step {
  size_t client = 0;
  bool send = false;
  std::string text;
  int line = 0;
};

std::vector<Step> ReadDialog(const std::filesystem::path& path) {
  std::vector<Step> steps;
  std::ifstream in(path);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    Step step;
    step.line = number;
    size_t at = 0;
    if (IsAsciiDigit(line[0])) step.client = static_cast<size_t>(line[at++] - '1');
    step.send = line[at] == 'C';
    step.text = line.size() > at + 3 ? line.substr(at + 3) : "";
    steps.push_back(step);
  }
  return steps;
}

bool Fits(const std::string& expected, const std::string& got) {
  if (expected.find("<n>") == std::string::npos) return expected == got;
  static const std::regex special(R"([.^$|()\[\]{}*+?\\])");
  std::string pattern = std::regex_replace(expected, special, R"(\$&)");
  for (size_t at; (at = pattern.find("<n>")) != std::string::npos;)
    pattern.replace(at, 3, "[0-9]+");
  return std::regex_match(got, std::regex(pattern));
}

void Play(const std::filesystem::path& path, uint64_t seed, size_t most) {
  SCOPED_TRACE(StrCat(path.filename().string(), ", at most ", most, " octets at once"));
  ImapServerHarness::Options options;
  options.seed = seed;
  options.session.allow_plaintext_login = true;
  options.service.max_login_failure_pause = absl::ZeroDuration();
  options.tls = path.stem().string().find("starttls") == std::string::npos;
  ImapServerHarness harness(options);
  harness.AddUser("joe", "secret");
  std::mt19937_64 random(seed);
  std::vector<std::string> received;
  for (const Step& step : ReadDialog(path)) {
    while (received.size() <= step.client) {
      harness.Connect();
      received.emplace_back();
    }
    std::string& rest = received[step.client];
    rest += harness.Take(step.client);
    if (step.send) {
      std::string octets = StrCat(step.text, "\r\n");
      for (std::string_view left = octets; !left.empty();) {
        const std::string_view piece = left.substr(0, most == 1 ? 1 : 1 + random() % most);
        left.remove_prefix(piece.size());
        harness.Send(step.client, piece);
      }
      rest += harness.Take(step.client);
      continue;
    }
    if (rest.empty()) {
      harness.RunFor(absl::Seconds(1));
      rest += harness.Take(step.client);
    }
    const size_t end = rest.find("\r\n");
    const std::string line = end == std::string::npos ? rest : rest.substr(0, end);
    rest.erase(0, end == std::string::npos ? rest.size() : end + 2);
    ASSERT_TRUE(Fits(step.text, line))
        << "line " << step.line << "\n expected: " << step.text << "\n received: " << line
        << "\n behind it: " << rest << harness.Take(step.client);
  }
  for (size_t i = 0; i < received.size(); ++i) {
    EXPECT_EQ(received[i] + harness.Take(i), "")
        << "said without being expected, to client " << i + 1;
  }
}

TEST(ImapServer, Dialogs) {
  int played = 0;
  for (const auto& entry : std::filesystem::directory_iterator(POSTERN_DIALOG_DIR)) {
    if (entry.path().extension() != ".txt") continue;
    Play(entry.path(), 1, size_t{1} << 20);
    Play(entry.path(), 2, 1);
    for (uint64_t seed = 3; seed < 6; ++seed) Play(entry.path(), seed, 30);
    ++played;
  }
  EXPECT_GT(played, 0);
}

std::string Message(size_t size_bytes) {
  std::string message = "From: a@example.org\r\nSubject: big\r\n\r\n";
  while (message.size() < size_bytes)
    message += "0123456789012345678901234567890123456789012345678901234567890\r\n";
  return message;
}

// A client that does not read keeps one chunk of the answer in the server's memory, not the
// message.
TEST(ImapServer, LargeMessagesPassThrough) {
  ImapServerHarness::Options options;
  ImapServerHarness harness(options);
  mailbox::MailStore& store = harness.AddUser("joe", "secret");
  const std::string message = Message(3 << 20);
  ASSERT_TRUE(mailbox::Append(store, "INBOX", message).ok());
  const size_t client = harness.Connect();
  harness.Send(client, "a LOGIN joe secret\r\nb SELECT INBOX\r\n");
  harness.Take(client);
  harness.Send(client, "c FETCH 1 BODY.PEEK[]\r\n");
  const std::string head = StrCat("* 1 FETCH (BODY[] {", message.size(), "}\r\n");
  EXPECT_EQ(harness.Take(client), StrCat(head, message, ")\r\nc OK FETCH completed\r\n"));
}

TEST(ImapServer, LargeMessagesComeIn) {
  ImapServerHarness harness({});
  mailbox::MailStore& store = harness.AddUser("joe", "secret");
  const std::string message = Message(1 << 20);
  const size_t client = harness.Connect();
  harness.Send(client, StrCat("a LOGIN joe secret\r\nb APPEND INBOX {", message.size(), "+}\r\n"));
  harness.Take(client);
  harness.Send(client, message);
  harness.Send(client, "\r\n");
  EXPECT_TRUE(StartsWithIgnoreCase(harness.Take(client), "b OK [APPENDUID "));
  EXPECT_EQ(store.GetStatus("INBOX")->size_bytes, message.size());
}

// A store that is full refuses a message with OVERQUOTA at its end, keeps nothing of it, and takes
// others when there is room.
TEST(ImapServer, FullStoreRefusesAndRecovers) {
  ImapServerHarness harness({});
  mailbox::MemoryStoreOptions small;
  small.max_total_bytes = 1000;
  mailbox::MailStore& store = harness.AddUser("joe", "secret", small);
  const size_t client = harness.Connect();
  harness.Send(client, "a LOGIN joe secret\r\n");
  harness.Take(client);
  const std::string big = Message(2000);
  harness.Send(client, StrCat("b APPEND INBOX {", big.size(), "+}\r\n", big, "\r\n"));
  EXPECT_TRUE(StartsWithIgnoreCase(harness.Take(client), "b NO [OVERQUOTA] "));
  EXPECT_EQ(store.GetStatus("INBOX")->messages, 0u);
  const std::string little = Message(500);
  harness.Send(client, StrCat("c APPEND INBOX {", little.size(), "+}\r\n", little, "\r\n"));
  EXPECT_TRUE(StartsWithIgnoreCase(harness.Take(client), "c OK [APPENDUID "));
}

// An idle client hears of a delivery in this process at once, and of other changes at the next
// look.
TEST(ImapServer, IdleTellsAtOnce) {
  ImapServerHarness harness({});
  mailbox::MailStore& store = harness.AddUser("joe", "secret");
  const size_t client = harness.Connect();
  harness.Send(client, "a LOGIN joe secret\r\nb SELECT INBOX\r\nc IDLE\r\n");
  harness.Take(client);
  ASSERT_TRUE(mailbox::Append(store, "INBOX", Message(100)).ok());
  harness.RunFor(absl::Milliseconds(500));
  EXPECT_EQ(harness.Take(client), "* 1 EXISTS\r\n* 1 RECENT\r\n");
  harness.Send(client, "DONE\r\n");
  EXPECT_EQ(harness.Take(client), "c OK IDLE completed\r\n");
}

TEST(ImapServer, StopSaysGoodbye) {
  ImapServerHarness harness({});
  harness.AddUser("joe", "secret");
  const size_t quiet = harness.Connect();
  const size_t idle = harness.Connect();
  harness.Send(idle, "a LOGIN joe secret\r\nb SELECT INBOX\r\nc IDLE\r\n");
  harness.Take(quiet);
  harness.Take(idle);
  harness.Stop();
  harness.RunFor(absl::Seconds(1));
  EXPECT_EQ(harness.Take(quiet), "* BYE [UNAVAILABLE] Server shutting down\r\n");
  EXPECT_EQ(harness.Take(idle), "* BYE [UNAVAILABLE] Server shutting down\r\n");
  EXPECT_TRUE(harness.closed(quiet));
  EXPECT_TRUE(harness.closed(idle));
}

TEST(ImapServer, SilentClientsAreSentAway) {
  ImapServerHarness harness({});
  const size_t client = harness.Connect();
  harness.Take(client);
  harness.RunFor(absl::Seconds(61));
  EXPECT_EQ(harness.Take(client), "* BYE Autologout; idle for too long\r\n");
}

TEST(ImapServer, ClientsThatVanishLeaveNothing) {
  for (const std::string_view last :
       {"c IDLE\r\n", "c APPEND INBOX {10}\r\nabc", "c FETCH 1", "c LOGOUT\r\n"}) {
    ImapServerHarness harness({});
    mailbox::MailStore& store = harness.AddUser("joe", "secret");
    const size_t client = harness.Connect();
    harness.Send(client, "a LOGIN joe secret\r\nb SELECT INBOX\r\n");
    harness.Send(client, last);
    harness.Disconnect(client);
    harness.RunFor(absl::Seconds(30));
    EXPECT_EQ(store.GetStatus("INBOX")->messages, 0u);
  }
}

}  // namespace
}  // namespace postern::service
