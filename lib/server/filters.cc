#include "lib/server/filters.h"

#include <functional>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/policy/filter_rule.h"
#include "lib/server/filter_programs.h"
#include "lib/server/hooks.h"
#include "lib/server/runtime.h"
#include "lib/service/filter/filter_chain.h"
#include "lib/service/filter/milter_filter.h"
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

SmtpPhase PhaseOf(FilterPhase phase) {
  switch (phase) {
    case FilterPhase::kConnect: return SmtpPhase::kConnect;
    case FilterPhase::kHelo: return SmtpPhase::kHelo;
    case FilterPhase::kEhlo: return SmtpPhase::kEhlo;
    case FilterPhase::kStartTls: return SmtpPhase::kStartTls;
    case FilterPhase::kAuth: return SmtpPhase::kAuth;
    case FilterPhase::kMailFrom: return SmtpPhase::kMailFrom;
    case FilterPhase::kRcptTo: return SmtpPhase::kRcptTo;
    case FilterPhase::kData: return SmtpPhase::kData;
    case FilterPhase::kCommit: break;
  }
  return SmtpPhase::kCommit;
}

policy::FilterContext ContextOf(const FilterQuestion& question) {
  const SmtpSessionFacts& facts = *question.facts;
  policy::FilterContext context;
  context.is_local_socket = facts.listener->is_local_socket;
  context.remote = facts.remote.address;
  context.reverse_name = facts.reverse_name;
  context.confirmed = facts.reverse_confirmed;
  context.helo = facts.helo;
  // In its own phase `auth` is about the login that is tried.
  context.auth_user =
      question.phase == SmtpPhase::kAuth ? question.login : std::string_view(facts.auth_user);
  context.authenticated = !context.auth_user.empty();
  context.sender = question.sender;
  context.recipient = question.recipient;
  return context;
}

// BuiltinFilter is one `filter NAME phase P match …` in one session.
class BuiltinFilter final : public service::SessionFilter {
 public:
  BuiltinFilter(rt::Executor* loop, std::shared_ptr<const Runtime> runtime, const Filter* filter,
                std::function<void(const service::FilterReport&)> tell, LogSink* log)
      : loop_(loop),
        runtime_(std::move(runtime)),
        filter_(*filter),
        tell_(std::move(tell)),
        log_(log) {}

  uint32_t phases() const override { return service::PhaseBit(PhaseOf(filter_.phase)); }
  std::string_view name() const override { return filter_.name; }

  rt::Task<FilterVerdict> Ask(FilterQuestion question) override {
    const policy::FilterContext context = ContextOf(question);
    StatusOr<bool> holds = false;
    const policy::Table* table = runtime_->tables().Get(filter_.criterion.table);
    if (table != nullptr && table->Blocks()) {
      auto ask = loop_->RunOutside(
          [&] { holds = policy::FilterHolds(filter_, runtime_->tables(), context); });
      co_await ask;
    } else {
      holds = policy::FilterHolds(filter_, runtime_->tables(), context);
    }
    if (!holds.ok()) {
      Log(*question.facts, "failed", Message(holds.status()));
      co_return FilterVerdict::TryLater(filter_.name);
    }
    if (!*holds) co_return FilterVerdict();
    FilterVerdict verdict = Decided(question);
    co_return verdict;
  }

 private:
  FilterVerdict Decided(const FilterQuestion& question) {
    using Kind = FilterVerdict::Kind;
    FilterVerdict verdict;
    verdict.filter = filter_.name;
    switch (filter_.decision) {
      case FilterDecision::kDisconnect:
        verdict.kind = Kind::kDisconnect;
        verdict.reply = policy::FilterReply(filter_);
        break;
      case FilterDecision::kReject:
        verdict.kind = Kind::kReject;
        verdict.reply = policy::FilterReply(filter_);
        break;
      case FilterDecision::kRewrite:
        verdict.kind = Kind::kRewrite;
        verdict.argument = filter_.argument;
        break;
      case FilterDecision::kJunk: verdict.junk = true; break;
      case FilterDecision::kBypass: verdict.last = true; break;
      case FilterDecision::kReport:
        Log(*question.facts, "report", filter_.argument);
        tell_({.event = service::SessionEvent::kFilterReport,
               .facts = question.facts,
               .is_builtin = true,
               .text = filter_.argument,
               .filter = filter_.name});
        break;
    }
    return verdict;
  }

