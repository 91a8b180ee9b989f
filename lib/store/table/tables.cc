#include "lib/store/table/tables.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/policy/berkeley_db.h"
#include "lib/store/table/proc_table.h"
#include "lib/store/table/sqlite_table.h"

namespace postern::store {
namespace {

using policy::Diagnostics;
using policy::MakeError;
using policy::Service;
using policy::TableKind;

// About appends to errors of a table's file what they are about: the table, and where it is
// declared.
void About(const policy::TableDeclaration& declaration, Diagnostics* diagnostics, size_t from) {
  for (size_t i = from; i < diagnostics->size(); ++i) {
    policy::Diagnostic& d = (*diagnostics)[i];
    if (d.location.file != declaration.path) continue;
    StrAppend(d.message, " [table ", Escape(declaration.name, 80), ", declared at ",
              declaration.location.ToString(), "]");
  }
}

bool WantsMapping(const policy::TableDeclaration& declaration) {
  return std::any_of(
      declaration.uses.begin(), declaration.uses.end(),
      [](const policy::TableUse& use) { return use.needs == policy::TableForm::kMapping; });
}

}  // namespace

StatusOr<std::string> ReadTextFile(rt::Files& files, const std::string& path,
                                   uint64_t limit_bytes) {
  rt::OpenOptions options;
  options.follow_symlink = true;
  StatusOr<std::unique_ptr<rt::File>> file = files.Open(path, options);
  if (!file.ok()) return file.status();
  StatusOr<rt::FileInfo> info = (*file)->Stat();
  if (!info.ok()) return info.status();
  if (info->kind != rt::FileInfo::Kind::kRegular) return InvalidArgument("not a regular file");
  if (info->size_bytes > limit_bytes)
    return ResourceExhausted(StrCat("larger than ", limit_bytes, " octets"));
  std::string text(info->size_bytes, '\0');
  size_t got = 0;
  while (got < text.size()) {
    StatusOr<size_t> n =
        (*file)->ReadAt(got, std::span<char>(text.data() + got, text.size() - got));
    if (!n.ok()) return n.status();
    if (*n == 0) break;
    got += *n;
  }
  text.resize(got);
  return text;
}

bool FileTable::BuildPart(policy::TableText text, const std::vector<Service>& services,
                          Contents* out, Diagnostics* diagnostics) {
  policy::TableBuildOptions build = policy::BuildOptionsFor(*declaration_, *config_);
  build.services = services;
  *out = policy::TableContents::Build(std::move(text.entries), build, diagnostics);
  return *out != nullptr;
}

bool FileTable::Reload(Diagnostics* diagnostics) {
  StatusOr<std::string> text = ReadTextFile(*files_, declaration_->path, options_.max_file_bytes);
  if (!text.ok()) {
    diagnostics->push_back(
        MakeError(declaration_->location,
                  StrCat("cannot read ", Escape(declaration_->path), " for table ",
                         Escape(declaration_->name, 80), ": ", Escape(Message(text.status())))));
    return false;
  }
  Diagnostics found;
  const std::string& path = declaration_->path;
  std::vector<Service> services = policy::BuildOptionsFor(*declaration_, *config_).services;
  Contents entries;
  Contents users;
  bool ok = true;
  if (declaration_->kind == TableKind::kPasswd) {
    const bool wants_users = std::erase(services, Service::kUserinfo) > 0;
    policy::TableText logins =
        ParsePasswdText(*text, path, policy::PasswdUse::kCredentials, options_.text, &found);
    ok = !policy::HasErrors(found);
    if (ok) CheckTableForm(*declaration_, logins.form, &found);
    ok = !policy::HasErrors(found) && BuildPart(std::move(logins), services, &entries, &found);
    if (ok && wants_users) {
      ok = BuildPart(
          ParsePasswdText(*text, path, policy::PasswdUse::kUserinfo, options_.text, &found),
          {Service::kUserinfo}, &users, &found);
    }
  } else if (declaration_->kind == TableKind::kDb) {
    StatusOr<policy::TableText> parsed = policy::ReadBerkeleyDb(*text, options_.text);
    if (parsed.ok()) {
      ok = BuildPart(*std::move(parsed), services, &entries, &found);
    } else {
      ok = false;
      found.push_back(MakeError({path, 0, 0}, std::string(Message(parsed.status()))));
    }
  } else {
    policy::TableText parsed = ParseTableText(*text, path, options_.text, &found);
    ok = !policy::HasErrors(found);
    if (ok && parsed.form == policy::TableForm::kList && parsed.pair_line > 0 &&
        WantsMapping(*declaration_)) {
      const policy::TableEntry& first = parsed.entries.front();
      found.push_back(
          MakeError({path, first.line, 0},
                    StrCat("\"", Escape(first.key, 80),
                           "\" has no value, and as the first line it makes this table a list, "
                           "though line ",
                           parsed.pair_line, " has a key and a value")));
    } else if (ok) {
      CheckTableForm(*declaration_, parsed.form, &found);
    }
    ok = !policy::HasErrors(found) && BuildPart(std::move(parsed), services, &entries, &found);
  }
  About(*declaration_, &found, 0);
  diagnostics->insert(diagnostics->end(), found.begin(), found.end());
  if (!ok) return false;
  // The old contents die outside the lock: a million entries take their time.
  const std::lock_guard<std::mutex> lock(mutex_);
  entries_.swap(entries);
  users_.swap(users);
  return true;
}

FileTable::Contents FileTable::ContentsFor(Service service) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return service == Service::kUserinfo && users_ ? users_ : entries_;
}

