// An explanation for people and for programs.

#include <algorithm>

#include "lib/core/base/json.h"
#include "lib/core/base/strings.h"
#include "lib/core/policy/explain_text.h"
#include "lib/server/explain.h"
#include "lib/server/runtime.h"

namespace postern::server {
namespace {

using policy::Config;
using policy::SourceLocation;
using policy::TraceStep;

constexpr size_t kColumns = 80;

// Lines writes paragraphs: words go to the next line, `indent` deep, when one is full.
class Lines {
 public:
  void Add(size_t indent, std::string_view text, size_t deeper = 2) {
    std::string line(indent, ' ');
    bool empty = true;
    for (const std::string_view word : SplitWords(text)) {
      if (!empty && Width(line) + 1 + Width(word) > kColumns) {
        StrAppend(out_, line, "\n");
        line.assign(indent + deeper, ' ');
        empty = true;
      }
      StrAppend(line, empty ? "" : " ", word);
      empty = false;
    }
    StrAppend(out_, line, "\n");
  }
  void Blank() { out_ += "\n"; }
  std::string Take() { return std::move(out_); }

 private:
  // Width counts characters of UTF-8.
  static size_t Width(std::string_view text) {
    return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    }));
  }
  std::string out_;
};

std::string Place(const SourceLocation& at) {
  return at.line > 0 ? StrCat(at.file, ":", at.line) : at.file;
}

std::string ListenerText(const policy::Listener& listener) {
  if (listener.is_socket) return "listen on socket";
  std::string out = StrCat("listen on ", Escape(listener.target, 80), " port ", listener.port);
  switch (listener.tls) {
    case policy::ListenerTls::kNone: break;
    case policy::ListenerTls::kOptional: out += " tls"; break;
    case policy::ListenerTls::kRequired: out += " tls-require"; break;
    case policy::ListenerTls::kSmtps: out += " smtps"; break;
  }
  if (listener.auth == policy::ListenerAuth::kRequired) out += " auth";
  if (listener.auth == policy::ListenerAuth::kOptional) out += " auth-optional";
  if (!listener.pam_service.empty()) StrAppend(out, " pam \"", listener.pam_service, "\"");
  if (!listener.tag.empty()) StrAppend(out, " tag \"", Escape(listener.tag, 40), "\"");
  return out;
}

const char* PhaseName(policy::FilterPhase phase) {
  switch (phase) {
    case policy::FilterPhase::kConnect: return "connect";
    case policy::FilterPhase::kHelo: return "helo";
    case policy::FilterPhase::kEhlo: return "ehlo";
    case policy::FilterPhase::kStartTls: return "starttls";
    case policy::FilterPhase::kAuth: return "auth";
    case policy::FilterPhase::kMailFrom: return "mail-from";
    case policy::FilterPhase::kRcptTo: return "rcpt-to";
    case policy::FilterPhase::kData: return "data";
    case policy::FilterPhase::kCommit: return "commit";
  }
  return "";
}

std::string FilterText(const Config& config, const policy::Filter& filter) {
  if (filter.kind == policy::FilterKind::kProgram && filter.proc != policy::kNoIndex) {
    return StrCat("filter \"", Escape(filter.name, 80), "\", the program ",
                  Escape(config.procs[static_cast<size_t>(filter.proc)].command, 160));
  }
  if (filter.kind == policy::FilterKind::kMilter) {
    return StrCat("filter \"", Escape(filter.name, 80), "\", the milter at ",
                  config.milters[static_cast<size_t>(filter.milter)].endpoint.ToString());
  }
  return StrCat("filter \"", Escape(filter.name, 80), "\" at ", PhaseName(filter.phase));
}

// StepText says what a filter said: "in rcpt-to, to a@x: rejects: 550 no".
std::string StepText(const FilterStep& step) {
  std::string out = StrCat("in ", step.phase);
  if (!step.about.empty()) StrAppend(out, ", for ", Escape(step.about, 200));
  StrAppend(out, ": ");
  if (step.decision.empty()) return out + "its condition does not hold";
  if (step.decision == "proceed") return out + "lets it through";
  if (step.decision == "junk") return out + "marks the mail as junk";
  if (step.decision == "bypass") return out + "lets it past the filters behind it";
  if (step.decision == "discard") return out + "drops the mail";
  StrAppend(out, step.decision, step.decision == "change" ? "s " : "s: ", Escape(step.text, 300));
  return out;
}

std::string TableName(const Config& config, policy::TableId id) {
  if (id == policy::kNoIndex) return "the system's accounts";
  const policy::TableDeclaration& table = config.tables[static_cast<size_t>(id)];
  return table.anonymous ? StrCat("the table at ", Place(table.location))
                         : StrCat("<", Escape(table.name, 80), "> (", Place(table.location), ")");
}

