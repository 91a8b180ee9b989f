// Inquiry<T>: a question of many steps whose answer needs the DNS, written as one straight function
// that never touches a socket. SPF, DKIM, DMARC and their kin are such functions.
//
//   Inquiry<bool> HasMx(dns::Name name) {
//     const dns::Answer answer = co_await dns::Ask{std::move(name), dns::Type::kMx};
//     co_return answer.ok();
//   }
//
// The function stops at each `co_await dns::Ask{…}` (one question) or `dns::AskAll{…}` (several at
// once, answered in their order) and whoever drives it finds answers: a resolver on a loop
// (service/resolve/ask.h), or a zone at once (RunOnZone below). An Inquiry may await another.
// Whoever may not wait drops it between two steps: its destructor ends the function where it
// stands.
//
// Parameters of such a function are by value, or owned by something that outlives it. Not
// thread-safe, and nothing needs to be.
#pragma once

#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "lib/core/base/check.h"
#include "lib/core/dns/answer.h"
#include "lib/core/dns/zone.h"

namespace postern::dns {

struct Question {
  Name name;
  Type type = Type::kA;
};

// Ask and AskAll are awaited inside an Inquiry, and nowhere else. No question at all is answered at
// once.
struct Ask {
  Name name;
  Type type = Type::kA;
};
struct AskAll {
  std::vector<Question> questions;
};

template <typename T>
class Inquiry;

namespace inquiry_internal {

// Board is where a running inquiry, with all the inquiries that it awaits, meets its driver.
struct Board {
  std::vector<Question> questions;
  std::vector<Answer> answers;
  std::coroutine_handle<> asker;  // the innermost function, which waits for `answers`
  size_t asked = 0;
};

class PromiseBase {
 public:
  struct AskAwaiter {
    Board* board;
    bool await_ready() const noexcept { return board->questions.empty(); }
    void await_suspend(std::coroutine_handle<> self) const noexcept { board->asker = self; }
    std::vector<Answer> await_resume() const noexcept { return std::exchange(board->answers, {}); }
  };
  struct AskOneAwaiter : AskAwaiter {
    Answer await_resume() const noexcept { return std::move(AskAwaiter::await_resume().front()); }
  };
  template <typename U>
  struct NestedAwaiter;
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

  AskOneAwaiter await_transform(Ask ask) {
    board_->questions.push_back(Question{std::move(ask.name), ask.type});
    return AskOneAwaiter{{board_}};
  }
  AskAwaiter await_transform(AskAll all) {
    board_->questions = std::move(all.questions);
    return AskAwaiter{board_};
  }
  template <typename U>
  NestedAwaiter<U> await_transform(Inquiry<U>&& nested) {
    return NestedAwaiter<U>{&nested, board_};
  }

  void set_board(Board* board) { board_ = board; }
  void set_parent(std::coroutine_handle<> parent) { parent_ = parent; }
  void RethrowIfFailed() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  Board* board_ = nullptr;
  std::coroutine_handle<> parent_;
  std::exception_ptr exception_;
};

template <typename T>
class Promise : public PromiseBase {
 public:
  Inquiry<T> get_return_object();
  template <typename U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T Take() {
    RethrowIfFailed();
    return std::move(*value_);
  }

 private:
  std::optional<T> value_;
};

}  // namespace inquiry_internal

template <typename T>
class [[nodiscard]] Inquiry {
 public:
  using promise_type = inquiry_internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Inquiry(Handle handle) : handle_(handle) {}
  Inquiry(Inquiry&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)), board_(std::move(other.board_)) {}
  Inquiry& operator=(Inquiry&&) = delete;
  ~Inquiry() {
    if (handle_) handle_.destroy();
  }

  // --- for the driver of the outermost inquiry ---

  // questions lends what must be answered before the inquiry can go on. The first call starts it.
  // Empty: it is done.
  const std::vector<Question>& questions() {
    if (!board_) {
      board_ = std::make_unique<inquiry_internal::Board>();
      handle_.promise().set_board(board_.get());
      handle_.resume();
      board_->asked += board_->questions.size();
    }
    return board_->questions;
  }
  // Resume goes on with one answer for each of questions(), in their order.
  void Resume(std::vector<Answer> answers) {
    POSTERN_CHECK(board_ && !board_->questions.empty() &&
                  answers.size() == board_->questions.size());
    board_->questions.clear();
    board_->answers = std::move(answers);
    std::exchange(board_->asker, nullptr).resume();
    board_->asked += board_->questions.size();
  }
  // Take gives the result, once, when questions() is empty.
  T Take() {
    POSTERN_CHECK(handle_.done());
    return handle_.promise().Take();
  }
  // asked is how many questions there have been, those of inquiries awaited included.
  size_t asked() const { return board_ ? board_->asked : 0; }

 private:
  template <typename U>
  friend struct inquiry_internal::PromiseBase::NestedAwaiter;

  Handle handle_;
  std::unique_ptr<inquiry_internal::Board> board_;  // the outermost one's
};

template <typename T>
Inquiry<T> inquiry_internal::Promise<T>::get_return_object() {
  return Inquiry<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}

template <typename U>
struct inquiry_internal::PromiseBase::NestedAwaiter {
  Inquiry<U>* nested;
  Board* board;
  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> parent) const {
    nested->handle_.promise().set_board(board);
    nested->handle_.resume();
    if (nested->handle_.done()) return false;
    nested->handle_.promise().set_parent(parent);
    return true;
  }
  U await_resume() const { return nested->handle_.promise().Take(); }
};

// RunOnZone drives `inquiry` to its end with the answers of `zone`.
template <typename T>
T RunOnZone(const ZoneData& zone, Inquiry<T> inquiry) {
  while (!inquiry.questions().empty()) {
    std::vector<Answer> answers;
    answers.reserve(inquiry.questions().size());
    for (const Question& question : inquiry.questions())
      answers.push_back(zone.Query(question.name, question.type));
    inquiry.Resume(std::move(answers));
  }
  return inquiry.Take();
}

}  // namespace postern::dns
