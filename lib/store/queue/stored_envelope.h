// Envelopes as they stand in the column `data`: encoded, and sealed where there is a key.
#pragma once

#include <string>
#include <string_view>

#include "lib/core/queue/envelope.h"
#include "lib/store/queue/queue.h"
#include "lib/store/queue/spool_seal.h"

namespace postern::store {

inline const SpoolSeal& SealOf(const QueueOptions& options) {
  return options.seal ? *options.seal : SpoolSeal::Plain();
}

// StoredEnvelope is `envelope` for the table.
inline std::string StoredEnvelope(const QueueOptions& options, const queue::Envelope& envelope) {
  return SealOf(options).SealEnvelope(envelope.id, queue::EncodeEnvelope(envelope));
}

// ReadEnvelope reads it back. kDataLoss: it is not what was written; kFailedPrecondition: it takes
// another key.
inline StatusOr<queue::Envelope> ReadEnvelope(const QueueOptions& options, queue::EnvelopeId id,
                                              std::string_view data) {
  if (!IsSealed(data)) return queue::DecodeEnvelope(data);
  const StatusOr<std::string> open =
      SealOf(options).Open(SealedKind::kEnvelope, id, data, kMostEnvelopeOctets);
  if (open.ok()) return queue::DecodeEnvelope(*open);
  if (open.status().code() == StatusCode::kInvalidArgument)
    return DataLoss(std::string(Message(open.status())));
  return open.status();
}

}  // namespace postern::store
