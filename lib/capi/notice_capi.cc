// Notices about messages through the C API.
#include "postern/notice.h"
#include "postern/version.h"
#include <algorithm>
#include <ctime>
#include <optional>
#include <string>
#include <sys/random.h>

#include "lib/capi/auth_capi.h"
#include "lib/capi/dmarc_capi.h"
#include "lib/capi/error_capi.h"
#include "lib/capi/notice_check.h"
#include "lib/capi/parsed_capi.h"
#include "lib/capi/struct_capi.h"
#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/mail/date.h"
#include "lib/core/mail/message_id.h"
#include "lib/core/message/address_list.h"
#include "lib/core/message/arf.h"
#include "lib/core/message/dsn.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/imap_structure.h"
#include "lib/core/message/mdn.h"
#include "lib/core/message/notice_text.h"
#include "lib/core/trust/failure_report.h"

namespace postern::capi {
namespace {

std::string Text(const char* text) { return std::string(CString(text)); }

std::string RandomOctets(size_t count) {
  std::string octets(count, '\0');
  // Up to 256 octets getrandom(2) gives at once or not at all.
  if (getrandom(octets.data(), count, 0) != static_cast<ssize_t>(count)) throw std::bad_alloc();
  return octets;
}

WallTime DateOf(int64_t unix_s) {
  return absl::FromUnixSeconds(unix_s != 0 ? unix_s : static_cast<int64_t>(std::time(nullptr)));
}

std::optional<WallTime> Moment(int64_t unix_s) {
  if (unix_s == 0) return std::nullopt;
  return absl::FromUnixSeconds(unix_s);
}

StatusOr<mail::Address> AddressOf(std::string_view what, const char* text) {
  StatusOr<mail::Address> address = mail::ParseAddress(CString(text));
  if (address.ok()) return address;
  return InvalidArgument(
      StrCat(what, " \"", Escape(CString(text), 80), "\": ", Message(address.status())));
}

// MessageIdOf is the given one, or a random one in `domain`.
std::string MessageIdOf(const char* given, std::string_view domain) {
  if (!CString(given).empty()) return Text(given);
  const StatusOr<std::string> ascii = mail::DomainToAscii(domain);
  return mail::MakeMessageId(RandomOctets(16), ascii.ok() ? *ascii : "localhost");
}

std::string Seed() { return HexEncode(RandomOctets(12)); }

StatusOr<message::DsnAction> ActionOf(int32_t action) {
  if (action < POSTERN_DSN_FAILED || action > POSTERN_DSN_EXPANDED)
    return InvalidArgument(StrCat("there is no action ", action));
  return static_cast<message::DsnAction>(action);
}

StatusOr<message::DsnRecipient> RecipientOf(const postern_dsn_recipient& given) {
  message::DsnRecipient recipient;
  StatusOr<mail::Address> address = AddressOf("recipient", given.address);
  if (!address.ok()) return address.status();
  recipient.address = *std::move(address);
  const StatusOr<message::DsnAction> action = ActionOf(given.action);
  if (!action.ok()) return action.status();
  recipient.action = *action;
  recipient.original_recipient = Text(given.original_recipient);
  if (given.status != nullptr) {
    recipient.status = mail::EnhancedStatus::Parse(given.status);
    if (recipient.status == mail::EnhancedStatus())
      return InvalidArgument(StrCat("\"", Escape(given.status, 80), "\" is no status code"));
  }
  recipient.reason = Text(given.reason);
  if (given.reply != nullptr) {
    StatusOr<mail::Reply> reply = ReplyOf(given.reply);
    if (!reply.ok())
      return InvalidArgument(
          StrCat("reply \"", Escape(given.reply, 80), "\": ", Message(reply.status())));
    recipient.reply = *std::move(reply);
  }
  recipient.remote_mta = Text(given.remote_mta);
  recipient.last_attempt = Moment(given.last_attempt_unix_s);
  recipient.will_retry_until = Moment(given.will_retry_until_unix_s);
  return recipient;
}

StatusOr<std::string> BuildDsn(const postern_dsn_options& given) {
  message::DsnRequest request;
  const StatusOr<message::DsnAction> action = ActionOf(given.action);
  if (!action.ok()) return action.status();
  request.action = *action;
  StatusOr<std::string> reporting_mta = AsciiHost("reporting_mta", given.reporting_mta);
  if (!reporting_mta.ok()) return reporting_mta.status();
  request.reporting_mta = *std::move(reporting_mta);
  if (request.reporting_mta.empty()) return InvalidArgument("reporting_mta is missing");
  StatusOr<mail::Address> sender = NoticeAddress("sender", given.sender, given.smtputf8 != 0);
  if (!sender.ok()) return sender.status();
  request.sender = *std::move(sender);
  if (given.recipients == nullptr || given.recipient_count == 0)
    return InvalidArgument("a notification tells of one recipient at least");
  // Each has the size that the caller's header gives it.
  const size_t stride = given.recipients->struct_size;
  for (size_t i = 0; i < given.recipient_count; ++i) {
    const auto* at = reinterpret_cast<const postern_dsn_recipient*>(
        reinterpret_cast<const char*>(given.recipients) + i * stride);
    postern_dsn_recipient one;
    if (!TakeStruct(&one, postern_dsn_recipient POSTERN_DSN_RECIPIENT_INIT, at) ||
        at->struct_size != stride)
      return InvalidArgument("a recipient struct is not known, or of another size than the first");
    StatusOr<message::DsnRecipient> recipient = RecipientOf(one);
    if (!recipient.ok()) return recipient.status();
    request.recipients.push_back(*std::move(recipient));
  }
  request.message_id = MessageIdOf(given.message_id, request.reporting_mta);
  request.boundary_seed = Seed();
  request.date = DateOf(given.date_unix_s);
  request.envelope_id = Text(given.envelope_id);
  request.arrival_date = Moment(given.arrival_unix_s);
  request.original = Given(given.original, given.original_len);
  request.return_full = given.return_full != 0;
  request.smtputf8 = given.smtputf8 != 0;
  return message::BuildDsn(request);
}

StatusOr<std::string> BuildMdn(const postern_mdn_options& given) {
  if (given.disposition < POSTERN_MDN_DISPLAYED || given.disposition > POSTERN_MDN_PROCESSED)
    return InvalidArgument(StrCat("there is no disposition ", given.disposition));
  const bool utf8 = given.smtputf8 != 0;
  const StatusOr<mail::Address> from = NoticeAddress("from", given.from, utf8);
  if (!from.ok()) return from.status();
  const StatusOr<mail::Address> to = NoticeAddress("to", given.to, utf8);
  if (!to.ok()) return to.status();
  const std::string_view original = Given(given.original, given.original_len);
  if (original.empty()) return InvalidArgument("original is missing");
  const message::MessageView view = message::ParseHeader(original);
  message::MdnRequest request;
  request.mdn.reporting_ua = Text(given.reporting_ua);
  request.mdn.original_recipient = Text(given.original_recipient);
  request.mdn.final_recipient = from->ToString();
  if (const message::Header* id = view.Find(view.root(), message::Field::kMessageId))
    request.mdn.original_message_id = message::Unfold(id->value);
  request.mdn.disposition = static_cast<message::MdnDisposition>(given.disposition);
  request.mdn.automatic_action = given.automatic_action != 0;
  request.mdn.sent_automatically = given.sent_automatically != 0;
  request.from = message::FormatMailbox(CString(given.from_name), from->ToString());
  request.to = to->ToString();
  if (const message::Header* subject = view.Find(view.root(), message::Field::kSubject))
    request.subject = message::DecodeText(subject->value);
  request.message_id = MessageIdOf(given.message_id, from->domain);
  request.boundary_seed = Seed();
  request.date = DateOf(given.date_unix_s);
  request.original = original;
  request.smtputf8 = utf8;
  return message::BuildMdn(request);
}

StatusOr<message::ArfMail> MailOf(const char* from, const char* to, const char* message_id,
                                  int64_t date_unix_s) {
  const StatusOr<mail::Address> author = NoticeAddress("from", from, false);
  if (!author.ok()) return author.status();
  const StatusOr<mail::Address> reader = NoticeAddress("to", to, false);
  if (!reader.ok()) return reader.status();
  message::ArfMail mail;
  mail.from = author->ToString();
  mail.to = {reader->ToString()};
  mail.message_id = MessageIdOf(message_id, author->domain);
  mail.boundary_seed = Seed();
  mail.date = DateOf(date_unix_s);
  return mail;
}

StatusOr<std::string> BuildArf(const postern_arf_options& given) {
  StatusOr<message::ArfMail> mail =
      MailOf(given.from, given.to, given.message_id, given.date_unix_s);
  if (!mail.ok()) return mail.status();
  message::ArfReport report;
  report.feedback_type = Text(given.feedback_type);
  const Status checked = CheckFeedback(report.feedback_type, CString(given.source_ip));
  if (!checked.ok()) return checked;
  report.original = std::string(Given(given.original, given.original_len));
  if (report.original.empty()) return InvalidArgument("original is missing");
  report.user_agent =
      given.user_agent == nullptr ? StrCat("Postern/", postern_version()) : Text(given.user_agent);
  report.original_mail_from = LooseAddress(CString(given.mail_from));
  if (given.rcpt_to != nullptr) report.original_rcpt_to = {LooseAddress(CString(given.rcpt_to))};
  report.source_ip = Text(given.source_ip);
  if (given.reporting_mta != nullptr)
    report.reporting_mta = StrCat("dns; ", message::NoticeHost(given.reporting_mta));
  if (given.arrival_unix_s != 0)
    report.arrival_date = mail::FormatDate(absl::FromUnixSeconds(given.arrival_unix_s), 0);
  if (given.reported_domain != nullptr)
    report.reported_domain = {message::NoticeHost(given.reported_domain)};
  report.text = Text(given.text);
  report.headers_only = given.headers_only != 0;
  return message::BuildArf(report, *mail);
}

// FailureFacts is what the checks found, as "fo" asks about it.
trust::DmarcFailureFacts FactsOf(const trust::Authentication& found) {
  trust::DmarcFailureFacts facts;
  facts.spf_failed = found.spf && (found.spf->result == trust::SpfResult::kFail ||
                                   found.spf->result == trust::SpfResult::kSoftFail);
  if (found.dkim) {
    for (const trust::DkimSignatureVerdict& each : found.dkim->signatures)
      facts.dkim_failed = facts.dkim_failed || each.result == trust::DkimResult::kFail;
  }
  return facts;
}

// IsAskedFor tells whether `to`, in ASCII, is an address of "ruf". Whoever else got a report would
// learn who writes to whom (RFC 9991 §6).
bool IsAskedFor(const std::vector<trust::DmarcUri>& ruf, std::string_view to) {
  return std::any_of(ruf.begin(), ruf.end(), [to](const trust::DmarcUri& uri) {
    const StatusOr<mail::Address> address = mail::ParseAddress(uri.mailbox);
    return address.ok() && message::AsciiAddress(*address) == to;
  });
}

// BuildFailureReport gives "" when none is asked for.
StatusOr<std::string> BuildFailureReport(const postern_auth& auth, std::string_view octets,
                                         const postern_failure_report_options& given) {
  StatusOr<message::ArfMail> mail =
      MailOf(given.from, given.to, given.message_id, given.date_unix_s);
  if (!mail.ok()) return mail.status();
  const Status checked = CheckDeliveryResult(CString(given.delivery_result));
  if (!checked.ok()) return checked;
  const trust::Authentication& found = auth.found;
  if (!found.dmarc || !trust::WantsFailureReport(*found.dmarc, FactsOf(found)) ||
      trust::IsFailureReport(message::ParseMessage(octets)))
    return std::string();
  if (!IsAskedFor(found.dmarc->record->ruf, mail->to.front()))
    return InvalidArgument(StrCat("to \"", Escape(CString(given.to), 80),
                                  "\": the record names no such address in its ruf"));
  trust::DmarcFailureReport facts;
  facts.user_agent = StrCat("Postern/", postern_version());
  facts.client = auth.request.client;
  facts.mail_from = auth.request.mail_from;
  facts.reporting_mta = message::NoticeHost(CString(given.reporting_mta));
  facts.arrival = auth.request.now;
  facts.results = found.results;
  facts.delivery_result = Text(given.delivery_result);
  if (found.dkim) {
    for (const trust::DkimSignatureVerdict& each : found.dkim->signatures) {
      if (each.result != trust::DkimResult::kFail) continue;
      facts.dkim_domain = each.signature.domain;
      facts.dkim_identity = each.signature.identity;
      facts.dkim_selector = each.signature.selector;
      break;
    }
  }
  facts.message = std::string(octets);
  facts.headers_only = given.whole_message == 0;
  return message::BuildArf(trust::MakeFailureReport(*found.dmarc, facts), *mail);
}

postern_status Bad(postern_error** out_error, const char* text) {
  return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", text);
}

// Build takes the options and gives what `make` writes; POSTERN_DONE for nothing.
template <typename Options, typename Make>
postern_status Build(postern_buf* out, const Options& defaults, const Options* options, Make make,
                     postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out == nullptr || options == nullptr) return Bad(out_error, "out or options is NULL");
    *out = postern_buf{nullptr, 0};
    Options given;
    if (!TakeStruct(&given, defaults, options))
      return Fail(out_error, POSTERN_ERR_VERSION, "version", "the options are of a newer header");
    const StatusOr<std::string> made = make(given);
    if (!made.ok()) return FailWith(out_error, made.status());
    if (made->empty()) return POSTERN_DONE;
    Give(out, *made);
    return POSTERN_OK;
  });
}

}  // namespace
}  // namespace postern::capi

