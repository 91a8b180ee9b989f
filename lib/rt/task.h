// Task<T>: a coroutine that somebody waits for. It starts when it is awaited, belongs to whoever
// awaits it, and runs on the loop of its awaiter: nothing here is thread-safe, and nothing needs to
// be.
//
// A child that ends without having to wait lets its parent go on in the same turn without a new
// stack frame, so a loop over ready data neither recurses nor depends on the compiler's tail calls
// (GCC 12 has none under sanitizers).
#pragma once

#include <coroutine>
#include <exception>
#include <functional>
#include <utility>

#include "lib/core/base/chain.h"
#include "lib/core/base/check.h"

namespace postern::rt {

template <typename T>
class Task;

namespace task_internal {

template <typename T>
class Promise : public chain::ValueKeeper<T> {
 public:
  Task<T> get_return_object();
};

}  // namespace task_internal

// Task is move-only. Awaiting it (`co_await std::move(task)`, or `co_await F()`) runs it to its end
// and gives its result; a Task that is never awaited never runs. Parameters of a coroutine are by
// value, or owned by something that outlives it.
template <typename T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = task_internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  chain::Await<Handle> operator co_await() && noexcept { return {handle_}; }

 private:
  Handle handle_;
};

template <typename T>
Task<T> task_internal::Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}

// TaskGroup owns tasks that nobody awaits one by one: the sessions of a listener, the parts of a
// server. It is used on one loop. Whoever owns it must await Join (after telling the tasks to end:
// closing their streams, setting their events) before it goes away.
class TaskGroup {
 public:
  // `on_failure`, if given, is told of each exception that leaves a task (a failed POSTERN_CHECK,
  // out of memory).
  explicit TaskGroup(std::function<void(std::exception_ptr)> on_failure = nullptr)
      : on_failure_(std::move(on_failure)) {}
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup() { POSTERN_CHECK(running_ == 0); }

  // Spawn starts `task` at once, in this turn, up to its first wait. Without memory to start it, it
  // throws std::bad_alloc and the task has not run.
  void Spawn(Task<void> task) { Run(this, std::move(task)); }

  // running is how many tasks have not ended.
  size_t running() const { return running_; }

  // Join waits until no task runs. One waiter at a time.
  auto Join() {
    struct Awaiter {
      TaskGroup* group;
      bool await_ready() const noexcept { return group->running_ == 0; }
      void await_suspend(std::coroutine_handle<> waiter) const noexcept { group->joiner_ = waiter; }
      void await_resume() const noexcept {}
    };
    return Awaiter{this};
  }

 private:
  struct Detached {
    struct promise_type {
      Detached get_return_object() const noexcept { return {}; }
      std::suspend_never initial_suspend() const noexcept { return {}; }
      std::suspend_never final_suspend() const noexcept { return {}; }
      void return_void() const noexcept {}
      void unhandled_exception() const noexcept { std::terminate(); }
    };
  };
  static Detached Run(TaskGroup* group, Task<void> task) {
    ++group->running_;  // here, where the frame is made already
    {
      Task<void> owned = std::move(task);
      try {
        co_await std::move(owned);
      } catch (...) {
        group->Tell(std::current_exception());
      }
    }
    if (--group->running_ == 0 && group->joiner_) std::exchange(group->joiner_, nullptr).resume();
  }

  // Without memory to tell it, it stays untold.
  void Tell(std::exception_ptr failure) const noexcept {
    if (!on_failure_) return;
    try {
      on_failure_(std::move(failure));
    } catch (...) {
    }
  }

  std::function<void(std::exception_ptr)> on_failure_;
  size_t running_ = 0;
  std::coroutine_handle<> joiner_;
};

}  // namespace postern::rt
