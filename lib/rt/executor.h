// Executor: one event loop, its timers, and the pool for work that blocks.
#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "lib/core/base/time.h"
#include "lib/rt/task.h"

namespace postern::rt {

// FdWatch keeps a descriptor watched for as long as it lives. It does not own the descriptor. Loop
// only.
class FdWatch {
 public:
  virtual ~FdWatch() = default;
};

struct FdInterest {
  bool read = false;
  bool write = false;
};

// Executor runs callbacks one after the other on one loop (one thread at a time).
class Executor {
 public:
  using TimerId = uint64_t;
  virtual ~Executor() = default;

  // Now is the monotonic time of this turn of the loop. Loop only.
  virtual Instant Now() const = 0;

  // Post queues `fn` to run on the loop, in order, never inside the call. Any thread.
  virtual void Post(std::function<void()> fn) = 0;

  // CallAt runs `fn` on the loop once `at` has come, unless CancelTimer(id) comes first (cancelling
  // a timer that has run or is unknown does nothing). Ids are not 0. Loop only.
  virtual TimerId CallAt(Instant at, std::function<void()> fn) = 0;
  virtual void CancelTimer(TimerId id) = 0;

  // PostBlocking runs `work` on the pool, where it may block (disk, SQLite, password hashes), then
  // posts `done` to this loop. Any thread. With a pool of no threads (an embedder's poll loop)
  // `work` runs on the loop itself, in a later turn.
  virtual void PostBlocking(std::function<void()> work, std::function<void()> done) = 0;

  // PostOutside is PostBlocking for work that may wait for somebody else: a program, another
  // server. However long they all wait, part of the pool stays free for the disk.
  virtual void PostOutside(std::function<void()> work, std::function<void()> done) {
    PostBlocking(std::move(work), std::move(done));
  }

  // WatchFd calls `on_ready` on the loop each time `fd` is ready for what `interest` asks, until
  // the result is destroyed (which `on_ready` may do). It is for libraries that own sockets of
  // their own, such as a DNS resolver. Null where there are no descriptors (the simulation). Loop
  // only.
  virtual std::unique_ptr<FdWatch> WatchFd(int fd, FdInterest interest,
                                           std::function<void(FdInterest)> on_ready) {
    (void)fd, (void)interest, (void)on_ready;
    return nullptr;
  }

  // IsCurrent tells whether the caller runs on this loop.
  virtual bool IsCurrent() const = 0;

  // RunBlocking is PostBlocking as an awaitable: `co_await executor.RunBlocking([&] { return
  // store.Read(id); })`. What `work` refers to must live until it returns: the awaiting coroutine's
  // own frame does. An exception of `work` is rethrown.
  template <typename Fn>
  auto RunBlocking(Fn work);

  // RunOutside is RunBlocking by PostOutside.
  template <typename Fn>
  auto RunOutside(Fn work);

  // Yield lets other callbacks of the loop run: `co_await executor.Yield()`.
  auto Yield();
};

namespace executor_internal {

template <typename T>
using Slot = std::conditional_t<std::is_void_v<T>, bool, T>;

template <typename Fn>
struct BlockingAwaiter {
  using Result = std::invoke_result_t<Fn&>;
  Executor* executor;
  Fn work;
  std::optional<Slot<Result>> result = std::nullopt;
  std::exception_ptr failure = nullptr;
  bool outside = false;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    auto run = [this] {
      try {
        if constexpr (std::is_void_v<Result>) {
          work();
          result.emplace(true);
        } else {
          result.emplace(work());
        }
      } catch (...) {
        failure = std::current_exception();
      }
    };
    auto resume = [waiter] { waiter.resume(); };
    if (outside) {
      executor->PostOutside(std::move(run), std::move(resume));
    } else {
      executor->PostBlocking(std::move(run), std::move(resume));
    }
  }
  Result await_resume() {
    if (failure) std::rethrow_exception(failure);
    if constexpr (!std::is_void_v<Result>) return std::move(*result);
  }
};

struct YieldAwaiter {
  Executor* executor;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) const {
    executor->Post([waiter] { waiter.resume(); });
  }
  void await_resume() const noexcept {}
};

}  // namespace executor_internal

