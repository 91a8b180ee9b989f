#include "lib/capi/filter_capi.h"

#include <cstring>

#include "lib/capi/struct_capi.h"
#include "lib/core/base/strings.h"

namespace postern::capi {
namespace {

using service::FilterVerdict;
using service::SmtpPhase;

static_assert(static_cast<int>(SmtpPhase::kConnect) == POSTERN_PHASE_CONNECT);
static_assert(static_cast<int>(SmtpPhase::kCommit) == POSTERN_PHASE_COMMIT);
static_assert(static_cast<int>(SmtpPhase::kOther) == POSTERN_PHASE_OTHER);

std::string TextOf(const mail::Address* address) {
  return address == nullptr || address->empty() ? std::string() : address->ToString();
}

mail::Reply ReplyOf(const postern_step_verdict& verdict, std::string_view text) {
  const bool in_range = verdict.reply_code >= 400 && verdict.reply_code <= 599;
  const int code = in_range ? verdict.reply_code : 550;
  StatusOr<mail::Reply> parsed = mail::Reply::FromText(StrCat(code, " ", text));
  mail::Reply reply = parsed.ok() ? std::move(*parsed) : mail::Reply(code, {}, "");
  if (reply.status.empty()) reply.status = mail::EnhancedStatus{code / 100, 7, 1};
  if (reply.Text().empty())
    reply.lines = {code < 500 ? "Temporary failure, try again later" : "Refused"};
  return reply;
}

}  // namespace

postern_step StepOf(const service::FilterQuestion& question) {
  postern_step step;
  step.phase = static_cast<int32_t>(question.phase);
  step.facts = question.facts;
  step.sender = TextOf(question.sender);
  step.argument = std::string(question.argument);
  if (question.phase == SmtpPhase::kMailFrom) step.argument = step.sender;
  if (question.phase == SmtpPhase::kRcptTo) step.argument = TextOf(question.recipient);
  if (!question.facts->listener->is_local_socket)
    step.client_address = question.facts->remote.address.ToString();
  step.message_id = question.message_id;
  return step;
}

postern_step StepOf(const service::FilterReport& report) {
  postern_step step;
  step.facts = report.facts;
  step.argument = report.address != nullptr ? TextOf(report.address) : std::string(report.text);
  if (!report.facts->listener->is_local_socket)
    step.client_address = report.facts->remote.address.ToString();
  step.message_id = report.message_id;
  return step;
}

service::FilterVerdict VerdictOf(postern_status returned, const postern_step_verdict& verdict) {
  FilterVerdict result;
  if (returned != POSTERN_OK) return FilterVerdict::TryLater("hook");
  const std::string_view text(verdict.text, strnlen(verdict.text, sizeof verdict.text));
  switch (verdict.action) {
    case POSTERN_STEP_PROCEED: return result;
    case POSTERN_STEP_REJECT:
      result.kind = FilterVerdict::Kind::kReject;
      result.reply = ReplyOf(verdict, text);
      return result;
    case POSTERN_STEP_DISCONNECT:
      result.kind = FilterVerdict::Kind::kDisconnect;
      result.reply = ReplyOf(verdict, text);
      return result;
    case POSTERN_STEP_REWRITE:
      result.kind = FilterVerdict::Kind::kRewrite;
      result.argument = std::string(text);
      return result;
    case POSTERN_STEP_JUNK: result.junk = true; return result;
    default:
      // A verdict that means nothing lets nothing through.
      return FilterVerdict::TryLater("hook");
  }
}

}  // namespace postern::capi

extern "C" {

using postern::capi::Lend;

int32_t postern_step_phase(const postern_step* step) { return step->phase; }
postern_str postern_step_argument(const postern_step* step) { return Lend(step->argument); }
postern_str postern_step_session(const postern_step* step) { return Lend(step->facts->id); }
postern_str postern_step_message_id(const postern_step* step) { return Lend(step->message_id); }
postern_str postern_step_client_address(const postern_step* step) {
  return Lend(step->client_address);
}
postern_str postern_step_client_name(const postern_step* step) {
  return Lend(step->facts->reverse_name);
}
postern_str postern_step_helo(const postern_step* step) { return Lend(step->facts->helo); }
postern_str postern_step_auth_user(const postern_step* step) {
  return Lend(step->facts->auth_user);
}
postern_str postern_step_sender(const postern_step* step) { return Lend(step->sender); }
int postern_step_is_tls(const postern_step* step) { return step->facts->tls.has_value() ? 1 : 0; }

}  // extern "C"
