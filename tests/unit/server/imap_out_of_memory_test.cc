// Memory that runs out under IMAP: the n-th allocation of a session fails, or fifty from there on,
// for every n from its connection to its LOGOUT, the mailbox's database included. A command ends
// with NO, or the session with BYE or without a word; what APPEND acknowledged is there once; the
// next session has all it asks for. Every n with POSTERN_EVERY_ALLOCATION=1; without it those
// beyond the first are sampled.

#include "tests/unit/denied_memory.h"
#include <algorithm>
#include <arpa/inet.h>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <netinet/tcp.h>
#include <new>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/server/acceptor.h"
#include "lib/service/imap/service.h"
#include "lib/store/mailbox/maildir_store.h"

namespace postern::server {
namespace {

class SilentLog final : public LogSink {
 public:
  void Write(const LogRecord& record) override { (void)FormatLogRecord(record); }
};

class OneAccount final : public service::ImapBackend {
 public:
  OneAccount(rt::World* world, std::string root) : world_(world), root_(std::move(root)) {}
  rt::Task<StatusOr<service::ImapLogin>> Login(const service::ImapSessionFacts&, std::string user,
                                               std::string) override {
    auto open = world_->main_loop().RunBlocking([&] {
      return mailbox::OpenMaildirStore(world_->files(), world_->clock(), world_->random(), root_,
                                       &hub_);
    });
    StatusOr<std::unique_ptr<mailbox::MailStore>> store = co_await open;
    if (!store.ok()) co_return store.status();
    co_return service::ImapLogin{*std::move(store), std::move(user)};
  }

 private:
  rt::World* world_;
  std::string root_;
  mailbox::ChangeHub hub_;
};

// Client is one session, command by command.
class Client {
 public:
  explicit Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval limit{20, 0};
    const int on = 1;
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    open_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    const std::string greeting = Line();
    open_ = greeting.starts_with("* OK");
  }
  ~Client() { close(fd_); }

  // Ask gives "OK", "NO", "BAD", "BYE", or "" when the session was cut; text() is what came before.
  std::string Ask(const std::string& command, const std::string& tag = "a") {
    text_.clear();
    if (!open_) return "";
    Say(StrCat(tag, " ", command));
    return Answer(tag);
  }
  void Say(const std::string& octets) {
    const std::string line = StrCat(octets, "\r\n");
    if (send(fd_, line.data(), line.size(), MSG_NOSIGNAL) < 0) open_ = false;
  }
  // Idle begins to wait and ends it at once.
  std::string Idle() {
    if (!open_) return "";
    Say("i IDLE");
    for (;;) {
      const std::string line = Line();
      if (line.empty()) return "";
      if (line.starts_with("* BYE")) return "BYE";
      if (line.starts_with("i NO")) return "NO";
      if (!line.starts_with("+")) continue;
      Say("DONE");
      return Answer("i");
    }
  }
  const std::string& text() const { return text_; }
  const std::string& last_no() const { return last_no_; }
  bool open() const { return open_; }

 private:
  std::string Answer(const std::string& tag) {
    for (;;) {
      const std::string line = Line();
      if (line.empty()) return "";
      if (line.starts_with("* BYE") && tag != "z") {
        open_ = false;
        return "BYE";
      }
      if (line.starts_with(tag + " ")) {
        const size_t start = tag.size() + 1;
        if (line.find("NO") == start) last_no_ = line;
        return line.substr(start, line.find(' ', start) - start);
      }
      text_ += line;
    }
  }
  std::string Line() {
    for (;;) {
      const size_t end = unread_.find('\n');
      if (end != std::string::npos) {
        std::string line = unread_.substr(0, end + 1);
        unread_.erase(0, end + 1);
        return line;
      }
      char bytes[4096];
      const ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
      EXPECT_TRUE(n >= 0 || errno == ECONNRESET) << "no answer: " << unread_;
      if (n <= 0) {
        open_ = false;
        return "";
      }
      unread_.append(bytes, static_cast<size_t>(n));
    }
  }

  int fd_;
  bool open_ = false;
  std::string unread_;
  std::string text_;
  std::string last_no_;
};

class ImapOutOfMemoryTest : public ::testing::TestWithParam<bool> {
 protected:
  ImapOutOfMemoryTest() : world_(Options(GetParam())) {
    test::ExemptThisThread();
    char folder[] = "/tmp/postern-imap-oom-XXXXXX";
    folder_ = mkdtemp(folder);
    backend_ = std::make_unique<OneAccount>(&world_, folder_ + "/mail");
    service_ = std::make_unique<service::ImapService>(&world_, &world_.main_loop(), backend_.get(),
                                                      &log_, service::ImapServiceOptions());
    auto options = std::make_shared<imap::ServerOptions>();
    options->offer_starttls = false;
    options->allow_plaintext_login = true;
    auto listener = std::make_shared<service::ImapListener>();
    listener->options = std::move(options);
    StatusOr<std::unique_ptr<rt::Listener>> socket = world_.network().Listen(
        world_.main_loop(), Endpoint{IpAddress::V4(127, 0, 0, 1), 0, ""}, {});
    EXPECT_TRUE(socket.ok());
    acceptor_ = std::make_unique<Acceptor>(&world_, *std::move(socket), &log_);
    port_ = acceptor_->local().port;
    acceptor_->SetHandler([this, listener](size_t, std::unique_ptr<rt::Stream> stream) {
      service_->Serve(std::move(stream), listener);
    });
    acceptor_->Start();
    thread_ = std::thread([this] { Poll(); });
  }
  ~ImapOutOfMemoryTest() override {
    (void)test::GrantMemory();
    stop_ = true;
    thread_.join();
    std::filesystem::remove_all(folder_);
  }

