// FunctionFilter: a filter that is a function of the program that has the server in it.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "lib/service/smtp/session_filter.h"

namespace postern::service {

struct FilterFunctions {
  std::string name = "hook";     // for logs
  uint32_t phases = kAllPhases;  // in which on_step is asked
  uint32_t events = 0;           // of which on_event is told
  // on_step decides about a step before it is taken; unset: all may be. Called on the session's
  // loop, which stands still meanwhile; sessions of several loops may call at once.
  std::function<FilterVerdict(const FilterQuestion&)> on_step;
  // on_event is told what has happened.
  std::function<void(const FilterReport&)> on_event;
};

class FunctionFilter final : public SessionFilter {
 public:
  // `functions` outlives it.
  explicit FunctionFilter(const FilterFunctions* functions) : functions_(functions) {}
  uint32_t phases() const override { return functions_->on_step ? functions_->phases : 0; }
  uint32_t events() const override { return functions_->on_event ? functions_->events : 0; }
  std::string_view name() const override { return functions_->name; }
  rt::Task<FilterVerdict> Ask(FilterQuestion question) override {
    FilterVerdict verdict = functions_->on_step(question);
    if (verdict.filter.empty()) verdict.filter = functions_->name;
    co_return verdict;
  }
  void Report(const FilterReport& report) override { functions_->on_event(report); }

 private:
  const FilterFunctions* functions_;
};

}  // namespace postern::service
