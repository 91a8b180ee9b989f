#include "lib/server/explain_filters.h"

#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/policy/filter_rule.h"
#include "lib/server/filters.h"
#include "lib/service/filter/filter_chain.h"

namespace postern::server {
namespace {

using service::FilterQuestion;
using service::FilterVerdict;
using Kind = FilterVerdict::Kind;

// Programs that do not register in that time are asked all the same, and refuse for now.
constexpr Duration kReadyPatience = absl::Seconds(10);

// Nowhere takes what came through the filters.
class Nowhere final : public service::ContentSink {
 public:
  rt::Task<Status> Write(std::string_view) override { co_return OkStatus(); }
};

void Describe(const FilterVerdict& verdict, FilterStep* step) {
  switch (verdict.kind) {
    case Kind::kProceed:
      if (!verdict.changes.empty()) {
        step->decision = "change";
        step->text = "the envelope";
      } else if (verdict.junk) {
        step->decision = "junk";
      } else if (verdict.last) {
        step->decision = "bypass";
      } else if (!ExplainFilters::IsBuiltin(*step->filter)) {
        step->decision = "proceed";
      }
      break;
    case Kind::kRewrite:
      step->decision = "rewrite";
      step->text = verdict.argument;
      break;
    case Kind::kDiscard: step->decision = "discard"; break;
    case Kind::kReject:
    case Kind::kDisconnect:
      step->decision = verdict.kind == Kind::kReject ? "reject" : "disconnect";
      step->text = verdict.reply.ToString();
      break;
  }
}

}  // namespace

// Recorder stands in front of a filter and keeps what it says.
class ExplainFilters::Recorder final : public service::SessionFilter {
 public:
  Recorder(const policy::Filter* filter, std::unique_ptr<service::SessionFilter> inner,
           std::vector<FilterStep>* steps)
      : filter_(filter), inner_(std::move(inner)), steps_(steps) {}

  uint32_t phases() const override { return inner_->phases(); }
  uint32_t events() const override {
    // What it reports itself comes this way, too.
    return inner_->events() | service::EventBit(service::SessionEvent::kFilterReport);
  }
  bool wants_content() const override { return inner_->wants_content(); }
  std::string_view name() const override { return inner_->name(); }
  rt::Task<FilterVerdict> Ask(FilterQuestion question) override {
    FilterStep step;
    step.filter = filter_;
    step.phase = std::string(service::SmtpPhaseName(question.phase));
    if (question.recipient != nullptr) step.about = question.recipient->ToString();
    reported_ = false;
    FilterVerdict verdict = co_await inner_->Ask(question);
    Describe(verdict, &step);
    if (step.decision.empty() && reported_) {
      step.decision = "report";
      step.text = filter_->argument;
    }
    steps_->push_back(std::move(step));
    co_return verdict;
  }
  void Report(const service::FilterReport& report) override {
    if (report.event == service::SessionEvent::kFilterReport && report.filter == filter_->name)
      reported_ = true;
    if (inner_->Wants(report.event)) inner_->Report(report);
  }
  void BeginContent(const FilterQuestion& question, service::ContentSink* next) override {
    inner_->BeginContent(question, next);
  }
  rt::Task<Status> Content(std::string_view piece) override { return inner_->Content(piece); }
  rt::Task<FilterVerdict> EndContent() override {
    FilterStep step;
    step.filter = filter_;
    step.phase = "content";
    FilterVerdict verdict = co_await inner_->EndContent();
    Describe(verdict, &step);
    steps_->push_back(std::move(step));
    co_return verdict;
  }
  void AbortContent() override { inner_->AbortContent(); }

 private:
  const policy::Filter* const filter_;
  const std::unique_ptr<service::SessionFilter> inner_;
  std::vector<FilterStep>* const steps_;
  bool reported_ = false;
};

ExplainFilters::ExplainFilters(rt::World* world, std::shared_ptr<const Runtime> runtime,
                               int listener, bool ask_others, LogSink* log)
    : world_(world),
      runtime_(std::move(runtime)),
      listener_(listener),
      ask_others_(ask_others),
      log_(log) {}

ExplainFilters::~ExplainFilters() = default;

std::vector<const policy::Filter*> ExplainFilters::Members(const policy::Config& config,
                                                           int listener) {
  if (listener == policy::kNoIndex) return {};
  const int id = config.listeners[static_cast<size_t>(listener)].filter;
  if (id == policy::kNoIndex) return {};
  return policy::FilterMembers(config, id);
}

rt::Task<void> ExplainFilters::Begin(const service::SmtpSessionFacts* facts) {
  facts_ = facts;
  bool wants_programs = false;
  for (const policy::Filter* filter : Members(runtime_->config(), listener_))
    wants_programs = wants_programs || filter->kind == policy::FilterKind::kProgram;
  if (ask_others_ && wants_programs) {
    programs_ = std::make_unique<FilterPrograms>(world_, log_);
    programs_->Adopt(*runtime_);
    const Instant ready_by = world_->main_loop().Now() + kReadyPatience;
    co_await programs_->Ready(ready_by);
  }
  if (listener_ == policy::kNoIndex) co_return;
  const FilterPlace place{
      .world = world_, .programs = programs_.get(), .hooks = &hooks_, .spool = "", .log = log_};
  chain_ = MakeObservedFilter(
      &world_->main_loop(), runtime_,
      runtime_->config().listeners[static_cast<size_t>(listener_)].filter, *facts, place,
      [this](const policy::Filter& filter, std::unique_ptr<service::SessionFilter> member)
          -> std::unique_ptr<service::SessionFilter> {
        if (!ask_others_ && !IsBuiltin(filter)) return nullptr;
        return std::make_unique<Recorder>(&filter, std::move(member), &steps_);
      });
}

rt::Task<FilterVerdict> ExplainFilters::Ask(FilterQuestion question) {
  question.facts = facts_;
  if (chain_ == nullptr || !chain_->Wants(question.phase)) co_return FilterVerdict();
  FilterVerdict verdict = co_await chain_->Ask(question);
  co_return verdict;
}

void ExplainFilters::Tell(service::FilterReport report) {
  report.facts = facts_;
  if (chain_ != nullptr && chain_->Wants(report.event)) chain_->Report(report);
}

rt::Task<FilterVerdict> ExplainFilters::PassMessage(FilterQuestion about, std::string text) {
  about.facts = facts_;
  if (chain_ == nullptr || !chain_->wants_content()) co_return FilterVerdict();
  Nowhere nowhere;
  chain_->BeginContent(about, &nowhere);
  const Status written = co_await chain_->Content(text);
  FilterVerdict verdict;
  if (written.ok()) {
    verdict = co_await chain_->EndContent();
  } else {
    chain_->AbortContent();
    verdict = FilterVerdict::TryLater("content");
  }
  co_return verdict;
}

rt::Task<void> ExplainFilters::End() {
  Tell({.event = service::SessionEvent::kLinkDisconnect});
  chain_.reset();
  if (programs_ != nullptr) co_await programs_->Stop();
}

}  // namespace postern::server
