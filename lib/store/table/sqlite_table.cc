#include "lib/store/table/sqlite_table.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/store/table/tables.h"

namespace postern::store {
namespace {

using policy::Diagnostics;
using policy::MakeError;
using policy::MakeWarning;
using policy::Service;

// How many columns the query of a service gives (table-sqlite's numbers).
struct ServiceRow {
  Service service;
  int columns;
  bool joins_rows;
  bool fetches;
};
constexpr ServiceRow kRows[] = {
    {Service::kAlias, 1, true, false},        {Service::kDomain, 1, false, false},
    {Service::kCredentials, 2, false, false}, {Service::kNetaddr, 1, false, false},
    {Service::kUserinfo, 3, false, false},    {Service::kSource, 1, false, true},
    {Service::kMailaddr, 1, false, false},    {Service::kAddrname, 1, false, false},
    {Service::kMailaddrmap, 1, true, false},  {Service::kRelayhost, 1, false, true},
    {Service::kString, 1, false, false},      {Service::kRegex, 1, false, false},
};

size_t IndexOf(Service service) {
  const auto* row = std::find_if(std::begin(kRows), std::end(kRows),
                                 [&](const ServiceRow& r) { return r.service == service; });
  return static_cast<size_t>(row - std::begin(kRows));
}

// RowNamed finds the row of a word like "query_alias"; null when it names none.
const ServiceRow* RowNamed(std::string_view word, std::string_view prefix, bool fetch) {
  if (word.substr(0, prefix.size()) != prefix) return nullptr;
  word.remove_prefix(prefix.size());
  for (const ServiceRow& row : kRows) {
    if (word == policy::ServiceName(row.service) && (!fetch || row.fetches)) return &row;
  }
  return nullptr;
}

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

}  // namespace

SqliteTable::SqliteTable(const policy::TableDeclaration* declaration, rt::Files* files,
                         rt::Clock* clock, SqliteTableOptions options)
    : declaration_(declaration), files_(files), clock_(clock), options_(options) {
  static_assert(std::size(kRows) == kServices);
}

Status SqliteTable::About(const Status& status) const {
  return Unavailable(
      StrCat("table ", Escape(declaration_->name, 80), ": ", Escape(Message(status), 300)));
}

std::optional<SqliteTable::Settings> SqliteTable::ReadSettings(Diagnostics* diagnostics) {
  const std::string& path = declaration_->path;
  const StatusOr<std::string> text = ReadTextFile(*files_, path, options_.max_file_bytes);
  if (!text.ok()) {
    diagnostics->push_back(
        MakeError(declaration_->location,
                  StrCat("cannot read ", Escape(path), " for table ",
                         Escape(declaration_->name, 80), ": ", Escape(Message(text.status())))));
    return std::nullopt;
  }
  Settings settings;
  bool ok = true;
  const auto fail = [&](int line, std::string message) {
    ok = false;
    diagnostics->push_back(MakeError({path, line, 0}, std::move(message)));
  };
  int number = 0;
  for (std::string_view line : Split(*text, '\n')) {
    ++number;
    line = Trim(line);
    if (line.empty() || line[0] == '#') continue;
    const size_t end = line.find_first_of(" \t:");
    const std::string_view word = line.substr(0, end);
    std::string_view value =
        end == std::string_view::npos ? std::string_view() : line.substr(end + 1);
    while (!value.empty() &&
           (IsBlank(value[0]) || (value[0] == ':' && (value.size() == 1 || IsBlank(value[1])))))
      value.remove_prefix(1);
    if (value.empty()) {
      fail(number, StrCat("\"", Escape(word, 80), "\" has no value"));
      continue;
    }
    const ServiceRow* query = RowNamed(word, "query_", /*fetch=*/false);
    const ServiceRow* fetch = RowNamed(word, "fetch_", /*fetch=*/true);
    if (word == "dbpath") {
      settings.path = std::string(value);
      settings.path_line = number;
      if (value[0] != '/')
        fail(number, StrCat("dbpath must be absolute, found \"", Escape(value, 200), "\""));
    } else if (word == "fetch_source_expire" || word == "fetch_source_refresh") {
      const std::optional<uint64_t> count = ParseUint(value, INT32_MAX);
      if (!count) {
        fail(number, StrCat(word, " must be a number, found \"", Escape(value, 80), "\""));
      } else if (word == "fetch_source_expire") {
        settings.fetch_expire_s = static_cast<int64_t>(*count);
      } else {
        settings.fetch_refresh = *count;
      }
    } else if (query != nullptr || fetch != nullptr) {
      Query& slot = query != nullptr ? settings.queries[IndexOf(query->service)]
                                     : settings.fetches[IndexOf(fetch->service)];
      if (!slot.sql.empty()) {
        fail(number, StrCat(word, " is given already at line ", slot.line));
        continue;
      }
      slot = Query{std::string(value), number};
    } else {
      // As table-sqlite does: a file for a newer one still serves.
      diagnostics->push_back(MakeWarning(
          {path, number, 0}, StrCat("\"", Escape(word, 80), "\" is no setting of a sqlite table")));
    }
  }
  if (ok && settings.path.empty()) fail(0, "there is no dbpath");
  if (!ok) return std::nullopt;
  return settings;
}

StatusOr<std::unique_ptr<SqliteTable::Open>> SqliteTable::OpenDatabase(const Settings& settings,
                                                                       int* line) {
  auto open = std::make_unique<Open>();
  *line = settings.path_line;
  // The identity is taken first: what is put in its place while it is opened is seen next time.
  const StatusOr<rt::FileInfo> info = files_->Stat(settings.path);
  if (!info.ok()) return Annotate(info.status(), settings.path);
  open->inode = info->inode;
  open->device = info->device;
  StatusOr<std::unique_ptr<sqlite::Database>> database =
      sqlite::Database::OpenForQueries(*files_, settings.path, options_.query);
  if (!database.ok()) return database.status();
  open->database = std::move(*database);
  const auto prepare = [&](const Query& query, int columns, int parameters, const char* wants,
                           std::optional<sqlite::Statement>* out) -> Status {
    if (query.sql.empty()) return OkStatus();
    *line = query.line;
    StatusOr<sqlite::Statement> statement = open->database->Prepare(query.sql);
    if (!statement.ok()) return statement.status();
    if (!statement->is_read_only()) return InvalidArgument("the statement changes the database");
    if (statement->columns() != columns)
      return InvalidArgument(StrCat("the query gives ", statement->columns(), " column",
                                    statement->columns() == 1 ? "" : "s", ", and ", columns,
                                    columns == 1 ? " is wanted" : " are wanted"));
    if (statement->parameters() != parameters)
      return InvalidArgument(
          StrCat("the query has ", statement->parameters(), " parameters; ", wants));
    out->emplace(std::move(*statement));
    return OkStatus();
  };
  for (size_t i = 0; i < kServices; ++i) {
    POSTERN_RETURN_IF_ERROR(prepare(settings.queries[i], kRows[i].columns, 1,
                                    "write ? where the key goes, or ?1 in each place",
                                    &open->queries[i]));
    POSTERN_RETURN_IF_ERROR(prepare(settings.fetches[i], 1, 0,
                                    "nothing is asked for when a list is fetched",
                                    &open->fetches[i]));
  }
  return open;
}

bool SqliteTable::Reload(Diagnostics* diagnostics) {
  std::optional<Settings> settings = ReadSettings(diagnostics);
  if (!settings) return false;
  bool ok = true;
  // A look-up without a query could only ever fail.
  for (const policy::TableUse& use : declaration_->uses) {
    const size_t index = IndexOf(use.service);
    if (!settings->queries[index].sql.empty() || !settings->fetches[index].sql.empty()) continue;
    // A login is an address or a word: one of the two queries will do.
    if (use.service == Service::kString &&
        !settings->queries[IndexOf(Service::kMailaddr)].sql.empty())
      continue;
    if (use.service == Service::kMailaddr &&
        !settings->queries[IndexOf(Service::kString)].sql.empty())
      continue;
    ok = false;
    diagnostics->push_back(MakeError(
        use.location, StrCat("table \"", Escape(declaration_->name, 80), "\" may not be used for ",
                             use.word, " lookups: ", Escape(declaration_->path), " has no query_",
                             policy::ServiceName(use.service))));
  }
  if (!ok) return false;
  int line = 0;
  StatusOr<std::unique_ptr<Open>> open = OpenDatabase(*settings, &line);
  if (!open.ok()) {
    diagnostics->push_back(MakeError(
        {declaration_->path, line, 0},
        StrCat(Escape(Message(open.status()), 300), " [table ", Escape(declaration_->name, 80),
               ", declared at ", declaration_->location.ToString(), "]")));
    return false;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  settings_ = *std::move(settings);
  open_ = std::move(*open);
  fetched_ = {};
  return true;
}

StatusOr<SqliteTable::Open*> SqliteTable::Current() {
  if (open_ != nullptr) {
    const StatusOr<rt::FileInfo> info = files_->Stat(settings_.path);
    // What was open goes on serving while its name is away for a moment.
    if (!info.ok() || (info->inode == open_->inode && info->device == open_->device))
      return open_.get();
  }
  int line = 0;
  StatusOr<std::unique_ptr<Open>> open = OpenDatabase(settings_, &line);
  if (!open.ok())
    return Unavailable(StrCat(declaration_->path, ":", line, ": ", Message(open.status())));
  open_ = std::move(*open);
  fetched_ = {};
  return open_.get();
}

StatusOr<std::optional<std::string>> SqliteTable::Ask(Open& open, Service service,
                                                      const std::string& key) {
  const size_t index = IndexOf(service);
  if (!open.queries[index].has_value())
    return FailedPrecondition(
        StrCat(declaration_->path, " has no query_", policy::ServiceName(service)));
  sqlite::Statement& query = *open.queries[index];
  open.database->BeginQuery();
  query.BindText(1, key);
  const auto step = [&query]() { return query.Step(); };
  StatusOr<bool> row = step();
  if (!row.ok()) return row.status();
  if (!*row) return std::optional<std::string>();
  std::string value;
  Status failure;
  if (service == Service::kCredentials) {
    value = StrCat(query.Text(0), ":", query.Text(1));
  } else if (service == Service::kUserinfo) {
    // Whatever SQLite makes of another type is no account: NULL would be root.
    for (int column = 0; column < 2; ++column) {
      if (!ParseUint(query.Text(column), UINT32_MAX).has_value()) {
        query.Reset();
        return FailedPrecondition(
            StrCat("query_userinfo gives no number as the ", column == 0 ? "uid" : "gid"));
      }
    }
    value = StrCat(query.Int(0), ":", query.Int(1), ":", query.Text(2));
  } else if (!kRows[index].joins_rows) {
    value = std::string(query.Text(0));
  } else {
    for (size_t rows = 0; *row; ++rows) {
      StrAppend(value, rows == 0 ? "" : ", ", query.Text(0));
      if (rows >= options_.max_rows || value.size() > options_.max_value_bytes) {
        failure = ResourceExhausted(StrCat("more than ", options_.max_rows, " rows"));
        break;
      }
      row = step();
      if (!row.ok()) return row.status();
    }
  }
  query.Reset();
  if (!failure.ok()) return failure;
  if (value.size() > options_.max_value_bytes) return ResourceExhausted("too long a value");
  return std::optional<std::string>(std::move(value));
}

StatusOr<std::optional<std::string>> SqliteTable::Lookup(Service service, std::string_view key) {
  const std::string lower = AsciiLower(key);
  const std::lock_guard<std::mutex> lock(mutex_);
  const StatusOr<Open*> open = Current();
  if (!open.ok()) return About(open.status());
  StatusOr<std::optional<std::string>> value = Ask(**open, service, lower);
  if (!value.ok()) {
    // A database that cannot be read any more is opened anew by the next question.
    if (sqlite::IsCorrupt(value.status())) open_.reset();
    return About(value.status());
  }
  if (service == Service::kCredentials && value->has_value()) last_secret_ = **value;
  return value;
}

StatusOr<std::optional<std::string>> SqliteTable::Fetch(Service service) {
  const size_t index = IndexOf(service);
  const std::lock_guard<std::mutex> lock(mutex_);
  const StatusOr<Open*> open = Current();
  if (!open.ok()) return About(open.status());
  if (!(*open)->fetches[index].has_value())
    return About(FailedPrecondition(
        StrCat(declaration_->path, " has no fetch_", policy::ServiceName(service))));
  Fetched& fetched = fetched_[index];
  const Instant now = clock_->Now();
  if (!fetched.known || fetched.calls >= settings_.fetch_refresh ||
      now >= fetched.at + absl::Seconds(settings_.fetch_expire_s)) {
    sqlite::Statement& query = *(*open)->fetches[index];
    (*open)->database->BeginQuery();
    std::vector<std::string> entries;
    for (;;) {
      const StatusOr<bool> row = query.Step();
      if (!row.ok()) return About(row.status());
      if (!*row) break;
      if (entries.size() >= options_.max_sources) {
        query.Reset();
        return About(ResourceExhausted(StrCat("more than ", options_.max_sources, " rows")));
      }
      entries.emplace_back(query.Text(0));
    }
    std::sort(entries.begin(), entries.end());
    entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
    fetched = Fetched{.entries = std::move(entries), .at = now, .calls = 0, .known = true};
  }
  ++fetched.calls;
  if (fetched.entries.empty()) return std::optional<std::string>();
  return std::optional<std::string>(fetched.entries[turn_++ % fetched.entries.size()]);
}

std::string SqliteTable::SampleValue() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return last_secret_;
}

}  // namespace postern::store
