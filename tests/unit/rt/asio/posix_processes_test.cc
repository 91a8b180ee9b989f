#include "lib/rt/asio/posix_processes.h"

#include "tests/unit/rt/function_job.h"
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <list>
#include <signal.h>
#include <sys/wait.h>
#include <thread>

#include <gtest/gtest.h>

#include "lib/rt/asio/asio_world.h"
#include "lib/rt/asio/thread_pool.h"

namespace postern::rt {
namespace {

Task<void> RunProgram(World* world, ProcessSpec spec, StatusOr<ProcessResult>* result, bool* done) {
  *result = co_await world->processes().Run(world->main_loop(), std::move(spec));
  *done = true;
}

StatusOr<ProcessResult> RunToEnd(ProcessSpec spec) {
  AsioWorld world;
  TaskGroup group;
  StatusOr<ProcessResult> result = Internal("not run");
  bool done = false;
  group.Spawn(RunProgram(&world, std::move(spec), &result, &done));
  while (!done) world.Poll(absl::Milliseconds(20));
  return result;
}

TEST(PosixProcesses, GivesInputAndCollectsOutput) {
  ProcessSpec spec;
  spec.argv = {"/bin/cat"};
  spec.input = std::string(300'000, 'm');
  spec.output_limit_bytes = 1000;
  const StatusOr<ProcessResult> result = RunToEnd(spec);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->exit_code, 0);
  EXPECT_TRUE(result->read_all_input);
  EXPECT_EQ(result->output, std::string(1000, 'm'));
}

TEST(PosixProcesses, EndsAProgramThatTakesTooLong) {
  ProcessSpec spec;
  spec.argv = {"/bin/sleep", "30"};
  spec.time_limit = absl::Milliseconds(50);
  const StatusOr<ProcessResult> result = RunToEnd(spec);
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->timed_out);
  EXPECT_EQ(result->signal, 9);
}

TEST(PosixProcesses, SurvivesAProgramThatDoesNotRead) {
  ProcessSpec spec;
  spec.argv = {"/bin/false"};
  spec.input = std::string(1'000'000, 'm');
  const StatusOr<ProcessResult> result = RunToEnd(spec);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->exit_code, 1);
  EXPECT_FALSE(result->read_all_input);
}

// AsInAHost sets what a host's process does with SIGCHLD, until the end of the test.
class AsInAHost {
 public:
  explicit AsInAHost(void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    ::sigaction(SIGCHLD, &action, &before_);
  }
  ~AsInAHost() { ::sigaction(SIGCHLD, &before_, nullptr); }
  AsInAHost(const AsInAHost&) = delete;
  AsInAHost& operator=(const AsInAHost&) = delete;

 private:
  struct sigaction before_ {};
};

void ReapAll(int) {
  const int kept = errno;
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
  errno = kept;
}

ProcessSpec Shell(const char* command) {
  ProcessSpec spec;
  spec.argv = {"/bin/sh", "-c", command};
  return spec;
}

