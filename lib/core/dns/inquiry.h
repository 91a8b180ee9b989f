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
#include <memory>
#include <utility>
#include <vector>

#include "lib/core/base/chain.h"
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
// They have constructors because GCC 12 copies an aggregate made inside an awaited expression octet
// by octet (bug 98401).
struct Ask {
  Ask(Name the_name, Type the_type) : name(std::move(the_name)), type(the_type) {}
  Name name;
  Type type;
};
struct AskAll {
  explicit AskAll(std::vector<Question> the_questions) : questions(std::move(the_questions)) {}
  std::vector<Question> questions;
};

template <typename T>
class Inquiry;

namespace inquiry_internal {

template <typename T>
class Promise;

// Board is where a running inquiry, with all the inquiries that it awaits, meets its driver.
struct Board {
  std::vector<Question> questions;
  std::vector<Answer> answers;
  std::coroutine_handle<> asker;  // the innermost function, which waits for `answers`
  size_t asked = 0;
};

class PromiseBase : public chain::PromiseBase {
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

  AskOneAwaiter await_transform(Ask ask) {
    board_->questions.push_back(Question{std::move(ask.name), ask.type});
    return AskOneAwaiter{{board_}};
  }
  AskAwaiter await_transform(AskAll all) {
    board_->questions = std::move(all.questions);
    return AskAwaiter{board_};
  }
  // The nested one writes on the same board.
  template <typename U>
  chain::Await<std::coroutine_handle<Promise<U>>> await_transform(Inquiry<U>&& nested) {
    nested.handle_.promise().set_board(board_);
    return {nested.handle_};
  }

  void set_board(Board* board) { board_ = board; }

 private:
  Board* board_ = nullptr;
};

template <typename T>
class Promise : public chain::ValueKeeper<T, PromiseBase> {
 public:
  Inquiry<T> get_return_object();
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
  friend class inquiry_internal::PromiseBase;

  Handle handle_;
  std::unique_ptr<inquiry_internal::Board> board_;  // the outermost one's
};

template <typename T>
Inquiry<T> inquiry_internal::Promise<T>::get_return_object() {
  return Inquiry<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}

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
