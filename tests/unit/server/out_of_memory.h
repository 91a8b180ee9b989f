// A server that memory is denied to: the n-th allocation of it fails, SQLite's own included, while
// a message comes in and goes on. The client hears 4xx or loses the connection, what was
// acknowledged arrives (once in a Maildir; a program or another server may have it again), and the
// same server serves the next session. Every n with POSTERN_EVERY_ALLOCATION=1; without it those
// beyond the first are sampled.
#pragma once

#include "include/postern.h"
#include "tests/unit/denied_memory.h"
#include "tests/unit/server/mail_sink.h"
#include <arpa/inet.h>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <netinet/tcp.h>
#include <pwd.h>
#include <set>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "gtest/gtest.h"

#include "lib/core/base/strings.h"

namespace postern::test {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Where the mail goes: into a folder of ours, to a program, or to another server.
enum class Way { kMaildir, kProgram, kRelay };

class OutOfMemory : public ::testing::Test {
 protected:
  OutOfMemory(bool threads, Way way) : way_(way) {
    ExemptThisThread();
    char folder[] = "/tmp/postern-oom-XXXXXX";
    folder_ = mkdtemp(folder);
    const std::string config = StrCat(
        "mailname \"mx.example.org\"\nspool \"", folder_, "/spool\"\n",
        "queue retry-delay 1s\nmta limit session-keepalive 1\n", "listen on 127.0.0.1 port 0\n",
        "action here ", Action(), "\n", "match from any for domain example.org action here\n");
    postern_server_options options = POSTERN_SERVER_OPTIONS_INIT;
    options.config_text = config.c_str();
    options.config_text_len = config.size();
    options.no_threads = threads ? 0 : 1;
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
  ~OutOfMemory() override {
    (void)GrantMemory();
    postern_server_stop(server_, 1000);
    if (thread_.joinable()) thread_.join();
    postern_server_free(server_);
    sink_.reset();
    std::filesystem::remove_all(folder_);
  }

  // ToUser is what comes behind an action's method. No program is run as root.
  std::string ToUser() const {
    const passwd* const self = getpwuid(geteuid());
    const std::string user = way_ == Way::kProgram && geteuid() == 0 ? std::string("nobody")
                             : self != nullptr                       ? std::string(self->pw_name)
                                                                     : std::string("root");
    return StrCat(" virtual { \"@\" = \"", user, "\" }");
  }
  std::string Action() {
    const std::string mail = folder_ + "/mail";
    if (way_ == Way::kMaildir) return StrCat("maildir \"", mail, "\"", ToUser());
    chmod(folder_.c_str(), 0755);
    for (const std::string& each : {mail, mail + "/tmp", mail + "/new", mail + "/cur"}) {
      mkdir(each.c_str(), 0777);
      chmod(each.c_str(), 0777);
    }
    if (way_ == Way::kRelay) {
      sink_ = std::make_unique<MailSink>(mail + "/tmp", mail + "/new");
      return StrCat("relay host smtp+notls://127.0.0.1:", sink_->port());
    }
    // What it delivers is there whole or not at all.
    const std::string script = folder_ + "/deliver";
    std::ofstream(script) << "cat > " << mail << "/tmp/$$ && mv " << mail << "/tmp/$$ " << mail
                          << "/new/$$\n";
    chmod(script.c_str(), 0755);
    return StrCat("mda \"/bin/sh ", script, "\"", ToUser());
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
      if (n < 0 && errno == EINTR) continue;  // a program has ended
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
    DenyMemory(n, in_a_row);
    refused_ += !Send(StrCat("denied-", in_a_row, "-", n));
    // Until what was acknowledged has come to the end of its way, and beyond: the record of it,
    // which waits for company (QueueOptions::lazy_delay).
    (void)WaitForAll(milliseconds(300));
    if (n >= past_) std::this_thread::sleep_for(milliseconds(IsToCome() ? 230 : 2));
    const bool failed_one = GrantMemory();
    // The same server takes the next.
    EXPECT_TRUE(Send(StrCat("granted-", in_a_row, "-", n)))
        << "after the failure of allocation " << n;
    EXPECT_TRUE(WaitForAll(milliseconds(30'000))) << "lost after the failure of allocation " << n;
    return failed_one;
  }

  // DenyEach ends after three runs in which nothing was left to fail: the end of the session and of
  // the delivery is behind us.
  // It begins behind the `from`-th allocation.
  void DenyEach(int64_t from, int64_t all_up_to, int64_t stride, int64_t in_a_row) {
    ASSERT_TRUE(Send(StrCat("warm-", in_a_row)));
    ASSERT_TRUE(WaitForAll(milliseconds(10'000)));
    const size_t descriptors = OpenDescriptors();
    if (EachAllocationIsAskedFor()) stride = 1;
    int clean = 0;
    int64_t runs = 0;
    int64_t n = from;
    while (clean < 3 && n < 100'000 && !HasFailure()) {
      n += n < all_up_to ? 1 : stride;
      ++runs;
      const size_t before = settled_;
      clean = Deny(n, in_a_row) ? 0 : clean + 1;
      // The session's own allocations are behind us once it was acknowledged.
      if (settled_ == before + 2) past_ = std::min(past_, n);
    }
    std::string answers;
    for (const auto& [code, count] : answers_) StrAppend(answers, code, " x ", count, ", ");
    int64_t again = 0;
    for (const auto& [subject, count] : delivered_) again += count - 1;
    std::printf(
        "%d in a row: the last allocation was the %d.; %d sessions put off, %zu messages "
        "acknowledged and delivered, %d of them again, %d polls failed; %scut off %d\n",
        static_cast<int>(in_a_row), static_cast<int>(n), refused_, settled_,
        static_cast<int>(again), failed_polls_.load(), answers.c_str(), cut_);
    if (from == 0) {
      EXPECT_GT(refused_, 20);
    }
    // Connections to another server are kept for the next message for a while.
    for (int i = 0; i < 2000 && OpenDescriptors() > descriptors + 3; ++i)
      std::this_thread::sleep_for(milliseconds(10));
    EXPECT_LE(OpenDescriptors(), descriptors + 3);
    // No program runs any more, and all have been buried.
    siginfo_t child{};
    int has_child = 0;
    for (int i = 0; i < 2000 && has_child == 0; ++i) {
      if (i > 0) std::this_thread::sleep_for(milliseconds(10));
      has_child = waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT);
    }
    EXPECT_EQ(has_child, -1) << child.si_pid;
    // What went to others before it could be recorded goes there again: for each failure one at the
    // most.
    EXPECT_LE(again, way_ == Way::kMaildir ? 0 : runs * in_a_row);
  }

  const Way way_;
  std::string folder_;
  std::unique_ptr<MailSink> sink_;
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

}  // namespace postern::test
