#include "lib/rt/asio/helper_process.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/rt/asio/helper_programs.h"
#include "lib/rt/stream.h"

namespace postern::rt {
namespace {

namespace fs = std::filesystem;

// Work answers "echo X" with who does it, X and the payload; "die" by its death; "write PATH" by a
// file; "sleep" runs a program that takes long, "run COMMAND" a shell's command; "stop" and "hang"
// never answer.
std::string Work(const HelperTask& task) {
  const std::string request(task.request);
  if (request == "die") abort();
  if (request == "stop") raise(SIGSTOP);
  while (request == "stop" || request == "hang") pause();
  if (request.starts_with("run ")) {
    ProcessSpec spec;
    spec.argv = {"/bin/sh", "-c", request.substr(4)};
    spec.environment = {"PATH=/usr/bin:/bin"};
    const StatusOr<ProcessResult> end = task.run(spec);
    return end.ok() ? StrCat(end->exit_code, " ", end->output) : Text(end.status());
  }
  if (request == "sleep") {
    ProcessSpec spec;
    spec.argv = {"/bin/sleep", "30"};
    const StatusOr<ProcessResult> end = task.run(spec);
    return end.ok() && end->timed_out ? "ended" : "not ended";
  }
  if (request.starts_with("write ")) {
    OpenOptions open;
    open.write = open.create = open.exclusive = true;
    open.mode = 0666;
    return Text(task.files->Open(request.substr(6), open).status());
  }
  std::string payload = "none";
  if (task.payload != nullptr) {
    payload.assign(task.payload->Stat()->size_bytes, '\0');
    (void)task.payload->ReadAt(0, payload);
  }
  return StrCat(geteuid(), ":", getegid(), " ", request.substr(5), " ", payload);
}

HelperGrant Grant(const Credentials&, std::string_view request) {
  return HelperGrant{.as_root = request == "echo root"};
}

class HelperProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/postern-helper-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    chmod(name, 0777);
    HelperOptions options;
    options.work = Work;
    options.grant = Grant;
    options.max_children = 6;
    options.max_children_of_user = 4;
    StatusOr<std::unique_ptr<Helper>> helper = StartHelper(std::move(options));
    ASSERT_TRUE(helper.ok()) << Text(helper.status());
    helper_ = *std::move(helper);
  }
  void TearDown() override {
    helper_.reset();
    fs::remove_all(folder_);
  }
  StatusOr<std::string> Ask(uint32_t uid, uint32_t gid, const std::string& request,
                            std::string_view payload = {}) {
    HelperCall call;
    call.who = Credentials{uid, gid, {0, 6, 42}};  // groups that nobody gets by naming them
    call.request = request;
    call.payload = payload;
    return Ask(call);
  }
  StatusOr<std::string> Ask(const HelperCall& call) {
    StatusOr<std::unique_ptr<HelperAnswer>> answer = helper_->Begin(call);
    if (!answer.ok()) return answer.status();
    (*answer)->Wait(absl::Seconds(20));
    return (*answer)->Result();
  }
  // AskPlain asks as some user without special rights.
  StatusOr<std::string> AskPlain(const std::string& request) { return Ask(PlainCall(request)); }
  static HelperCall PlainCall(const std::string& request) {
    HelperCall call;
    call.who =
        Credentials{geteuid() == 0 ? 65534 : geteuid(), geteuid() == 0 ? 65534 : getegid(), {}};
    call.request = request;
    return call;
  }
  // Read waits for a file of the test's and gives its text without the last line end.
  std::string Read(const std::string& name) {
    std::string text;
    for (int turn = 0; turn < 500 && text.empty(); ++turn) {
      std::getline(std::ifstream(folder_ + "/" + name), text);
      if (text.empty()) absl::SleepFor(absl::Milliseconds(20));
    }
    return text;
  }
  // IsGone waits for the end of a process.
  static bool IsGone(const std::string& pid) {
    for (int turn = 0; turn < 500; ++turn) {
      std::string stat;
      std::getline(std::ifstream("/proc/" + pid + "/stat"), stat);
      if (stat.empty() || stat.find(") Z ") != std::string::npos) return true;
      absl::SleepFor(absl::Milliseconds(20));
    }
    return false;
  }
  std::string folder_;
  std::unique_ptr<Helper> helper_;
};

