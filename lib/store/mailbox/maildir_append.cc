// APPEND to a Maildir: into tmp/ as the octets come, then all at once into the mailbox.

#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/mailbox/crlf.h"
#include "lib/store/mailbox/maildir_account.h"
#include "lib/store/mailbox/maildir_name.h"

namespace postern::mailbox {
namespace {

class MaildirAppender final : public Appender {
 public:
  MaildirAppender(std::shared_ptr<MaildirAccount> account, std::string folder)
      : account_(std::move(account)), folder_(std::move(folder)) {}

  ~MaildirAppender() override {
    for (const Pending& message : messages_) {
      if (!message.placed) UnlinkQuietly(account_->files, message.tmp_path);
    }
  }

  Status StartMessage(const AppendOptions& options) override {
    POSTERN_RETURN_IF_ERROR(FinishText());
    Pending message;
    message.options = options;
    {
      const std::lock_guard<std::mutex> lock(account_->mutex);
      message.tmp_path = StrCat(account_->FolderPath(folder_), "/tmp/",
                                account_->NewBase(std::nullopt, std::nullopt), kLockedMark);
    }
    rt::OpenOptions open;
    open.write = open.create = open.exclusive = true;
    StatusOr<std::unique_ptr<rt::File>> file = account_->files.Open(message.tmp_path, open);
    if (!file.ok()) return file.status();
    message.file = std::move(*file);
    // The lock goes with the process, so that what a killed one leaves is known for that. Where the
    // file system has no locks nobody gets one, and leftovers wait for their time.
    (void)message.file->TryLock();
    messages_.push_back(std::move(message));
    return OkStatus();
  }

  Status Write(std::string_view octets) override {
    POSTERN_CHECK(!messages_.empty());
    POSTERN_RETURN_IF_ERROR(failed_);
    Pending& message = messages_.back();
    text_.clear();
    message.decoder.Append(octets, text_);
    failed_ = Put(message);
    return failed_;
  }

  StatusOr<AppendResult> Commit() override {
    POSTERN_RETURN_IF_ERROR(failed_);
    POSTERN_RETURN_IF_ERROR(FinishText());
    for (Pending& message : messages_) message.file->StartWriteback();
    for (Pending& message : messages_) POSTERN_RETURN_IF_ERROR(message.file->Sync());
    StatusOr<AppendResult> result = AppendResult{};
    {
      const std::lock_guard<std::mutex> lock(account_->mutex);
      result = Place();
    }
    if (result.ok() && !messages_.empty()) account_->Publish(folder_);
    return result;
  }

 private:
  struct Pending {
    AppendOptions options;
    std::string tmp_path;
    std::unique_ptr<rt::File> file;
    LfDecoder decoder;
    CrlfEncoder counter;
    uint64_t file_bytes = 0;
    uint64_t crlf_bytes = 0;
    bool placed = false;
  };

  Status Put(Pending& message) {
    message.crlf_bytes += message.counter.Count(text_);
    if (message.crlf_bytes > account_->options.max_message_bytes)
      return ResourceExhausted("the message is too large");
    POSTERN_RETURN_IF_ERROR(message.file->WriteAt(message.file_bytes, text_));
    message.file_bytes += text_.size();
    return OkStatus();
  }

  Status FinishText() {
    if (messages_.empty()) return OkStatus();
    text_.clear();
    messages_.back().decoder.Finish(text_);
    return text_.empty() ? OkStatus() : Put(messages_.back());
  }

  StatusOr<AppendResult> Place() {
    const StatusOr<FolderRow> found = account_->FindFolder(folder_);
    if (!found.ok()) return found.status();
    sqlite::Transaction transaction(account_->index->database());
    POSTERN_RETURN_IF_ERROR(transaction.begun());
    StatusOr<std::optional<FolderRow>> row = account_->index->FindFolder(folder_);
    if (!row.ok()) return row.status();
    if (!*row) return NotFound("no such mailbox");
    std::vector<std::string> made;
    StatusOr<AppendResult> result = PlaceAll(**row, made);
    Status status = result.ok() ? account_->index->SaveFolder(**row) : result.status();
    if (status.ok()) status = transaction.Commit();
    if (status.ok()) return result;
    for (const std::string& path : made) (void)account_->files.Unlink(path);
    return status;
  }

  StatusOr<AppendResult> PlaceAll(FolderRow& row, std::vector<std::string>& made) {
    StatusOr<KeywordTable> table = account_->KeywordsOf(row);
    if (!table.ok()) return table.status();
    AppendResult result;
    result.uid_validity = row.uid_validity;
    MaildirAccount::OwnChange own(*account_, row);
    ++row.highest_modseq;
    const int64_t now_s = absl::ToUnixSeconds(account_->clock.WallNow());
    bool in_new = false;
    bool in_cur = false;
    for (Pending& pending : messages_) {
      POSTERN_RETURN_IF_ERROR(account_->AddKeywords(row, pending.options.flags.keywords, *table));
      MessageRow message;
      message.info.flags = pending.options.flags.system;
      message.info.keywords = table->BitsOf(pending.options.flags);
      message.info.size_bytes = pending.crlf_bytes;
      std::optional<int64_t> date_s;
      if (pending.options.internal_date)
        date_s = absl::ToUnixSeconds(*pending.options.internal_date);
      message.info.internal_date_s = date_s.value_or(now_s);
      message.base = account_->NewBase(pending.crlf_bytes, date_s);
      // Without flags it is new mail like any other; with flags somebody has seen it.
      message.in_new = pending.options.flags.empty();
      if (!message.in_new) {
        message.suffix = FormatSuffix("", message.info.flags,
                                      message.info.keywords & kLetterKeywords, kLetterKeywords);
      }
      (message.in_new ? in_new : in_cur) = true;
      const std::string path = account_->FilePath(folder_, message);
      POSTERN_RETURN_IF_ERROR(account_->files.Rename(pending.tmp_path, path));
      pending.placed = true;
      made.push_back(path);
      POSTERN_RETURN_IF_ERROR(account_->AssignUid(row, message.info));
      POSTERN_RETURN_IF_ERROR(account_->index->Put(row.id, message));
      result.uids.push_back(message.info.uid);
    }
    if (in_new) POSTERN_RETURN_IF_ERROR(account_->SyncFolder(folder_, "/new"));
    if (in_cur) POSTERN_RETURN_IF_ERROR(account_->SyncFolder(folder_, "/cur"));
    own.Done();
    return result;
  }

  std::shared_ptr<MaildirAccount> account_;
  const std::string folder_;
  std::vector<Pending> messages_;
  std::string text_;
  Status failed_ = OkStatus();
};

}  // namespace

std::unique_ptr<Appender> MakeMaildirAppender(std::shared_ptr<MaildirAccount> account,
                                              std::string folder) {
  return std::make_unique<MaildirAppender>(std::move(account), std::move(folder));
}

}  // namespace postern::mailbox
