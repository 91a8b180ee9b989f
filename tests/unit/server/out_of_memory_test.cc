// Memory that runs out: the n-th allocation of the server fails, for every n of a session and of
// the delivery that follows it, SQLite's own allocations included. The client hears 4xx or loses
// the connection, what was acknowledged arrives once, and the same server serves the next session.
// Every n with POSTERN_EVERY_ALLOCATION=1; without it those beyond the first are sampled.

#include "include/postern.h"
#include "tests/unit/denied_memory.h"
#include <arpa/inet.h>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <netinet/tcp.h>
#include <set>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "gtest/gtest.h"

#include "lib/core/base/strings.h"

namespace postern {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

class OutOfMemoryTest : public ::testing::TestWithParam<bool> {
 protected:
  OutOfMemoryTest() {
    test::ExemptThisThread();
    char folder[] = "/tmp/postern-oom-XXXXXX";
    folder_ = mkdtemp(folder);
    const std::string config =
        StrCat("mailname \"mx.example.org\"\nspool \"", folder_, "/spool\"\n",
               "listen on 127.0.0.1 port 0\n", "action here maildir \"", folder_,
               "/mail\" virtual { \"@\" = \"", UserName(), "\" }\n",
               "match from any for domain example.org action here\n");
    postern_server_options options = POSTERN_SERVER_OPTIONS_INIT;
    options.config_text = config.c_str();
    options.config_text_len = config.size();
    options.no_threads = GetParam() ? 0 : 1;
    postern_log_callbacks log = POSTERN_LOG_CALLBACKS_INIT;
    log.on_log = [](int32_t, const char* line, void*) { std::fprintf(stderr, "%s\n", line); };
    if (getenv("POSTERN_TEST_LOG") != nullptr) options.log = &log;
    postern_error* error = nullptr;
    postern_status status = postern_server_new(&server_, &options, &error);
    if (status == POSTERN_OK) status = postern_server_start(server_, &error);
    EXPECT_EQ(status, POSTERN_OK) << (error ? postern_error_message(error) : "");
    postern_error_free(error);
    port_ = postern_server_endpoint_port(server_, 0);
    thread_ = std::thread([this] { Poll(); });
  }
  ~OutOfMemoryTest() override {
    (void)test::GrantMemory();
    postern_server_stop(server_, 1000);
    thread_.join();
    postern_server_free(server_);
    std::filesystem::remove_all(folder_);
  }

  static std::string UserName() {
    const char* name = getlogin();
    return name != nullptr ? name : "root";
  }

  void Poll() {
    for (;;) {
      const postern_status status = postern_server_poll(server_, nullptr, 100, nullptr);
      if (status == POSTERN_DONE) return;
      if (status != POSTERN_OK) ++failed_polls_;
    }
  }

