#include "lib/rt/asio/helped_world.h"

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "lib/core/base/same_cause.h"
#include "lib/core/base/strings.h"
#include "lib/rt/asio/asio_network.h"
#include "lib/rt/asio/helper_process.h"

namespace postern::rt {
namespace {

// What has become of the process, for its parts. Any thread.
struct State {
  std::atomic<bool> became{false};
  std::mutex mutex;
  std::set<std::string> read;  // what was opened for reading before
  std::set<uint16_t> ports;    // what was listened on before, of those that need root
};

class HelpedNetwork final : public Network {
 public:
  HelpedNetwork(Network* inner, Helper* helper, State* state)
      : inner_(inner), helper_(helper), state_(state) {}

  StatusOr<std::unique_ptr<Listener>> Listen(Executor& loop, const Endpoint& endpoint,
                                             const ListenOptions& options) override {
    const bool needs_root =
        !endpoint.is_unix() && endpoint.port != 0 && endpoint.port < kLeastFreePort;
    if (!needs_root) return inner_->Listen(loop, endpoint, options);
    if (!state_->became) {
      const std::lock_guard<std::mutex> lock(state_->mutex);
      state_->ports.insert(endpoint.port);
      return inner_->Listen(loop, endpoint, options);
    }
    StatusOr<std::unique_ptr<Listener>> made =
        AsioListen(loop, endpoint, options, [this](int socket, const Endpoint& local) {
          const Status bound = helper_->BindSocket(socket, local);
          const int error = ErrnoOf(bound);
          return bound.ok() ? 0 : error != 0 ? error : EACCES;
        });
    if (made.ok() || made.status().code() != StatusCode::kPermissionDenied) return made;
    return SameCause(
        made.status(), StatusCode::kPermissionDenied,
        StrCat(Message(made.status()),
               ": the server has given root's rights up, and this port, which is none of mail's, "
               "takes a restart"));
  }
  Task<StatusOr<std::unique_ptr<Stream>>> Connect(Executor& loop, Endpoint remote,
                                                  ConnectOptions options,
                                                  Instant deadline) override {
    return inner_->Connect(loop, std::move(remote), options, deadline);
  }
  std::vector<InterfaceAddress> Interfaces() override { return inner_->Interfaces(); }
  std::string HostName() override { return inner_->HostName(); }

 private:
  static constexpr uint16_t kLeastFreePort = 1024;

  Network* inner_;
  Helper* helper_;
  State* state_;
};

// Absolute makes `path` one that the helper, which stands elsewhere, takes for the same file.
std::string Absolute(const std::string& path) {
  if (!path.empty() && path.front() == '/') return path;
  std::error_code error;
  const std::filesystem::path here = std::filesystem::current_path(error);
  return error ? path : (here / path).string();
}

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
      state_->read.insert(Absolute(path));
      return file;
    }
    if (file.status().code() != StatusCode::kPermissionDenied) return file;
    StatusOr<std::unique_ptr<File>> helped = helper_->OpenNamed(Absolute(path));
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
  StatusOr<std::unique_ptr<Companion>> Accompany(Executor& loop, ProcessSpec spec) override {
    return inner_->Accompany(loop, std::move(spec));
  }
  StatusOr<Account> FindAccount(const std::string& name) override {
    return inner_->FindAccount(name);
  }
  StatusOr<uint32_t> FindGroup(const std::string& name) override { return inner_->FindGroup(name); }
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
      : files(&inner->files(), helper, &state),
        network(&inner->network(), helper, &state),
        processes(&inner->processes(), helper, &state) {}
  State state;
  HelpedFiles files;
  HelpedNetwork network;
  HelpedProcesses processes;
};

HelpedWorld::HelpedWorld(World* inner, std::unique_ptr<Helper> helper)
    : inner_(inner),
      helper_(std::move(helper)),
      parts_(std::make_unique<Parts>(inner, helper_.get())) {}

HelpedWorld::~HelpedWorld() = default;

Files& HelpedWorld::files() { return parts_->files; }
Network& HelpedWorld::network() { return parts_->network; }
Processes& HelpedWorld::processes() { return parts_->processes; }
Helper* HelpedWorld::helper() { return parts_->state.became ? helper_.get() : nullptr; }

Status HelpedWorld::AllowLog(const std::string& path) { return helper_->AllowLog(Absolute(path)); }

StatusOr<int> HelpedWorld::OpenLog(const std::string& path) {
  if (!parts_->state.became) return Unavailable("no privileges were given up");
  return helper_->OpenLog(Absolute(path));
}

Status HelpedWorld::Become(const Account& account, bool passwords,
                           const std::vector<std::pair<uint32_t, uint32_t>>& pairs,
                           const std::vector<std::pair<std::string, ProcessSpec>>& programs) {
  {
    const std::lock_guard<std::mutex> lock(parts_->state.mutex);
    for (const std::string& path : parts_->state.read)
      POSTERN_RETURN_IF_ERROR(helper_->AllowFile(path));
    for (const uint16_t port : parts_->state.ports)
      POSTERN_RETURN_IF_ERROR(helper_->AllowPort(port));
  }
  POSTERN_RETURN_IF_ERROR(helper_->AllowPairs(pairs));
  for (const auto& [name, spec] : programs)
    POSTERN_RETURN_IF_ERROR(helper_->AllowProgram(name, spec));
  if (passwords) POSTERN_RETURN_IF_ERROR(helper_->AllowPasswords());
  POSTERN_RETURN_IF_ERROR(helper_->Seal());
  POSTERN_RETURN_IF_ERROR(BecomeAccount(account));
  parts_->state.became = true;
  return OkStatus();
}

}  // namespace postern::rt