// ContextFor is the envelope that a step's rules were asked about, for the words of WhyNot.
policy::EnvelopeContext ContextFor(const Explanation& e, const ExplainQuestion& question,
                                   const TraceStep& step) {
  policy::EnvelopeContext context;
  const Config& config = e.runtime->config();
  context.is_local_socket = e.is_local_socket;
  context.remote = question.client.value_or(IpAddress::V4(127, 0, 0, 1));
  context.reverse_name = e.reverse_name;
  context.helo = question.helo;
  context.auth_user = question.login;
  context.authenticated = !question.login.empty() || e.is_local_socket;
  if (e.listener != policy::kNoIndex)
    context.tag = config.listeners[static_cast<size_t>(e.listener)].tag;
  const size_t at = question.sender.rfind('@');
  context.sender = at == std::string::npos ? mail::Address{question.sender, ""}
                                           : mail::Address{question.sender.substr(0, at),
                                                           question.sender.substr(at + 1)};
  context.recipient = step.address;
  context.day = e.day;
  context.is_internal = step.internal;
  for (const Exchange& each : e.dialog) context.tls |= each.command == "STARTTLS";
  if (e.listener != policy::kNoIndex) {
    context.tls |=
        config.listeners[static_cast<size_t>(e.listener)].tls == policy::ListenerTls::kSmtps;
  }
  return context;
}

std::string WhyText(const Explanation& e, const ExplainQuestion& question, const TraceStep& step,
                    const policy::RuleStep& asked) {
  if (!asked.error.empty()) return StrCat("its table did not answer: ", Escape(asked.error, 200));
  if (asked.failed.empty()) return "";
  const policy::Rule& rule = e.runtime->config().rules[static_cast<size_t>(asked.rule)];
  return policy::WhyNot(e.runtime->ruleset(), rule, asked.failed, ContextFor(e, question, step));
}

void AddRules(const Explanation& e, const ExplainQuestion& question, const TraceStep& step,
              Lines* out) {
  const Config& config = e.runtime->config();
  out->Add(2, StrCat(Escape(step.subject, 200), " goes through the rules",
                     step.internal ? " again, as mail from this machine" : "", ":"));
  for (const policy::RuleStep& asked : step.rules) {
    const policy::Rule& rule = config.rules[static_cast<size_t>(asked.rule)];
    out->Add(4, StrCat(Place(rule.location), "  ", policy::RuleText(config, rule)), 4);
    if (asked.error.empty() && asked.failed.empty()) {
      out->Add(6, "yes: every condition holds");
    } else {
      out->Add(6, StrCat("no, ", asked.failed.empty() ? "not now" : asked.failed, ": ",
                         WhyText(e, question, step, asked)));
    }
  }
  const bool taken =
      !step.rules.empty() && step.rules.back().error.empty() && step.rules.back().failed.empty();
  if (!taken && (step.rules.empty() || step.rules.back().error.empty()))
    out->Add(4, "no rule takes it");
}

void AddStep(const Explanation& e, const ExplainQuestion& question, const TraceStep& step,
             Lines* out) {
  const Config& config = e.runtime->config();
  switch (step.kind) {
    case TraceStep::Kind::kRules: AddRules(e, question, step, out); return;
    case TraceStep::Kind::kLookup:
      out->Add(2, StrCat(Escape(step.key, 200), " in ", TableName(config, step.table), ": ",
                         step.value ? Escape(*step.value, 300) : std::string("not there")));
      return;
    case TraceStep::Kind::kAccount:
      out->Add(2,
               StrCat("account ", Escape(step.key, 80), " in ", TableName(config, step.table), ": ",
                      step.value ? StrCat("yes, its home is ", Escape(*step.value, 200))
                                 : std::string("there is none")));
      return;
    case TraceStep::Kind::kForward:
      out->Add(2, StrCat(".forward of ", Escape(step.key, 80), ": ",
                         step.value ? Escape(Trim(*step.value), 300) : std::string("none")));
      return;
  }
}

void AddRecipient(const Explanation& e, const ExplainQuestion& question,
                  const ExplainedRecipient& recipient, Lines* out) {
  const Config& config = e.runtime->config();
  out->Blank();
  out->Add(0, StrCat("To ", Escape(recipient.address, 200)));
  for (const TraceStep& step : recipient.trace.steps) AddStep(e, question, step, out);
  if (recipient.reply.empty()) {
    out->Add(2, e.no_login ? "was not asked for: the client cannot log in"
                           : "was not asked for: MAIL FROM was refused");
    return;
  }
  if (!recipient.reason.empty()) out->Add(2, StrCat("refused: ", recipient.reason));
  for (const std::string& note : recipient.notes) out->Add(2, StrCat("note: ", note), 4);
  for (const ExplainedDestination& each : recipient.destinations) {
    const policy::Action& action = config.actions[static_cast<size_t>(each.destination.action)];
    out->Add(2, StrCat("goes ", each.where));
    out->Add(4, StrCat(Place(action.location), "  ", policy::ActionText(config, action)), 4);
  }
  out->Add(2, StrCat("the server says: ", recipient.reply));
}