template <typename Fn>
auto Executor::RunBlocking(Fn work) {
  return executor_internal::BlockingAwaiter<Fn>{this, std::move(work)};
}
template <typename Fn>
auto Executor::RunOutside(Fn work) {
  return executor_internal::BlockingAwaiter<Fn>{
      .executor = this, .work = std::move(work), .outside = true};
}
inline auto Executor::Yield() { return executor_internal::YieldAwaiter{this}; }

// Event is a flag that coroutines of one loop can wait for. It is also how one sleeps: wait for an
// Event that nobody sets, or for the one that is set on stop, until a deadline.
class Event {
 public:
  explicit Event(Executor* executor) : executor_(executor) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { POSTERN_CHECK(waiters_.empty()); }

  // Set wakes all who wait and lets later waiters pass until Reset. Loop only; from another thread,
  // Post it.
  void Set() {
    set_ = true;
    WakeAll();
  }
  // Pulse wakes those who wait now and leaves the flag as it was.
  void Pulse() { WakeAll(); }
  void Reset() { set_ = false; }
  bool is_set() const { return set_; }
  Executor* executor() const { return executor_; }

  // Wait returns true when the event was set or pulsed, false when `deadline` came first.
  auto Wait(Instant deadline = Instant::Never()) { return Awaiter{this, deadline}; }

 private:
  struct Awaiter {
    Event* event;
    Instant deadline;
    std::coroutine_handle<> waiter = nullptr;
    Executor::TimerId timer = 0;
    bool woken = false;

    bool await_ready() {
      woken = event->set_;
      return woken || deadline <= event->executor_->Now();
    }
    void await_suspend(std::coroutine_handle<> handle) {
      waiter = handle;
      event->waiters_.push_back(this);
      if (deadline.IsNever()) return;
      timer = event->executor_->CallAt(deadline, [this] {
        timer = 0;
        event->waiters_.remove(this);
        waiter.resume();
      });
    }
    bool await_resume() const noexcept { return woken; }
  };

  void WakeAll() {
    std::list<Awaiter*> woken;
    woken.swap(waiters_);
    // Each is resumed in a turn of its own: a woken coroutine may destroy this Event or wait again.
    for (Awaiter* awaiter : woken) {
      if (awaiter->timer != 0) executor_->CancelTimer(std::exchange(awaiter->timer, 0));
      awaiter->woken = true;
      executor_->Post([waiter = awaiter->waiter] { waiter.resume(); });
    }
  }

  Executor* executor_;
  bool set_ = false;
  std::list<Awaiter*> waiters_;
};

// Completion<T> carries one result from any thread to one coroutine: a group commit to the session
// that waits for it. Complete may be called before or after Wait, once. The object must outlive
// both.
template <typename T>
class Completion {
 public:
  explicit Completion(Executor* executor) : executor_(executor) {}
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;

  // Complete hands over `value`. Any thread.
  void Complete(T value) {
    executor_->Post([this, value = std::make_shared<T>(std::move(value))] {
      value_.emplace(std::move(*value));
      if (waiter_) std::exchange(waiter_, nullptr).resume();
    });
  }

  // Wait gives the value once it is there. Loop of `executor` only; one waiter, once.
  auto Wait() {
    struct Awaiter {
      Completion* completion;
      bool await_ready() const noexcept { return completion->value_.has_value(); }
      void await_suspend(std::coroutine_handle<> waiter) const noexcept {
        completion->waiter_ = waiter;
      }
      T await_resume() const { return std::move(*completion->value_); }
    };
    return Awaiter{this};
  }

 private:
  Executor* executor_;
  std::optional<T> value_;
  std::coroutine_handle<> waiter_;
};

}  // namespace postern::rt
