#include "lib/server/filters.h"

#include <array>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/policy/filter_rule.h"
#include "lib/server/runtime.h"
#include "lib/service/smtp/backend.h"

namespace postern::server {
namespace {

using policy::Filter;
using policy::FilterDecision;
using policy::FilterPhase;
using service::FilterQuestion;
using service::FilterVerdict;
using service::SmtpPhase;
using service::SmtpSessionFacts;

FilterPhase PhaseOf(SmtpPhase phase) {
  switch (phase) {
    case SmtpPhase::kConnect: return FilterPhase::kConnect;
    case SmtpPhase::kHelo: return FilterPhase::kHelo;
    case SmtpPhase::kEhlo: return FilterPhase::kEhlo;
    case SmtpPhase::kStartTls: return FilterPhase::kStartTls;
    case SmtpPhase::kAuth: return FilterPhase::kAuth;
    case SmtpPhase::kMailFrom: return FilterPhase::kMailFrom;
    case SmtpPhase::kRcptTo: return FilterPhase::kRcptTo;
    case SmtpPhase::kData: return FilterPhase::kData;
    case SmtpPhase::kCommit: break;
  }
  return FilterPhase::kCommit;
}

policy::FilterContext ContextOf(const FilterQuestion& question) {
  const SmtpSessionFacts& facts = *question.facts;
  policy::FilterContext context;
  context.is_local_socket = facts.listener->is_local_socket;
  context.remote = facts.remote.address;
  context.reverse_name = facts.reverse_name;
  context.confirmed = facts.reverse_confirmed;
  context.helo = facts.helo;
  context.authenticated = !facts.auth_user.empty();
  context.auth_user = facts.auth_user;
  context.sender = question.sender;
  context.recipient = question.recipient;
  return context;
}

// A chain of built-in filters. In each phase they are asked in the chain's order, and the first
// decision but a report ends the phase; later phases are asked anew.
class BuiltinChain final : public service::SessionFilter {
 public:
  BuiltinChain(rt::Executor* loop, std::shared_ptr<const Runtime> runtime, int filter, LogSink* log)
      : loop_(loop),
        runtime_(std::move(runtime)),
        members_(policy::FilterMembers(runtime_->config(), filter)),
        log_(log) {}

  rt::Task<FilterVerdict> Ask(FilterQuestion question) override {
    const FilterPhase phase = PhaseOf(question.phase);
    const policy::FilterContext context = ContextOf(question);
    FilterVerdict verdict;
    for (const Filter* filter : members_) {
      if (filter->phase != phase) continue;
      StatusOr<bool> holds = false;
      if (Blocks(*filter)) {
        auto ask = loop_->RunOutside(
            [&] { holds = policy::FilterHolds(*filter, runtime_->tables(), context); });
        co_await ask;
      } else {
        holds = policy::FilterHolds(*filter, runtime_->tables(), context);
      }
      if (!holds.ok()) {
        Report(*question.facts, *filter, "failed", Message(holds.status()));
        verdict.kind = FilterVerdict::Kind::kReject;
        verdict.reply = mail::Reply(451, {4, 3, 0}, "Temporary failure, try again later");
        verdict.filter = filter->name;
        co_return verdict;
      }
      if (!*holds) continue;
      if (filter->decision == FilterDecision::kReport) {
        Report(*question.facts, *filter, "report", filter->argument);
        continue;
      }
      Decide(*filter, &verdict);
      co_return verdict;
    }
    co_return verdict;
  }

 private:
  bool Blocks(const Filter& filter) const {
    const policy::Table* table = runtime_->tables().Get(filter.criterion.table);
    return table != nullptr && table->Blocks();
  }

  static void Decide(const Filter& filter, FilterVerdict* verdict) {
    using Kind = FilterVerdict::Kind;
    verdict->filter = filter.name;
    switch (filter.decision) {
      case FilterDecision::kDisconnect:
        verdict->kind = Kind::kDisconnect;
        verdict->reply = policy::FilterReply(filter);
        break;
      case FilterDecision::kReject:
        verdict->kind = Kind::kReject;
        verdict->reply = policy::FilterReply(filter);
        break;
      case FilterDecision::kRewrite:
        verdict->kind = Kind::kRewrite;
        verdict->argument = filter.argument;
        break;
      case FilterDecision::kJunk: verdict->junk = true; break;
      case FilterDecision::kReport:
      case FilterDecision::kBypass: break;
    }
  }

  void Report(const SmtpSessionFacts& facts, const Filter& filter, std::string_view result,
              std::string_view text) {
    log_->Write(LogRecord{.level = LogLevel::kInfo,
                          .subsystem = "smtp",
                          .session = facts.id,
                          .event = "filtered",
                          .fields = {{"filter", filter.name},
                                     {"phase", std::string(policy::FilterPhaseName(filter.phase))},
                                     {"result", std::string(result)},
                                     {"text", std::string(text)}}});
  }

  rt::Executor* loop_;
  std::shared_ptr<const Runtime> runtime_;
  std::vector<const Filter*> members_;
  LogSink* log_;
};

}  // namespace

std::unique_ptr<service::SessionFilter> MakeSessionFilter(rt::Executor* loop,
                                                          const ListenerSlot::View& view,
                                                          LogSink* log) {
  const policy::Listener* line = view.listener();
  if (line == nullptr || line->filter == policy::kNoIndex) return nullptr;
  return std::make_unique<BuiltinChain>(loop, view.runtime, line->filter, log);
}

NamesWanted FilterNamesWanted(const policy::Config& config, const policy::Listener& listener) {
  NamesWanted wanted;
  for (const Filter* filter : policy::FilterMembers(config, listener.filter)) {
    wanted.confirmation |= filter->test == policy::FilterTest::kFcrdns;
    wanted.name |= filter->test == policy::FilterTest::kRdns;
  }
  wanted.name |= wanted.confirmation;
  return wanted;
}

}  // namespace postern::server
