#include "lib/store/mailbox/maildir_store.h"

#include <set>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/mailbox/listing.h"
#include "lib/store/mailbox/maildir_account.h"
#include "lib/store/mailbox/maildir_name.h"

namespace postern::mailbox {
namespace {

constexpr uint64_t kMaxSubscriptionBytes = 4 << 20;
// A deleted mailbox is first renamed to this, which no name leads to, and then emptied.
constexpr std::string_view kDeletedPrefix = "..postern-deleted-";

class MaildirStore final : public MailStore {
 public:
  explicit MaildirStore(std::shared_ptr<MaildirAccount> account) : account_(std::move(account)) {}

  char separator() const override { return '.'; }

  StatusOr<std::vector<MailboxEntry>> List() override {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    const StatusOr<std::set<std::string>> names = Names();
    if (!names.ok()) return names.status();
    const StatusOr<std::set<std::string>> subscribed = Subscribed();
    if (!subscribed.ok()) return subscribed.status();
    return BuildListing(*names, *subscribed, separator());
  }

  Status Create(const std::string& name) override {
    if (!account_->trouble.ok()) return account_->trouble;
    const StatusOr<std::string> canonical = Canonical(name);
    if (!canonical.ok()) return canonical.status();
    const std::lock_guard<std::mutex> lock(account_->mutex);
    const std::string folder = FolderOfName(*canonical);
    if (account_->files.Stat(account_->FolderPath(folder)).ok())
      return AlreadyExists("the mailbox exists");
    const StatusOr<std::set<std::string>> names = Names();
    if (!names.ok()) return names.status();
    if (names->size() >= account_->options.max_mailboxes)
      return ResourceExhausted("too many mailboxes");
    // A row that a folder of this name left behind, removed by another program, would give it old
    // UIDs.
    POSTERN_RETURN_IF_ERROR(Forget(folder));
    POSTERN_RETURN_IF_ERROR(account_->MakeFolder(folder));
    return account_->FindFolder(folder).status();
  }

  Status Delete(const std::string& name) override {
    if (!account_->trouble.ok()) return account_->trouble;
    const StatusOr<std::string> canonical = Canonical(name);
    if (!canonical.ok()) return canonical.status();
    if (*canonical == "INBOX") return InvalidArgument("INBOX cannot be deleted");
    const std::string folder = FolderOfName(*canonical);
    std::string grave;
    {
      const std::lock_guard<std::mutex> lock(account_->mutex);
      const StatusOr<FolderRow> row = account_->FindFolder(folder);
      if (!row.ok()) return row.status();
      grave = StrCat(account_->root, "/", kDeletedPrefix, Hex(account_->random.Next(), 16));
      POSTERN_RETURN_IF_ERROR(account_->files.Rename(account_->FolderPath(folder), grave));
      POSTERN_RETURN_IF_ERROR(account_->files.SyncDirectory(account_->root));
      POSTERN_RETURN_IF_ERROR(Forget(folder));
      RemoveTree(grave, 2);
    }
    account_->Publish(folder);
    return OkStatus();
  }

  Status Rename(const std::string& from, const std::string& to) override {
    if (!account_->trouble.ok()) return account_->trouble;
    const StatusOr<std::string> source = Canonical(from);
    if (!source.ok()) return source.status();
    const StatusOr<std::string> target = Canonical(to);
    if (!target.ok()) return target.status();
    if (*source == "INBOX") return RenameInbox(*target);
    std::vector<std::pair<std::string, std::string>> renames;
    {
      const std::lock_guard<std::mutex> lock(account_->mutex);
      const StatusOr<std::set<std::string>> names = Names();
      if (!names.ok()) return names.status();
      const std::string below = StrCat(*source, ".");
      if (target->starts_with(below)) return InvalidArgument("a mailbox cannot move below itself");
      for (const std::string& name : *names) {
        if (name != *source && !name.starts_with(below)) continue;
        const std::string new_name = StrCat(*target, std::string_view(name).substr(source->size()));
        const StatusOr<std::string> checked = Canonical(new_name);
        if (!checked.ok()) return checked.status();
        if (names->contains(new_name) || new_name == "INBOX")
          return AlreadyExists("the mailbox exists");
        renames.emplace_back(FolderOfName(name), FolderOfName(new_name));
      }
      if (renames.empty()) return NotFound("no such mailbox");
      sqlite::Transaction transaction(account_->index->database());
      POSTERN_RETURN_IF_ERROR(transaction.begun());
      for (const auto& [old_folder, new_folder] : renames) {
        POSTERN_RETURN_IF_ERROR(DropRow(new_folder));
        StatusOr<std::optional<FolderRow>> row = account_->index->FindFolder(old_folder);
        if (!row.ok()) return row.status();
        if (*row) POSTERN_RETURN_IF_ERROR(account_->index->RenameFolder((**row).id, new_folder));
        POSTERN_RETURN_IF_ERROR(account_->files.Rename(account_->FolderPath(old_folder),
                                                       account_->FolderPath(new_folder)));
      }
      POSTERN_RETURN_IF_ERROR(account_->files.SyncDirectory(account_->root));
      POSTERN_RETURN_IF_ERROR(transaction.Commit());
    }
    for (const auto& [old_folder, new_folder] : renames) {
      account_->Publish(old_folder);
      account_->Publish(new_folder);
    }
    return OkStatus();
  }

