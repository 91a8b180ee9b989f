#include "lib/service/deliver/maildir_batch.h"

#include <utility>

#include "lib/core/base/strings.h"
#include "lib/service/deliver/mail_file.h"

namespace postern::deliver {
namespace {

constexpr uint32_t kDirectoryMode = 0700;
constexpr uint32_t kFileMode = 0600;
constexpr size_t kFewFiles = 3;
constexpr size_t kFewFolders = 3;

// QueuePart returns the "Q<16 digits>" of a file's name, or "".
std::string_view QueuePart(std::string_view name) {
  const size_t dot = name.find('.');
  if (dot == std::string_view::npos) return {};
  const std::string_view rest = name.substr(dot + 1);
  if (rest.size() < 18 || rest[0] != 'Q' || rest[17] != '.') return {};
  return rest.substr(0, 17);
}

}  // namespace

std::string HeadersOf(const Delivery& delivery) {
  return delivery.has_headers ? ReturnPathHeader(*delivery.envelope)
                              : DeliveryHeaders(*delivery.envelope);
}

std::string MaildirName(const queue::Envelope& envelope, const std::string& host_name) {
  std::string host;
  for (const char c : host_name) {
    if (c == '/') {
      host += "\\057";
    } else if (c == ':') {
      host += "\\072";
    } else if (IsAsciiPrintable(c) && c != ' ' && c != ',') {
      host.push_back(c);
    }
  }
  return StrCat(absl::ToUnixSeconds(envelope.created), ".Q", queue::EnvelopeIdText(envelope.id),
                ".", host.empty() ? "localhost" : host);
}

bool IsSafeFolderName(std::string_view name) {
  if (name.empty() || name.size() > 200 || name.front() == '.' || name.back() == '.') return false;
  for (const char c : name) {
    if (c == '/' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return name.find("..") == std::string_view::npos;
}

void MaildirBatch::Deliver(const std::vector<Delivery*>& deliveries) {
  std::vector<Item> items;
  items.reserve(deliveries.size());
  for (Delivery* delivery : deliveries) {
    Item item;
    item.delivery = delivery;
    delivery->outcome = Prepare(item);
    // Prepare leaves no file for what an earlier attempt delivered.
    if (delivery->outcome.ok() && item.file != nullptr) items.push_back(std::move(item));
  }
  SyncFiles(items);
  std::map<std::string, Folder> folders;
  for (Item& item : items) {
    Status& outcome = item.delivery->outcome;
    rt::Files& files = *item.delivery->files;
    if (outcome.ok()) {
      outcome = files.Rename(item.temporary, item.final_path);
      if (outcome.code() == StatusCode::kNotFound) {
        outcome = MakeFolder(files, item.folder);
        if (outcome.ok()) outcome = files.Rename(item.temporary, item.final_path);
      }
    }
    if (outcome.ok()) {
      folders.try_emplace(item.folder, Folder{&files, item.device, OkStatus()});
    } else {
      (void)files.Unlink(item.temporary);
    }
  }
  SyncFolders(folders);
  for (Item& item : items) {
    Status& outcome = item.delivery->outcome;
    // A name whose folder could not be synced may be there or not after a crash: the next attempt
    // looks for it.
    if (outcome.ok()) outcome = folders.at(item.folder).synced;
  }
  witnesses_.clear();
}

// Each Sync waits for the disk's cache to be flushed, even when one commit of the journal served
// all the files. Beyond a few files one sync of the whole file system is cheaper by far; it is
// asked of the file that was opened first, as only that one has seen every failure. A batch may
// span file systems: each is asked once.
void MaildirBatch::SyncFiles(std::vector<Item>& items) {
  std::map<uint64_t, std::vector<Item*>> by_device;
  for (Item& item : items) {
    item.file->StartWriteback();
    const StatusOr<rt::FileInfo> info = item.file->Stat();
    if (info.ok()) {
      item.device = info->device;
      by_device[info->device].push_back(&item);
    } else {
      item.delivery->outcome = info.status();
    }
  }
  for (auto& [device, group] : by_device) {
    Status together = Unimplemented("too few");
    if (device != 0 && group.size() > kFewFiles) together = group.front()->file->SyncFileSystem();
    for (Item* item : group) {
      const bool each = together.code() == StatusCode::kUnimplemented;
      item->delivery->outcome = Annotate(each ? item->file->Sync() : together, item->temporary);
    }
  }
  for (auto& [device, group] : by_device) {
    if (device != 0) witnesses_[device] = std::move(group.front()->file);
  }
  for (Item& item : items) item.file.reset();
}

// The new names are made durable as the files were: by one sync of the file system where there are
// many folders, else each by its own, with the rights of its account.
void MaildirBatch::SyncFolders(std::map<std::string, Folder>& folders) {
  std::map<uint64_t, std::vector<std::pair<const std::string*, Folder*>>> by_device;
  for (auto& [path, folder] : folders) by_device[folder.device].emplace_back(&path, &folder);
  for (auto& [device, group] : by_device) {
    Status together = Unimplemented("too few");
    const auto witness = witnesses_.find(device);
    if (group.size() > kFewFolders && witness != witnesses_.end())
      together = witness->second->SyncFileSystem();
    for (auto& [path, folder] : group) {
      const bool each = together.code() == StatusCode::kUnimplemented;
      folder->synced = each ? folder->files->SyncDirectory(*path + "/new") : together;
      if (folder->synced.ok()) folder->synced = names_->Ensure(*folder->files, *path + "/new");
    }
  }
}

Status MaildirBatch::Prepare(Item& item) {
  Delivery& delivery = *item.delivery;
  if (!delivery.envelope->fresh) {
    const StatusOr<std::string> earlier = FindEarlier(delivery);
    if (!earlier.ok()) return earlier.status();
    // It may have been renamed and not synced: its name is made durable before it is called
    // delivered.
    if (!earlier->empty()) {
      POSTERN_RETURN_IF_ERROR(delivery.files->SyncDirectory(*earlier));
      return names_->Ensure(*delivery.files, *earlier);
    }
  }
  StatusOr<std::string> folder = ChooseFolder(delivery);
  if (!folder.ok()) return folder.status();
  item.folder = *std::move(folder);
  const Status written = Write(item);
  if (!written.ok() && item.file != nullptr) {
    item.file.reset();
    (void)delivery.files->Unlink(item.temporary);
  }
  if (written.ok() && delivery.target.junk) ShowJunk(delivery);
  return written;
}

StatusOr<std::string> MaildirBatch::ChooseFolder(const Delivery& delivery) {
  const LocalTarget& target = delivery.target;
  if (target.junk) {
    const StatusOr<bool> spam = IsMarkedAsSpam(*delivery.body);
    if (!spam.ok()) return spam.status();
    if (*spam) return target.path + "/.Junk";
  }
  // A sub-address names a folder that its owner made; a stranger cannot make one.
  const std::string& name = delivery.envelope->sub_address;
  if (IsSafeFolderName(name)) {
    const std::string folder = StrCat(target.path, "/.", name);
    const StatusOr<rt::FileInfo> info = delivery.files->Stat(folder);
    if (info.ok() && info->kind == rt::FileInfo::Kind::kDirectory) return folder;
  }
  return target.path;
}

void MaildirBatch::ShowJunk(const Delivery& delivery) {
  const std::string folder = delivery.target.path + "/.Junk";
  if (!junk_seen_.insert(folder).second) return;
  // One look where it is there, as it is after the first delivery. Nobody was promised an empty
  // folder: no mail waits when it cannot be made.
  if (delivery.files->Stat(folder).status().code() == StatusCode::kNotFound)
    (void)MakeFolder(*delivery.files, folder);
}

Status MaildirBatch::MakeFolder(rt::Files& files, const std::string& folder) {
  for (const char* part : {"/tmp", "/new", "/cur"}) {
    names_->Forget(folder + part);
    POSTERN_RETURN_IF_ERROR(rt::MakeDirectories(files, folder + part, kDirectoryMode));
  }
  return OkStatus();
}

Status MaildirBatch::OpenTemporary(Item& item, const std::string& name) {
  rt::Files& files = *item.delivery->files;
  item.temporary = StrCat(item.folder, "/tmp/", name, mark_.empty() ? "" : ".P", mark_);
  if (!mark_.empty() && !item.delivery->envelope->fresh)
    RemoveEarlierTemporaries(files, item.folder, name);
  rt::OpenOptions open;
  open.write = open.create = open.exclusive = true;
  open.mode = kFileMode;
  StatusOr<std::unique_ptr<rt::File>> file = files.Open(item.temporary, open);
  if (file.status().code() == StatusCode::kNotFound) {
    POSTERN_RETURN_IF_ERROR(MakeFolder(files, item.folder));
    file = files.Open(item.temporary, open);
  }
  if (file.status().code() == StatusCode::kAlreadyExists) {
    // Left by an attempt that a crash cut short, or put there by somebody: nothing is written
    // through it.
    POSTERN_RETURN_IF_ERROR(files.Unlink(item.temporary));
    file = files.Open(item.temporary, open);
  }
  if (!file.ok()) return file.status();
  item.file = *std::move(file);
  return OkStatus();
}

void MaildirBatch::RemoveEarlierTemporaries(rt::Files& files, const std::string& folder,
                                            const std::string& name) {
  const StatusOr<std::vector<rt::DirectoryEntry>> entries = files.List(folder + "/tmp");
  if (!entries.ok()) return;
  for (const rt::DirectoryEntry& entry : *entries) {
    if (entry.name == name || entry.name.starts_with(name + ".P"))
      (void)files.Unlink(StrCat(folder, "/tmp/", entry.name));
  }
}

Status MaildirBatch::Write(Item& item) {
  const Delivery& delivery = *item.delivery;
  const std::string name = MaildirName(*delivery.envelope, host_name_);
  POSTERN_RETURN_IF_ERROR(OpenTemporary(item, name));
  uint64_t size = 0;
  POSTERN_RETURN_IF_ERROR(
      WriteMaildirText(HeadersOf(delivery), *delivery.body, [&](std::string_view piece) {
        const Status written = item.file->WriteAt(size, piece);
        size += piece.size();
        return written;
      }));
  item.final_path = StrCat(item.folder, "/new/", name, ",S=", size);
  return OkStatus();
}

StatusOr<std::string> MaildirBatch::FindEarlier(const Delivery& delivery) {
  const std::string& root = delivery.target.path;
  rt::Files& files = *delivery.files;
  const auto [place, unread] = earlier_.try_emplace(root);
  if (unread) {
    std::vector<std::string> folders = {root};
    const StatusOr<std::vector<rt::DirectoryEntry>> entries = files.List(root);
    if (entries.status().code() == StatusCode::kNotFound) return std::string();
    if (!entries.ok()) {
      // Nor may the next of this mailbox take it for searched.
      earlier_.erase(place);
      return entries.status();
    }
    for (const rt::DirectoryEntry& entry : *entries) {
      if (entry.kind == rt::FileInfo::Kind::kDirectory && entry.name.starts_with('.')) {
        folders.push_back(StrCat(root, "/", entry.name));
      }
    }
    for (const std::string& folder : folders) {
      for (const char* part : {"/new", "/cur"}) {
        const std::string directory = folder + part;
        const StatusOr<std::vector<rt::DirectoryEntry>> names = files.List(directory);
        if (names.status().code() == StatusCode::kNotFound) continue;
        if (!names.ok()) {
          earlier_.erase(place);
          return names.status();
        }
        for (const rt::DirectoryEntry& entry : *names) {
          const std::string_view id = QueuePart(entry.name);
          if (!id.empty()) place->second.emplace(std::string(id), directory);
        }
      }
    }
  }
  const auto found = place->second.find(StrCat("Q", queue::EnvelopeIdText(delivery.envelope->id)));
  return found == place->second.end() ? std::string() : found->second;
}

}  // namespace postern::deliver
