// The place where a session and the reader of its filter program meet. Inside of service/filter.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lib/service/filter/filter_program.h"

namespace postern::service {

struct FilterProgram::Exchange : std::enable_shared_from_this<FilterProgram::Exchange> {
  explicit Exchange(rt::Executor* on) : loop(on), changed(on) {}

  struct Answer {
    filter::Decision decision = filter::Decision::kProceed;
    std::string text;
  };
  // No more reports than this wait; those beyond are in the log alone.
  static constexpr size_t kMaxReports = 16;

  // Wake has the session look. The mutex is held.
  void Wake() {
    if (woken) return;
    woken = true;
    loop->Post([self = shared_from_this()] {
      {
        const std::lock_guard<std::mutex> lock(self->mutex);
        self->woken = false;
      }
      self->changed.Set();
    });
  }

  rt::Executor* const loop;  // the session's
  rt::Event changed;         // of that loop

  std::mutex mutex;  // guards what follows
  bool woken = false;
  bool gone = false;        // the program has ended
  bool overflowed = false;  // the message could not be taken as fast as it was given, or grew
  uint64_t question = 0;    // the token that is awaited, or 0
  std::optional<Answer> answer;
  uint64_t content_token = 0;  // of the message under way, or 0
  std::string content;         // given and not yet taken
  bool content_ended = false;
  uint64_t content_bytes = 0;  // given in all
  uint64_t content_limit = 0;  // more is a flood
  std::vector<std::string> reports;
};

}  // namespace postern::service
