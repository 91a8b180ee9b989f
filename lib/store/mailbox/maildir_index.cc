#include "lib/store/mailbox/maildir_index.h"

#include <utility>

#include "lib/core/base/strings.h"

namespace postern::mailbox {
namespace {

// File names are octets, not text: they are kept as blobs.
constexpr const char* kSchema[] = {
    "CREATE TABLE folder(id INTEGER PRIMARY KEY, folder BLOB NOT NULL UNIQUE, uid_validity INTEGER "
    "NOT NULL,"
    " uid_next INTEGER NOT NULL, highest_modseq INTEGER NOT NULL, vanished_floor INTEGER NOT NULL,"
    " new_time_ns INTEGER NOT NULL, cur_time_ns INTEGER NOT NULL, recheck_ns INTEGER NOT NULL);"
    "CREATE TABLE message(folder INTEGER NOT NULL, uid INTEGER NOT NULL, modseq INTEGER NOT NULL, "
    "flags INTEGER NOT NULL,"
    " keywords INTEGER NOT NULL, date_s INTEGER NOT NULL, size INTEGER NOT NULL, in_new INTEGER "
    "NOT NULL,"
    " base BLOB NOT NULL, suffix BLOB NOT NULL, PRIMARY KEY(folder, uid)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX message_base ON message(folder, base);"
    "CREATE INDEX message_modseq ON message(folder, modseq);"
    "CREATE INDEX message_new ON message(folder, uid) WHERE in_new = 1;"
    "CREATE TABLE vanished(folder INTEGER NOT NULL, modseq INTEGER NOT NULL, uid INTEGER NOT NULL,"
    " PRIMARY KEY(folder, modseq, uid)) WITHOUT ROWID;"
    "CREATE TABLE keyword(folder INTEGER NOT NULL, bit INTEGER NOT NULL, name TEXT NOT NULL,"
    " PRIMARY KEY(folder, bit)) WITHOUT ROWID;"
    "CREATE TABLE cache(folder INTEGER NOT NULL, uid INTEGER NOT NULL, kind INTEGER NOT NULL, text "
    "BLOB NOT NULL,"
    " PRIMARY KEY(folder, uid, kind)) WITHOUT ROWID;",
};

enum Which : size_t {
  kFindFolder,
  kFolders,
  kAddFolder,
  kSaveFolder,
  kRenameFolder,
  kFindUid,
  kFindBase,
  kAll,
  kInNew,
  kEachInfo,
  kEachInfoSince,
  kPut,
  kRemove,
  kRemoveCache,
  kAddVanished,
  kVanished,
  kTrimPoint,
  kTrim,
  kKeywords,
  kSetKeyword,
  kTotals,
  kCached,
  kPutCached,
  kWhichCount
};

#define FOLDER_COLUMNS                                                                             \
  "id, folder, uid_validity, uid_next, highest_modseq, vanished_floor, new_time_ns, cur_time_ns, " \
  "recheck_ns"
#define MESSAGE_COLUMNS "uid, modseq, flags, keywords, date_s, size, in_new, base, suffix"

constexpr std::string_view kSql[kWhichCount] = {
    "SELECT " FOLDER_COLUMNS " FROM folder WHERE folder = ?1",
    "SELECT " FOLDER_COLUMNS " FROM folder",
    "INSERT INTO folder(folder, uid_validity, uid_next, highest_modseq, vanished_floor, "
    "new_time_ns, cur_time_ns, recheck_ns)"
    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    "UPDATE folder SET uid_validity = ?2, uid_next = ?3, highest_modseq = ?4, vanished_floor = ?5, "
    "new_time_ns = ?6,"
    " cur_time_ns = ?7, recheck_ns = ?8 WHERE id = ?1",
    "UPDATE folder SET folder = ?2 WHERE id = ?1",
    "SELECT " MESSAGE_COLUMNS " FROM message WHERE folder = ?1 AND uid = ?2",
    "SELECT " MESSAGE_COLUMNS " FROM message WHERE folder = ?1 AND base = ?2",
    "SELECT " MESSAGE_COLUMNS " FROM message WHERE folder = ?1 ORDER BY uid",
    "SELECT " MESSAGE_COLUMNS " FROM message WHERE folder = ?1 AND in_new = 1 ORDER BY uid",
    "SELECT uid, modseq, flags, keywords, date_s, size, in_new FROM message WHERE folder = ?1 "
    "ORDER BY uid",
    "SELECT uid, modseq, flags, keywords, date_s, size, in_new FROM message WHERE folder = ?1 AND "
    "modseq > ?2",
    "INSERT OR REPLACE INTO message(folder, uid, modseq, flags, keywords, date_s, size, in_new, "
    "base, suffix)"
    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    "DELETE FROM message WHERE folder = ?1 AND uid = ?2",
    "DELETE FROM cache WHERE folder = ?1 AND uid = ?2",
    "INSERT OR REPLACE INTO vanished(folder, modseq, uid) VALUES(?1, ?2, ?3)",
    "SELECT uid FROM vanished WHERE folder = ?1 AND modseq > ?2 ORDER BY uid",
    "SELECT modseq FROM vanished WHERE folder = ?1 ORDER BY modseq DESC LIMIT 1 OFFSET ?2",
    "DELETE FROM vanished WHERE folder = ?1 AND modseq <= ?2",
    "SELECT bit, name FROM keyword WHERE folder = ?1",
    "INSERT OR REPLACE INTO keyword(folder, bit, name) VALUES(?1, ?2, ?3)",
    "SELECT count(*), total(in_new), total((flags & 1) = 0), total((flags & 8) != 0), "
    "coalesce(sum(size), 0) FROM message"
    " WHERE folder = ?1",
    "SELECT text FROM cache WHERE folder = ?1 AND uid = ?2 AND kind = ?3",
    "INSERT OR REPLACE INTO cache(folder, uid, kind, text) VALUES(?1, ?2, ?3, ?4)",
};

FolderRow ReadFolder(const sqlite::Statement& row) {
  FolderRow folder;
  folder.id = row.Int(0);
  folder.folder = row.Blob(1);
  folder.uid_validity = static_cast<uint32_t>(row.Int(2));
  folder.uid_next = static_cast<uint32_t>(row.Int(3));
  folder.highest_modseq = static_cast<uint64_t>(row.Int(4));
  folder.vanished_floor = static_cast<uint64_t>(row.Int(5));
  folder.new_time_ns = row.Int(6);
  folder.cur_time_ns = row.Int(7);
  folder.recheck_ns = row.Int(8);
  return folder;
}

MessageInfo ReadInfo(const sqlite::Statement& row) {
  MessageInfo info;
  info.uid = static_cast<uint32_t>(row.Int(0));
  info.modseq = static_cast<uint64_t>(row.Int(1));
  info.flags = static_cast<SystemFlags>(row.Int(2));
  info.keywords = static_cast<KeywordBits>(row.Int(3));
  info.internal_date_s = row.Int(4);
  info.size_bytes = static_cast<uint64_t>(row.Int(5));
  return info;
}

MessageRow ReadMessage(const sqlite::Statement& row) {
  MessageRow message;
  message.info = ReadInfo(row);
  message.in_new = row.Int(6) != 0;
  message.base = row.Blob(7);
  message.suffix = row.Blob(8);
  return message;
}

StatusOr<std::optional<MessageRow>> ReadOne(sqlite::Statement& query) {
  const StatusOr<bool> more = query.Step();
  if (!more.ok()) return more.status();
  std::optional<MessageRow> row;
  if (*more) row = ReadMessage(query);
  query.Reset();
  return row;
}

StatusOr<std::vector<MessageRow>> ReadMany(sqlite::Statement& query) {
  std::vector<MessageRow> rows;
  while (true) {
    const StatusOr<bool> more = query.Step();
    if (!more.ok()) return more.status();
    if (!*more) return rows;
    rows.push_back(ReadMessage(query));
  }
}

}  // namespace

StatusOr<std::unique_ptr<MaildirIndex>> MaildirIndex::Open(rt::Files& files,
                                                           const std::string& path,
                                                           int busy_timeout_ms) {
  sqlite::DatabaseOptions options;
  options.busy_timeout_ms = busy_timeout_ms;
  options.cache_kib = 512;
  for (int attempt = 0;; ++attempt) {
    std::unique_ptr<MaildirIndex> index(new MaildirIndex());
    Status status = OkStatus();
    StatusOr<std::unique_ptr<sqlite::Database>> database =
        sqlite::Database::Open(files, path, options);
    if (database.ok()) {
      index->database_ = std::move(*database);
      index->statements_.resize(kWhichCount);
      status = index->database_->Migrate(kSchema);
      if (status.ok()) return index;
    } else {
      status = database.status();
    }
    if (attempt > 0 || !sqlite::IsCorrupt(status)) return status;
    // The mail is in the files; what is lost is the numbers, and new UIDVALIDITYs say so.
    index.reset();
    const Status moved = files.Rename(path, StrCat(path, ".broken"));
    if (!moved.ok()) return status;
    for (const char* extra : {"-wal", "-shm"}) {
      const Status removed = files.Unlink(StrCat(path, extra));
      if (!removed.ok() && removed.code() != StatusCode::kNotFound) return status;
    }
  }
}

StatusOr<std::unique_ptr<MaildirIndex>> MaildirIndex::OpenCopy(rt::Files& files,
                                                               const std::string& path) {
  StatusOr<std::unique_ptr<sqlite::Database>> database = sqlite::Database::OpenCopy(files, path);
  if (!database.ok()) return database.status();
  std::unique_ptr<MaildirIndex> index(new MaildirIndex());
  index->database_ = std::move(*database);
  index->statements_.resize(kWhichCount);
  POSTERN_RETURN_IF_ERROR(index->database_->Migrate(kSchema));
  return index;
}

StatusOr<sqlite::Statement*> MaildirIndex::Get(size_t which) {
  std::optional<sqlite::Statement>& slot = statements_[which];
  if (!slot) {
    StatusOr<sqlite::Statement> prepared = database_->Prepare(kSql[which]);
    if (!prepared.ok()) return prepared.status();
    slot.emplace(std::move(*prepared));
  }
  slot->Reset();
  return &*slot;
}

StatusOr<std::optional<FolderRow>> MaildirIndex::FindFolder(const std::string& folder) {
  const StatusOr<sqlite::Statement*> query = Get(kFindFolder);
  if (!query.ok()) return query.status();
  (*query)->BindBlob(1, folder);
  const StatusOr<bool> more = (*query)->Step();
  if (!more.ok()) return more.status();
  std::optional<FolderRow> row;
  if (*more) row = ReadFolder(**query);
  (*query)->Reset();
  return row;
}

StatusOr<std::vector<FolderRow>> MaildirIndex::Folders() {
  const StatusOr<sqlite::Statement*> query = Get(kFolders);
  if (!query.ok()) return query.status();
  std::vector<FolderRow> rows;
  while (true) {
    const StatusOr<bool> more = (*query)->Step();
    if (!more.ok()) return more.status();
    if (!*more) return rows;
    rows.push_back(ReadFolder(**query));
  }
}

Status MaildirIndex::AddFolder(FolderRow& row) {
  const StatusOr<sqlite::Statement*> query = Get(kAddFolder);
  if (!query.ok()) return query.status();
  (*query)->BindBlob(1, row.folder).Bind(2, row.uid_validity).Bind(3, row.uid_next);
  (*query)
      ->Bind(4, static_cast<int64_t>(row.highest_modseq))
      .Bind(5, static_cast<int64_t>(row.vanished_floor));
  (*query)->Bind(6, row.new_time_ns).Bind(7, row.cur_time_ns).Bind(8, row.recheck_ns);
  POSTERN_RETURN_IF_ERROR((*query)->Run());
  row.id = database_->last_insert_rowid();
  return OkStatus();
}

Status MaildirIndex::SaveFolder(const FolderRow& row) {
  const StatusOr<sqlite::Statement*> query = Get(kSaveFolder);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, row.id).Bind(2, row.uid_validity).Bind(3, row.uid_next);
  (*query)
      ->Bind(4, static_cast<int64_t>(row.highest_modseq))
      .Bind(5, static_cast<int64_t>(row.vanished_floor));
  (*query)->Bind(6, row.new_time_ns).Bind(7, row.cur_time_ns).Bind(8, row.recheck_ns);
  return (*query)->Run();
}

