// SpoolDatabase: what is asked of the tables, and what is parked for what the answer shows.

#include <algorithm>
#include <iterator>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/queue/spool_database.h"
#include "lib/store/queue/spool_handle.h"
#include "lib/store/queue/spool_rows.h"
#include "lib/store/queue/stored_envelope.h"

namespace postern::store {

using queue::Envelope;
using queue::EnvelopeId;
using queue::MessageId;
using sqlite::Statement;

StatusOr<std::vector<Envelope>> SpoolDatabase::Collect(Statement& query, size_t limit) {
  std::vector<Envelope> found;
  std::vector<EnvelopeId> damaged;
  while (found.size() < limit) {
    const StatusOr<bool> more = query.Step();
    if (!more.ok()) return Watch(more.status());
    if (!*more) break;
    const auto id = static_cast<EnvelopeId>(query.Int(0));
    const std::string_view data = query.Blob(4);
    StatusOr<Envelope> envelope = DataLoss("checksum of the envelope is wrong");
    if (Checksum(data) == static_cast<uint32_t>(query.Int(3)))
      envelope = ReadEnvelope(options_, id, data);
    if (envelope.status().code() == StatusCode::kFailedPrecondition) {
      query.Reset();
      return envelope.status();
    }
    if (!envelope.ok()) {
      if (query.Int(2) != kParked) damaged.push_back(id);
      continue;
    }
    envelope->id = id;
    envelope->next_attempt = absl::FromUnixMicros(query.Int(1));
    envelope->held = query.Int(2) != kScheduled;
    found.push_back(*std::move(envelope));
  }
  query.Reset();
  ParkEnvelopes(damaged);
  return found;
}

void SpoolDatabase::ParkEnvelopes(const std::vector<EnvelopeId>& damaged) {
  for (const EnvelopeId id : damaged) {
    (void)Watch(handle_->park.Bind(1, Signed(id)).Bind(2, Signed(id)).Run());
    LogRecord record;
    record.level = LogLevel::kError;
    record.subsystem = "queue";
    record.event = "envelope damaged on disk, parked";
    record.fields.push_back(LogField{"evpid", queue::EnvelopeIdText(id)});
    log_.Write(record);
  }
}

StatusOr<std::vector<Envelope>> SpoolDatabase::LoadDue(const DueRequest& request) {
  POSTERN_RETURN_IF_ERROR(Ready());
  if (request.except_destinations.empty()) {
    return Collect(handle_->due.Bind(1, Micros(request.now)), request.limit);
  }
  // With crowded destinations the index alone decides (it holds `dest`), so that passing over a
  // hundred thousand rows of one dead host reads none of them.
  std::string keys;
  for (const uint64_t key : request.except_destinations)
    StrAppend(keys, keys.empty() ? "" : ",", Signed(key));
  StatusOr<Statement> query = handle_->database->Prepare(
      StrCat(kEnvelopeColumns, "WHERE state = 0 AND next <= ? AND dest NOT IN (", keys,
             ") ORDER BY next"));
  if (!query.ok()) return query.status();
  return Collect(query->Bind(1, Micros(request.now)), request.limit);
}

StatusOr<WallTime> SpoolDatabase::NextDue(WallTime after) {
  POSTERN_RETURN_IF_ERROR(Ready());
  Statement& query = handle_->next_due;
  const StatusOr<bool> row = query.Bind(1, Micros(after)).Step();
  if (!row.ok()) return Watch(row.status());
  const WallTime next =
      !*row || query.IsNull(0) ? absl::InfiniteFuture() : absl::FromUnixMicros(query.Int(0));
  query.Reset();
  return next;
}

StatusOr<std::vector<Envelope>> SpoolDatabase::LoadDeferred(uint64_t destination_key,
                                                            size_t limit) {
  POSTERN_RETURN_IF_ERROR(Ready());
  return Collect(handle_->deferred.Bind(1, Signed(destination_key)), limit);
}

StatusOr<Envelope> SpoolDatabase::Get(EnvelopeId id) {
  POSTERN_RETURN_IF_ERROR(Ready());
  StatusOr<std::vector<Envelope>> found = Collect(handle_->get.Bind(1, Signed(id)), 1);
  if (!found.ok()) return found.status();
  if (found->empty()) return NotFound(StrCat("no envelope ", queue::EnvelopeIdText(id)));
  return std::move(found->front());
}

StatusOr<std::vector<Envelope>> SpoolDatabase::List(const ListRequest& request) {
  POSTERN_RETURN_IF_ERROR(Ready());
  // Rows are in the order of signed numbers, ids are unsigned: the lower half of the ids is listed
  // first, then the upper.
  std::vector<Envelope> found;
  constexpr uint64_t kHalf = uint64_t{1} << 63;
  uint64_t after = request.after;
  uint64_t last = UINT64_MAX;
  if (request.message) {
    const EnvelopeId first = queue::MakeEnvelopeId(*request.message, 0);
    after = std::max(after, first - 1);
    last = queue::MakeEnvelopeId(*request.message, UINT32_MAX);
  }
  while (found.size() < request.limit && after < last) {
    const uint64_t end = after < kHalf - 1 ? std::min(last, kHalf - 1) : last;
    // Ids from 2^63 on are negative numbers; the one before the first of them is the smallest there
    // is, which is no id.
    const int64_t begin = after == kHalf - 1 ? INT64_MIN : Signed(after);
    StatusOr<std::vector<Envelope>> part =
        Collect(handle_->list.Bind(1, begin).Bind(2, Signed(end)), request.limit - found.size());
    if (!part.ok()) return part.status();
    std::move(part->begin(), part->end(), std::back_inserter(found));
    after = end;
  }
  return found;
}

StatusOr<QueueCounts> SpoolDatabase::Counts() {
  POSTERN_RETURN_IF_ERROR(Ready());
  StatusOr<Statement> query = handle_->database->Prepare(
      "SELECT (SELECT count(*) FROM message), count(*), sum(state = 1), sum(state = 2) FROM "
      "envelope");
  if (!query.ok()) return query.status();
  const StatusOr<bool> row = query->Step();
  if (!row.ok()) return Watch(row.status());
  QueueCounts counts;
  counts.messages = static_cast<uint64_t>(query->Int(0));
  counts.envelopes = static_cast<uint64_t>(query->Int(1));
  counts.held = static_cast<uint64_t>(query->Int(2));
  counts.parked = static_cast<uint64_t>(query->Int(3));
  return counts;
}

StatusOr<StoredBody> SpoolDatabase::ReadBody(MessageId id) {
  POSTERN_RETURN_IF_ERROR(Ready());
  Statement& query = handle_->body;
  const StatusOr<bool> row = query.Bind(1, RowOf(id)).Step();
  if (!row.ok()) return Watch(row.status());
  if (!*row) return NotFound(StrCat("no message ", queue::MessageIdText(id)));
  StoredBody body;
  body.size_bytes = static_cast<uint64_t>(query.Int(0));
  body.checksum = static_cast<uint32_t>(query.Int(1));
  body.in_file = query.Int(2) != 0;
  body.body = query.Blob(3);
  query.Reset();
  return body;
}

StatusOr<bool> SpoolDatabase::HasMessage(MessageId id) {
  POSTERN_RETURN_IF_ERROR(Ready());
  Statement& query = handle_->has_message;
  const StatusOr<bool> row = query.Bind(1, RowOf(id)).Step();
  if (!row.ok()) return Watch(row.status());
  query.Reset();
  return row;
}

StatusOr<uint16_t> SpoolDatabase::CountEnvelopes(MessageId id) {
  POSTERN_RETURN_IF_ERROR(Ready());
  Statement& query = handle_->count;
  query.Bind(1, Signed(queue::MakeEnvelopeId(id, 0)))
      .Bind(2, Signed(queue::MakeEnvelopeId(id, UINT32_MAX)));
  const StatusOr<bool> row = query.Step();
  if (!row.ok()) return Watch(row.status());
  const int64_t count = *row ? query.Int(0) : 0;
  query.Reset();
  return static_cast<uint16_t>(count);
}

Status SpoolDatabase::Park(MessageId id) {
  POSTERN_RETURN_IF_ERROR(Ready());
  return Watch(handle_->park.Bind(1, Signed(queue::MakeEnvelopeId(id, 0)))
                   .Bind(2, Signed(queue::MakeEnvelopeId(id, UINT32_MAX)))
                   .Run());
}

StatusOr<std::vector<ParkedEnvelope>> SpoolDatabase::Parked(EnvelopeId after, size_t limit) {
  POSTERN_RETURN_IF_ERROR(Ready());
  StatusOr<Statement> query = handle_->database->Prepare(
      "SELECT evpid, crc, data, EXISTS (SELECT 1 FROM message WHERE msgid = (evpid >> 32) & "
      "4294967295) FROM envelope WHERE state = 2 AND (?1 = 0 OR evpid > ?1) ORDER BY evpid LIMIT "
      "?2");
  if (!query.ok()) return query.status();
  query->Bind(1, Signed(after)).Bind(2, static_cast<int64_t>(limit));
  std::vector<ParkedEnvelope> found;
  for (;;) {
    const StatusOr<bool> more = query->Step();
    if (!more.ok()) return Watch(more.status());
    if (!*more) return found;
    ParkedEnvelope& parked = found.emplace_back();
    parked.id = static_cast<EnvelopeId>(query->Int(0));
    parked.has_message = query->Int(3) != 0;
    const std::string_view data = query->Blob(2);
    if (Checksum(data) != static_cast<uint32_t>(query->Int(1))) continue;
    StatusOr<Envelope> envelope = ReadEnvelope(options_, parked.id, data);
    if (!envelope.ok()) continue;
    parked.envelope = *std::move(envelope);
    parked.envelope->id = parked.id;
    parked.envelope->held = true;
  }
}

StatusOr<size_t> SpoolDatabase::Free(const std::vector<EnvelopeId>& ids) {
  POSTERN_RETURN_IF_ERROR(Ready());
  size_t freed = 0;
  for (const EnvelopeId id : ids) {
    const StatusOr<bool> has = HasMessage(queue::MessageIdOf(id));
    if (!has.ok()) return has.status();
    if (!*has) continue;
    StatusOr<Statement> read =
        handle_->database->Prepare("SELECT crc, data FROM envelope WHERE evpid = ? AND state = 2");
    if (!read.ok()) return read.status();
    const StatusOr<bool> row = read->Bind(1, Signed(id)).Step();
    if (!row.ok()) return Watch(row.status());
    const bool sound = *row && Checksum(read->Blob(1)) == static_cast<uint32_t>(read->Int(0)) &&
                       ReadEnvelope(options_, id, read->Blob(1)).ok();
    read->Reset();
    if (!sound) continue;
    StatusOr<Statement> free =
        handle_->database->Prepare("UPDATE envelope SET state = 0 WHERE evpid = ? AND state = 2");
    if (!free.ok()) return free.status();
    POSTERN_RETURN_IF_ERROR(Watch(free->Bind(1, Signed(id)).Run()));
    ++freed;
  }
  return freed;
}

}  // namespace postern::store
