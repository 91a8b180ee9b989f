// Filters in C++: a function that is asked about each step of an SMTP session. Header-only over
// postern/filter.h; C++17; no exceptions of its own.
#ifndef POSTERN_FILTER_HPP
#define POSTERN_FILTER_HPP

#include "filter.h"
#include "result.hpp"
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace postern {

// Step is a step of a session, or what has happened there. It is lent to a function, and so is all
// that it gives; neither outlives the call.
class Step {
 public:
  explicit Step(const postern_step* step) : step_(step) {}

  // POSTERN_PHASE_*; -1 in Filter::on_event.
  int32_t phase() const { return postern_step_phase(step_); }
  std::string_view argument() const { return internal::View(postern_step_argument(step_)); }
  std::string_view session() const { return internal::View(postern_step_session(step_)); }
  std::string_view message_id() const { return internal::View(postern_step_message_id(step_)); }
  std::string_view client_address() const {
    return internal::View(postern_step_client_address(step_));
  }
  std::string_view client_name() const { return internal::View(postern_step_client_name(step_)); }
  std::string_view helo() const { return internal::View(postern_step_helo(step_)); }
  std::string_view auth_user() const { return internal::View(postern_step_auth_user(step_)); }
  std::string_view sender() const { return internal::View(postern_step_sender(step_)); }
  bool is_tls() const { return postern_step_is_tls(step_) != 0; }
  const postern_step* get() const { return step_; }

 private:
  const postern_step* step_;
};

// StepVerdict is what becomes of a step.
struct StepVerdict {
  int32_t action = POSTERN_STEP_PROCEED;
  int32_t reply_code = 0;
  std::string text;

  static StepVerdict Proceed() { return {}; }
  // `text` may start with an enhanced status: "5.7.1 Not from there". 421 disconnects.
  static StepVerdict Reject(int32_t code, std::string text) {
    return {POSTERN_STEP_REJECT, code, std::move(text)};
  }
  static StepVerdict Disconnect(int32_t code, std::string text) {
    return {POSTERN_STEP_DISCONNECT, code, std::move(text)};
  }
  static StepVerdict Rewrite(std::string argument) {
    return {POSTERN_STEP_REWRITE, 0, std::move(argument)};
  }
  static StepVerdict Junk() { return {POSTERN_STEP_JUNK, 0, ""}; }
};

// Filter is the functions of postern_filter_callbacks; those that are empty are not called. They
// run on the loops of the server, several at once where it has several. One that throws makes the
// client try again later (451).
struct Filter {
  uint32_t phases = 0;  // 1u << POSTERN_PHASE_*, of those that on_step is asked in; 0: all
  std::function<StepVerdict(const Step& step)> on_step = {};
  // `event` is a name of smtpd-filters(7): "tx-rcpt".
  std::function<void(const Step& step, std::string_view event)> on_event = {};
};

namespace internal {

// CopyText fills a text of the C API; what is longer is cut.
template <std::size_t kSize>
void CopyText(char (&into)[kSize], const std::string& text) {
  const std::size_t length = text.size() < kSize ? text.size() : kSize - 1;
  std::memcpy(into, text.data(), length);
  into[length] = '\0';
}

inline postern_status AskFilter(const postern_step* step, postern_step_verdict* verdict,
                                void* filter) noexcept {
  try {
    const StepVerdict made = static_cast<Filter*>(filter)->on_step(Step(step));
    verdict->action = made.action;
    verdict->reply_code = made.reply_code;
    CopyText(verdict->text, made.text);
    return POSTERN_OK;
  } catch (...) {
    return POSTERN_ERR_INTERNAL;
  }
}

inline void TellFilter(const postern_step* step, const char* event, void* filter) noexcept {
  try {
    static_cast<Filter*>(filter)->on_event(Step(step), event);
  } catch (...) {
  }
}

// CallbacksOf lends `filter` to the C API.
inline postern_filter_callbacks CallbacksOf(Filter* filter) {
  postern_filter_callbacks callbacks = POSTERN_FILTER_CALLBACKS_INIT;
  callbacks.phases = filter->phases;
  if (filter->on_step) callbacks.on_step = AskFilter;
  if (filter->on_event) callbacks.on_event = TellFilter;
  callbacks.user_data = filter;
  return callbacks;
}

}  // namespace internal
}  // namespace postern

#endif  // POSTERN_FILTER_HPP