Status MaildirIndex::RenameFolder(int64_t id, const std::string& folder) {
  const StatusOr<sqlite::Statement*> query = Get(kRenameFolder);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, id).BindBlob(2, folder);
  return (*query)->Run();
}

Status MaildirIndex::DeleteFolder(int64_t id) {
  POSTERN_RETURN_IF_ERROR(DeleteMessages(id));
  return database_->Execute(
      StrCat("DELETE FROM keyword WHERE folder = ", id, "; DELETE FROM folder WHERE id = ", id));
}

Status MaildirIndex::DeleteMessages(int64_t id) {
  return database_->Execute(StrCat("DELETE FROM message WHERE folder = ", id,
                                   "; DELETE FROM vanished WHERE folder = ", id,
                                   "; DELETE FROM cache WHERE folder = ", id));
}

StatusOr<std::optional<MessageRow>> MaildirIndex::FindUid(int64_t folder, uint32_t uid) {
  const StatusOr<sqlite::Statement*> query = Get(kFindUid);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, folder).Bind(2, uid);
  return ReadOne(**query);
}

StatusOr<std::optional<MessageRow>> MaildirIndex::FindBase(int64_t folder, std::string_view base) {
  const StatusOr<sqlite::Statement*> query = Get(kFindBase);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, folder).BindBlob(2, base);
  return ReadOne(**query);
}