  Status Subscribe(const std::string& name) override { return ChangeSubscription(name, true); }
  Status Unsubscribe(const std::string& name) override { return ChangeSubscription(name, false); }

  StatusOr<MailboxStatus> GetStatus(const std::string& name) override {
    const StatusOr<std::string> canonical = Canonical(name);
    if (!canonical.ok()) return canonical.status();
    const std::lock_guard<std::mutex> lock(account_->mutex);
    StatusOr<FolderRow> row = account_->FindFolder(FolderOfName(*canonical));
    if (!row.ok()) return row.status();
    const StatusOr<bool> needed = account_->NeedsScan(*row);
    if (!needed.ok()) return needed.status();
    if (*needed) {
      sqlite::Transaction transaction(account_->index->database());
      POSTERN_RETURN_IF_ERROR(transaction.begun());
      row = account_->FindFolder(FolderOfName(*canonical));
      if (!row.ok()) return row.status();
      const StatusOr<MaildirAccount::ScanResult> scanned = account_->Scan(*row, false);
      if (!scanned.ok()) return scanned.status();
      POSTERN_RETURN_IF_ERROR(account_->index->SaveFolder(*row));
      POSTERN_RETURN_IF_ERROR(transaction.Commit());
    }
    MailboxStatus status;
    status.uid_validity = row->uid_validity;
    status.uid_next = row->uid_next;
    status.highest_modseq = row->highest_modseq;
    POSTERN_RETURN_IF_ERROR(account_->index->Totals(row->id, status));
    return status;
  }

  bool is_writable() const override { return account_->trouble.ok(); }

  StatusOr<std::unique_ptr<Mailbox>> Open(const std::string& name, bool read_only) override {
    const StatusOr<std::string> canonical = Canonical(name);
    if (!canonical.ok()) return canonical.status();
    return MakeMaildirMailbox(account_, FolderOfName(*canonical), *canonical,
                              read_only || !account_->trouble.ok());
  }

  StatusOr<std::unique_ptr<Appender>> StartAppend(const std::string& name) override {
    if (!account_->trouble.ok()) return account_->trouble;
    const StatusOr<std::string> canonical = Canonical(name);
    if (!canonical.ok()) return canonical.status();
    const std::string folder = FolderOfName(*canonical);
    const std::lock_guard<std::mutex> lock(account_->mutex);
    const StatusOr<FolderRow> row = account_->FindFolder(folder);
    if (!row.ok()) return row.status();
    account_->RemoveOldTmp(folder);
    return MakeMaildirAppender(account_, folder);
  }

  std::unique_ptr<ChangeWatch> Watch(const std::string& name,
                                     std::function<void()> on_change) override {
    const StatusOr<std::string> canonical = Canonical(name);
    return account_->hub.Watch(account_->root, canonical.ok() ? *canonical : name,
                               std::move(on_change));
  }

  // RemoveGraves finishes what a crash left of Delete.
  void RemoveGraves() {
    const StatusOr<std::vector<rt::DirectoryEntry>> entries = account_->files.List(account_->root);
    if (!entries.ok()) return;
    for (const rt::DirectoryEntry& entry : *entries) {
      if (entry.name.starts_with(kDeletedPrefix))
        RemoveTree(StrCat(account_->root, "/", entry.name), 2);
    }
  }

 private:
  StatusOr<std::string> Canonical(const std::string& name) const {
    return CanonicalName(name, '.', account_->options.name_limits);
  }

  StatusOr<std::set<std::string>> Names() {
    const StatusOr<std::vector<rt::DirectoryEntry>> entries = account_->files.List(account_->root);
    if (!entries.ok()) return entries.status();
    std::set<std::string> names = {"INBOX"};
    for (const rt::DirectoryEntry& entry : *entries) {
      if (entry.kind != rt::FileInfo::Kind::kDirectory || entry.name.front() != '.') continue;
      std::optional<std::string> name = NameOfFolder(entry.name);
      if (name && names.size() < account_->options.max_mailboxes) names.insert(std::move(*name));
    }
    return names;
  }

  // DropRow forgets what the index has of `folder`, inside a transaction; Forget is a transaction
  // of its own.
  Status DropRow(const std::string& folder) {
    StatusOr<std::optional<FolderRow>> row = account_->index->FindFolder(folder);
    if (!row.ok()) return row.status();
    return *row ? account_->index->DeleteFolder((**row).id) : OkStatus();
  }
  Status Forget(const std::string& folder) {
    sqlite::Transaction transaction(account_->index->database());
    POSTERN_RETURN_IF_ERROR(transaction.begun());
    POSTERN_RETURN_IF_ERROR(DropRow(folder));
    return transaction.Commit();
  }

