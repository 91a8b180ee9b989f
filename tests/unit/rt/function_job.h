// FunctionJob: functions as a Job, for tests. It lives until the loop or the pool has ended it.
#pragma once

#include <functional>
#include <utility>

#include "lib/rt/job.h"

namespace postern::rt {

struct FunctionJob : Job {
  explicit FunctionJob(std::function<void()> first, std::function<void()> then = nullptr)
      : work(std::move(first)), after(std::move(then)) {
    run = [](Job* job) { static_cast<FunctionJob*>(job)->work(); };
    if (after) done = [](Job* job) { static_cast<FunctionJob*>(job)->after(); };
  }
  std::function<void()> work;
  std::function<void()> after;
};

}  // namespace postern::rt
