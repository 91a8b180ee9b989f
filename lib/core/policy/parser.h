// The parser of smtpd.conf. Internal to policy; parse.h is the way in.
//
// Every function that reads a directive or an option returns false after it has reported an error;
// the frame then goes on with the next line, so that all errors of a file are told.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/policy/lexer.h"
#include "lib/core/policy/model.h"
#include "lib/core/policy/parse.h"

namespace postern::policy {

class Parser {
 public:
  Parser(SourceLoader* loader, const ParseOptions* options);
  ParseResult Run(const std::string& file_name);

 private:
  // --- parser.cc: the frame ---
  struct Directive {
    const char* word;
    bool (Parser::*parse)(const Token& first);
  };
  static const Directive kDirectives[];

  const Token& Peek();
  Token Take();
  bool AtLineEnd() { return Peek().IsLineEnd(); }
  bool TakeBare(std::string_view word);
  bool TakeSymbol(std::string_view symbol);
  void SkipNewlines();

  void Error(const SourceLocation& at, std::string message);
  void Warn(const SourceLocation& at, std::string message);
  // ErrorsSoFar counts the errors, not the warnings, in diagnostics_.
  size_t ErrorsSoFar();
  // Unexpected reports the next token as a syntax error; `known` are the words it may have been
  // meant for.
  bool Unexpected(std::string_view wanted, const std::vector<std::string>& known = {});
  // NotDeclared reports a use of the `kind` ("action") called `name`, which is not there, unless
  // its declaration was refused. When it is declared further down, `message` gives way to that.
  bool NotDeclared(const std::string& kind, const std::string& name, const SourceLocation& at,
                   std::string message);
  // Resume skips, behind an option that was refused, to the next one of `known`, so that a line's
  // other mistakes are told, too; words on the way that are slips of one are reported. False at
  // the end of the line.
  bool Resume(const std::vector<std::string>& known);
  // ExpectString takes a word or quoted string. `what` names it: "a file name".
  bool ExpectString(std::string_view what, std::string* out, SourceLocation* at = nullptr);
  bool ExpectNumber(std::string_view what, int64_t minimum, int64_t maximum, int64_t* out);
  bool ExpectSize(int64_t minimum, int64_t* out, int64_t maximum = INT64_MAX);
  bool ExpectDuration(std::string_view what, Duration* out);
  bool ExpectBare(std::string_view word);
  // ExpectName takes a string that names something new of at most `max_bytes`.
  bool Once(std::set<std::string>* seen, const std::string& option, std::string_view of,
            const SourceLocation& at);

  void ParseStatement();
  void Recover();
  bool ParseMacro(const Token& name);
  bool ParseInclude(const Token& first);

  // --- parser_table.cc ---
  bool ParseTable(const Token& first);
  bool ParseEntries(TableDeclaration* table);
  // AtTableArgument tells whether the next token can start one.
  bool AtTableArgument();
  bool ParseTableArgument(TableUse use, TableId* out);
  bool UseTable(TableId id, TableUse use);
  TableId AddAnonymous(TableDeclaration table, const SourceLocation& at);
  // ParseCriterion reads [regex] T into `out` for `word`.
  bool ParseCriterion(const char* word, Service service, TableForm needs, bool optional,
                      Criterion* out);

  // --- parser_listen.cc ---
  struct ListenOption {
    const char* word;
    const char* group;  // options of one group exclude each other: "already specified"
    bool for_socket;
    bool (Parser::*parse)(Listener& listener, const Token& word_token);
  };
  static const ListenOption kListenOptions[];
  bool ParseListen(const Token& first);
  bool ListenTlsMode(Listener& l, const Token& word);
  bool ListenPort(Listener& l, const Token& word);
  bool ListenProto(Listener& l, const Token& word);
  bool ListenPki(Listener& l, const Token& word);
  bool ListenCa(Listener& l, const Token& word);
  bool ListenAuth(Listener& l, const Token& word);
  bool ListenAuthPam(Listener& l);
  bool ListenFilter(Listener& l, const Token& word);
  bool ListenText(Listener& l, const Token& word);
  bool ListenHostnames(Listener& l, const Token& word);
  bool ListenSenders(Listener& l, const Token& word);
  bool ListenFlag(Listener& l, const Token& word);
  bool CheckListener(const Listener& l);
  // CheckProtocols tells whether `text` names versions of TLS; one that is not spoken any more is
  // warned of.
  bool CheckProtocols(const std::string& text, const SourceLocation& at);
  bool ParsePki(const Token& first);
  bool ParseCa(const Token& first);