  // RenameInbox: RFC 3501 §6.3.5: the messages move to a new mailbox, INBOX stays.
  Status RenameInbox(const std::string& target) {
    POSTERN_RETURN_IF_ERROR(Create(target));
    StatusOr<std::unique_ptr<Mailbox>> inbox = Open("INBOX", false);
    if (!inbox.ok()) return inbox.status();
    return (*inbox)->Move(UidSet::OfRange(1, kMaxNumber), target).status();
  }

  // Subscriptions: Dovecot's file, of its first form (a name in modified UTF-7 a line) or its
  // second ("V 2", a blank line, and levels separated by tabs).
  StatusOr<std::set<std::string>> Subscribed() {
    std::set<std::string> names;
    const StatusOr<std::string> text = rt::ReadFile(
        account_->files, StrCat(account_->root, "/subscriptions"), kMaxSubscriptionBytes);
    if (!text.ok()) {
      if (text.status().code() == StatusCode::kNotFound) return names;
      return text.status();
    }
    const bool second_form = text->starts_with("V\t2\n");
    for (const std::string_view line : Split(*text, '\n')) {
      if (line.empty() || (second_form && line == "V\t2")) continue;
      std::string wire(line);
      if (second_form) {
        for (char& c : wire) {
          if (c == '\t') c = '.';
        }
      }
      const std::optional<std::string> name = DecodeMailboxUtf7(wire);
      if (!name) continue;
      const StatusOr<std::string> canonical = Canonical(*name);
      if (canonical.ok()) names.insert(*canonical);
    }
    return names;
  }

  Status ChangeSubscription(const std::string& name, bool subscribe) {
    const StatusOr<std::string> canonical = Canonical(name);
    if (!canonical.ok()) return canonical.status();
    const std::lock_guard<std::mutex> lock(account_->mutex);
    // The index's write lock keeps two processes from undoing each other's change.
    sqlite::Transaction transaction(account_->index->database());
    POSTERN_RETURN_IF_ERROR(transaction.begun());
    StatusOr<std::set<std::string>> names = Subscribed();
    if (!names.ok()) return names.status();
    if (subscribe && names->size() >= account_->options.max_mailboxes)
      return ResourceExhausted("too many subscriptions");
    const bool changed =
        subscribe ? names->insert(*canonical).second : names->erase(*canonical) > 0;
    if (!changed) return OkStatus();
    std::string text;
    for (const std::string& each : *names) StrAppend(text, EncodeMailboxUtf7(each), "\n");
    return rt::WriteFileDurably(account_->files, StrCat(account_->root, "/subscriptions"), text,
                                0600);
  }

  // RemoveTree removes a directory and what is in it, at most `depth` levels down. What resists
  // stays for the next time.
  void RemoveTree(const std::string& path, int depth) {
    const StatusOr<std::vector<rt::DirectoryEntry>> entries = account_->files.List(path);
    if (entries.ok()) {
      for (const rt::DirectoryEntry& entry : *entries) {
        const std::string child = StrCat(path, "/", entry.name);
        if (entry.kind != rt::FileInfo::Kind::kDirectory) {
          (void)account_->files.Unlink(child);
        } else if (depth > 0) {
          RemoveTree(child, depth - 1);
        }
      }
    }
    (void)account_->files.RemoveDirectory(path);
  }

  std::shared_ptr<MaildirAccount> account_;
};

}  // namespace

StatusOr<std::unique_ptr<MailStore>> OpenMaildirStore(rt::Files& files, rt::Clock& clock,
                                                      rt::Random& random, const std::string& root,
                                                      ChangeHub* hub,
                                                      const MaildirStoreOptions& options) {
  auto account = std::make_shared<MaildirAccount>(files, clock, random, root, hub, options);
  POSTERN_RETURN_IF_ERROR(account->MakeFolder(""));
  const std::string path = StrCat(root, "/postern.index");
  StatusOr<std::unique_ptr<MaildirIndex>> index =
      MaildirIndex::Open(files, path, options.busy_timeout_ms);
  if (!index.ok() && IsDiskTrouble(index.status())) {
    account->trouble = index.status();
    index = MaildirIndex::OpenCopy(files, path);
  }
  if (!index.ok()) return account->trouble.ok() ? index.status() : account->trouble;
  account->index = std::move(*index);
  if (!account->trouble.ok())
    return std::unique_ptr<MailStore>(std::make_unique<MaildirStore>(account));
  auto store = std::make_unique<MaildirStore>(account);
  store->RemoveGraves();
  return std::unique_ptr<MailStore>(std::move(store));
}

}  // namespace postern::mailbox