// Seen before: "exit 75" counted as an exit with 0, and the mail as delivered.
TEST(PosixProcesses, TheEndIsKnownWhereSigchldIsIgnored) {
  const AsInAHost host(SIG_IGN);
  const struct {
    const char* command;
    int exit_code;
    int signal;
  } kRows[] = {{"exit 0", 0, 0},
               {"exit 75", 75, 0},
               {"kill -9 $$", 0, 9},
               {"kill -TERM 0", 0, 15},
               {"exec /nonexistent/x", 127, 0}};
  for (const auto& row : kRows) {
    const StatusOr<ProcessResult> result = RunToEnd(Shell(row.command));
    ASSERT_TRUE(result.ok()) << row.command << ": " << Text(result.status());
    EXPECT_EQ(result->exit_code, row.exit_code) << row.command;
    EXPECT_EQ(result->signal, row.signal) << row.command;
  }
  ProcessSpec spec;
  spec.argv = {"/bin/cat"};
  spec.input = std::string(300'000, 'm');
  const StatusOr<ProcessResult> cat = RunToEnd(spec);
  ASSERT_TRUE(cat.ok());
  EXPECT_TRUE(cat->read_all_input);
  EXPECT_EQ(cat->output, spec.input.substr(0, cat->output.size()));
  spec = Shell("sleep 30");
  spec.time_limit = absl::Milliseconds(50);
  const StatusOr<ProcessResult> late = RunToEnd(spec);
  ASSERT_TRUE(late.ok());
  EXPECT_TRUE(late->timed_out);
  EXPECT_EQ(late->signal, 9);
}

// A host that reaps may be faster or slower than we are, but never makes a failure a success; and
// once it was faster, it takes no end any more.
TEST(PosixProcesses, TheEndIsNeverGuessedWhereTheHostReaps) {
  const AsInAHost host(ReapAll);
  bool was_taken = false;
  for (int i = 0; i < 40; ++i) {
    const StatusOr<ProcessResult> result = RunToEnd(Shell("exit 75"));
    if (result.ok()) {
      EXPECT_EQ(result->exit_code, 75);
      continue;
    }
    EXPECT_FALSE(was_taken) << "told once";
    was_taken = true;
    EXPECT_EQ(result.status().code(), StatusCode::kInternal);
    EXPECT_NE(Text(result.status()).find("exit status was taken away"), std::string::npos);
  }
}

TEST(PosixProcesses, KeepsTheEndOfTheOutput) {
  ProcessSpec spec;
  spec.argv = {"/bin/cat"};
  spec.input = std::string(200'000, 'm');
  spec.input.append("last");
  spec.output_limit_bytes = 6;
  const StatusOr<ProcessResult> result = RunToEnd(spec);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->output, "mmlast");
}

TEST(PosixProcesses, WaitsForTheProgramAndNotForWhatItLeavesBehind) {
  ProcessSpec spec;
  spec.argv = {"/usr/bin/python3", "-c",
               "import os, time\nprint('first', flush=True)\nif os.fork() == 0: time.sleep(20)"};
  const StatusOr<ProcessResult> result = RunToEnd(spec);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->exit_code, 0);
  EXPECT_EQ(result->output, "first\n");
  EXPECT_FALSE(result->timed_out);
}

TEST(PosixProcesses, StartsInTheRootWhereTheDirectoryIsGone) {
  ProcessSpec spec;
  spec.argv = {"/bin/pwd"};
  spec.directory = "/no/such/place";
  const StatusOr<ProcessResult> result = RunToEnd(spec);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->output, "/\n");
}

Task<void> SetSoon(Executor* loop, Event* stop) {
  Event never(loop);
  const Instant soon = loop->Now() + absl::Milliseconds(50);
  co_await never.Wait(soon);
  stop->Set();
}

TEST(PosixProcesses, ManyRunAtOnceAndAStopEndsThem) {
  AsioWorld world({.pool_threads = 2});
  Event stop(&world.main_loop());
  TaskGroup group;
  StatusOr<ProcessResult> results[8] = {
      Internal("not run"), Internal("not run"), Internal("not run"), Internal("not run"),
      Internal("not run"), Internal("not run"), Internal("not run"), Internal("not run")};
  bool done[8] = {};
  for (int i = 0; i < 8; ++i) {
    ProcessSpec spec;
    spec.argv = {"/bin/sleep", i == 0 ? "0" : "30"};
    spec.stop = &stop;
    group.Spawn(RunProgram(&world, std::move(spec), &results[i], &done[i]));
  }
  while (!done[0]) world.Poll(absl::Milliseconds(20));
  group.Spawn(SetSoon(&world.main_loop(), &stop));
  while (group.running() > 0) world.Poll(absl::Milliseconds(20));
  EXPECT_FALSE(results[0]->timed_out);
  for (int i = 1; i < 8; ++i) {
    ASSERT_TRUE(results[i].ok());
    EXPECT_TRUE(results[i]->timed_out);
    EXPECT_EQ(results[i]->signal, 9);
  }
}

TEST(PosixProcesses, FindsAccounts) {
  PosixProcesses processes;
  const StatusOr<Account> root = processes.FindAccount("root");
  ASSERT_TRUE(root.ok());
  EXPECT_EQ(root->uid, 0u);
  EXPECT_EQ(root->home, "/root");
  EXPECT_EQ(processes.FindAccount("no-such-account").status().code(), StatusCode::kNotFound);
}

ProcessSpec SpecOf(std::vector<std::string> argv) {
  ProcessSpec spec;
  spec.argv = std::move(argv);
  spec.environment = {"LC_ALL=C"};
  return spec;
}

std::string ReadSoMuch(Conversation& talk, size_t count) {
  std::string text;
  std::array<char, 4096> buffer;
  while (text.size() < count) {
    const StatusOr<size_t> got = talk.Read(buffer, absl::Seconds(5));
    if (!got.ok() || *got == 0) break;
    text.append(buffer.data(), *got);
  }
  return text;
}

