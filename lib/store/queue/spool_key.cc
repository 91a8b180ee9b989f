// QueueCore and SpoolDatabase: which key a queue is encrypted with.

#include "lib/core/base/strings.h"
#include "lib/store/queue/spool_handle.h"
#include "lib/store/queue/sqlite_queue.h"

namespace postern::store {

StatusOr<bool> SpoolDatabase::HasSealedEnvelopes() {
  POSTERN_RETURN_IF_ERROR(Ready());
  StatusOr<sqlite::Statement> query =
      handle_->database->Prepare("SELECT 1 FROM envelope WHERE substr(data, 1, ?) = ? LIMIT 1");
  if (!query.ok()) return query.status();
  query->Bind(1, static_cast<int64_t>(kSealMagic.size())).BindBlob(2, kSealMagic);
  StatusOr<bool> row = query->Step();
  if (!row.ok()) return Watch(row.status());
  return row;
}

// The name of the key stands in `spool/key-id` from before the first record is written with it
// until a start without it finds none: a million envelopes are looked at only when the key is
// another one.
Status QueueCore::KeepKeyId() {
  const std::string path = spool_ + "/key-id";
  const std::string& ours = seal().key_id();
  std::string theirs;
  if (const StatusOr<std::string> read = rt::ReadFile(world_.files(), path, 256); read.ok()) {
    theirs = Trim(std::string_view(*read));
  } else if (read.status().code() != StatusCode::kNotFound) {
    return Annotate(read.status(), path);
  }
  if (ours == theirs) return OkStatus();
  if (!theirs.empty()) {
    const StatusOr<bool> any = database_->HasSealedEnvelopes();
    if (!any.ok()) return any.status();
    if (*any) {
      return FailedPrecondition(StrCat(
          spool_, " holds mail that is encrypted with the key ", Escape(theirs, 40), "; ",
          ours.empty() ? std::string("the configuration has no key")
                       : StrCat("the configuration's key is ", ours),
          ". Nothing is lost: start with that key until the queue is empty, then change it"));
    }
  }
  if (ours.empty()) return world_.files().Unlink(path);
  return Annotate(rt::WriteFileDurably(world_.files(), path, ours + "\n", 0600), path);
}

}  // namespace postern::store
