// MilterFilter is a milter in one session: `filter NAME milter "SOCKET"`.
//
// It has a connection to the milter of its own, made when the client comes. What the milter refuses
// for good at connect is refused there; what it refuses for now is refused from MAIL on, since a
// greeting of 4xx sends many clients away for long.
//
// A milter that cannot be reached, does not answer in time, goes away, floods, or says what the
// protocol does not know is "away": its connection is dropped, the log says why, and the mail in
// hand gets what the options say: refused for now, refused, or passed on as it came. The next
// message of the session tries it anew. Other sessions have connections of their own, and do not
// wait for what one of them has waited for in vain (milter_rest.h).
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "lib/core/base/log.h"
#include "lib/rt/world.h"
#include "lib/service/filter/milter_content.h"
#include "lib/service/filter/milter_link.h"
#include "lib/service/smtp/backend.h"

namespace postern::service {

class MilterFilter final : public SessionFilter {
 public:
  // `options` are shared; all else outlives the filter.
  MilterFilter(rt::Executor* loop, rt::World* world, std::shared_ptr<const MilterOptions> options,
               ContentSpoolOptions spool, LogSink* log);
  ~MilterFilter() override;

  uint32_t phases() const override;
  uint32_t events() const override { return EventBit(SessionEvent::kTxRcpt); }
  bool wants_content() const override { return true; }
  std::string_view name() const override { return options_->name; }

  rt::Task<FilterVerdict> Ask(FilterQuestion question) override;
  void Report(const FilterReport& report) override;
  void BeginContent(const FilterQuestion& question, ContentSink* next) override;
  rt::Task<Status> Content(std::string_view piece) override;
  rt::Task<FilterVerdict> EndContent() override;
  void AbortContent() override;

 private:
  // Reach opens the connection and tells connect and, when the client has said it, helo.
  rt::Task<milter::Verdict> Reach(const SmtpSessionFacts* facts);
  // Step waits for the verdict of a step that was begun; a failure is logged, and the link closed.
  rt::Task<milter::Verdict> Step(bool begun);
  rt::Task<milter::Verdict> Hello(const SmtpSessionFacts* facts);
  rt::Task<FilterVerdict> AskMail(FilterQuestion question);
  rt::Task<FilterVerdict> AskRcpt(FilterQuestion question);
  rt::Task<void> TellRejected();
  rt::Task<void> Leave();

  FilterVerdict Answer(const milter::Verdict& verdict);
  // Away is what happens to mail of a milter that is away.
  FilterVerdict Away() const;
  void LogAway() const;

  rt::Executor* loop_;
  rt::World* world_;
  std::shared_ptr<const MilterOptions> options_;
  ContentSpoolOptions spool_;
  LogSink* log_;
  MilterLink link_;
  std::string session_;
  std::string mechanism_;    // of AUTH
  std::string own_refusal_;  // the recipient that the milter itself refused last
  struct Rejected {
    std::string path;
    StepResult result;
  };
  std::deque<Rejected> rejected_;
  ContentSink* next_ = nullptr;
  std::unique_ptr<MilterContent> content_;  // null: the message passes by
  unsigned messages_ = 0;
  bool away_ = false;     // of the message in hand
  bool discard_ = false;  // the message in hand is thrown away at its end
};

}  // namespace postern::service