  static rt::AsioWorldOptions Options(bool threads) {
    rt::AsioWorldOptions options;
    options.no_threads = !threads;
    return options;
  }
  rt::Task<void> StopAll() {
    co_await acceptor_->Stop();
    co_await service_->Stop(absl::Seconds(1));
  }
  void Poll() {
    while (!stop_) {
      try {
        world_.Poll(absl::Milliseconds(20));
      } catch (const std::bad_alloc&) {
        ++failed_polls_;
      }
    }
    rt::TaskGroup end;
    end.Spawn(StopAll());
    while (end.running() > 0) world_.Poll(absl::Milliseconds(20));
  }

  // Talk has one session; true when every command was OK. Else one was NO, or the session ended.
  bool Talk(const std::string& subject, bool* appended) {
    Client client(port_);
    bool all = client.open();
    const auto judge = [&](const std::string& answer) {
      ++answers_[answer.empty() ? "cut off" : answer];
      EXPECT_NE(answer, "BAD");
      all = all && answer == "OK";
      if (answer == "NO") last_no_ = client.last_no();
      return answer == "OK";
    };
    if (!judge(client.Ask("LOGIN ann secret"))) return false;
    if (!judge(client.Ask("SELECT INBOX"))) return false;
    const std::string message =
        StrCat("From: bob@example.org\r\nSubject: ", subject, "\r\n\r\nHello, Ann\r\n");
    *appended = judge(client.Ask(StrCat("APPEND INBOX {", message.size(), "+}\r\n", message)));
    for (const char* command : {"NOOP", "FETCH * (UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[])",
                                "STORE * +FLAGS (\\Flagged custom)", "SEARCH TEXT hello",
                                "STATUS INBOX (MESSAGES UIDNEXT)"}) {
      if (client.open()) judge(client.Ask(command));
    }
    if (client.open()) judge(client.Idle());
    if (client.open()) judge(client.Ask("LOGOUT", "z"));
    return all;
  }

  // Count is how often a message of this subject is there; then the mailbox is emptied.
  size_t Count(const std::string& subject) {
    Client client(port_);
    EXPECT_EQ(client.Ask("LOGIN ann secret"), "OK");
    EXPECT_EQ(client.Ask("SELECT INBOX"), "OK");
    EXPECT_EQ(client.Ask(StrCat("SEARCH SUBJECT ", subject, "-")), "OK");
    const size_t at = client.text().find("* SEARCH");
    const std::string found = at == std::string::npos ? "" : client.text().substr(at + 8);
    EXPECT_EQ(client.Ask("STORE 1:* +FLAGS.SILENT (\\Deleted)"), "OK");
    EXPECT_EQ(client.Ask("EXPUNGE"), "OK");
    return static_cast<size_t>(std::count(found.begin(), found.end(), ' '));
  }

  void DenyEach(int64_t all_up_to, int64_t stride, int64_t in_a_row) {
    bool appended = false;
    const size_t descriptors = test::OpenDescriptors();
    ASSERT_TRUE(Talk("warm", &appended));
    if (test::EachAllocationIsAskedFor()) stride = 1;
    int clean = 0;
    int64_t n = 0;
    int disturbed = 0;
    while (clean < 3 && n < 100'000 && !HasFailure()) {
      n += n < all_up_to ? 1 : stride;
      const std::string subject = StrCat("denied-", n);
      test::DenyMemory(n, in_a_row);
      appended = false;
      disturbed += !Talk(subject + "-", &appended);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));  // the end of the session
      clean = test::GrantMemory() ? 0 : clean + 1;
      bool granted = false;
      EXPECT_TRUE(Talk("granted", &granted))
          << "after the failure of allocation " << n << ": " << last_no_;
      const size_t there = Count(subject);
      EXPECT_LE(there, 1u) << n;
      EXPECT_GE(there, appended ? 1u : 0u) << "lost after the failure of allocation " << n;
    }
    std::string answers;
    for (const auto& [word, count] : answers_) StrAppend(answers, word, " x ", count, ", ");
    std::printf("the last allocation was the %d.; %d sessions disturbed, %d polls failed; %s\n",
                static_cast<int>(n), disturbed, failed_polls_.load(), answers.c_str());
    EXPECT_GT(disturbed, 20);
    // A word of farewell takes memory too.
    if (in_a_row == 1) {
      EXPECT_GT(answers_["BYE"], 0);
    }
    // The last session ends behind its client's back.
    for (int i = 0; i < 1000 && test::OpenDescriptors() > descriptors; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_LE(test::OpenDescriptors(), descriptors);
  }

  std::string folder_;
  SilentLog log_;
  rt::AsioWorld world_;
  std::unique_ptr<OneAccount> backend_;
  std::unique_ptr<service::ImapService> service_;
  std::unique_ptr<Acceptor> acceptor_;
  uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  std::atomic<int> failed_polls_{0};
  std::map<std::string, int> answers_;
  std::string last_no_;
  std::thread thread_;
};

TEST_P(ImapOutOfMemoryTest, EveryAllocationOfASession) { DenyEach(50, 17, 1); }

// One failure finds what undoes a step; many find what needs memory to undo it.
TEST_P(ImapOutOfMemoryTest, FiftyInARow) { DenyEach(10, 89, 50); }

INSTANTIATE_TEST_SUITE_P(, ImapOutOfMemoryTest, ::testing::Values(false, true),
                         [](const ::testing::TestParamInfo<bool>& each) {
                           return each.param ? "WithThreads" : "OneThread";
                         });

}  // namespace
}  // namespace postern::server