StatusOr<std::vector<MessageRow>> MaildirIndex::All(int64_t folder) {
  const StatusOr<sqlite::Statement*> query = Get(kAll);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, folder);
  return ReadMany(**query);
}

StatusOr<std::vector<MessageRow>> MaildirIndex::InNew(int64_t folder) {
  const StatusOr<sqlite::Statement*> query = Get(kInNew);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, folder);
  return ReadMany(**query);
}

Status MaildirIndex::EachInfo(int64_t folder, uint64_t since,
                              const std::function<void(const MessageInfo&, bool in_new)>& visit) {
  const StatusOr<sqlite::Statement*> query = Get(since == 0 ? kEachInfo : kEachInfoSince);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, folder);
  if (since != 0) (*query)->Bind(2, static_cast<int64_t>(since));
  while (true) {
    const StatusOr<bool> more = (*query)->Step();
    if (!more.ok()) return more.status();
    if (!*more) return OkStatus();
    visit(ReadInfo(**query), (*query)->Int(6) != 0);
  }
}

Status MaildirIndex::Put(int64_t folder, const MessageRow& row) {
  const StatusOr<sqlite::Statement*> query = Get(kPut);
  if (!query.ok()) return query.status();
  (*query)
      ->Bind(1, folder)
      .Bind(2, row.info.uid)
      .Bind(3, static_cast<int64_t>(row.info.modseq))
      .Bind(4, row.info.flags);
  (*query)->Bind(5, static_cast<int64_t>(row.info.keywords)).Bind(6, row.info.internal_date_s);
  (*query)->Bind(7, static_cast<int64_t>(row.info.size_bytes)).Bind(8, row.in_new ? 1 : 0);
  (*query)->BindBlob(9, row.base).BindBlob(10, row.suffix);
  return (*query)->Run();
}