StatusOr<std::optional<std::string>> FileTable::Lookup(Service service, std::string_view key) {
  const Contents contents = ContentsFor(service);
  if (!contents) return Unavailable("the table is not loaded");
  return contents->Lookup(service, key);
}

StatusOr<std::optional<std::string>> FileTable::Fetch(Service service) {
  const Contents contents = ContentsFor(service);
  if (!contents) return Unavailable("the table is not loaded");
  return contents->At(turn_.fetch_add(1, std::memory_order_relaxed));
}

bool FileTable::EachValue(Service service, const std::function<void(std::string_view)>& each) {
  const Contents contents = ContentsFor(service);
  if (contents) contents->EachValue(each);
  return contents != nullptr;
}

std::string FileTable::SampleValue() {
  const Contents contents = ContentsFor(Service::kCredentials);
  return contents ? contents->SampleValue() : "";
}

size_t FileTable::size() {
  const Contents contents = ContentsFor(Service::kCredentials);
  return contents ? contents->size() : 0;
}

std::optional<DbTable::Stamp> DbTable::StampNow() {
  rt::OpenOptions options;
  options.follow_symlink = true;
  const StatusOr<std::unique_ptr<rt::File>> file = files_->Open(path_, options);
  if (!file.ok()) return std::nullopt;
  const StatusOr<rt::FileInfo> info = (*file)->Stat();
  if (!info.ok()) return std::nullopt;
  return Stamp{info->modified, info->inode, info->size_bytes};
}

bool DbTable::Reload(Diagnostics* diagnostics) {
  const std::lock_guard<std::mutex> lock(mutex_);
  // Taken before the reading: what is written meanwhile has another one.
  const std::optional<Stamp> stamp = StampNow();
  if (!table_.Reload(diagnostics)) return false;
  stamp_ = stamp;
  bad_.reset();
  TellOfChange(false, "");
  return true;
}

void DbTable::TellOfChange(bool is_bad, const std::string& reason) {
  if (is_bad_ == is_bad) return;
  is_bad_ = is_bad;
  if (log_ == nullptr) return;
  LogRecord record;
  record.level = is_bad ? LogLevel::kWarning : LogLevel::kInfo;
  record.subsystem = "table";
  record.event =
      is_bad ? "a changed file is wrong: the old content stays" : "the file is right again";
  record.fields = {{"file", path_}, {"declared", location_.ToString()}};
  if (is_bad) record.fields.push_back({"reason", reason});
  log_->Write(record);
}

void DbTable::LookAgain() {
  constexpr Duration kBetweenLooks = absl::Seconds(1);
  // While one looks, the others go on with what there is.
  const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock() || clock_ == nullptr) return;
  const Instant now = clock_->Now();
  if (now < next_look_) return;
  next_look_ = now + kBetweenLooks;
  const std::optional<Stamp> stamp = StampNow();
  if (!stamp.has_value()) return TellOfChange(true, "it cannot be opened");
  if (stamp == stamp_) return TellOfChange(false, "");
  if (stamp == bad_) return;
  Diagnostics wrong;
  if (table_.Reload(&wrong)) {
    stamp_ = stamp;
    bad_.reset();
    return TellOfChange(false, "");
  }
  bad_ = stamp;
  const auto error = std::find_if(wrong.begin(), wrong.end(), [](const policy::Diagnostic& each) {
    return each.severity == policy::Severity::kError;
  });
  TellOfChange(true, error == wrong.end() ? "it cannot be read" : error->ToString());
}

StatusOr<std::optional<std::string>> DbTable::Lookup(Service service, std::string_view key) {
  LookAgain();
  return table_.Lookup(service, key);
}

StatusOr<std::optional<std::string>> DbTable::Fetch(Service service) {
  LookAgain();
  return table_.Fetch(service);
}

