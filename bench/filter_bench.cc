// What a built-in filter costs in a phase: a listener's filter is asked as a session asks it, and
// finds that its condition does not hold (so that all of a chain are asked).
//
// The argument is how many filters stand in the chain; "per_filter" is the time for one of them in
// one phase. "none" asks a chain in a phase that no filter of it is for.
#include <benchmark/benchmark.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/server/filters.h"
#include "lib/server/hooks.h"
#include "lib/server/runtime.h"
#include "lib/server/server.h"
#include "lib/service/smtp/backend.h"

namespace postern::server {
namespace {

using service::FilterQuestion;
using service::SmtpPhase;

struct Condition {
  const char* name;
  const char* phase;
  SmtpPhase asked;
  const char* text;
};
constexpr Condition kConditions[] = {
    {"fcrdns", "connect", SmtpPhase::kConnect, "! fcrdns"},
    {"src_table", "connect", SmtpPhase::kConnect, "src <networks>"},
    {"rdns_regex", "connect", SmtpPhase::kConnect, "rdns regex <dynamic>"},
    {"helo_table", "ehlo", SmtpPhase::kEhlo, "helo <names>"},
    {"mail_from_table", "mail-from", SmtpPhase::kMailFrom, "mail-from <known>"},
    {"mail_from_regex", "mail-from", SmtpPhase::kMailFrom, "mail-from regex <patterns>"},
    {"rcpt_to_table", "rcpt-to", SmtpPhase::kRcptTo, "rcpt-to <known>"},
    {"auth", "commit", SmtpPhase::kCommit, "auth"},
    {"none", "data", SmtpPhase::kQuit, "auth"},
};

std::string Tables() {
  std::string text = "table networks {";
  for (int i = 0; i < 1000; ++i)
    StrAppend(text, i > 0 ? ", " : " ", "\"10.", i / 250, ".", i % 250, ".0/24\"");
  StrAppend(text, " }\ntable known {");
  for (int i = 0; i < 1000; ++i)
    StrAppend(text, i > 0 ? ", " : " ", "\"user", i, "@spam.example\"");
  StrAppend(text, " }\ntable names {");
  for (int i = 0; i < 1000; ++i) StrAppend(text, i > 0 ? ", " : " ", "\"host", i, ".example\"");
  StrAppend(text,
            " }\ntable dynamic { \"^(adsl|dyn|dhcp|pool)[-.]?[0-9]+\", \"[0-9]+-[0-9]+-[0-9]+\" }\n"
            "table patterns { \"^bounce-[0-9]+@\", \"@.*[.]invalid$\" }\n");
  return text;
}

rt::Task<void> AskOften(service::SessionFilter* filter, FilterQuestion question, int times,
                        int* proceeded) {
  for (int i = 0; i < times; ++i) {
    const service::FilterVerdict verdict = co_await filter->Ask(question);
    *proceeded += verdict.kind == service::FilterVerdict::Kind::kProceed;
  }
}

void Ask(benchmark::State& state, const Condition& condition) {
  const int count = static_cast<int>(state.range(0));
  ServerOptions options;
  options.in_memory = true;
  std::string text = StrCat("mailname \"mx.example.org\"\n", Tables());
  std::string names;
  for (int i = 0; i < count; ++i) {
    StrAppend(text, "filter f", i, " phase ", condition.phase, " match ", condition.text,
              " reject \"550 no\"\n");
    StrAppend(names, i > 0 ? ", f" : "f", i);
  }
  StrAppend(text, "filter all chain { ", names, " }\nlisten on 127.0.0.1 port 2525 filter all\n",
            "action \"a\" relay\nmatch for any action \"a\"\n");
  options.config_text = text;
  rt::AsioWorld world({.no_threads = true});
  LoadedConfig loaded = LoadConfig(world, options);
  if (loaded.runtime == nullptr) {
    for (const policy::Diagnostic& each : loaded.diagnostics)
      fprintf(stderr, "%s\n", each.ToString().c_str());
    abort();
  }
  NullLogSink log;
  const Hooks hooks;
  FilterPlace place;
  place.world = &world;
  place.hooks = &hooks;
  place.log = &log;
  service::SmtpSessionFacts facts;
  facts.id = "0123456789abcdef";
  auto listener = std::make_shared<service::SmtpListener>();
  facts.listener = listener;
  facts.remote = Endpoint{IpAddress::V4(192, 0, 2, 17), 40000, ""};
  facts.reverse_name = "mail.client.example";
  facts.reverse_confirmed = true;
  facts.helo = "mail.client.example";
  const ListenerSlot::View view{loaded.runtime, 0};
  const auto filter = MakeSessionFilter(&world.main_loop(), view, facts, place);
  const mail::Address sender{"someone", "client.example"}, recipient{"alice", "example.org"};
  FilterQuestion question;
  question.phase = condition.asked;
  question.facts = &facts;
  question.sender = &sender;
  question.recipient = &recipient;
  constexpr int kTimes = 1000;
  int proceeded = 0;
  for (auto _ : state) {
    rt::TaskGroup group;
    group.Spawn(AskOften(filter.get(), question, kTimes, &proceeded));
    if (group.running() != 0) abort();
  }
  if (proceeded != kTimes * static_cast<int>(state.iterations())) abort();
  state.counters["per_filter"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * kTimes * count,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

}  // namespace
}  // namespace postern::server

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (const auto& condition : postern::server::kConditions) {
    benchmark::RegisterBenchmark(
        condition.name,
        [&condition](benchmark::State& state) { postern::server::Ask(state, condition); })
        ->Arg(1)
        ->Arg(10);
  }
  benchmark::RunSpecifiedBenchmarks();
}