using namespace postern::capi;  // NOLINT: every name below is one of theirs
namespace message = postern::message;

extern "C" {

postern_status postern_parsed_envelope(postern_buf* out, const postern_parsed* parsed, size_t part,
                                       int32_t utf8, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out == nullptr || parsed == nullptr) return Bad(out_error, "out or parsed is NULL");
    *out = postern_buf{nullptr, 0};
    const message::MessageView& view = parsed->message->view;
    if (part >= view.parts().size())
      return Fail(out_error, POSTERN_ERR_NOT_FOUND, "part", "there is no such part");
    auto index = static_cast<uint32_t>(part);
    if (view.part(index).kind == message::PartKind::kMessage) index = view.part(index).first_child;
    std::string text;
    message::AppendEnvelope(message::BuildEnvelope(view, index), utf8 != 0, text);
    Give(out, text);
    return POSTERN_OK;
  });
}

postern_status postern_parsed_body_structure(postern_buf* out, const postern_parsed* parsed,
                                             int32_t extended, int32_t utf8,
                                             postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out == nullptr || parsed == nullptr) return Bad(out_error, "out or parsed is NULL");
    Give(out, message::BodyStructureText(parsed->message->view, extended != 0, utf8 != 0));
    return POSTERN_OK;
  });
}

postern_status postern_dsn_build(postern_buf* out, const postern_dsn_options* options,
                                 postern_error** out_error) {
  return Build(
      out, postern_dsn_options POSTERN_DSN_OPTIONS_INIT, options,
      [](const postern_dsn_options& given) { return BuildDsn(given); }, out_error);
}

