#include "lib/service/filter/filter_chain.h"

#include <utility>

#include "lib/core/base/strings.h"

namespace postern::service {

// Stage is the sink in front of a member: what is written to it is the member's content.
class FilterChain::Stage final : public ContentSink {
 public:
  explicit Stage(SessionFilter* filter) : filter_(filter) {}
  SessionFilter* filter() const { return filter_; }
  rt::Task<Status> Write(std::string_view octets) override {
    Status taken = co_await filter_->Content(octets);
    co_return taken;
  }

 private:
  SessionFilter* filter_;
};

FilterChain::FilterChain(std::vector<std::unique_ptr<SessionFilter>> members)
    : members_(std::move(members)) {
  for (const std::unique_ptr<SessionFilter>& member : members_) {
    phases_ |= member->phases();
    events_ |= member->events();
    for (int i = 0; i < kSmtpPhaseCount; ++i) {
      if (member->Wants(static_cast<SmtpPhase>(i)))
        by_phase_[static_cast<size_t>(i)].push_back(member.get());
    }
    if (member->wants_content()) stages_.push_back(std::make_unique<Stage>(member.get()));
  }
  ended_ = stages_.size();
}

FilterChain::~FilterChain() = default;

rt::Task<FilterVerdict> FilterChain::Ask(FilterQuestion question) {
  FilterVerdict verdict;
  for (SessionFilter* member : by_phase_[static_cast<size_t>(question.phase)]) {
    verdict = co_await member->Ask(question);
    if (verdict.kind != FilterVerdict::Kind::kProceed || verdict.junk || verdict.last) break;
  }
  ReportVerdict(question, verdict);
  co_return verdict;
}

void FilterChain::ReportVerdict(const FilterQuestion& question, const FilterVerdict& verdict) {
  if (!Wants(SessionEvent::kFilterResponse)) return;
  const std::string text = FilterResponseText(verdict);
  Report({.event = SessionEvent::kFilterResponse,
          .facts = question.facts,
          .phase = question.phase,
          .message_id = question.message_id,
          .text = text});
}

void FilterChain::Report(const FilterReport& report) {
  for (const std::unique_ptr<SessionFilter>& member : members_) {
    if (member->Wants(report.event)) member->Report(report);
  }
}

void FilterChain::BeginContent(const FilterQuestion& question, ContentSink* next) {
  ended_ = 0;
  for (size_t i = stages_.size(); i > 0; --i) {
    stages_[i - 1]->filter()->BeginContent(question, next);
    next = stages_[i - 1].get();
  }
}

rt::Task<Status> FilterChain::Content(std::string_view piece) {
  Status taken = co_await stages_.front()->Write(piece);
  co_return taken;
}

rt::Task<FilterVerdict> FilterChain::EndContent() {
  using Kind = FilterVerdict::Kind;
  FilterVerdict verdict;
  FilterChanges changes;
  while (ended_ < stages_.size()) {
    SessionFilter* const filter = stages_[ended_++]->filter();
    verdict = co_await filter->EndContent();
    if (verdict.kind == Kind::kReject || verdict.kind == Kind::kDisconnect ||
        verdict.kind == Kind::kDiscard) {
      AbortContent();
      co_return verdict;
    }
    changes.Add(std::move(verdict.changes));
  }
  verdict.changes = std::move(changes);
  co_return verdict;
}

void FilterChain::AbortContent() {
  for (; ended_ < stages_.size(); ++ended_) stages_[ended_]->filter()->AbortContent();
}

std::string FilterResponseText(const FilterVerdict& verdict) {
  using Kind = FilterVerdict::Kind;
  switch (verdict.kind) {
    case Kind::kReject: return StrCat("reject|", verdict.reply.ToString());
    case Kind::kDisconnect: return StrCat("disconnect|", verdict.reply.ToString());
    case Kind::kRewrite: return StrCat("rewrite|", verdict.argument);
    case Kind::kDiscard: return "discard";
    case Kind::kProceed: break;
  }
  return verdict.junk ? "junk" : "proceed";
}

}  // namespace postern::service
