#include "lib/store/queue/spool_reader.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/queue/spool_rows.h"
#include "lib/store/queue/stored_body.h"
#include "lib/store/queue/stored_envelope.h"

namespace postern::store {

using queue::Envelope;
using queue::EnvelopeId;
using queue::MessageId;
using sqlite::Statement;

namespace {

constexpr int kMaxRowBytes = 64 << 20;  // beyond any text that stands in its row
constexpr char kDatabase[] = "/queue.db";

// ReadRow makes an envelope of a row of kEnvelopeColumns; kDataLoss: it cannot be one.
StatusOr<Envelope> ReadRow(const QueueOptions& options, const Statement& row) {
  const auto id = static_cast<EnvelopeId>(row.Int(0));
  const std::string_view data = row.Blob(4);
  if (Checksum(data) != static_cast<uint32_t>(row.Int(3)))
    return DataLoss("checksum of the envelope is wrong");
  StatusOr<Envelope> envelope = ReadEnvelope(options, id, data);
  if (!envelope.ok()) return envelope;
  envelope->id = id;
  envelope->next_attempt = absl::FromUnixMicros(row.Int(1));
  envelope->held = row.Int(2) != kScheduled;
  return envelope;
}

}  // namespace

SpoolReader::SpoolReader(rt::Files& files, std::string spool, const QueueOptions& options)
    : files_(files), spool_(std::move(spool)), options_(options) {}

StatusOr<std::unique_ptr<sqlite::Database>> SpoolReader::Open() {
  const std::string path = spool_ + kDatabase;
  sqlite::QueryOptions query;
  query.max_value_bytes = kMaxRowBytes;
  // A log with nothing in it is what a server leaves that was stopped: nothing need be made then.
  const StatusOr<rt::FileInfo> log = files_.Stat(path + "-wal");
  query.immutable = !log.ok() || log->size_bytes == 0;
  return sqlite::Database::OpenForQueries(files_, path, query);
}

StatusOr<SpoolReader::Page> SpoolReader::List(const ListRequest& request) {
  StatusOr<std::unique_ptr<sqlite::Database>> database = Open();
  if (!database.ok()) return database.status();
  StatusOr<Statement> query = (*database)->Prepare(
      StrCat(kEnvelopeColumns, "WHERE evpid > ? AND evpid <= ? ORDER BY evpid LIMIT ?"));
  if (!query.ok()) return query.status();
  // Rows are in the order of signed numbers, ids are unsigned: the lower half comes first.
  constexpr uint64_t kHalf = uint64_t{1} << 63;
  Page page;
  uint64_t last = UINT64_MAX;
  page.last = request.after;
  if (request.message.has_value()) {
    page.last = std::max(page.last, queue::MakeEnvelopeId(*request.message, 0) - 1);
    last = queue::MakeEnvelopeId(*request.message, UINT32_MAX);
  }
  size_t rows = 0;
  while (page.last < last && rows < request.limit) {
    const uint64_t end = page.last < kHalf - 1 ? std::min(last, kHalf - 1) : last;
    const int64_t begin = page.last == kHalf - 1 ? INT64_MIN : Signed(page.last);
    query->Bind(1, begin).Bind(2, Signed(end)).Bind(3, static_cast<int64_t>(request.limit - rows));
    (*database)->BeginQuery();
    for (;;) {
      const StatusOr<bool> more = query->Step();
      if (!more.ok()) return more.status();
      if (!*more) break;
      ++rows;
      page.last = static_cast<EnvelopeId>(query->Int(0));
      StatusOr<Envelope> envelope = ReadRow(options_, *query);
      if (envelope.ok()) {
        page.envelopes.push_back(*std::move(envelope));
      } else if (envelope.status().code() == StatusCode::kFailedPrecondition) {
        return envelope.status();
      } else {
        page.unreadable.push_back(page.last);
      }
    }
    if (rows < request.limit) page.last = end;
  }
  page.end = page.last >= last;
  return page;
}

StatusOr<Envelope> SpoolReader::Get(EnvelopeId id) {
  StatusOr<std::unique_ptr<sqlite::Database>> database = Open();
  if (!database.ok()) return database.status();
  StatusOr<Statement> query = (*database)->Prepare(StrCat(kEnvelopeColumns, "WHERE evpid = ?"));
  if (!query.ok()) return query.status();
  const StatusOr<bool> row = query->Bind(1, Signed(id)).Step();
  if (!row.ok()) return row.status();
  if (!*row) return NotFound(StrCat("no envelope ", queue::EnvelopeIdText(id)));
  return ReadRow(options_, *query);
}

StatusOr<std::shared_ptr<const Body>> SpoolReader::OpenBody(MessageId id) {
  StoredBody body;
  {
    StatusOr<std::unique_ptr<sqlite::Database>> database = Open();
    if (!database.ok()) return database.status();
    StatusOr<Statement> query =
        (*database)->Prepare("SELECT size, crc, body IS NULL, body FROM message WHERE msgid = ?");
    if (!query.ok()) return query.status();
    const StatusOr<bool> row = query->Bind(1, RowOf(id)).Step();
    if (!row.ok()) return row.status();
    if (!*row) return NotFound(StrCat("no message ", queue::MessageIdText(id)));
    body.size_bytes = static_cast<uint64_t>(query->Int(0));
    body.checksum = static_cast<uint32_t>(query->Int(1));
    body.in_file = query->Int(2) != 0;
    body.body = query->Blob(3);
  }
  StatusOr<std::shared_ptr<const Body>> opened =
      OpenStoredBody(files_, spool_, SealOf(options_), id, std::move(body));
  if (opened.status().code() == StatusCode::kInvalidArgument)
    return DataLoss(
        StrCat("message ", queue::MessageIdText(id), " is damaged: ", Message(opened.status())));
  return opened;
}

}  // namespace postern::store