postern_status postern_mdn_build(postern_buf* out, const postern_mdn_options* options,
                                 postern_error** out_error) {
  return Build(
      out, postern_mdn_options POSTERN_MDN_OPTIONS_INIT, options,
      [](const postern_mdn_options& given) { return BuildMdn(given); }, out_error);
}

postern_status postern_mdn_wanted(postern_buf* out, int32_t* out_ask_first,
                                  const postern_parsed* parsed, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out == nullptr || parsed == nullptr) return Bad(out_error, "out or parsed is NULL");
    const message::MdnWanted wanted = message::MdnRecipient(parsed->message->view);
    Give(out, wanted.address);
    if (out_ask_first != nullptr) *out_ask_first = wanted.ask_first ? 1 : 0;
    return POSTERN_OK;
  });
}

postern_status postern_arf_build(postern_buf* out, const postern_arf_options* options,
                                 postern_error** out_error) {
  return Build(
      out, postern_arf_options POSTERN_ARF_OPTIONS_INIT, options,
      [](const postern_arf_options& given) { return BuildArf(given); }, out_error);
}

postern_status postern_auth_failure_report(postern_buf* out, const postern_auth* auth,
                                           const char* octets, size_t octets_len,
                                           const postern_failure_report_options* options,
                                           postern_error** out_error) {
  if (auth == nullptr) return Bad(out_error, "auth is NULL");
  return Build(
      out, postern_failure_report_options POSTERN_FAILURE_REPORT_OPTIONS_INIT, options,
      [&](const postern_failure_report_options& given) {
        return BuildFailureReport(*auth, Given(octets, octets_len), given);
      },
      out_error);
}

postern_status postern_parsed_notice_json(postern_buf* out, const postern_parsed* parsed,
                                          postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out == nullptr || parsed == nullptr) return Bad(out_error, "out or parsed is NULL");
    *out = postern_buf{nullptr, 0};
    const std::string json = NoticeJson(*parsed->message);
    if (json.empty())
      return Fail(out_error, POSTERN_ERR_NOT_FOUND, "notice", "the message is no notice");
    Give(out, json);
    return POSTERN_OK;
  });
}

}  // extern "C"