  void Log(const SmtpSessionFacts& facts, std::string_view result, std::string_view text) {
    log_->Write(LogRecord{.level = LogLevel::kInfo,
                          .subsystem = "smtp",
                          .session = facts.id,
                          .event = "filtered",
                          .fields = {{"filter", filter_.name},
                                     {"phase", std::string(policy::FilterPhaseName(filter_.phase))},
                                     {"result", std::string(result)},
                                     {"text", std::string(text)}}});
  }

  rt::Executor* loop_;
  std::shared_ptr<const Runtime> runtime_;
  const Filter& filter_;  // of runtime_
  std::function<void(const service::FilterReport&)> tell_;
  LogSink* log_;
};

// MissingFilter stands for one that cannot be had: nobody is greeted past it.
class MissingFilter final : public service::SessionFilter {
 public:
  explicit MissingFilter(std::string name) : name_(std::move(name)) {}
  uint32_t phases() const override { return service::PhaseBit(SmtpPhase::kConnect); }
  std::string_view name() const override { return name_; }
  rt::Task<FilterVerdict> Ask(FilterQuestion) override {
    FilterVerdict verdict = FilterVerdict::TryLater(name_);
    verdict.kind = FilterVerdict::Kind::kDisconnect;
    verdict.reply.code = 421;
    co_return verdict;
  }

 private:
  std::string name_;
};

std::unique_ptr<service::SessionFilter> MakeMilter(rt::Executor* loop, const policy::Config& config,
                                                   const Filter& filter, const FilterPlace& place) {
  using WhenAway = service::MilterOptions::WhenAway;
  const policy::Milter& milter = config.milters[static_cast<size_t>(filter.milter)];
  auto options = std::make_shared<service::MilterOptions>();
  options->name = filter.name;
  options->endpoint = milter.endpoint;
  switch (milter.when_away) {
    case policy::MilterDefault::kTempFail: options->when_away = WhenAway::kTempFail; break;
    case policy::MilterDefault::kReject: options->when_away = WhenAway::kReject; break;
    case policy::MilterDefault::kAccept: options->when_away = WhenAway::kAccept; break;
  }
  options->connect_timeout = milter.connect_timeout;
  if (place.milters != nullptr) options->rest = place.milters->Of(milter.endpoint);
  service::ContentSpoolOptions spool;
  spool.directory = place.spool;
  // What a message gains by header fields is little; its own size was bounded when it came.
  constexpr uint64_t kMoreBytes = 4 << 20;
  spool.limit_bytes = static_cast<uint64_t>(config.smtp.max_message_bytes) + kMoreBytes;
  auto protocol = std::make_shared<postern::milter::ClientOptions>();
  protocol->negotiation_timeout = milter.connect_timeout;
  protocol->command_timeout = milter.command_timeout;
  protocol->content_timeout = milter.content_timeout;
  protocol->max_body_bytes = spool.limit_bytes;
  options->protocol = std::move(protocol);
  return std::make_unique<service::MilterFilter>(loop, place.world, std::move(options),
                                                 std::move(spool), place.log);
}

using Members = std::vector<std::unique_ptr<service::SessionFilter>>;
using Tell = std::function<void(const service::FilterReport&)>;

