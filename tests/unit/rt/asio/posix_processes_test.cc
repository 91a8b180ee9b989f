#include "lib/rt/asio/posix_processes.h"

#include <gtest/gtest.h>

#include "lib/rt/asio/asio_world.h"

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

}  // namespace
}  // namespace postern::rt
