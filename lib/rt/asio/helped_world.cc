#include "lib/rt/asio/helped_world.h"

#include <atomic>

#include "lib/rt/asio/helper_process.h"

namespace postern::rt {
namespace {

// What has become of the process, for its parts. Any thread.
struct State {
  std::atomic<bool> became{false};
  std::mutex mutex;
  std::set<std::string> read;  // what was opened for reading before
};

class HelpedFiles final : public Files {
 public:
  HelpedFiles(Files* inner, Helper* helper, State* state)
      : inner_(inner), helper_(helper), state_(state) {}

  StatusOr<std::unique_ptr<File>> Open(const std::string& path,
                                       const OpenOptions& options) override {
    StatusOr<std::unique_ptr<File>> file = inner_->Open(path, options);
    const bool only_reads =
        !options.write && !options.append && !options.create && !options.truncate;
    if (!only_reads || !options.follow_symlink) return file;
    if (!state_->became) {
      const std::lock_guard<std::mutex> lock(state_->mutex);
      state_->read.insert(path);
      return file;
    }
    if (file.status().code() != StatusCode::kPermissionDenied) return file;
    StatusOr<std::unique_ptr<File>> helped = helper_->OpenNamed(path);
    return helped.ok() ? std::move(helped) : std::move(file);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    return inner_->Rename(from, to);
  }
  Status Link(const std::string& from, const std::string& to) override {
    return inner_->Link(from, to);
  }
  Status Unlink(const std::string& path) override { return inner_->Unlink(path); }
  Status MakeDirectory(const std::string& path, uint32_t mode) override {
    return inner_->MakeDirectory(path, mode);
  }
  Status RemoveDirectory(const std::string& path) override { return inner_->RemoveDirectory(path); }
  StatusOr<std::vector<DirectoryEntry>> List(const std::string& path) override {
    return inner_->List(path);
  }
  StatusOr<FileInfo> Stat(const std::string& path) override { return inner_->Stat(path); }
  Status SyncDirectory(const std::string& path) override { return inner_->SyncDirectory(path); }
  StatusOr<SpaceInfo> Space(const std::string& path) override { return inner_->Space(path); }
  Status SetOwner(const std::string& path, uint32_t uid, uint32_t gid) override {
    return inner_->SetOwner(path, uid, gid);
  }
  std::unique_ptr<Files> As(const Credentials& who) override { return inner_->As(who); }
  const char* SqliteVfs() const override { return inner_->SqliteVfs(); }

 private:
  Files* inner_;
  Helper* helper_;
  State* state_;
};

class HelpedProcesses final : public Processes {
 public:
  HelpedProcesses(Processes* inner, Helper* helper, State* state)
      : inner_(inner), helper_(helper), state_(state) {}
  Task<StatusOr<ProcessResult>> Run(Executor& loop, ProcessSpec spec) override {
    return inner_->Run(loop, std::move(spec));
  }
  StatusOr<std::unique_ptr<Conversation>> Converse(ProcessSpec spec) override {
    return inner_->Converse(std::move(spec));
  }
  StatusOr<Account> FindAccount(const std::string& name) override {
    return inner_->FindAccount(name);
  }
  StatusOr<std::string> FindPasswordHash(const std::string& name) override {
    if (state_->became) return helper_->FindPasswordHash(name);
    return inner_->FindPasswordHash(name);
  }
  Account Self() override { return inner_->Self(); }

 private:
  Processes* inner_;
  Helper* helper_;
  State* state_;
};

}  // namespace

struct HelpedWorld::Parts {
  Parts(World* inner, Helper* helper)
      : files(&inner->files(), helper, &state), processes(&inner->processes(), helper, &state) {}
  State state;
  HelpedFiles files;
  HelpedProcesses processes;
};

HelpedWorld::HelpedWorld(World* inner, std::unique_ptr<Helper> helper)
    : inner_(inner),
      helper_(std::move(helper)),
      parts_(std::make_unique<Parts>(inner, helper_.get())) {}

HelpedWorld::~HelpedWorld() = default;

Files& HelpedWorld::files() { return parts_->files; }
Processes& HelpedWorld::processes() { return parts_->processes; }
Helper* HelpedWorld::helper() { return parts_->state.became ? helper_.get() : nullptr; }

Status HelpedWorld::Become(const Account& account, bool passwords) {
  {
    const std::lock_guard<std::mutex> lock(parts_->state.mutex);
    for (const std::string& path : parts_->state.read)
      POSTERN_RETURN_IF_ERROR(helper_->AllowFile(path));
  }
  if (passwords) POSTERN_RETURN_IF_ERROR(helper_->AllowPasswords());
  POSTERN_RETURN_IF_ERROR(helper_->Seal());
  POSTERN_RETURN_IF_ERROR(BecomeAccount(account));
  parts_->state.became = true;
  return OkStatus();
}

}  // namespace postern::rt