TEST_F(HelperProcessTest, WorksAsWhoItIsTold) {
  const uint32_t uid = geteuid() == 0 ? 65534 : geteuid();
  const uint32_t gid = geteuid() == 0 ? 65534 : getegid();
  EXPECT_EQ(*Ask(uid, gid, "echo hello"), StrCat(uid, ":", gid, " hello none"));
  const std::string large(300'000, 'm');
  EXPECT_EQ(*Ask(uid, gid, "echo hello", large), StrCat(uid, ":", gid, " hello ", large));
  EXPECT_EQ(*Ask(uid, gid, "echo empty", std::string_view("", 0)),
            StrCat(uid, ":", gid, " empty "));
  EXPECT_EQ(Ask(uid, gid, StrCat("write ", folder_, "/file")).value_or(""), "ok");
  struct stat info {};
  ASSERT_EQ(stat((folder_ + "/file").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, uid);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(HelperProcessTest, IsNobodyElse) {
  if (geteuid() != 0) {
    EXPECT_FALSE(Ask(geteuid() + 1, getegid(), "echo x").ok());
    GTEST_SKIP() << "the rest needs root";
  }
  const auto refused = [this](uint32_t uid, uint32_t gid, const char* what) {
    EXPECT_EQ(Ask(uid, gid, "echo x").status().code(), StatusCode::kPermissionDenied) << what;
  };
  refused(0, 0, "root");
  refused(0, 65534, "root");
  refused(65534, 0, "root's group");
  refused(65534, 42, "a group of the system's that is not the account's");
  refused(65534, 54321, "a group of nobody's that is not the account's");
  refused(54321, 42, "no account, with a group of the system's");
  refused(54321, 65534, "no account, with somebody's group");
  refused(6, 54321, "a system account with another group");
  EXPECT_NE(
      Message(Ask(65534, 42, "echo x").status()).find("user nobody (65534) is not in group 42"),
      std::string_view::npos);
  EXPECT_EQ(*Ask(54321, 54321, "echo x"), "54321:54321 x none");
  EXPECT_EQ(*Ask(0, 0, "echo root"), "0:0 root none") << "what is granted";
}

TEST_F(HelperProcessTest, TakesThePairsThatWereNamed) {
  if (geteuid() != 0) GTEST_SKIP() << "only root becomes another user";
  ASSERT_TRUE(helper_->AllowPairs({{65534, 42}, {54321, 65534}, {0, 42}, {65534, 0}}).ok());
  ASSERT_TRUE(helper_->Seal().ok());
  ASSERT_TRUE(helper_->AllowPairs({{65534, 43}}).ok()) << "it is not told that it came late";
  EXPECT_EQ(Ask(65534, 42, "echo x").value_or(""), "65534:42 x none");
  EXPECT_EQ(Ask(54321, 65534, "echo x").value_or(""), "54321:65534 x none");
  for (const auto& [uid, gid] : {std::pair<uint32_t, uint32_t>{65534, 43}, {0, 42}, {65534, 0}})
    EXPECT_EQ(Ask(uid, gid, "echo x").status().code(), StatusCode::kPermissionDenied) << uid;
}

TEST_F(HelperProcessTest, OutlivesItsChildren) {
  const uint32_t uid = geteuid() == 0 ? 65534 : geteuid();
  const uint32_t gid = geteuid() == 0 ? 65534 : getegid();
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(Ask(uid, gid, "die").status().code(), StatusCode::kInternal);
  EXPECT_TRUE(Ask(uid, gid, "echo x").ok());
  EXPECT_EQ(Ask(uid, gid, std::string(kMaxHelperRequestBytes + 1, 'x')).status().code(),
            StatusCode::kResourceExhausted);
}

TEST_F(HelperProcessTest, WhatNobodyAwaitsIsEnded) {
  for (const char* request : {"sleep", "hang"}) {
    for (int i = 0; i < 12; ++i) {
      StatusOr<std::unique_ptr<HelperAnswer>> answer = helper_->Begin(PlainCall(request));
      ASSERT_TRUE(answer.ok());
      EXPECT_FALSE((*answer)->Result().ok());
      absl::SleepFor(absl::Milliseconds(30));
    }
  }
  // More than may be at a time: those above are gone, which is not after 30 seconds.
  const WallTime begun = absl::Now();
  StatusOr<std::string> answer = AskPlain("echo x");
  while (answer.status().code() == StatusCode::kUnavailable) answer = AskPlain("echo x");
  EXPECT_TRUE(answer.ok()) << Text(answer.status());
  EXPECT_LT(absl::Now() - begun, absl::Seconds(10));
}

TEST_F(HelperProcessTest, AChildThatIsStoppedIsKilled) {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(AskPlain("stop").status().code(), StatusCode::kInternal);
  // The user's program stops who watches it, and goes on by itself, with another one.
  const std::string command = StrCat("run kill -STOP $PPID; sleep 600 & echo $! > ", folder_,
                                     "/other; echo $$ > ", folder_, "/shell; wait");
  const WallTime begun = absl::Now();
  EXPECT_FALSE(AskPlain(command).ok());
  EXPECT_LT(absl::Now() - begun, absl::Seconds(15));
  // What it had started by then is gone with it.
  std::string pid;
  for (const char* name : {"/other", "/shell"}) {
    std::getline(std::ifstream(folder_ + name), pid);
    EXPECT_TRUE(pid.empty() || IsGone(pid)) << name;
  }
  EXPECT_TRUE(AskPlain("echo x").ok());
}

TEST_F(HelperProcessTest, WhatIsKilledTakesItsProgramsAlong) {
  StatusOr<std::unique_ptr<HelperAnswer>> answer =
      helper_->Begin(PlainCall(StrCat("run sleep 600 & echo $! > ", folder_,
                                      "/other; echo $PPID > ", folder_, "/parent; sleep 600")));
  ASSERT_TRUE(answer.ok());
  const std::string other = Read("other"), parent = Read("parent");
  ASSERT_FALSE(parent.empty());
  EXPECT_FALSE((*answer)->Take());
  answer->reset();
  EXPECT_TRUE(IsGone(parent));
  EXPECT_TRUE(IsGone(other));
}

TEST_F(HelperProcessTest, ATimeLimitThatNobodyWatches) {
  HelperCall call = PlainCall("hang");
  call.time_limit = absl::Milliseconds(200);
  const WallTime begun = absl::Now();
  EXPECT_EQ(Ask(call).status().code(), StatusCode::kInternal);
  EXPECT_LT(absl::Now() - begun, absl::Seconds(10));
}

TEST_F(HelperProcessTest, AUserHasHisShareAndNobodyWaits) {
  std::vector<std::unique_ptr<HelperAnswer>> answers;
  const WallTime begun = absl::Now();
  for (int i = 0; i < 4; ++i) {
    StatusOr<std::unique_ptr<HelperAnswer>> answer = helper_->Begin(PlainCall("hang"));
    ASSERT_TRUE(answer.ok());
    answers.push_back(*std::move(answer));
  }
  EXPECT_EQ(AskPlain("echo x").status().code(), StatusCode::kUnavailable);
  if (geteuid() == 0) {
    EXPECT_TRUE(Ask(54321, 54321, "echo x").ok()) << "another user";
  }
  EXPECT_LT(absl::Now() - begun, absl::Seconds(10));
  helper_.reset();
  EXPECT_LT(absl::Now() - begun, absl::Seconds(10)) << "an end does not wait for them";
}

TEST_F(HelperProcessTest, ProgramsCanTrapSignals) {
  // A shell cannot trap what was ignored when it was started.
  EXPECT_EQ(
      AskPlain("run for s in TERM INT HUP USR1 USR2 PIPE CHLD; do trap \"echo $s\" $s; kill -$s "
               "$$; done; exit 3")
          .value_or(""),
      "3 TERM\nINT\nHUP\nUSR1\nUSR2\nPIPE\nCHLD\n");
}

TEST_F(HelperProcessTest, ItsEndIsSeen) {
  ASSERT_TRUE(AskPlain("echo x").ok());
  std::string children;
  std::getline(std::ifstream(StrCat("/proc/self/task/", getpid(), "/children")), children);
  const pid_t pid = atoi(children.c_str());
  ASSERT_GT(pid, 1) << children;
  pollfd end{helper_->end_descriptor(), POLLIN, 0};
  EXPECT_EQ(poll(&end, 1, 0), 0);
  kill(pid, SIGKILL);
  EXPECT_EQ(poll(&end, 1, 10'000), 1);
  EXPECT_EQ(AskPlain("echo x").status().code(), StatusCode::kInternal);
}

TEST_F(HelperProcessTest, OpensWhatWasNamedBeforeTheSeal) {
  std::ofstream(folder_ + "/named") << "content";
  std::ofstream(folder_ + "/other") << "secret";
  ASSERT_TRUE(helper_->AllowFile(folder_ + "/named").ok());
  ASSERT_TRUE(helper_->AllowFile(folder_).ok());
  ASSERT_TRUE(helper_->Seal().ok());
  ASSERT_TRUE(helper_->AllowFile(folder_ + "/other").ok()) << "it is not told that it came late";
  StatusOr<std::unique_ptr<File>> file = helper_->OpenNamed(folder_ + "/named");
  ASSERT_TRUE(file.ok()) << Text(file.status());
  std::string text(7, '\0');
  EXPECT_EQ(*(*file)->ReadAt(0, text), 7u);
  EXPECT_EQ(text, "content");
  EXPECT_EQ(helper_->OpenNamed(folder_ + "/other").status().code(), StatusCode::kPermissionDenied);
  EXPECT_FALSE(helper_->OpenNamed(folder_).ok()) << "a folder";
  ASSERT_TRUE(helper_->AllowPasswords().ok()) << "it is not told that it came late";
  for (const char* name : {"root", "nobody", "no-such-account"})
    EXPECT_EQ(helper_->FindPasswordHash(name).status().code(), StatusCode::kPermissionDenied);
}

TEST_F(HelperProcessTest, PasswordsThatAreThereAndThatAreNot) {
  if (geteuid() != 0) GTEST_SKIP() << "only root reads them";
  ASSERT_TRUE(helper_->AllowPasswords().ok());
  ASSERT_TRUE(helper_->Seal().ok());
  EXPECT_TRUE(helper_->FindPasswordHash("nobody").ok());
  for (const char* name : {"root", "no-such-account"})
    EXPECT_EQ(helper_->FindPasswordHash(name).status().code(), StatusCode::kNotFound) << name;
}

// BindOf asks for a socket to be bound, and gives the errno.
int BindOf(Helper& helper, int type, const char* address, uint16_t port) {
  const IpAddress ip = *IpAddress::Parse(address);
  const int socket = ::socket(ip.is_v6() ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
  const Status bound = helper.BindSocket(socket, Endpoint{ip, port, ""});
  // The socket is the same here: it can be listened on.
  const bool listens = bound.ok() && ::listen(socket, 1) == 0;
  ::close(socket);
  return bound.ok() ? (listens ? 0 : -1) : ErrnoOf(bound);
}

TEST_F(HelperProcessTest, BindsToPortsOfMailAndThoseNamedBeforeTheSeal) {
  const int may = geteuid() == 0 ? 0 : EACCES;
  for (const char* address : {"127.63.17.4", "::1"}) {
    EXPECT_EQ(BindOf(*helper_, SOCK_STREAM, address, 993), may) << address;
    EXPECT_EQ(BindOf(*helper_, SOCK_STREAM, address, 1017), EACCES) << address;
    EXPECT_EQ(BindOf(*helper_, SOCK_DGRAM, address, 993), EINVAL) << address;
  }
  ASSERT_TRUE(helper_->AllowPort(1017).ok());
  EXPECT_EQ(BindOf(*helper_, SOCK_STREAM, "127.63.17.4", 1017), may);
  ASSERT_TRUE(helper_->Seal().ok());
  ASSERT_TRUE(helper_->AllowPort(1018).ok());
  EXPECT_EQ(BindOf(*helper_, SOCK_STREAM, "127.63.17.4", 1018), EACCES);
  EXPECT_EQ(BindOf(*helper_, SOCK_STREAM, "192.0.2.1", 25),
            geteuid() == 0 ? EADDRNOTAVAIL : EACCES);
  // It lives on, and works.
  EXPECT_EQ(BindOf(*helper_, SOCK_STREAM, "127.63.17.4", 1017), may);
}

// ProgramOf has a shell run `command` as some user without special rights.
ProcessSpec ProgramOf(const std::string& command) {
  ProcessSpec spec;
  spec.argv = {"/bin/sh", "-c", command};
  spec.environment = {"PATH=/usr/bin:/bin", "NAME=value"};
  spec.directory = "/tmp";
  spec.run_as = geteuid() == 0 ? Credentials{65534, 65534, {65534, 8}}
                               : Credentials{geteuid(), getegid(), {getegid()}};
  return spec;
}

// Finish runs `task` to its end.
void Finish(AsioWorld& world, Task<void> task) {
  TaskGroup group;
  group.Spawn(std::move(task));
  while (group.running() > 0) world.Poll(absl::Milliseconds(10));
}

// HeardOf starts the program of that name, says "hello" and gives what it says on both streams.
Task<void> HeardOf(Helper* helper, Executor* loop, std::string name, std::string* said,
                   std::string* complained) {
  StatusOr<std::unique_ptr<Companion>> program = helper->Accompany(*loop, name);
  EXPECT_TRUE(program.ok()) << Text(program.status());
  if (!program.ok()) co_return;
  const Instant deadline = loop->Now() + absl::Seconds(60);
  (void)co_await (*program)->stream().Write("hello\n", deadline);
  char buffer[4096];
  for (Stream* stream : {&(*program)->stream(), (*program)->errors()}) {
    for (;;) {
      const StatusOr<size_t> got = co_await ReadSome(*stream, std::span<char>(buffer), deadline);
      if (!got.ok() || *got == 0) break;
      (stream == (*program)->errors() ? complained : said)->append(buffer, *got);
    }
  }
  Event never(loop);
  for (int turn = 0; turn < 3000 && !(*program)->Ended(); ++turn) {
    const Instant again = loop->Now() + absl::Milliseconds(10);
    (void)co_await never.Wait(again);
  }
  EXPECT_TRUE((*program)->Ended());
}

// KilledOf starts the program, reads its number, and ends it; `*gone` tells whether it has died.
Task<void> KilledOf(Helper* helper, Executor* loop, bool* gone) {
  StatusOr<std::unique_ptr<Companion>> program = helper->Accompany(*loop, "sleeper");
  EXPECT_TRUE(program.ok());
  if (!program.ok()) co_return;
  char buffer[64];
  const Instant deadline = loop->Now() + absl::Seconds(60);
  const StatusOr<size_t> got =
      co_await ReadSome((*program)->stream(), std::span<char>(buffer), deadline);
  EXPECT_TRUE(got.ok());
  const std::string pid(Trim(std::string_view(buffer, got.value_or(0))));
  EXPECT_FALSE((*program)->Ended());
  (*program)->End();
  Event never(loop);
  while (!(*program)->Ended() && loop->Now() < deadline) {
    const Instant again = loop->Now() + absl::Milliseconds(10);
    (void)co_await never.Wait(again);
  }
  EXPECT_TRUE((*program)->Ended());
  *gone = !fs::exists("/proc/" + pid);
}

TEST_F(HelperProcessTest, StartsTheProgramsThatWereNamedBeforeTheSeal) {
  AsioWorld world({.no_threads = true});
  const std::string command = "read x; echo \"$x $(id -u):$(id -g) $NAME $(pwd)\"; echo oh >&2";
  ASSERT_TRUE(helper_->AllowProgram("named", ProgramOf(command)).ok());
  ASSERT_TRUE(helper_->AllowProgram("sleeper", ProgramOf("echo $$; sleep 600 & wait")).ok());
  ASSERT_TRUE(helper_->Seal().ok());
  ASSERT_TRUE(helper_->AllowProgram("late", ProgramOf("echo late")).ok()) << "it is not told";
  const std::string who = geteuid() == 0 ? "65534:65534" : StrCat(geteuid(), ":", getegid());
  for (int run = 0; run < 6; ++run) {
    std::string said, complained;
    Finish(world, HeardOf(helper_.get(), &world.main_loop(), "named", &said, &complained));
    EXPECT_EQ(said, StrCat("hello ", who, " value /tmp\n"));
    EXPECT_EQ(complained, "oh\n");
  }
  for (const char* name : {"late", "other", ""}) {
    std::string said, complained;
    Finish(world, HeardOf(helper_.get(), &world.main_loop(), name, &said, &complained));
    EXPECT_EQ(said, "");
    EXPECT_NE(complained.find("did not name this program"), std::string::npos) << complained;
  }
  for (int run = 0; run < 6; ++run) {
    bool gone = false;
    Finish(world, KilledOf(helper_.get(), &world.main_loop(), &gone));
    EXPECT_TRUE(gone);
  }
}

TEST_F(HelperProcessTest, ANamedProgramRunsAFewTimesAtOnceAndDiesWithTheHelper) {
  AsioWorld world({.no_threads = true});
  const std::string command = StrCat("echo $$ >> ", folder_, "/pids; read x");
  std::ofstream(folder_ + "/pids");
  chmod((folder_ + "/pids").c_str(), 0666);
  ASSERT_TRUE(helper_->AllowProgram("p", ProgramOf(command)).ok());
  std::vector<std::unique_ptr<Companion>> programs;
  for (size_t i = 0; i < kMaxRunsOfProgram; ++i)
    programs.push_back(*helper_->Accompany(world.main_loop(), "p"));
  const auto pids = [this] {
    std::vector<std::string> lines;
    std::ifstream file(folder_ + "/pids");
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  };
  for (int turn = 0; turn < 3000 && pids().size() < kMaxRunsOfProgram; ++turn)
    absl::SleepFor(absl::Milliseconds(10));
  ASSERT_EQ(pids().size(), kMaxRunsOfProgram);
  std::string said, complained;
  Finish(world, HeardOf(helper_.get(), &world.main_loop(), "p", &said, &complained));
  EXPECT_NE(complained.find("have not ended"), std::string::npos) << complained;
  // Work for users does not stand behind them.
  EXPECT_TRUE(AskPlain("echo x").ok());
  helper_.reset();
  for (const std::string& pid : pids()) EXPECT_TRUE(IsGone(pid));
}

TEST_F(HelperProcessTest, AProgramsRequestThatIsNotWholeNamesNothing) {
  NamedPrograms programs;
  const std::string whole = NamedProgramText("name", ProgramOf("echo"));
  for (size_t size = 0; size < whole.size(); ++size)
    AddNamedProgram(std::string_view(whole).substr(0, size), &programs);
  // What is cut between two variables of the environment is whole by itself; nothing else is.
  for (const auto& [name, spec] : programs) EXPECT_EQ(spec.argv, ProgramOf("echo").argv);
  programs.clear();
  AddNamedProgram(whole, &programs);
  ASSERT_EQ(programs.count("name"), 1u);
  const ProcessSpec& spec = programs.find("name")->second;
  EXPECT_EQ(spec.environment, ProgramOf("echo").environment);
  EXPECT_EQ(spec.run_as->groups, ProgramOf("echo").run_as->groups);
  EXPECT_EQ(spec.directory, "/tmp");
  programs.clear();
  ProcessSpec relative = ProgramOf("echo");
  relative.argv[0] = "sh";
  AddNamedProgram(NamedProgramText("name", relative), &programs);
  EXPECT_TRUE(programs.empty());
}

TEST(HelperFields, ReadBackAndNothingElse) {
  const std::vector<std::string> fields = {"", "a", std::string("b\0c", 3),
                                           std::string(70'000, 'x')};
  EXPECT_EQ(DecodeFields(EncodeFields(fields), 4), fields);
  EXPECT_EQ(DecodeFields(EncodeFields(fields), 3), std::nullopt);
  const std::string whole = EncodeFields({"abc"});
  for (size_t size = 1; size < whole.size(); ++size)
    EXPECT_EQ(DecodeFields(std::string_view(whole).substr(0, size), 4), std::nullopt) << size;
  EXPECT_EQ(DecodeFields("\xff\xff\xff\xff", 4), std::nullopt);
  for (const Status& status : {OkStatus(), NotFound("gone"), ErrnoError(28, "write /x")}) {
    std::vector<std::string> text;
    AppendStatus(status, &text);
    const Status back = StatusOfFields(text, 0);
    EXPECT_EQ(back.code(), status.code());
    EXPECT_EQ(ErrnoOf(back), ErrnoOf(status));
  }
  EXPECT_EQ(StatusOfFields({"x"}, 0).code(), StatusCode::kUnavailable);
  EXPECT_EQ(StatusOfFields({"5 x", ""}, 0).code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace postern::rt