// AddNamed adds the members of the filter or chain at `filter`.
void AddNamed(rt::Executor* loop, const std::shared_ptr<const Runtime>& runtime, int filter,
              const SmtpSessionFacts& facts, const FilterPlace& place, const Tell& tell,
              Members* members, const FilterObserver& observer = nullptr) {
  const policy::Config& config = runtime->config();
  const auto add = [members, &observer](const Filter& of,
                                        std::unique_ptr<service::SessionFilter> member) {
    if (observer) member = observer(of, std::move(member));
    if (member != nullptr) members->push_back(std::move(member));
  };
  for (const Filter* each : policy::FilterMembers(config, filter)) {
    if (each->kind == policy::FilterKind::kProgram) {
      const policy::Proc& proc = config.procs[static_cast<size_t>(each->proc)];
      std::shared_ptr<service::FilterProgram> program;
      if (place.programs != nullptr) program = place.programs->Find(proc);
      if (program != nullptr) {
        add(*each, program->NewSession(loop, facts, tell));
      } else {
        // A reload has taken it away between the connection and now.
        add(*each, std::make_unique<MissingFilter>(each->name));
      }
    } else if (each->kind == policy::FilterKind::kMilter) {
      add(*each, MakeMilter(loop, config, *each, place));
    } else {
      add(*each, std::make_unique<BuiltinFilter>(loop, runtime, each, tell, place.log));
    }
  }
}

// Chained makes one of `members`. What a built-in filter reports is told to the whole chain, which
// outlives its members' calls: `chain` is where their Tell looks for it.
std::unique_ptr<service::SessionFilter> Chained(
    Members members, const std::shared_ptr<service::SessionFilter*>& chain) {
  auto filters = std::make_unique<service::FilterChain>(std::move(members));
  *chain = filters.get();
  return filters;
}

Tell TellOf(const std::shared_ptr<service::SessionFilter*>& chain) {
  return [chain](const service::FilterReport& report) {
    if ((*chain)->Wants(report.event)) (*chain)->Report(report);
  };
}

}  // namespace

std::unique_ptr<service::SessionFilter> MakeSessionFilter(rt::Executor* loop,
                                                          const ListenerSlot::View& view,
                                                          const SmtpSessionFacts& facts,
                                                          const FilterPlace& place) {
  const Hooks& hooks = *place.hooks;
  const policy::Listener* line = view.listener();
  std::unique_ptr<service::SessionFilter> hook;
  if (hooks.new_filter) hook = hooks.new_filter(*loop, facts);
  const bool has_steps = hooks.step.on_step || hooks.step.on_event;
  const int named = line == nullptr ? policy::kNoIndex : line->filter;
  if (named == policy::kNoIndex && hook == nullptr && !has_steps) return nullptr;
  const auto chain = std::make_shared<service::SessionFilter*>(nullptr);
  Members members;
  if (named != policy::kNoIndex)
    AddNamed(loop, view.runtime, named, facts, place, TellOf(chain), &members);
  if (has_steps) members.push_back(std::make_unique<service::FunctionFilter>(&hooks.step));
  if (hook != nullptr) members.push_back(std::move(hook));
  return Chained(std::move(members), chain);
}

std::unique_ptr<service::SessionFilter> MakeNamedFilter(rt::Executor* loop,
                                                        std::shared_ptr<const Runtime> runtime,
                                                        int filter, const SmtpSessionFacts& facts,
                                                        const FilterPlace& place) {
  return MakeObservedFilter(loop, std::move(runtime), filter, facts, place, nullptr);
}

std::unique_ptr<service::SessionFilter> MakeObservedFilter(
    rt::Executor* loop, std::shared_ptr<const Runtime> runtime, int filter,
    const SmtpSessionFacts& facts, const FilterPlace& place, const FilterObserver& observer) {
  if (filter == policy::kNoIndex) return nullptr;
  const auto chain = std::make_shared<service::SessionFilter*>(nullptr);
  Members members;
  AddNamed(loop, runtime, filter, facts, place, TellOf(chain), &members, observer);
  return Chained(std::move(members), chain);
}

NamesWanted FilterNamesWanted(const policy::Config& config, const policy::Listener& listener) {
  NamesWanted wanted;
  for (const Filter* filter : policy::FilterMembers(config, listener.filter)) {
    // Programs and milters are told both.
    wanted.confirmation |=
        filter->kind == policy::FilterKind::kProgram || filter->kind == policy::FilterKind::kMilter;
    if (filter->kind != policy::FilterKind::kBuiltin) continue;
    wanted.confirmation |= filter->test == policy::FilterTest::kFcrdns;
    wanted.name |= filter->test == policy::FilterTest::kRdns;
  }
  wanted.name |= wanted.confirmation;
  return wanted;
}

}  // namespace postern::server
