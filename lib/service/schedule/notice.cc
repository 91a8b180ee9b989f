#include "lib/service/schedule/notice.h"

#include "lib/core/base/strings.h"
#include "lib/core/mail/message_id.h"
#include "lib/core/queue/bounce.h"

namespace postern::schedule {
namespace {

std::string RandomOctets(rt::Random& random) {
  std::string octets(16, '\0');
  random.Fill(std::span<uint8_t>(reinterpret_cast<uint8_t*>(octets.data()), octets.size()));
  return octets;
}

}  // namespace

bool NoticeNeedsUtf8(const queue::Envelope& about) {
  return about.sender.smtputf8 && !IsAscii(about.sender.address.ToString());
}

std::string BuildNotice(message::DsnAction action, const std::vector<NoticeItem>& items,
                        std::string_view original, const std::string& server_name, WallTime now,
                        rt::Random& random) {
  const queue::Envelope& first = items.front().envelope;
  message::DsnRequest request;
  request.action = action;
  request.reporting_mta = server_name;
  request.sender = first.sender.address;
  request.message_id = mail::MakeMessageId(RandomOctets(random), server_name);
  request.boundary_seed = HexEncode(RandomOctets(random));
  request.date = now;
  request.envelope_id = first.sender.dsn_envelope_id;
  request.arrival_date = first.created;
  request.original = original;
  request.return_full = action == message::DsnAction::kFailed && queue::ReturnsFull(first);
  request.smtputf8 = NoticeNeedsUtf8(first);
  for (const NoticeItem& item : items) {
    message::DsnRecipient recipient;
    recipient.address = item.envelope.recipient;
    recipient.original_recipient = item.envelope.dsn_original_recipient;
    recipient.action = action;
    recipient.status = item.result.status;
    recipient.reason = item.result.text;
    // That it expired is what the status and the dates say; the reason is what kept it waiting.
    if (recipient.reason.starts_with(kExpiredPrefix))
      recipient.reason.erase(0, kExpiredPrefix.size());
    if (!item.result.reply.empty()) {
      StatusOr<mail::Reply> reply = mail::Reply::FromText(item.result.reply, true);
      if (reply.ok()) recipient.reply = *std::move(reply);
    }
    recipient.remote_mta = item.result.remote_host;
    // RFC 3464 §2.3.7: of the last attempt, whenever the notice is written.
    if (item.envelope.last_attempt != absl::InfinitePast())
      recipient.last_attempt = item.envelope.last_attempt;
    if (action == message::DsnAction::kDelayed)
      recipient.will_retry_until = item.envelope.expires();
    request.recipients.push_back(std::move(recipient));
  }
  return message::BuildDsn(request);
}

}  // namespace postern::schedule