std::shared_ptr<ConfigTables> ConfigTables::Load(std::shared_ptr<const policy::Config> config,
                                                 const TableSources& sources,
                                                 const TableLoadOptions& options,
                                                 Diagnostics* diagnostics) {
  auto tables = std::make_shared<ConfigTables>();
  bool ok = true;
  // Adds a table that Reload fills.
  const auto add = [&](auto table) {
    ok = table->Reload(diagnostics) && ok;
    tables->reloads_.emplace_back(
        [made = table.get()](Diagnostics* found) { return made->Reload(found); });
    tables->set_.tables.push_back(std::move(table));
  };
  const auto fail = [&](const policy::SourceLocation& at, std::string message) {
    ok = false;
    diagnostics->push_back(MakeError(at, std::move(message)));
    tables->reloads_.emplace_back();
    tables->set_.tables.push_back(nullptr);
  };
  for (const policy::TableDeclaration& declaration : config->tables) {
    const bool has_machine = sources.processes != nullptr && sources.clock != nullptr;
    switch (declaration.kind) {
      case TableKind::kStatic: {
        Diagnostics told_by_the_parser;
        policy::TableBuildOptions build = policy::BuildOptionsFor(declaration, *config);
        std::shared_ptr<const policy::TableContents> contents =
            policy::TableContents::Build(declaration.entries, build, &told_by_the_parser);
        ok = ok && contents != nullptr;
        tables->reloads_.emplace_back();
        tables->set_.tables.push_back(
            contents ? std::make_shared<policy::StaticTable>(std::move(contents)) : nullptr);
        break;
      }
      case TableKind::kFile:
      case TableKind::kPasswd:
        add(std::make_shared<FileTable>(&declaration, config.get(), sources.files, options));
        break;
      case TableKind::kDb:
        add(std::make_shared<DbTable>(&declaration, config.get(), sources, options));
        break;
      case TableKind::kSqlite:
        if (!has_machine) {
          fail(declaration.location, "a sqlite: table cannot be served here");
          break;
        }
        add(std::make_shared<SqliteTable>(&declaration, sources.files, sources.clock));
        break;
      case TableKind::kProc: {
        const StatusOr<std::string> program =
            FindTableProgram(*sources.files, *config, declaration.backend);
        if (!program.ok() || !has_machine) {
          fail(declaration.location,
               StrCat("table ", Escape(declaration.name, 80), ": ",
                      program.ok() ? std::string("programs cannot be run here")
                                   : std::string(Message(program.status()))));
          break;
        }
        ProcTableOptions proc_options;
        proc_options.run_as = sources.run_as;
        auto table = std::make_shared<ProcTable>(&declaration, *program, sources.processes,
                                                 sources.clock, std::move(proc_options));
        tables->reloads_.emplace_back([made = table.get(), &declaration](Diagnostics* found) {
          const Status updated = made->Update();
          if (!updated.ok())
            found->push_back(MakeError(declaration.location, std::string(Message(updated))));
          return updated.ok();
        });
        tables->set_.tables.push_back(std::move(table));
        break;
      }
    }
  }
  tables->config_ = std::move(config);
  return ok ? tables : nullptr;
}

bool ConfigTables::Update(std::string_view name, Diagnostics* diagnostics) {
  const policy::TableId id = config_->FindTable(name);
  if (id == policy::kNoIndex) {
    diagnostics->push_back(MakeError({}, StrCat("no such table: ", Escape(name, 80))));
    return false;
  }
  const auto& reload = reloads_[static_cast<size_t>(id)];
  if (!reload) {
    diagnostics->push_back(
        MakeError(config_->tables[static_cast<size_t>(id)].location,
                  StrCat("table ", Escape(name, 80), " has no file to read anew")));
    return false;
  }
  return reload(diagnostics);
}

void CheckCertificateFiles(const policy::Config& config, rt::Files& files,
                           Diagnostics* diagnostics) {
  constexpr uint64_t kMaxPemBytes = 4 << 20;
  const auto check = [&](std::string_view what, std::string_view of, const std::string& path,
                         const policy::SourceLocation& location) {
    const StatusOr<std::string> text = ReadTextFile(files, path, kMaxPemBytes);
    if (text.ok()) return;
    diagnostics->push_back(
        MakeError(location, StrCat("cannot load ", what, " file ", Escape(path), " for ", of, ": ",
                                   Escape(Message(text.status())))));
  };
  for (const policy::Pki& pki : config.pkis) {
    const std::string of = StrCat("pki ", Escape(pki.name, 80));
    check("certificate", of, pki.certificate_path, pki.certificate_location);
    check("key", of, pki.key_path, pki.key_location);
  }
  for (const policy::CertificateAuthority& ca : config.cas) {
    check("certificate", StrCat("ca ", Escape(ca.name, 80)), ca.certificate_path, ca.location);
  }
}

}  // namespace postern::store