  // Send hands over one message; true when it was acknowledged, false when it was put off or cut;
  // an answer that is neither is a failure.
  bool Send(const std::string& subject) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval limit{20, 0};
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool acknowledged = false;
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      const std::string steps[] = {"",
                                   "EHLO client.example\r\n",
                                   "MAIL FROM:<sender@example.net>\r\n",
                                   "RCPT TO:<someone@example.org>\r\n",
                                   "DATA\r\n",
                                   StrCat("Subject: ", subject, "\r\n\r\nHello\r\n.\r\n")};
      size_t done = 0;
      for (const std::string& step : steps) {
        if (!step.empty() && send(fd, step.data(), step.size(), MSG_NOSIGNAL) < 0) break;
        const std::string reply = Reply(fd);
        ++(reply.empty() ? cut_ : answers_[reply.substr(0, 3)]);
        if (reply.empty() || reply[0] == '4') break;
        EXPECT_TRUE(reply[0] == '2' || reply[0] == '3') << reply;
        if (reply[0] == '5') break;
        ++done;
      }
      acknowledged = done == std::size(steps);
    }
    close(fd);
    if (acknowledged) acknowledged_.insert(subject);
    return acknowledged;
  }
  static std::string Reply(int fd) {
    std::string text;
    char bytes[2048];
    for (;;) {
      const ssize_t n = recv(fd, bytes, sizeof bytes, 0);
      EXPECT_TRUE(n >= 0 || errno == ECONNRESET) << "no answer: " << text;
      if (n <= 0) return "";
      text.append(bytes, static_cast<size_t>(n));
      const size_t last = text.rfind('\n', text.size() - 2);
      const size_t start = last == std::string::npos ? 0 : last + 1;
      if (text.ends_with("\n") && text.size() > start + 3 && text[start + 3] != '-')
        return text.substr(start);
    }
  }

  // Look adds to delivered_ the new files of the mailbox, by subject.
  void Look() {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/mail/new", error)) {
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line) && !line.empty();) {
        if (line.rfind("Subject: ", 0) == 0) ++delivered_[line.substr(9)];
      }
      std::filesystem::rename(entry.path(),
                              folder_ + "/mail/cur/" + entry.path().filename().string() + ":2,S");
    }
  }
  // WaitForAll waits until all that was acknowledged is delivered.
  bool WaitForAll(milliseconds patience) {
    const auto end = steady_clock::now() + patience;
    for (;;) {
      Look();
      bool all = true;
      for (auto it = acknowledged_.begin(); it != acknowledged_.end();) {
        if (delivered_.contains(*it)) {
          ++settled_;
          it = acknowledged_.erase(it);
        } else {
          all = false;
          ++it;
        }
      }
      if (all) return true;
      if (steady_clock::now() > end) return false;
      std::this_thread::sleep_for(milliseconds(1));
    }
  }

  // Deny runs one session after the other: of the first, and of what follows it, allocation `n` and
  // `in_a_row - 1` more fail. True when there was one to fail.
  bool Deny(int64_t n, int64_t in_a_row) {
    test::DenyMemory(n, in_a_row);
    refused_ += !Send(StrCat("denied-", in_a_row, "-", n));
    // Until what was acknowledged has come to the end of its way, and beyond: the record of it,
    // which waits for company (QueueOptions::lazy_delay).
    (void)WaitForAll(milliseconds(300));
    if (n >= past_) std::this_thread::sleep_for(milliseconds(test::IsToCome() ? 230 : 2));
    const bool failed_one = test::GrantMemory();
    // The same server takes the next.
    EXPECT_TRUE(Send(StrCat("granted-", in_a_row, "-", n)))
        << "after the failure of allocation " << n;
    EXPECT_TRUE(WaitForAll(milliseconds(30'000))) << "lost after the failure of allocation " << n;
    return failed_one;
  }

  // DenyEach ends after three runs in which nothing was left to fail: the end of the session and of
  // the delivery is behind us.
  void DenyEach(int64_t all_up_to, int64_t stride, int64_t in_a_row) {
    ASSERT_TRUE(Send(StrCat("warm-", in_a_row)));
    ASSERT_TRUE(WaitForAll(milliseconds(10'000)));
    const size_t descriptors = test::OpenDescriptors();
    if (test::EachAllocationIsAskedFor()) stride = 1;
    int clean = 0;
    int64_t n = 0;
    while (clean < 3 && n < 100'000 && !HasFailure()) {
      n += n < all_up_to ? 1 : stride;
      const size_t before = settled_;
      clean = Deny(n, in_a_row) ? 0 : clean + 1;
      // The session's own allocations are behind us once it was acknowledged.
      if (settled_ == before + 2) past_ = std::min(past_, n);
    }
    std::string answers;
    for (const auto& [code, count] : answers_) StrAppend(answers, code, " x ", count, ", ");
    std::printf(
        "%d in a row: the last allocation was the %d.; %d sessions put off, %zu messages "
        "acknowledged and delivered, %d polls failed; %scut off %d\n",
        static_cast<int>(in_a_row), static_cast<int>(n), refused_, settled_, failed_polls_.load(),
        answers.c_str(), cut_);
    EXPECT_GT(refused_, 20);
    EXPECT_LE(test::OpenDescriptors(), descriptors + 3);
    for (const auto& [subject, count] : delivered_) EXPECT_EQ(count, 1) << subject;
  }

  std::string folder_;
  postern_server* server_ = nullptr;
  uint16_t port_ = 0;
  std::atomic<int> failed_polls_{0};
  int refused_ = 0;
  int64_t past_ = INT64_MAX;
  int cut_ = 0;
  size_t settled_ = 0;
  std::map<std::string, int> answers_;
  std::set<std::string> acknowledged_;  // and not delivered yet
  std::map<std::string, int> delivered_;
  std::thread thread_;
};

TEST_P(OutOfMemoryTest, EveryAllocationOfASessionAndItsDelivery) { DenyEach(150, 9, 1); }

// One failure finds what undoes a step; many find what needs memory to undo it.
TEST_P(OutOfMemoryTest, FiftyInARow) { DenyEach(20, 31, 50); }

INSTANTIATE_TEST_SUITE_P(, OutOfMemoryTest, ::testing::Values(false, true),
                         [](const ::testing::TestParamInfo<bool>& each) {
                           return each.param ? "WithThreads" : "OneThread";
                         });

}  // namespace
}  // namespace postern
