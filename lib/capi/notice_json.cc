// What a notice says, as JSON.
#include "lib/capi/dmarc_capi.h"
#include "lib/capi/parsed_capi.h"
#include "lib/core/message/arf.h"
#include "lib/core/message/bounce.h"
#include "lib/core/message/mdn.h"

namespace postern::capi {
namespace {

void Add(MemberWriter& json, std::string_view name, std::string_view text) {
  if (!text.empty()) json.Member(name, text);
}

void Add(MemberWriter& json, std::string_view name, const std::vector<std::string>& list) {
  if (list.empty()) return;
  json.Key(name).BeginArray();
  for (const std::string& one : list) json.String(one);
  json.EndArray();
}

void WriteMdn(const message::Mdn& mdn, MemberWriter& json) {
  json.Member("kind", "mdn");
  Add(json, "reporting_ua", mdn.reporting_ua);
  Add(json, "final_recipient", mdn.final_recipient);
  Add(json, "original_recipient", mdn.original_recipient);
  Add(json, "original_message_id", mdn.original_message_id);
  json.Member("disposition", message::MdnDispositionName(mdn.disposition));
  json.Member("automatic_action", mdn.automatic_action);
  json.Member("sent_automatically", mdn.sent_automatically);
  Add(json, "modifiers", mdn.modifiers);
  Add(json, "error", mdn.error);
}

void WriteArf(const message::ArfReport& arf, MemberWriter& json) {
  json.Member("kind", "arf").Member("feedback_type", arf.feedback_type);
  Add(json, "user_agent", arf.user_agent);
  Add(json, "original_mail_from", arf.original_mail_from);
  Add(json, "original_rcpt_to", arf.original_rcpt_to);
  Add(json, "arrival_date", arf.arrival_date);
  Add(json, "reporting_mta", arf.reporting_mta);
  Add(json, "source_ip", arf.source_ip);
  json.Member("incidents", arf.incidents);
  Add(json, "authentication_results", arf.authentication_results);
  Add(json, "reported_domain", arf.reported_domain);
  Add(json, "reported_uri", arf.reported_uri);
  Add(json, "auth_failure", arf.auth_failure);
  Add(json, "delivery_result", arf.delivery_result);
  Add(json, "identity_alignment", arf.identity_alignment);
  Add(json, "dkim_domain", arf.dkim_domain);
  Add(json, "dkim_selector", arf.dkim_selector);
  Add(json, "spf_dns", arf.spf_dns);
  Add(json, "text", arf.text);
  json.Member("headers_only", arf.headers_only).Member("original_bytes", arf.original.size());
}

void WriteDsn(const message::Bounce& bounce, MemberWriter& json) {
  json.Member("kind", "dsn");
  json.Member("form", bounce.form == message::Bounce::Form::kStatus ? "status" : "text");
  Add(json, "reporting_mta", bounce.reporting_mta.value);
  Add(json, "original_envelope_id", bounce.original_envelope_id);
  Add(json, "original_message_id", bounce.original_message_id);
  json.Key("recipients").BeginArray();
  for (const message::ReportedRecipient& each : bounce.recipients) {
    json.BeginObject();
    Add(json, "final_recipient", each.final_recipient);
    Add(json, "original_recipient", each.original_recipient);
    if (each.action) json.Member("action", message::DsnActionName(*each.action));
    Add(json, "status", each.BestStatus().ToString());
    if (each.reply_code != 0) json.Member("reply_code", each.reply_code);
    Add(json, "diagnostic", each.diagnostic.value);
    Add(json, "remote_mta", each.remote_mta.value);
    json.EndObject();
  }
  json.EndArray();
}

}  // namespace

std::string NoticeJson(const ParsedMessage& parsed) {
  MemberWriter json;
  json.BeginObject();
  if (const StatusOr<message::Mdn> mdn = message::ParseMdn(parsed.view); mdn.ok()) {
    WriteMdn(*mdn, json);
  } else if (const StatusOr<message::ArfReport> arf = message::ParseArf(parsed.view); arf.ok()) {
    WriteArf(*arf, json);
  } else {
    const message::Bounce bounce = message::ReadBounce(parsed.view);
    if (bounce.form == message::Bounce::Form::kNone) return "";
    WriteDsn(bounce, json);
  }
  json.EndObject();
  return json.Take();
}

}  // namespace postern::capi