void Member(JsonWriter& json, const SourceLocation& at) {
  json.Key("file").String(at.file).Key("line").Int(at.line);
}

const char* KindName(policy::Destination::Kind kind) {
  switch (kind) {
    case policy::Destination::Kind::kAccount: return "account";
    case policy::Destination::Kind::kFile: return "file";
    case policy::Destination::Kind::kCommand: return "command";
    case policy::Destination::Kind::kRelay: return "relay";
  }
  return "";
}

void StepJson(const Explanation& e, const ExplainQuestion& question, const TraceStep& step,
              JsonWriter& json) {
  const Config& config = e.runtime->config();
  json.BeginObject();
  switch (step.kind) {
    case TraceStep::Kind::kRules:
      json.Key("step").String("rules").Key("address").String(step.subject);
      json.Key("internal").Bool(step.internal).Key("rules").BeginArray();
      for (const policy::RuleStep& asked : step.rules) {
        const policy::Rule& rule = config.rules[static_cast<size_t>(asked.rule)];
        json.BeginObject();
        Member(json, rule.location);
        json.Key("text").String(policy::RuleText(config, rule));
        json.Key("matches").Bool(asked.error.empty() && asked.failed.empty());
        json.Key("condition").String(asked.failed);
        json.Key("why").String(WhyText(e, question, step, asked));
        json.EndObject();
      }
      json.EndArray();
      break;
    case TraceStep::Kind::kLookup:
    case TraceStep::Kind::kAccount:
    case TraceStep::Kind::kForward:
      json.Key("step").String(step.kind == TraceStep::Kind::kLookup    ? "lookup"
                              : step.kind == TraceStep::Kind::kAccount ? "account"
                                                                       : "forward");
      json.Key("table");
      if (step.table == policy::kNoIndex) {
        json.Null();
      } else {
        const policy::TableDeclaration& table = config.tables[static_cast<size_t>(step.table)];
        json.BeginObject().Key("name").String(table.name);
        Member(json, table.location);
        json.EndObject();
      }
      json.Key("key").String(step.key).Key("value");
      if (step.value) {
        json.String(*step.value);
      } else {
        json.Null();
      }
      break;
  }
  json.EndObject();
}

// NoLoginText says why a login that was asked for cannot be had.
std::string NoLoginText(const Explanation& e) {
  for (const Exchange& each : e.dialog) {
    if (each.command.starts_with("AUTH"))
      return StrCat("The login is refused: ", each.reply.substr(0, each.reply.find('\n')));
  }
  return "AUTH is not offered to such a client.";
}

}  // namespace

std::string ExplanationText(const Explanation& e, const ExplainQuestion& question) {
  Lines out;
  if (e.runtime == nullptr) {
    for (const policy::Diagnostic& each : e.diagnostics) {
      if (each.severity == policy::Severity::kError) out.Add(0, each.ToString(), 4);
    }
    return out.Take();
  }
  if (!e.problem.empty()) {
    out.Add(0, e.problem);
    return out.Take();
  }
  const Config& config = e.runtime->config();
  std::string who = e.is_local_socket
                        ? "the local socket"
                        : question.client.value_or(IpAddress::V4(127, 0, 0, 1)).ToString();
  if (!e.is_local_socket && !e.reverse_name.empty())
    StrAppend(who, " (", Escape(e.reverse_name, 120), ")");
  out.Add(
      0,
      StrCat("From <", Escape(question.sender, 200), "> by ", who,
             question.login.empty() ? "" : StrCat(", logged in as ", Escape(question.login, 80))));
  if (e.listener == policy::kNoIndex) {
    out.Add(2, StrCat("Listener: the local socket (", e.listener_why, ")"));
  } else {
    const policy::Listener& listener = config.listeners[static_cast<size_t>(e.listener)];
    out.Add(2,
            StrCat("Listener: ", Place(listener.location), "  ", ListenerText(listener), " (",
                   e.listener_why, ")"),
            4);
  }
  for (const policy::Filter* filter : ExplainFilters::Members(config, e.listener)) {
    const bool is_asked = question.ask_filters || ExplainFilters::IsBuiltin(*filter);
    out.Add(2,
            StrCat(is_asked ? "Filter: " : "Filter, not asked without --ask-filters: ",
                   Place(filter->location), "  ", FilterText(config, *filter)),
            4);
    for (const FilterStep& step : e.filter_steps) {
      if (step.filter == filter) out.Add(4, StepText(step), 4);
    }
  }
  for (const Exchange& each : e.dialog) {
    const std::string reply = each.reply.substr(0, each.reply.find('\n'));
    if (!reply.empty() && reply[0] != '2' && reply[0] != '3' && each.command.rfind("RCPT", 0) != 0)
      out.Add(2, StrCat(each.command.empty() ? "the greeting" : each.command, ": ", reply), 4);
  }
  if (e.no_login) out.Add(2, NoLoginText(e), 4);
  for (const ExplainedRecipient& each : e.recipients) AddRecipient(e, question, each, &out);
  if (e.has_message && !e.dialog.empty()) {
    out.Blank();
    out.Add(0, StrCat("The message: ", e.dialog.back().reply));
  }
  out.Blank();
  out.Add(0, e.accepted ? "Accepted. Nothing was sent." : "Refused. Nothing was sent.");
  return out.Take();
}

