#include "lib/server/wrapped_mail.h"

#include <utility>
#include <vector>

namespace postern::server {
namespace {

// DeliverByLmtp gives one envelope's text to the LMTP server of its action.
rt::Task<schedule::DeliveryResult> DeliverByLmtp(relay::RelayDeliverer* lmtp,
                                                 queue::Envelope envelope,
                                                 std::shared_ptr<const store::Body> text) {
  schedule::DeliveryResult result;
  result.id = envelope.id;
  std::vector<queue::Envelope> one;
  one.push_back(std::move(envelope));
  std::vector<schedule::DeliveryResult> results =
      co_await lmtp->DeliverText(std::move(one), std::move(text));
  if (!results.empty()) result = std::move(results.front());
  co_return result;
}

}  // namespace

deliver::WrappedSink WrappedSinkOf(deliver::LocalDeliverer* local, relay::RelayDeliverer* lmtp) {
  deliver::WrappedSink sink;
  sink.to_mailbox = [local](const queue::Envelope& envelope, deliver::LocalTarget target,
                            std::shared_ptr<const store::Body> text) {
    return local->DeliverText(envelope, std::move(target), std::move(text));
  };
  sink.by_lmtp = [lmtp](queue::Envelope envelope, std::shared_ptr<const store::Body> text) {
    return DeliverByLmtp(lmtp, std::move(envelope), std::move(text));
  };
  sink.recorded = [lmtp](queue::EnvelopeId first) { lmtp->Recorded(first); };
  return sink;
}

}  // namespace postern::server
