// `filter` and `proc`.

#include <cctype>

#include "lib/core/base/strings.h"
#include "lib/core/mail/reply.h"
#include "lib/core/policy/parser.h"

namespace postern::policy {
namespace {

struct PhaseRow {
  const char* word;
  FilterPhase phase;
};
constexpr PhaseRow kPhases[] = {
    {"connect", FilterPhase::kConnect},    {"helo", FilterPhase::kHelo},
    {"ehlo", FilterPhase::kEhlo},          {"auth", FilterPhase::kAuth},
    {"mail-from", FilterPhase::kMailFrom}, {"rcpt-to", FilterPhase::kRcptTo},
    {"data", FilterPhase::kData},          {"commit", FilterPhase::kCommit},
};

struct TestRow {
  const char* word;
  FilterTest test;
  Service service;
  bool has_table;
  bool table_optional;
  FilterPhase first;  // known from this phase on
  FilterPhase last;
};
constexpr TestRow kTests[] = {
    {"fcrdns", FilterTest::kFcrdns, Service::kString, false, true, FilterPhase::kConnect,
     FilterPhase::kCommit},
    {"rdns", FilterTest::kRdns, Service::kDomain, true, true, FilterPhase::kConnect,
     FilterPhase::kCommit},
    {"src", FilterTest::kSource, Service::kNetaddr, true, false, FilterPhase::kConnect,
     FilterPhase::kCommit},
    {"helo", FilterTest::kHelo, Service::kDomain, true, false, FilterPhase::kHelo,
     FilterPhase::kCommit},
    {"auth", FilterTest::kAuth, Service::kMailaddr, true, true, FilterPhase::kAuth,
     FilterPhase::kCommit},
    {"mail-from", FilterTest::kMailFrom, Service::kMailaddr, true, false, FilterPhase::kMailFrom,
     FilterPhase::kCommit},
    {"rcpt-to", FilterTest::kRcptTo, Service::kMailaddr, true, false, FilterPhase::kRcptTo,
     FilterPhase::kRcptTo},
};

struct DecisionRow {
  const char* word;
  FilterDecision decision;
  bool has_argument;
  bool is_status;
};
constexpr DecisionRow kDecisions[] = {
    {"disconnect", FilterDecision::kDisconnect, true, true},
    {"reject", FilterDecision::kReject, true, true},
    {"rewrite", FilterDecision::kRewrite, true, false},
    {"report", FilterDecision::kReport, true, false},
    {"junk", FilterDecision::kJunk, false, false},
    {"bypass", FilterDecision::kBypass, false, false},
};

struct TimeoutRow {
  const char* word;
  std::optional<Duration> ProgramTimeouts::*member;
};
constexpr TimeoutRow kTimeouts[] = {
    {"start", &ProgramTimeouts::start},
    {"answer", &ProgramTimeouts::answer},
    {"content", &ProgramTimeouts::content},
    {"read", &ProgramTimeouts::read},
};

template <typename Rows>
std::vector<std::string> Words(const Rows& rows) {
  std::vector<std::string> words;
  for (const auto& row : rows) words.emplace_back(row.word);
  return words;
}

const char* PhaseWord(FilterPhase phase) {
  for (const PhaseRow& row : kPhases) {
    if (row.phase == phase) return row.word;
  }
  return "";
}

}  // namespace

bool Parser::ParseFilter(const Token& first) {
  Filter filter;
  filter.location = first.location;
  if (!ExpectString("the filter's name", &filter.name)) return false;
  if (const int other = config_.FindFilter(filter.name); other != kNoIndex) {
    Error(first.location,
          StrCat("filter already exists with that name: ", Escape(filter.name, 80), " (at line ",
                 config_.filters[static_cast<size_t>(other)].location.line, ")"));
    return false;
  }
  bool ok = false;
  if (TakeBare("phase")) {
    ok = ParseFilterRule(filter);
  } else if (TakeBare("proc-exec")) {
    filter.kind = FilterKind::kProgram;
    Proc proc;
    proc.name = StrCat("<filter ", filter.name, ">");
    proc.location = first.location;
    filter.proc = static_cast<int>(config_.procs.size());
    ok = ParseProgram(&proc);
    if (ok) config_.procs.push_back(std::move(proc));
  } else if (TakeBare("proc")) {
    filter.kind = FilterKind::kProgram;
    std::string name;
    SourceLocation at;
    ok = ExpectString("the name of a proc", &name, &at);
    std::vector<std::string> known;
    for (size_t i = 0; ok && i < config_.procs.size(); ++i) {
      known.push_back(config_.procs[i].name);
      if (config_.procs[i].name == name) filter.proc = static_cast<int>(i);
    }
    if (ok && filter.proc == kNoIndex) {
      ok = NotDeclared(
          "proc", name, at,
          StrCat("no proc declared with that name: ", Escape(name, 80), Declared(name, known)));
    }
  } else if (TakeBare("chain")) {
    filter.kind = FilterKind::kChain;
    ok = ParseChain(filter);
  } else if (TakeBare("milter")) {
    filter.kind = FilterKind::kMilter;
    ok = ParseMilter(filter);
  } else {
    Unexpected("phase, proc-exec, proc, milter or chain",
               {"phase", "proc-exec", "proc", "milter", "chain"});
  }
  if (!ok) {
    broken_names_.insert("filter " + filter.name);
    return false;
  }
  config_.filters.push_back(std::move(filter));
  return true;
}

bool Parser::ParseFilterRule(Filter& filter) {
  const PhaseRow* phase = nullptr;
  for (const PhaseRow& row : kPhases) {
    if (Peek().IsBare(row.word)) phase = &row;
  }
  if (phase == nullptr)
    return Unexpected("a phase: connect, helo, ehlo, auth, mail-from, rcpt-to, data or commit",
                      Words(kPhases));
  Take();
  filter.phase = phase->phase;
  if (!ExpectBare("match")) return false;
  filter.criterion.negated = TakeSymbol("!");
  const TestRow* test = nullptr;
  for (const TestRow& row : kTests) {
    if (Peek().IsBare(row.word)) test = &row;
  }
  if (test == nullptr)
    return Unexpected("a condition: fcrdns, rdns, src, helo, auth, mail-from or rcpt-to",
                      Words(kTests));
  const Token word = Take();
  if (filter.phase < test->first || filter.phase > test->last) {
    Error(
        word.location,
        StrCat("syntax error: condition ", test->word, " is not available at phase ", phase->word,
               test->first == test->last ? StrCat(", only at ", PhaseWord(test->first))
                                         : StrCat(", only from ", PhaseWord(test->first), " on")));
    return false;
  }
  filter.test = test->test;
  filter.criterion.present = true;
  // Either form of table will do: a mapping answers by its keys.
  if (test->has_table && !ParseCriterion(test->word, test->service, TableForm::kUnknown,
                                         test->table_optional, &filter.criterion)) {
    return false;
  }
  if (filter.test == FilterTest::kAuth && filter.criterion.table != kNoIndex &&
      !filter.criterion.regex) {
    TableUse use;
    use.service = Service::kString;
    use.word = "auth";
    use.location = word.location;
    if (!UseTable(filter.criterion.table, std::move(use))) return false;
  }
  const DecisionRow* decision = nullptr;
  for (const DecisionRow& row : kDecisions) {
    if (Peek().IsBare(row.word)) decision = &row;
  }
  if (decision == nullptr) {
    bool second = Peek().IsSymbol("!");
    for (const TestRow& row : kTests) second = second || Peek().IsBare(row.word);
    if (second) {
      Error(Peek().location, StrCat("syntax error: found ", Peek().Describe(),
                                    ": only one condition may follow match in a filter"));
      return false;
    }
    return Unexpected("a decision: disconnect, reject, rewrite, report, junk or bypass",
                      Words(kDecisions));
  }
  const SourceLocation at = Take().location;
  filter.decision = decision->decision;
  if (filter.decision == FilterDecision::kJunk && filter.phase == FilterPhase::kCommit) {
    Error(at,
          "syntax error: junk may not be used at phase commit: the message has been taken already");
    return false;
  }
  if (!decision->has_argument) return true;
  SourceLocation text_at;
  if (!ExpectString(decision->is_status ? "a status, like \"550 go away\"" : "a value",
                    &filter.argument, &text_at))
    return false;
  if (decision->is_status) {
    const StatusOr<mail::Reply> reply = mail::Reply::FromText(filter.argument);
    if (!reply.ok()) {
      Warn(text_at,
           StrCat("\"", Escape(filter.argument, 200),
                  "\" is no 4xx or 5xx status; clients will see 421 Internal server error"));
    }
  }
  return true;
}

bool Parser::ParseChain(Filter& filter) {
  const SourceLocation at_open = Peek().location;
  if (!TakeSymbol("{")) return Unexpected("{ filter, ... }");
  SkipNewlines();
  while (!TakeSymbol("}")) {
    std::string name;
    SourceLocation at;
    if (!ExpectString("a filter's name or \"}\"", &name, &at)) return false;
    int index = kNoIndex;
    if (!LookUpFilter(name, at, &index)) return false;
    if (config_.filters[static_cast<size_t>(index)].kind == FilterKind::kChain) {
      Error(at, StrCat("a filter chain may not contain another chain: ", Escape(name, 80)));
      return false;
    }
    for (const int other : filter.chain) {
      if (other != index) continue;
      Error(at, StrCat("filter listed twice in the same chain: ", Escape(name, 80)));
      return false;
    }
    filter.chain.push_back(index);
    SkipNewlines();
    if (TakeSymbol(",")) SkipNewlines();
  }
  if (!filter.chain.empty()) return true;
  Error(at_open, "syntax error: an empty filter chain");
  return false;
}

bool Parser::LookUpFilter(const std::string& name, const SourceLocation& at, int* out) {
  *out = config_.FindFilter(name);
  if (*out != kNoIndex) return true;
  std::vector<std::string> known;
  for (const Filter& filter : config_.filters) known.push_back(filter.name);
  return NotDeclared("filter", name, at,
                     StrCat("no filter with that name: ", Escape(name, 80), Declared(name, known)));
}

bool Parser::ParseFilterArgument(int* out) {
  if (!Peek().IsSymbol("{")) {
    std::string name;
    SourceLocation at;
    return ExpectString("a filter's name or { list }", &name, &at) && LookUpFilter(name, at, out);
  }
  Filter chain;
  chain.kind = FilterKind::kChain;
  chain.location = Peek().location;
  chain.name = StrCat("<anonymous:", config_.filters.size(), ">");
  if (!ParseChain(chain)) return false;
  *out = static_cast<int>(config_.filters.size());
  config_.filters.push_back(std::move(chain));
  return true;
}

bool Parser::ParseProc(const Token& first) {
  Proc proc;
  proc.location = first.location;
  if (!ExpectString("the proc's name", &proc.name)) return false;
  for (const Proc& other : config_.procs) {
    if (other.name != proc.name) continue;
    Error(first.location, StrCat("proc already exists with that name: ", Escape(proc.name, 80)));
    return false;
  }
  if (!ParseProgram(&proc)) return false;
  config_.procs.push_back(std::move(proc));
  return true;
}

bool Parser::ParseProgram(Proc* proc) {
  struct Row {
    const char* word;
    std::string Proc::*member;
  };
  constexpr Row kOptions[] = {
      {"user", &Proc::user}, {"group", &Proc::group}, {"chroot", &Proc::chroot}};
  if (!ExpectString("a command", &proc->command)) return false;
  std::set<std::string> seen;
  while (!AtLineEnd()) {
    if (TakeBare("timeout")) {
      if (!ParseProgramTimeouts(&seen, &proc->timeouts)) return false;
      continue;
    }
    const Row* found = nullptr;
    for (const Row& row : kOptions) {
      if (Peek().IsBare(row.word)) found = &row;
    }
    if (found == nullptr) {
      std::vector<std::string> known = Words(kOptions);
      known.emplace_back("timeout");
      return Unexpected("user, group, chroot or timeout", known);
    }
    const Token word = Take();
    if (!Once(&seen, found->word, "", word.location)) return false;
    if (!ExpectString(StrCat("the value of ", found->word), &(proc->*found->member))) return false;
  }
  return true;
}

bool Parser::ParseProgramTimeouts(std::set<std::string>* seen, ProgramTimeouts* out) {
  const auto next = [this]() -> const TimeoutRow* {
    for (const TimeoutRow& row : kTimeouts) {
      if (Peek().IsBare(row.word)) return &row;
    }
    return nullptr;
  };
  const TimeoutRow* row = next();
  if (row == nullptr) return Unexpected("start, answer, content or read", Words(kTimeouts));
  for (; row != nullptr; row = next()) {
    const std::string name = StrCat("timeout ", row->word);
    if (!Once(seen, name, "", Take().location)) return false;
    Duration timeout;
    if (!ExpectDuration(name, &timeout)) return false;
    out->*row->member = timeout;
  }
  return true;
}

}  // namespace postern::policy