Status MaildirIndex::Remove(int64_t folder, uint32_t uid, uint64_t modseq) {
  for (const Which which : {kRemove, kRemoveCache}) {
    const StatusOr<sqlite::Statement*> query = Get(which);
    if (!query.ok()) return query.status();
    (*query)->Bind(1, folder).Bind(2, uid);
    POSTERN_RETURN_IF_ERROR((*query)->Run());
  }
  const StatusOr<sqlite::Statement*> query = Get(kAddVanished);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, folder).Bind(2, static_cast<int64_t>(modseq)).Bind(3, uid);
  return (*query)->Run();
}

StatusOr<UidSet> MaildirIndex::Vanished(int64_t folder, uint64_t since) {
  const StatusOr<sqlite::Statement*> query = Get(kVanished);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, folder).Bind(2, static_cast<int64_t>(since));
  UidSet uids;
  while (true) {
    const StatusOr<bool> more = (*query)->Step();
    if (!more.ok()) return more.status();
    if (!*more) return uids;
    uids.Add(static_cast<uint32_t>((*query)->Int(0)));
  }
}

Status MaildirIndex::TrimVanished(FolderRow& row, size_t keep) {
  StatusOr<sqlite::Statement*> query = Get(kTrimPoint);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, row.id).Bind(2, static_cast<int64_t>(keep));
  const StatusOr<bool> more = (*query)->Step();
  if (!more.ok()) return more.status();
  if (!*more) return OkStatus();
  const int64_t floor = (*query)->Int(0);
  (*query)->Reset();
  query = Get(kTrim);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, row.id).Bind(2, floor);
  row.vanished_floor = static_cast<uint64_t>(floor);
  return (*query)->Run();
}

