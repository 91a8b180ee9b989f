// Tables that a program serves, against programs that behave and programs that do not.
#include "lib/store/table/proc_table.h"

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/parse.h"
#include "lib/core/policy/password.h"
#include "lib/rt/asio/posix_files.h"
#include "lib/rt/asio/posix_processes.h"
#include "lib/store/table/tables.h"

namespace postern::store {
namespace {

using policy::Service;
using ::testing::HasSubstr;

// Program is the other side: it is given lines and says octets, when it likes.
class Program {
 public:
  using Handler = std::function<void(Program& self, const std::string& line)>;
  explicit Program(Handler handler) : handler_(std::move(handler)) {}

  void Take(std::string_view octets) {
    unread_.append(octets);
    for (size_t end = unread_.find('\n'); end != std::string::npos; end = unread_.find('\n')) {
      const std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      handler_(*this, line);
    }
  }
  void Say(std::string_view octets) {
    const std::lock_guard<std::mutex> lock(mutex_);
    said_.append(octets);
    changed_.notify_all();
  }
  void Exit() {
    const std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  StatusOr<size_t> Read(std::span<char> into, Duration patience) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoMilliseconds(patience),
                      [this] { return over_ || !said_.empty(); });
    if (said_.empty())
      return over_ ? StatusOr<size_t>(size_t{0}) : DeadlineExceeded("the program does not answer");
    const size_t count = std::min(into.size(), said_.size());
    std::copy_n(said_.begin(), count, into.begin());
    said_.erase(0, count);
    return count;
  }
  std::string last_error;

 private:
  Handler handler_;
  std::string unread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string said_;
  bool over_ = false;
};

class Talk final : public rt::Conversation {
 public:
  explicit Talk(std::shared_ptr<Program> program) : program_(std::move(program)) {}
  Status Write(std::string_view data, Duration) override {
    program_->Take(data);
    return OkStatus();
  }
  StatusOr<size_t> Read(std::span<char> into, Duration patience) override {
    return program_->Read(into, patience);
  }
  std::string LastError() override { return program_->last_error; }
  void End() override { program_->Exit(); }

 private:
  std::shared_ptr<Program> program_;
};

class FakeProcesses final : public rt::Processes {
 public:
  rt::Task<StatusOr<rt::ProcessResult>> Run(rt::Executor&, rt::ProcessSpec) override {
    co_return Unimplemented("no");
  }
  StatusOr<std::unique_ptr<rt::Conversation>> Converse(rt::ProcessSpec spec) override {
    argv = spec.argv;
    run_as = spec.run_as;
    ++starts;
    return std::unique_ptr<rt::Conversation>(
        std::make_unique<Talk>(std::make_shared<Program>(handler)));
  }
  StatusOr<rt::Account> FindAccount(const std::string&) override { return NotFound("none"); }
  StatusOr<std::string> FindPasswordHash(const std::string&) override { return NotFound("none"); }
  rt::Account Self() override { return self; }

