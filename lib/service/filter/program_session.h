// ProgramSession: a filter program as one session sees it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/service/filter/exchange.h"

namespace postern::service {

class ProgramSession final : public SessionFilter {
 public:
  ProgramSession(std::shared_ptr<FilterProgram> program, rt::Executor* loop, uint64_t id,
                 FilterProgram::Registered registered,
                 std::function<void(const FilterReport&)> tell);
  ~ProgramSession() override;

  uint32_t phases() const override;
  uint32_t events() const override { return registered_.events; }
  bool wants_content() const override { return registered_.content; }
  std::string_view name() const override { return program_->options().name; }

  rt::Task<FilterVerdict> Ask(FilterQuestion question) override;
  void Report(const FilterReport& report) override;
  void BeginContent(const FilterQuestion& question, ContentSink* next) override;
  rt::Task<Status> Content(std::string_view piece) override;
  rt::Task<FilterVerdict> EndContent() override;
  void AbortContent() override;

 private:
  using Exchange = FilterProgram::Exchange;

  FilterVerdict Gone() const;
  FilterVerdict VerdictOf(const FilterQuestion& question, Exchange::Answer answer) const;
  void TellReports(const SmtpSessionFacts* facts);
  // PassOn writes what the program gave to the next filter; `*ended` when that was all.
  rt::Task<Status> PassOn(bool* ended, bool* moved);
  // Fail gives the message up.
  void Fail();

  std::shared_ptr<FilterProgram> program_;
  rt::Executor* loop_;
  uint64_t id_;
  FilterProgram::Registered registered_;
  std::function<void(const FilterReport&)> tell_;
  std::shared_ptr<Exchange> exchange_;

  // Of the message under way.
  ContentSink* next_ = nullptr;
  const SmtpSessionFacts* facts_ = nullptr;
  std::string prefix_;
  std::string line_;     // the line that has not ended
  bool failed_ = false;  // the rest is swallowed
};

}  // namespace postern::service
