// Chained coroutines: what every coroutine type of the house that is awaited by one parent has in
// common. rt::Task and dns::Inquiry are made of it.
//
// A child that ends without having to wait lets its parent go on in the same turn without a new
// stack frame, so a loop over ready data neither recurses nor depends on the compiler's tail calls
// (GCC 12 has none under sanitizers).
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace postern::chain {

// PromiseBase starts when it is awaited, and resumes its parent, if it has one by then, when it
// ends.
class PromiseBase {
 public:
  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    void await_suspend(std::coroutine_handle<Promise> self) const noexcept {
      // The parent may destroy this frame while it runs: nothing is touched after resume.
      if (std::coroutine_handle<> parent = self.promise().parent_) parent.resume();
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() { exception_ = std::current_exception(); }

  void set_parent(std::coroutine_handle<> parent) { parent_ = parent; }
  void RethrowIfFailed() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::coroutine_handle<> parent_;
  std::exception_ptr exception_;
};

// ValueKeeper holds what the coroutine returned until Take.
template <typename T, typename Base = PromiseBase>
class ValueKeeper : public Base {
 public:
  template <typename U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T Take() {
    this->RethrowIfFailed();
    return std::move(*value_);
  }

 private:
  std::optional<T> value_;
};

template <typename Base>
class ValueKeeper<void, Base> : public Base {
 public:
  void return_void() const noexcept {}
  void Take() const { this->RethrowIfFailed(); }
};

// Await is what a parent waits with: it runs the child, and goes on at once if the child had not to
// wait.
template <typename Handle>
struct Await {
  Handle child;
  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> parent) const {
    child.resume();
    if (child.done()) return false;
    child.promise().set_parent(parent);
    return true;
  }
  auto await_resume() const { return child.promise().Take(); }
};

}  // namespace postern::chain