  rt::Account self;
  std::optional<rt::Credentials> run_as;
  Program::Handler handler;
  std::vector<std::string> argv;
  int starts = 0;
};

class RealClock final : public rt::Clock {
 public:
  Instant Now() override {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return Instant{std::chrono::nanoseconds(now).count()} + ahead;
  }
  WallTime WallNow() override { return absl::FromUnixSeconds(1'700'000'000); }
  Duration ahead;  // what the test has skipped
};

std::vector<std::string> Fields(const std::string& line) {
  std::vector<std::string> fields;
  for (const std::string_view each : Split(line, '|')) fields.emplace_back(each);
  return fields;
}

// Behave is a program that has one alias, one login and two sources.
void Behave(Program& self, const std::string& line) {
  if (line == "config|ready")
    self.Say("register|alias\nregister|auth\nregister|source\nregister|netaddr\nregister|ready\n");
  const std::vector<std::string> f = Fields(line);
  if (f[0] != "table") return;
  if (f[4] == "update") return self.Say(StrCat("update-result|", f[5], "|ok\n"));
  const std::string result = StrCat(f[4], "-result|", f[6], "|");
  if (f[4] == "fetch") return self.Say(StrCat(result, "found|192.0.2.1\n"));
  const std::string key = line.substr(line.find(f[6]) + 9);
  if (key == "trouble") return self.Say(StrCat(result, "error|no route\n"));
  const bool known = key == "root" || key == "bob:Secret:1" || key == "192.0.2.7";
  self.Say(StrCat(result,
                  !known            ? "not-found"
                  : f[4] == "check" ? "found"
                                    : "found|alice, bob",
                  "\n"));
}

class ProcTableTest : public ::testing::Test {
 protected:
  ProcTableTest() {
    declaration_.name = "users";
    declaration_.path = "/etc/mail/users.conf";
    options_.start_limit = absl::Milliseconds(300);
    options_.answer_limit = absl::Milliseconds(300);
    processes_.handler = Behave;
  }
  ProcTable& Make() {
    table_ = std::make_unique<ProcTable>(&declaration_, "/usr/libexec/table-x", &processes_,
                                         &clock_, options_);
    return *table_;
  }
  // Trouble is what an alias look-up fails with.
  std::string Trouble() {
    const StatusOr<std::optional<std::string>> found = table_->Lookup(Service::kAlias, "root");
    return found.ok() ? "" : std::string(Message(found.status()));
  }

  policy::TableDeclaration declaration_;
  ProcTableOptions options_;
  FakeProcesses processes_;
  RealClock clock_;
  std::unique_ptr<ProcTable> table_;
};

TEST_F(ProcTableTest, AsksEachOperation) {
  ProcTable& table = Make();
  EXPECT_EQ(processes_.starts, 0);
  EXPECT_EQ(**table.Lookup(Service::kAlias, "ROOT"), "alice, bob");
  EXPECT_FALSE(table.Lookup(Service::kAlias, "nobody")->has_value());
  EXPECT_TRUE(*table.Match(Service::kNetaddr, "192.0.2.7"));
  EXPECT_FALSE(*table.Match(Service::kNetaddr, "192.0.2.8"));
  EXPECT_EQ(**table.Fetch(Service::kSource), "192.0.2.1");
  EXPECT_TRUE(table.Update().ok());
  EXPECT_EQ(processes_.starts, 1);
  EXPECT_EQ(processes_.argv,
            (std::vector<std::string>{"/usr/libexec/table-x", "/etc/mail/users.conf"}));
}

// What it writes is the server's own, also when a check of root's asked it first.
TEST_F(ProcTableTest, RunsAsTheServersAccount) {
  options_.run_as = rt::Credentials{1234, 1235, {1236}};
  EXPECT_TRUE(Make().Lookup(Service::kAlias, "root").ok());
  ASSERT_TRUE(processes_.run_as.has_value());
  EXPECT_EQ(processes_.run_as->uid, 1234u);
  EXPECT_EQ(processes_.run_as->groups, std::vector<uint32_t>{1236});
  processes_.self.uid = 1234;  // we have become it
  EXPECT_TRUE(Make().Lookup(Service::kAlias, "root").ok());
  EXPECT_FALSE(processes_.run_as.has_value());
}

TEST_F(ProcTableTest, ChecksPasswordsItself) {
  ProcTable& table = Make();
  EXPECT_TRUE(*policy::CheckLogin(table, "Bob", "Secret:1"));
  EXPECT_FALSE(*policy::CheckLogin(table, "Bob", "secret:1"));
  // A colon in the login would move the border to the password.
  EXPECT_FALSE(*policy::CheckLogin(table, "bob:Secret", "1"));
  EXPECT_FALSE(*policy::CheckLogin(table, "bob", "Secret:1\nx"));
}

TEST_F(ProcTableTest, AnErrorIsOfOneQuestion) {
  ProcTable& table = Make();
  const StatusOr<std::optional<std::string>> found = table.Lookup(Service::kAlias, "trouble");
  EXPECT_EQ(found.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(Message(found.status())),
              HasSubstr("table users (/usr/libexec/table-x): the program says \"no route\""));
  EXPECT_FALSE(table.Lookup(Service::kDomain, "x").ok());  // a service that it does not have
  EXPECT_FALSE(table.Lookup(Service::kAlias, "a\nb").ok());
  EXPECT_EQ(Trouble(), "");
  EXPECT_EQ(processes_.starts, 1);
}

TEST_F(ProcTableTest, AnswersMayComeInAnyOrder) {
  // The program collects four questions and answers them from the last to the first.
  auto waiting = std::make_shared<std::vector<std::string>>();
  processes_.handler = [waiting](Program& self, const std::string& line) {
    if (line == "config|ready") return self.Say("register|alias\nregister|ready\n");
    const std::vector<std::string> f = Fields(line);
    if (f[0] != "table") return;
    waiting->push_back(StrCat("lookup-result|", f[6], "|found|of ", f[7], "\n"));
    if (waiting->size() < 4) return;
    for (auto it = waiting->rbegin(); it != waiting->rend(); ++it) self.Say(*it);
    waiting->clear();
  };
  ProcTable& table = Make();
  options_.answer_limit = absl::Seconds(20);
  std::array<std::string, 4> answers;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < answers.size(); ++i) {
    threads.emplace_back([&, i] {
      const auto found = table.Lookup(Service::kAlias, StrCat("key", i));
      answers[i] = found.ok() && found->has_value() ? **found : Message(found.status());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < answers.size(); ++i) EXPECT_EQ(answers[i], StrCat("of key", i));
}

TEST_F(ProcTableTest, ManyThreadsAskAtOnce) {
  options_.max_questions = 3;
  options_.answer_limit = absl::Seconds(20);
  ProcTable& table = Make();
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 200; ++turn) {
        const auto found = table.Lookup(Service::kAlias, turn % 2 == 0 ? "root" : "nobody");
        if (found.ok() && found->has_value() == (turn % 2 == 0)) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 1600);
}

// What a program may do to us: each makes temporary failures, is told, and ends with the program.
struct Misdeed {
  const char* what;
  Program::Handler handler;
  const char* told;
};

TEST_F(ProcTableTest, MisdeedsAreTemporaryFailures) {
  const auto ready = [](Program& self) { self.Say("register|alias\nregister|ready\n"); };
  const auto is_question = [](const std::string& line) { return line.rfind("table|", 0) == 0; };
  const Misdeed misdeeds[] = {
      {"dies at once", [](Program& self, const std::string&) { self.Exit(); }, "ended at once"},
      {"never names its services", [](Program&, const std::string&) {}, "protocol 0.1"},
      {"has no service",
       [](Program& self, const std::string& line) {
         if (line == "config|ready") self.Say("register|ready\n");
       },
       "no service at all"},
      {"greets with nonsense",
       [](Program& self, const std::string&) { self.Say(std::string("\x01\0\0\x10", 4) + "\n"); },
       "none of the table protocol"},
      {"dies when asked",
       [&](Program& self, const std::string& line) {
         if (line == "config|ready") ready(self);
         if (!is_question(line)) return;
         self.last_error = "segmentation fault";
         self.Exit();
       },
       "the program ended; it said \"segmentation fault\""},
      {"hangs when asked",
       [&](Program& self, const std::string& line) {
         if (line == "config|ready") ready(self);
       },
       "does not answer"},
      {"answers another question",
       [&](Program& self, const std::string& line) {
         if (line == "config|ready") ready(self);
         if (is_question(line)) self.Say("lookup-result|deadbeef|found|mallory\n");
       },
       "what nobody asked"},
      {"answers another operation",
       [&](Program& self, const std::string& line) {
         if (line == "config|ready") ready(self);
         if (is_question(line)) self.Say(StrCat("check-result|", Fields(line)[6], "|found\n"));
       },
       "what nobody asked"},
      {"says half an answer",
       [&](Program& self, const std::string& line) {
         if (line == "config|ready") ready(self);
         if (!is_question(line)) return;
         self.Say(StrCat("lookup-result|", Fields(line)[6], "|found|mal"));
         self.Exit();
       },
       "the program ended"},
      {"floods",
       [&](Program& self, const std::string& line) {
         if (line == "config|ready") ready(self);
         if (is_question(line)) self.Say(std::string(200'000, 'x'));
       },
       "more than 65536 octets"},
  };
  for (const Misdeed& misdeed : misdeeds) {
    SCOPED_TRACE(misdeed.what);
    processes_.handler = misdeed.handler;
    processes_.starts = 0;
    Make();
    const Instant begun = clock_.Now();
    EXPECT_THAT(Trouble(), HasSubstr(misdeed.told));
    EXPECT_LT(clock_.Now(), begun + absl::Seconds(5));
    // Until the wait is over nobody waits for it again: the failure is told at once.
    EXPECT_THAT(Trouble(), HasSubstr(misdeed.told));
    EXPECT_EQ(processes_.starts, 1);
    // Then it is started anew, and when it behaves, it serves.
    processes_.handler = Behave;
    clock_.ahead += absl::Milliseconds(1100);
    EXPECT_EQ(Trouble(), "");
    EXPECT_EQ(processes_.starts, 2);
  }
}

TEST_F(ProcTableTest, TheWaitBeforeARestartGrowsToItsBound) {
  processes_.handler = [](Program& self, const std::string&) { self.Exit(); };
  Make();
  std::vector<int> waits;
  for (int failure = 0; failure < 8; ++failure) {
    const int before = processes_.starts;
    int waited = 0;
    while (processes_.starts == before) {
      EXPECT_NE(Trouble(), "");
      if (processes_.starts != before) break;
      clock_.ahead += absl::Seconds(1);
      ++waited;
    }
    waits.push_back(waited);
  }
  EXPECT_THAT(waits, ::testing::ElementsAre(0, 1, 2, 4, 8, 16, 32, 60));
}

TEST_F(ProcTableTest, AllWhoWaitHearThatItDied) {
  auto asked = std::make_shared<int>(0);
  processes_.handler = [asked](Program& self, const std::string& line) {
    if (line == "config|ready") self.Say("register|alias\nregister|ready\n");
    if (line.rfind("table|", 0) == 0 && ++*asked == 3) self.Exit();
  };
  options_.answer_limit = absl::Seconds(20);
  ProcTable& table = Make();
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] { failed += table.Lookup(Service::kAlias, "x").ok() ? 0 : 1; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 3);
}

// A real program, by way of a configuration.
class RealProgramTest : public ::testing::Test {
 protected:
  RealProgramTest()
      : root_(std::filesystem::temp_directory_path() / StrCat("postern-proc-", getpid())) {
    std::filesystem::create_directories(root_);
  }
  ~RealProgramTest() override { std::filesystem::remove_all(root_); }

  std::shared_ptr<ConfigTables> Load(const std::string& text) {
    policy::MemoryLoader loader("smtpd.conf", text);
    policy::ParseResult result = policy::Parse("smtpd.conf", loader);
    EXPECT_TRUE(result.config) << (result.diagnostics.empty() ? ""
                                                              : result.diagnostics[0].ToString());
    told_.clear();
    if (!result.config) return nullptr;
    policy::Diagnostics diagnostics;
    auto tables =
        ConfigTables::Load(result.config, {&files_, &processes_, &clock_}, {}, &diagnostics);
    for (const policy::Diagnostic& d : diagnostics) StrAppend(told_, d.ToString(), "\n");
    return tables;
  }

  std::filesystem::path root_;
  rt::PosixFiles files_;
  rt::PosixProcesses processes_;
  RealClock clock_;
  std::string told_;
};

TEST_F(RealProgramTest, IsFoundStartedAsTheTypeSaysAndAsked) {
  const std::string program = (root_ / "table-list").string();
  std::ofstream(program) << R"(#!/usr/bin/python3
import sys
entries = dict(line.split() for line in open(sys.argv[1]))
for line in sys.stdin:
    f = line.rstrip("\n").split("|", 7)
    if f == ["config", "ready"]:
        print("register|alias\nregister|ready", flush=True)
    if f[0] != "table":
        continue
    if f[4] == "update":
        entries = dict(line.split() for line in open(sys.argv[1]))
        print(f"update-result|{f[5]}|ok", flush=True)
    elif f[7] in entries:
        print(f"lookup-result|{f[6]}|found|{entries[f[7]]}", flush=True)
    else:
        print(f"lookup-result|{f[6]}|not-found", flush=True)
)";
  const std::string conf =
      StrCat("libexec \"", root_.string(), "\"\ntable a list:", (root_ / "data").string(),
             "\naction m mbox alias <a>\nmatch for any action m\n");
  std::ofstream(root_ / "data") << "root alice\n";
  EXPECT_EQ(Load(conf), nullptr);
  EXPECT_THAT(told_, HasSubstr(StrCat("smtpd.conf:2:7: error: table a: no program table-list in ",
                                      root_.string(), ", /usr/local/libexec/smtpd")));
  ::chmod(program.c_str(), 0755);
  const auto tables = Load(conf);
  ASSERT_TRUE(tables) << told_;
  policy::Table* table = tables->set().Get(0);
  EXPECT_TRUE(table->Blocks());
  const auto found = table->Lookup(Service::kAlias, "Root");
  ASSERT_TRUE(found.ok()) << Message(found.status());
  EXPECT_EQ(**found, "alice");
  EXPECT_FALSE(table->Lookup(Service::kAlias, "bob")->has_value());
  std::ofstream(root_ / "data") << "root carol\n";
  policy::Diagnostics diagnostics;
  EXPECT_TRUE(tables->Update("a", &diagnostics));
  EXPECT_EQ(**table->Lookup(Service::kAlias, "root"), "carol");
  // A file that is gone ends this program, which says so.
  std::filesystem::remove(root_ / "data");
  EXPECT_FALSE(tables->Update("a", &diagnostics));
  ASSERT_EQ(diagnostics.size(), 1u);
  EXPECT_THAT(diagnostics[0].ToString(), HasSubstr("smtpd.conf:2:7: error: table a ("));
  EXPECT_THAT(diagnostics[0].ToString(), HasSubstr("No such file"));
}

}  // namespace
}  // namespace postern::store