StatusOr<KeywordTable> MaildirIndex::Keywords(int64_t folder) {
  const StatusOr<sqlite::Statement*> query = Get(kKeywords);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, folder);
  KeywordTable table;
  while (true) {
    const StatusOr<bool> more = (*query)->Step();
    if (!more.ok()) return more.status();
    if (!*more) return table;
    table.Set(static_cast<size_t>((*query)->Int(0)), (*query)->Text(1));
  }
}

Status MaildirIndex::SetKeyword(int64_t folder, size_t bit, std::string_view name) {
  const StatusOr<sqlite::Statement*> query = Get(kSetKeyword);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, folder).Bind(2, static_cast<int64_t>(bit)).BindText(3, name);
  return (*query)->Run();
}

Status MaildirIndex::Totals(int64_t folder, MailboxStatus& status) {
  const StatusOr<sqlite::Statement*> query = Get(kTotals);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, folder);
  const StatusOr<bool> more = (*query)->Step();
  if (!more.ok()) return more.status();
  status.messages = static_cast<uint32_t>((*query)->Int(0));
  status.recent = static_cast<uint32_t>((*query)->Int(1));
  status.unseen = static_cast<uint32_t>((*query)->Int(2));
  status.deleted = static_cast<uint32_t>((*query)->Int(3));
  status.size_bytes = static_cast<uint64_t>((*query)->Int(4));
  (*query)->Reset();
  return OkStatus();
}

StatusOr<std::optional<std::string>> MaildirIndex::Cached(int64_t folder, uint32_t uid,
                                                          CacheKind kind) {
  const StatusOr<sqlite::Statement*> query = Get(kCached);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, folder).Bind(2, uid).Bind(3, static_cast<int>(kind));
  const StatusOr<bool> more = (*query)->Step();
  if (!more.ok()) return more.status();
  std::optional<std::string> text;
  if (*more) text.emplace((*query)->Blob(0));
  (*query)->Reset();
  return text;
}

Status MaildirIndex::PutCached(int64_t folder, uint32_t uid, CacheKind kind,
                               std::string_view text) {
  const StatusOr<sqlite::Statement*> query = Get(kPutCached);
  if (!query.ok()) return query.status();
  (*query)->Bind(1, folder).Bind(2, uid).Bind(3, static_cast<int>(kind)).BindBlob(4, text);
  return (*query)->Run();
}

}  // namespace postern::mailbox