  // --- parser_action.cc ---
  struct ActionOption {
    const char* word;
    const char* group;
    bool (Parser::*parse)(Action& action, const Token& word);
  };
  static const ActionOption kLocalOptions[];
  static const ActionOption kRelayOptions[];
  bool ParseAction(const Token& first);
  bool ParseActionMethod(Action& action);
  bool ParseActionOptions(Action& action, const ActionOption* rows, size_t count);
  bool ActionTable(Action& a, const Token& word);
  bool ActionUser(Action& a, const Token& word);
  bool ActionWrapper(Action& a, const Token& word);
  bool RelayText(Action& a, const Token& word);
  bool RelayTable(Action& a, const Token& word);
  bool RelayBackup(Action& a, const Token& word);
  bool RelayAuth(Action& a, const Token& word);
  bool RelayMailFrom(Action& a, const Token& word);
  bool RelayTlsOption(Action& a, const Token& word);
  bool RelayPki(Action& a, const Token& word);
  bool RelaySrs(Action& a, const Token& word);
  bool RelayFilter(Action& a, const Token& word);
  bool CheckRelay(const Action& action);

  // --- parser_match.cc ---
  bool ParseMatch(const Token& first);
  bool ParseFrom(Rule& rule, bool negated, std::set<std::string>* seen, const Token& word);
  bool ParseFor(Rule& rule, bool negated, std::set<std::string>* seen, const Token& word);

  // --- parser_filter.cc ---
  bool ParseFilter(const Token& first);
  bool ParseProc(const Token& first);
  bool ParseProgram(Proc* proc);
  bool ParseProgramTimeouts(std::set<std::string>* seen, ProgramTimeouts* out);
  bool ParseFilterRule(Filter& filter);
  bool ParseChain(Filter& filter);
  bool ParseMilter(Filter& filter);  // parser_milter.cc
  // ParseFilterArgument reads NAME or {list} after `filter`.
  bool ParseFilterArgument(int* out);
  bool LookUpFilter(const std::string& name, const SourceLocation& at, int* out);

  // --- parser_settings.cc ---
  bool ParseSmtp(const Token& first);
  bool ParseQueue(const Token& first);
  bool ParseSrs(const Token& first);
  bool ParseMta(const Token& first);
  // ParseTimeouts reads NAME DURATION, once or more, into `out` by the names of `rows`.
  template <typename Timeouts, typename Rows>
  bool ParseTimeouts(const Rows& rows, Timeouts* out);
  bool ParseMda(const Token& first);
  bool ParseScheduler(const Token& first);
  bool ParseBounce(const Token& first);
  bool ParseAdmd(const Token& first);
  bool ParseSpool(const Token& first);
  bool ParseControl(const Token& first);
  bool ParseLibexec(const Token& first);
  bool ParseMailname(const Token& first);
  bool ParseResolver(const Token& first);

  // --- parser_check.cc: what can only be known at the end ---
  void CheckWhole();
  void CheckTls();
  void CheckSrs();
  void CheckEarlyUses();
  // FindDeclaration returns where the `kind` called `name` is declared, or null.
  const SourceLocation* FindDeclaration(const std::string& kind, const std::string& name) const;

  // A name that is resolved at the end: certificates may be declared after their use.
  struct PendingName {
    std::string name;
    SourceLocation location;
    std::string what;  // "pki" or "ca"
    int listener = kNoIndex;
    int action = kNoIndex;
  };

  // A use of a name that was not declared up to there, and what was said of it.
  struct EarlyUse {
    std::string kind;  // "action", "table", "filter", "proc" or "mda wrapper"
    std::string name;
    size_t diagnostic = 0;  // index into diagnostics_
  };

  SourceLoader* loader_;
  const ParseOptions* options_;
  Diagnostics diagnostics_;
  size_t counted_ = 0;   // of diagnostics_, by ErrorsSoFar
  size_t errors_ = 0;    // among those
  size_t warnings_ = 0;  // told or not
  Lexer lexer_;
  std::optional<Token> next_;
  Config config_;
  std::vector<PendingName> pending_;
  std::vector<EarlyUse> early_uses_;
  std::set<std::string>
      broken_names_;  // "action out": its declaration was refused, do not complain about its uses
  bool saw_match_ = false;  // or a line that may have been one
  int brace_depth_ = 0;
};

}  // namespace postern::policy
