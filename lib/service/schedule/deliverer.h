// Deliverer: who carries envelopes to where they go. service/deliver implements it for this
// machine, service/relay for others.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/mail/reply.h"
#include "lib/core/queue/envelope.h"
#include "lib/core/queue/schedule.h"
#include "lib/rt/task.h"

namespace postern::schedule {

// AnswerMark stands between our words and a server's in the text of a failure that quotes a reply:
// "454 4.7.0 AUTH failed: the server mx.example answered: 535 5.7.8 no".
inline std::string AnswerMark(std::string_view host) {
  return StrCat(" the server ", host, " answered: ");
}

// DeliveryResult is the fate of one envelope in one attempt.
struct DeliveryResult {
  enum class Outcome : uint8_t {
    kDelivered,  // it is durable there
    kTemporary,  // to be tried again
    kPermanent,  // never to be tried again: a bounce
  };
  queue::EnvelopeId id = 0;
  Outcome outcome = Outcome::kTemporary;
  // text is what is logged as stat= and told in a notice: "Delivered", "250 2.0.0 ok queued as 1",
  // "Network error on destination MXs". One line; anything but printable ASCII is escaped by
  // whoever shows it.
  std::string text;
  mail::EnhancedStatus status;  // empty: 2.0.0, 4.0.0 or 5.0.0 by outcome
  // held_back is not empty where nothing was attempted, and says why: "All routes to destination
  // blocked". `text` and `status` are then what others met with there, and are told only of an
  // envelope that has no error of its own. kTemporary only.
  std::string held_back;
  // For relays.
  std::string remote_host;  // name of the server that answered, for logs and Remote-MTA; empty when
                            // there was none
  std::string remote_address;  // its address, as in relay="192.0.2.1 (host)"
  std::string source_address;  // ours
  // its reply as it stands in Diagnostic-Code: "550 5.1.1 no such user"; empty when none. `text` is
  // the same, or ends with AnswerMark(remote_host) and it.
  std::string reply;
  // before_message: the reply was to the connection, to EHLO, STARTTLS or AUTH: no word about this
  // recipient, who may be tried again as soon as another was taken there
  bool before_message = false;
  // it has taken over NOTIFY (RFC 3461 §5.2.2): we send no notice of success
  bool remote_reports_dsn = false;
  // retry_after asks for an earlier (or later) attempt than the schedule's; unset: the schedule's.
  std::optional<Duration> retry_after;
};

// Deliverer runs on the scheduler's loop.
class Deliverer {
 public:
  virtual ~Deliverer() = default;

  // Batching tells how envelopes are put together for Deliver: relays get the recipients of one
  // message at one destination, mailboxes many messages at once.
  virtual queue::ReadyQueue::BatchRule Batching() const = 0;
  // max_batches is how many calls of Deliver may run at the same time.
  virtual size_t max_batches() const = 0;
  // batch_interval is how long a batch that is not full waits after the start of the one before,
  // which had `previous` envelopes: where a batch costs the disk as much as a single delivery, a
  // stream of mail is better off in a few. The first of a stream never waits.
  virtual Duration batch_interval(size_t previous) const {
    (void)previous;
    return absl::ZeroDuration();
  }

  // Deliver attempts each envelope of `batch` once and returns one result for each, in any order;
  // one that is missing counts as temporary. Everything but kDelivered must leave nothing that a
  // later attempt would repeat. It must end by itself: its waits have deadlines, and Stop shortens
  // them.
  virtual rt::Task<std::vector<DeliveryResult>> Deliver(std::vector<queue::Envelope> batch) = 0;

  // Recorded tells that what Deliver said of the batch whose first envelope was `first` is durable
  // in the queue, or that the scheduler stops before it is. Until then the deliverer keeps back
  // what the batch was delivered with: a connection must not carry the next message while a crash
  // would still repeat this one. It is called once for each Deliver.
  virtual void Recorded(queue::EnvelopeId first) { (void)first; }
  // keeps_back tells whether Recorded matters; where it does not, nothing waits for the record.
  virtual bool keeps_back() const { return false; }

  // Stop asks running deliveries to end soon; those that cannot finish give kTemporary. Idempotent.
  virtual void Stop() = 0;
};

}  // namespace postern::schedule
