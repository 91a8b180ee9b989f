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