TEST(PosixConversation, GoesBothWaysUntilOneSideEnds) {
  PosixProcesses processes;
  StatusOr<std::unique_ptr<Conversation>> talk = processes.Converse(SpecOf({"/bin/cat"}));
  ASSERT_TRUE(talk.ok());
  for (const std::string line : {"one\n", "two\n"}) {
    EXPECT_TRUE((*talk)->Write(line, absl::Seconds(5)).ok());
    EXPECT_EQ(ReadSoMuch(**talk, line.size()), line);
  }
  std::array<char, 16> buffer;
  EXPECT_EQ((*talk)->Read(buffer, absl::Milliseconds(20)).status().code(),
            StatusCode::kDeadlineExceeded);
  // It echoes until the socket is full, and then takes no more.
  EXPECT_EQ((*talk)->Write(std::string(8 << 20, 'm'), absl::Milliseconds(50)).code(),
            StatusCode::kDeadlineExceeded);
  (*talk)->End();
  while ((*talk)->Read(buffer, absl::Seconds(5)).value_or(0) > 0) {
  }
  EXPECT_FALSE((*talk)->Write("x", absl::Seconds(5)).ok());
}

TEST(PosixConversation, TellsTheEndAndTheLastComplaint) {
  PosixProcesses processes;
  StatusOr<std::unique_ptr<Conversation>> talk =
      processes.Converse(SpecOf({"/bin/ls", "--no-such-option"}));
  ASSERT_TRUE(talk.ok());
  std::array<char, 16> buffer;
  EXPECT_EQ(*(*talk)->Read(buffer, absl::Seconds(5)), 0u);
  EXPECT_EQ((*talk)->LastError(), "Try '/bin/ls --help' for more information.");
  talk = processes.Converse(SpecOf({"/no/such/program"}));
  ASSERT_TRUE(talk.ok());
  EXPECT_EQ(*(*talk)->Read(buffer, absl::Seconds(5)), 0u);
  EXPECT_FALSE(processes.Converse(SpecOf({"cat"})).ok());
}

TEST(PosixConversation, EndFreesWhoWaits) {
  PosixProcesses processes;
  StatusOr<std::unique_ptr<Conversation>> talk = processes.Converse(SpecOf({"/bin/sleep", "60"}));
  ASSERT_TRUE(talk.ok());
  std::thread ender([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    (*talk)->End();
  });
  std::array<char, 16> buffer;
  EXPECT_EQ(*(*talk)->Read(buffer, absl::Seconds(30)), 0u);
  ender.join();
}

// Work that waits for somebody else holds half of the pool at most: the disk's work goes on.
TEST(ThreadPool, WhatWaitsOutsideLeavesRoom) {
  ThreadPool pool(4);
  std::atomic<int> outside = 0;
  std::atomic<int> most = 0;
  std::atomic<int> own = 0;
  std::atomic<bool> answer = false;
  std::list<FunctionJob> jobs;
  for (int i = 0; i < 10; ++i) {
    pool.PostOutside(&jobs.emplace_back([&] {
      const int now = ++outside;
      for (int known = most; known < now && !most.compare_exchange_weak(known, now);) {
      }
      while (!answer) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      --outside;
    }));
  }
  for (int i = 0; i < 10; ++i) pool.Post(&jobs.emplace_back([&] { ++own; }));
  for (int turn = 0; turn < 30'000 && (own < 10 || outside < 2); ++turn)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(own, 10);
  EXPECT_EQ(outside, 2);
  answer = true;
  pool.Stop();
  EXPECT_EQ(most, 2);
  EXPECT_EQ(outside, 0);
  EXPECT_FALSE(pool.PostOutside(&jobs.emplace_back([] {})));
}

TEST(ThreadPool, OneThreadDoesBothKinds) {
  ThreadPool pool(1);
  std::vector<int> order;
  std::list<FunctionJob> jobs;
  for (int i = 0; i < 6; ++i) {
    FunctionJob& work = jobs.emplace_back([&order, i] { order.push_back(i); });
    if (i % 2 == 0) {
      pool.PostOutside(&work);
    } else {
      pool.Post(&work);
    }
  }
  pool.Stop();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5}));
}

}  // namespace
}  // namespace postern::rt
