// SpoolDatabase: whether each message is in exactly one state, a few rows at a time.

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/queue/spool_database.h"
#include "lib/store/queue/spool_handle.h"
#include "lib/store/queue/spool_rows.h"
#include "lib/store/queue/stored_envelope.h"

namespace postern::store {

using queue::EnvelopeId;
using queue::MessageId;
using sqlite::Statement;

void SpoolDatabase::Count() noexcept {
  const bool walking = walk_.begun && !walk_.messages;
  for (const CountedRow& each : counting_) {
    const bool behind = walking && each.row <= walk_.after;
    if (!each.fate) {
      ++sum_.accepted;
      if (behind) ++walk_.counted;
      continue;
    }
    switch (*each.fate) {
      case Change::Fate::kRemoved: ++sum_.removed; break;
      case Change::Fate::kDelivered: ++sum_.delivered; break;
      case Change::Fate::kFailed: ++sum_.failed; break;
    }
    if (behind) --walk_.counted;
  }
  counting_.clear();
}

StatusOr<AuditPart> SpoolDatabase::Audit(size_t rows) {
  POSTERN_RETURN_IF_ERROR(Ready());
  if (!walk_.begun) {
    walk_ = AuditWalk();
    walk_.begun = true;
    // The least number is no row: an id has 32 random bits that are not 0 at its end.
    walk_.after = INT64_MIN;
  }
  AuditPart part;
  // What an exception leaves in the middle of its rows is not a count.
  struct Whole {
    AuditWalk* walk;
    ~Whole() {
      if (walk != nullptr) *walk = AuditWalk();
    }
  } whole{&walk_};
  const StatusOr<bool> more =
      walk_.messages ? AuditMessages(rows, &part) : AuditEnvelopes(rows, &part);
  whole.walk = nullptr;
  if (!more.ok()) return Watch(more.status());
  if (*more) return part;
  if (!walk_.messages) {
    // All that was written since the walk began is in the count: it is of this moment.
    sum_.queued = walk_.counted;
    if (!std::exchange(sum_is_based_, true)) {
      sum_.queued_before =
          sum_.queued + sum_.delivered + sum_.failed + sum_.removed - sum_.accepted;
    }
    audited_ = sum_;
    // A sum that does not hold is told once, not at each walk from now on.
    if (!sum_.Holds()) sum_is_based_ = false;
    walk_.messages = true;
    walk_.after = 0;
    return part;
  }
  part.sum = audited_;
  walk_ = AuditWalk();
  return part;
}

StatusOr<bool> SpoolDatabase::AuditEnvelopes(size_t rows, AuditPart* part) {
  struct Seen {
    int64_t row, next, destination;
    bool scheduled;
  };
  std::vector<Seen> seen;
  std::vector<EnvelopeId> damaged;
  Statement& query = handle_->audit_envelopes;
  query.Bind(1, walk_.after).Bind(2, static_cast<int64_t>(rows));
  for (;;) {
    const StatusOr<bool> row = query.Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    const int64_t state = query.Int(2);
    seen.push_back(Seen{query.Int(0), query.Int(1), query.Int(3), state == kScheduled});
    const std::string_view data = query.Blob(5);
    if (state != kParked &&
        (Checksum(data) != static_cast<uint32_t>(query.Int(4)) ||
         ReadEnvelope(options_, static_cast<EnvelopeId>(query.Int(0)), data).status().code() ==
             StatusCode::kDataLoss))
      damaged.push_back(static_cast<EnvelopeId>(query.Int(0)));
  }
  query.Reset();
  ParkEnvelopes(damaged);
  MessageId last = 0;
  for (const Seen& each : seen) {
    const auto id = static_cast<EnvelopeId>(each.row);
    // What was parked just now left the schedule.
    const bool scheduled =
        each.scheduled && std::find(damaged.begin(), damaged.end(), id) == damaged.end();
    if (scheduled) {
      Statement& due = handle_->audit_due;
      const StatusOr<bool> there =
          due.Bind(1, each.next).Bind(2, each.destination).Bind(3, each.row).Step();
      due.Reset();
      if (!there.ok()) return there.status();
      // An envelope that no search for what is due would find: the index is broken, not the row.
      if (!*there) {
        return DataLoss(StrCat("damaged database: ", path_, ": envelope ",
                               queue::EnvelopeIdText(id), " is not in the schedule"));
      }
    }
    const MessageId message = queue::MessageIdOf(id);
    if (message == last) continue;
    last = message;
    const StatusOr<bool> there = HasMessage(message);
    if (!there.ok()) return there.status();
    if (!*there)
      part->findings.push_back({"envelope without its message", queue::EnvelopeIdText(id)});
  }
  part->rows = seen.size();
  walk_.counted += seen.size();
  if (!seen.empty()) walk_.after = seen.back().row;
  return seen.size() == rows;
}

StatusOr<bool> SpoolDatabase::AuditMessages(size_t rows, AuditPart* part) {
  std::vector<int64_t> seen;
  Statement& query = handle_->audit_messages;
  query.Bind(1, walk_.after).Bind(2, static_cast<int64_t>(rows));
  for (;;) {
    const StatusOr<bool> row = query.Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    seen.push_back(query.Int(0));
  }
  query.Reset();
  for (const int64_t row : seen) {
    const auto id = static_cast<MessageId>(row);
    Statement& rest = handle_->rest;
    rest.Bind(1, Signed(queue::MakeEnvelopeId(id, 0)))
        .Bind(2, Signed(queue::MakeEnvelopeId(id, UINT32_MAX)));
    const StatusOr<bool> there = rest.Step();
    rest.Reset();
    if (!there.ok()) return there.status();
    if (!*there)
      part->findings.push_back({"message without an envelope", queue::MessageIdText(id)});
  }
  part->rows = seen.size();
  if (!seen.empty()) walk_.after = seen.back();
  return seen.size() == rows;
}

}  // namespace postern::store