std::string ExplanationJson(const Explanation& e, const ExplainQuestion& question) {
  JsonWriter json(true);
  json.BeginObject();
  json.Key("accepted").Bool(e.accepted);
  json.Key("problem").String(e.problem);
  json.Key("errors").BeginArray();
  for (const policy::Diagnostic& each : e.diagnostics) {
    if (each.severity == policy::Severity::kError) json.String(each.ToString());
  }
  json.EndArray();
  if (e.runtime == nullptr || !e.problem.empty()) return json.EndObject().Take();
  const Config& config = e.runtime->config();
  json.Key("client").String(e.is_local_socket
                                ? "local"
                                : question.client.value_or(IpAddress::V4(127, 0, 0, 1)).ToString());
  json.Key("reverse_name").String(e.reverse_name);
  json.Key("login").String(question.login);
  json.Key("listener").BeginObject();
  if (e.listener == policy::kNoIndex) {
    Member(json, SourceLocation{config.file_name, 0, 0});
    json.Key("text").String("listen on socket");
  } else {
    const policy::Listener& listener = config.listeners[static_cast<size_t>(e.listener)];
    Member(json, listener.location);
    json.Key("text").String(ListenerText(listener));
  }
  json.Key("why").String(e.listener_why).EndObject();
  json.Key("filters").BeginArray();
  for (const policy::Filter* filter : ExplainFilters::Members(config, e.listener)) {
    json.BeginObject();
    Member(json, filter->location);
    json.Key("name").String(filter->name);
    json.Key("asked").Bool(question.ask_filters || ExplainFilters::IsBuiltin(*filter));
    json.Key("text").String(FilterText(config, *filter)).EndObject();
  }
  json.EndArray();
  json.Key("filter_steps").BeginArray();
  for (const FilterStep& step : e.filter_steps) {
    json.BeginObject();
    Member(json, step.filter->location);
    json.Key("name").String(step.filter->name).Key("phase").String(step.phase);
    json.Key("recipient").String(step.about).Key("decision").String(step.decision);
    json.Key("text").String(step.text).EndObject();
  }
  json.EndArray();
  json.Key("no_login").String(e.no_login ? NoLoginText(e) : "");
  json.Key("dialog").BeginArray();
  for (const Exchange& each : e.dialog) {
    json.BeginObject().Key("client").String(each.command);
    json.Key("server").String(each.reply).EndObject();
  }
  json.EndArray();
  json.Key("recipients").BeginArray();
  for (const ExplainedRecipient& recipient : e.recipients) {
    json.BeginObject().Key("address").String(recipient.address);
    json.Key("reply").String(recipient.reply).Key("reason").String(recipient.reason);
    json.Key("notes").BeginArray();
    for (const std::string& note : recipient.notes) json.String(note);
    json.EndArray();
    json.Key("steps").BeginArray();
    for (const TraceStep& step : recipient.trace.steps) StepJson(e, question, step, json);
    json.EndArray();
    json.Key("destinations").BeginArray();
    for (const ExplainedDestination& each : recipient.destinations) {
      const policy::Destination& destination = each.destination;
      const policy::Action& action = config.actions[static_cast<size_t>(destination.action)];
      json.BeginObject().Key("kind").String(KindName(destination.kind));
      json.Key("address").String(destination.destination.ToString());
      json.Key("user").String(destination.user).Key("where").String(each.where);
      json.Key("action").BeginObject();
      Member(json, action.location);
      json.Key("name").String(action.name);
      json.Key("text").String(policy::ActionText(config, action)).EndObject();
      json.EndObject();
    }
    json.EndArray().EndObject();
  }
  json.EndArray();
  return json.EndObject().Take();
}

}  // namespace postern::server
