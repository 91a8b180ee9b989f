#include "lib/store/table/proc_table.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "lib/core/base/strings.h"

namespace postern::store {
namespace {

using policy::Service;
using policy::TableAnswer;
using policy::TableOperation;

constexpr std::string_view kClientName = "Postern";
constexpr std::string_view kAuthService = "auth";

Duration Left(Instant deadline, Instant now) {
  return now < deadline ? deadline - now : absl::ZeroDuration();
}

// IsProgram tells whether `path` can be run; it need not be readable.
bool IsProgram(rt::Files& files, const std::string& path) {
  constexpr uint32_t kAnyExecute = 0111;
  StatusOr<rt::FileInfo> info = files.Stat(path);
  if (info.ok() && info->kind == rt::FileInfo::Kind::kSymlink) {
    rt::OpenOptions options;
    options.follow_symlink = true;
    const StatusOr<std::unique_ptr<rt::File>> file = files.Open(path, options);
    if (!file.ok()) return file.status().code() == StatusCode::kPermissionDenied;
    info = (*file)->Stat();
  }
  return info.ok() && info->kind == rt::FileInfo::Kind::kRegular && (info->mode & kAnyExecute) != 0;
}

}  // namespace

// The socket is written by one thread at a time (`write_mutex`) and read by one (`has_reader`): who
// waits for an answer while nobody reads becomes the reader, hands out what comes, and leaves the
// place when its own answer is there.
struct ProcTable::Run {
  std::unique_ptr<rt::Conversation> program;
  std::mutex write_mutex;
  // Under the table's mutex:
  policy::TableReader reader;
  std::map<uint32_t, Question*> questions;
  bool has_reader = false;
  bool over = false;
};

StatusOr<std::string> FindTableProgram(rt::Files& files, const policy::Config& config,
                                       std::string_view backend) {
  std::vector<std::string> folders;
  if (!config.libexec.empty()) folders.push_back(config.libexec);
  folders.insert(folders.end(), std::begin(kTableProgramFolders), std::end(kTableProgramFolders));
  for (const std::string& folder : folders) {
    const std::string path = StrCat(folder, "/table-", backend);
    if (IsProgram(files, path)) return path;
  }
  std::string looked;
  for (const std::string& folder : folders) StrAppend(looked, looked.empty() ? "" : ", ", folder);
  return NotFound(StrCat("no program table-", Escape(backend, 64), " in ", looked));
}

std::vector<std::string> ListTablePrograms(rt::Files& files) {
  constexpr std::string_view kPrefix = "table-";
  constexpr size_t kMaxPrograms = 1000;
  std::vector<std::string> types;
  for (const char* folder : kTableProgramFolders) {
    const StatusOr<std::vector<rt::DirectoryEntry>> entries = files.List(folder);
    if (!entries.ok()) continue;
    for (const rt::DirectoryEntry& entry : *entries) {
      if (entry.name.rfind(kPrefix, 0) == 0 && types.size() < kMaxPrograms)
        types.push_back(entry.name.substr(kPrefix.size()));
    }
  }
  std::sort(types.begin(), types.end());
  types.erase(std::unique(types.begin(), types.end()), types.end());
  return types;
}

ProcTable::ProcTable(const policy::TableDeclaration* declaration, std::string program,
                     rt::Processes* processes, rt::Clock* clock, ProcTableOptions options)
    : declaration_(declaration),
      program_(std::move(program)),
      processes_(processes),
      clock_(clock),
      options_(options),
      not_before_(clock->Now()),
      restart_wait_(options.first_restart_wait) {}

ProcTable::~ProcTable() = default;

Status ProcTable::About(const Status& status) const {
  return Unavailable(
      StrCat("table ", Escape(declaration_->name, 80), " (", program_, "): ", Message(status)));
}

// Greet says who we are and waits for the services. The run is nobody else's yet.
Status ProcTable::Greet(Run& run) {
  const Instant deadline = clock_->Now() + options_.start_limit;
  POSTERN_RETURN_IF_ERROR(run.program->Write(policy::TableGreeting(kClientName, declaration_->name),
                                             options_.start_limit));
  std::vector<TableAnswer> answers;
  std::array<char, 4096> buffer;
  while (!run.reader.ready()) {
    const StatusOr<size_t> got = run.program->Read(buffer, Left(deadline, clock_->Now()));
    if (!got.ok() && got.status().code() == StatusCode::kDeadlineExceeded)
      return DeadlineExceeded(
          "the program does not name its services; is it one of the time before table protocol "
          "0.1?");
    if (!got.ok()) return got.status();
    if (*got == 0) return Unavailable("the program ended at once");
    POSTERN_RETURN_IF_ERROR(run.reader.Feed(std::string_view(buffer.data(), *got), &answers));
    if (!answers.empty()) return InvalidArgument("the program answers what nobody asked");
    if (clock_->Now() >= deadline) return DeadlineExceeded("the program does not get ready");
  }
  return OkStatus();
}

StatusOr<std::shared_ptr<ProcTable::Run>> ProcTable::RunningProgram(
    std::unique_lock<std::mutex>& lock) {
  while (starting_) changed_.wait(lock);
  if (run_ != nullptr) return run_;
  if (clock_->Now() < not_before_) return last_failure_;
  starting_ = true;
  lock.unlock();
  rt::ProcessSpec spec;
  spec.argv = {program_, declaration_->path};
  spec.environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  spec.directory = "/";
  if (processes_->Self().uid == 0) spec.run_as = options_.run_as;
  auto run = std::make_shared<Run>();
  run->reader = policy::TableReader(options_.protocol);
  StatusOr<std::unique_ptr<rt::Conversation>> program = processes_->Converse(std::move(spec));
  Status started = program.status();
  if (started.ok()) {
    run->program = std::move(*program);
    started = Greet(*run);
  }
  lock.lock();
  starting_ = false;
  if (started.ok()) {
    run_ = run;
  } else {
    GiveUp(run, started);
  }
  changed_.notify_all();
  if (!started.ok()) return last_failure_;
  return run;
}

// GiveUp ends a run for good: all who wait hear why. The first to say so decides.
void ProcTable::GiveUp(const std::shared_ptr<Run>& run, const Status& why) {
  if (run->over) return;
  run->over = true;
  Status failure = why;
  if (run->program != nullptr) {
    const std::string said = run->program->LastError();
    run->program->End();
    if (!said.empty())
      failure = Unavailable(StrCat(Message(why), "; it said \"", Escape(said, 200), "\""));
  }
  last_failure_ = About(failure);
  not_before_ = clock_->Now() + restart_wait_;
  restart_wait_ = std::min(restart_wait_ * 2, options_.longest_restart_wait);
  for (auto& [id, question] : run->questions) {
    question->failed = true;
    question->failure = last_failure_;
  }
  run->questions.clear();
  if (run_ == run) run_.reset();
  changed_.notify_all();
}

void ProcTable::ReadOnce(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Run>& run,
                         Duration patience) {
  run->has_reader = true;
  lock.unlock();
  std::array<char, 16384> buffer;
  const StatusOr<size_t> got = run->program->Read(buffer, patience);
  lock.lock();
  run->has_reader = false;
  changed_.notify_all();
  if (!got.ok()) {
    GiveUp(run, got.status());
    return;
  }
  if (*got == 0) {
    GiveUp(run, Unavailable("the program ended"));
    return;
  }
  std::vector<TableAnswer> answers;
  const Status read = run->reader.Feed(std::string_view(buffer.data(), *got), &answers);
  for (TableAnswer& answer : answers) {
    const auto asked = run->questions.find(answer.id);
    if (asked == run->questions.end() || asked->second->operation != answer.operation) {
      GiveUp(run, InvalidArgument("the program answers what nobody asked"));
      return;
    }
    asked->second->answer = std::move(answer);
    asked->second->answered = true;
    run->questions.erase(asked);
    restart_wait_ = options_.first_restart_wait;
  }
  if (!read.ok()) GiveUp(run, read);
}

StatusOr<TableAnswer> ProcTable::Ask(TableOperation operation, std::string_view service,
                                     std::string_view key) {
  const auto real_time = [](Duration d) { return absl::ToChronoMilliseconds(d); };
  // Outlives the lock: the last to let go of a run waits for its process.
  std::shared_ptr<Run> run;
  std::unique_lock<std::mutex> lock(mutex_);
  {
    StatusOr<std::shared_ptr<Run>> running = RunningProgram(lock);
    if (!running.ok()) return running.status();
    run = *std::move(running);
  }
  if (!service.empty() && !run->reader.Serves(service))
    return About(FailedPrecondition(StrCat("the program serves no ", service, " look-ups")));

  // A program that is slow with others' questions has its time for ours all the same.
  Instant deadline = clock_->Now() + options_.answer_limit;
  while (!run->over && run->questions.size() >= options_.max_questions) {
    if (clock_->Now() >= deadline) return About(DeadlineExceeded("too many questions wait"));
    changed_.wait_for(lock, real_time(Left(deadline, clock_->Now())));
  }
  if (run->over) return last_failure_;

  Question question;
  question.operation = operation;
  while (run->questions.count(next_id_) != 0) ++next_id_;
  const uint32_t id = next_id_++;
  const StatusOr<std::string> line =
      policy::FormatTableRequest({.operation = operation, .service = service, .id = id, .key = key},
                                 declaration_->name, clock_->WallNow());
  if (!line.ok()) return About(line.status());
  run->questions.emplace(id, &question);
  // However this ends, nobody may write into a question that is gone.
  struct Withdraw {
    std::unique_lock<std::mutex>& lock;
    Run& run;
    uint32_t id;
    Question* question;
    ~Withdraw() {
      if (!lock.owns_lock()) lock.lock();
      const auto asked = run.questions.find(id);
      if (asked != run.questions.end() && asked->second == question) run.questions.erase(asked);
    }
  } withdraw{lock, *run, id, &question};
  lock.unlock();
  Status written;
  {
    const std::lock_guard<std::mutex> turn(run->write_mutex);
    written = run->program->Write(*line, Left(deadline, clock_->Now()));
  }
  lock.lock();
  if (!written.ok()) GiveUp(run, written);
  while (!question.answered && !question.failed) {
    const Duration left = Left(deadline, clock_->Now());
    if (left <= absl::ZeroDuration()) {
      GiveUp(run, DeadlineExceeded(StrCat("no answer within ",
                                          absl::ToInt64Seconds(options_.answer_limit),
                                          " s to a question for ", service)));
    } else if (!run->has_reader) {
      ReadOnce(lock, run, left);
    } else {
      changed_.wait_for(lock, real_time(left));
    }
  }
  if (question.failed) return question.failure;
  if (question.answer.kind == TableAnswer::Kind::kError)
    return About(
        Unavailable(StrCat("the program says \"", Escape(question.answer.text, 200), "\"")));
  return std::move(question.answer);
}

StatusOr<std::optional<std::string>> ProcTable::Lookup(Service service, std::string_view key) {
  StatusOr<TableAnswer> answer =
      Ask(TableOperation::kLookup, policy::ServiceName(service), AsciiLower(key));
  if (!answer.ok()) return answer.status();
  if (answer->kind != TableAnswer::Kind::kFound) return std::optional<std::string>();
  if (service == Service::kCredentials) {
    const std::lock_guard<std::mutex> lock(mutex_);
    last_secret_ = answer->text;
  }
  return std::optional<std::string>(std::move(answer->text));
}

StatusOr<bool> ProcTable::Match(Service service, std::string_view key) {
  const StatusOr<TableAnswer> answer =
      Ask(TableOperation::kCheck, policy::ServiceName(service), AsciiLower(key));
  if (!answer.ok()) return answer.status();
  return answer->kind == TableAnswer::Kind::kFound;
}

StatusOr<std::optional<std::string>> ProcTable::Fetch(Service service) {
  StatusOr<TableAnswer> answer = Ask(TableOperation::kFetch, policy::ServiceName(service), "");
  if (!answer.ok()) return answer.status();
  if (answer->kind != TableAnswer::Kind::kFound) return std::optional<std::string>();
  return std::optional<std::string>(std::move(answer->text));
}

StatusOr<std::optional<bool>> ProcTable::CheckPassword(std::string_view user,
                                                       std::string_view password) {
  {
    std::unique_lock<std::mutex> lock(mutex_);
    const StatusOr<std::shared_ptr<Run>> running = RunningProgram(lock);
    if (!running.ok()) return running.status();
    if (!(*running)->reader.Serves(kAuthService)) return std::optional<bool>();
  }
  // The login is a key like any other; in the password, case counts. A login with a colon would
  // move the border between the two, and a line end cannot be said: neither is anybody's.
  constexpr std::string_view kUnsayable("\r\n\0", 3);
  if (user.find(':') != std::string_view::npos ||
      password.find_first_of(kUnsayable) != std::string_view::npos)
    return std::optional<bool>(false);
  const StatusOr<TableAnswer> answer =
      Ask(TableOperation::kCheck, kAuthService, StrCat(AsciiLower(user), ":", password));
  if (!answer.ok()) return answer.status();
  return std::optional<bool>(answer->kind == TableAnswer::Kind::kFound);
}

std::string ProcTable::SampleValue() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return last_secret_;
}

Status ProcTable::Update() {
  const StatusOr<TableAnswer> answer = Ask(TableOperation::kUpdate, "", "");
  return answer.ok() ? OkStatus() : answer.status();
}

}  // namespace postern::store
