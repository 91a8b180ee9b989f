// What is sent: the message as its action wants it to go out, past the action's filter.
#include <utility>

#include "lib/core/queue/bounce.h"
#include "lib/service/relay/made_reply.h"
#include "lib/service/relay/relay_deliverer.h"

namespace postern::relay {

using schedule::DeliveryResult;

namespace {

// SenderFor applies `mail-from`: the null sender stays as it is.
mail::ReversePath SenderFor(const RelaySettings& settings, const queue::Envelope& envelope) {
  mail::ReversePath sender = envelope.sender;
  if (settings.mail_from.empty() || sender.address.empty()) return sender;
  if (settings.mail_from.front() == '@') {
    sender.address.domain = settings.mail_from.substr(1);
  } else if (StatusOr<mail::Address> address = mail::ParseAddress(settings.mail_from);
             address.ok()) {
    sender.address = *std::move(address);
  }
  return sender;
}

// RecipientFor gives `envelope` as a recipient of the next server.
mail::ForwardPath RecipientFor(const RelaySettings& settings, const queue::Envelope& envelope) {
  mail::ForwardPath path;
  path.address = settings.to_account ? mail::Address{envelope.user, ""} : envelope.destination;
  // The success of an alias is ours to tell, not that of one of its members.
  path.dsn_notify =
      envelope.expanded ? queue::NotifyWithoutSuccess(envelope.dsn_notify) : envelope.dsn_notify;
  path.dsn_original_recipient = envelope.dsn_original_recipient;
  return path;
}

}  // namespace

DeliveryResult::Outcome RelayDeliverer::OutcomeForReply(queue::RelayOutcome outcome) {
  switch (outcome) {
    case queue::RelayOutcome::kDelivered: return DeliveryResult::Outcome::kDelivered;
    case queue::RelayOutcome::kPermanent: return DeliveryResult::Outcome::kPermanent;
    case queue::RelayOutcome::kTemporary: break;
  }
  return DeliveryResult::Outcome::kTemporary;
}

std::vector<DeliveryResult> RelayDeliverer::SameFate(const std::vector<queue::Envelope>& batch,
                                                     const mail::Reply& reply) {
  std::vector<DeliveryResult> results;
  for (const queue::Envelope& envelope : batch) {
    DeliveryResult result;
    result.id = envelope.id;
    result.outcome = OutcomeForReply(queue::OutcomeOf(reply, false));
    result.text = reply.ToString();
    result.status = reply.status;
    results.push_back(std::move(result));
  }
  return results;
}

rt::Task<std::vector<DeliveryResult>> RelayDeliverer::Deliver(std::vector<queue::Envelope> batch) {
  std::shared_ptr<const store::Body> of_queue;
  std::vector<DeliveryResult> results = co_await DeliverText(std::move(batch), of_queue);
  co_return results;
}

rt::Task<std::vector<DeliveryResult>> RelayDeliverer::DeliverText(
    std::vector<queue::Envelope> batch, std::shared_ptr<const store::Body> given) {
  std::vector<DeliveryResult> results;
  if (batch.empty()) co_return results;
  results.reserve(batch.size());  // what was sent wants for no memory
  const queue::EnvelopeId first = batch.front().id;
  StatusOr<RelaySettings> settings =
      co_await loop_.RunOutside([this, &batch] { return routes_.RouteFor(batch.front()); });
  if (!settings.ok()) {
    const StatusCode code = settings.status().code();
    const bool permanent = code == StatusCode::kNotFound || code == StatusCode::kInvalidArgument ||
                           code == StatusCode::kFailedPrecondition;
    co_return SameFate(batch,
                       Made(permanent ? 550 : 451, 4, 4, std::string(Message(settings.status()))));
  }
  auto shared = std::make_shared<const RelaySettings>(*std::move(settings));
  if (shared->wrapped && given == nullptr)
    co_return SameFate(batch, Made(451, 3, 5, "Its action has a wrapper now"));
  if (IsPaused(*shared, batch.front())) {
    Failure paused;
    paused.held_back = "Paused by the operator";
    paused.reply = Made(451, 3, 2, paused.held_back);
    results = ResultsOf(batch, paused);
    for (DeliveryResult& result : results) result.retry_after = options_.paused_wait;
    co_return results;
  }
  StatusOr<std::shared_ptr<const store::Body>> body = given;
  if (given == nullptr) body = co_await queue_.OpenBody(loop_, batch.front().message_id());
  if (!body.ok()) co_return SameFate(batch, Made(451, 3, 0, std::string(Message(body.status()))));

  Outgoing outgoing;
  outgoing.sender = SenderFor(*shared, batch.front());
  outgoing.text = *std::move(body);
  for (const queue::Envelope& envelope : batch) {
    outgoing.recipients.push_back(RecipientFor(*shared, envelope));
    outgoing.envelopes.push_back(envelope.id);
  }
  if (shared->filter) {
    queue::Envelope about = batch.front();
    OutgoingVerdict verdict = co_await shared->filter(std::move(about), std::move(outgoing));
    outgoing = std::move(verdict.outgoing);
    std::vector<queue::Envelope> going;
    std::vector<mail::ForwardPath> recipients;
    for (size_t i = 0; i < batch.size(); ++i) {
      if (i >= verdict.fates.size() || i >= outgoing.recipients.size()) continue;  // tried again
      if (!verdict.fates[i].has_value()) {
        going.push_back(std::move(batch[i]));
        recipients.push_back(std::move(outgoing.recipients[i]));
        continue;
      }
      DeliveryResult result;
      result.id = batch[i].id;
      // A filter's word is as good as a server's.
      result.outcome = OutcomeForReply(queue::OutcomeOf(*verdict.fates[i], true));
      result.text = verdict.fates[i]->ToString();
      result.status = verdict.fates[i]->status;
      results.push_back(std::move(result));
    }
    if (going.empty()) co_return results;
    batch = std::move(going);
    outgoing.recipients = std::move(recipients);
  }
  smtp::OutgoingMessage message;
  message.reverse_path = std::move(outgoing.sender);
  message.reverse_path.declared_size_bytes = outgoing.text->size_bytes();
  message.recipients = std::move(outgoing.recipients);
  std::vector<DeliveryResult> carried = co_await Carry(
      std::move(batch), std::move(shared), std::move(message), std::move(outgoing.text), first);
  for (DeliveryResult& result : carried) results.push_back(std::move(result));
  co_return results;
}

}  // namespace postern::relay
