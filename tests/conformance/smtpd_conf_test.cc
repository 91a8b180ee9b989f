// The smtpd.conf suite: every configuration of it loads, every one of its rejects/ is refused at
// the line and for the reason that it names.

#include "tests/conformance/suite.h"
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <unistd.h>

#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/advice.h"
#include "lib/core/policy/parse.h"
#include "lib/rt/asio/posix_files.h"
#include "lib/store/table/source_loader.h"
#include "lib/store/table/tables.h"

namespace postern::policy {
namespace {

namespace fs = std::filesystem;

std::string Slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void Spill(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

void ReplaceAll(std::string* text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text->find(from, at)) != std::string::npos; at += to.size())
    text->replace(at, from.size(), to);
}

// Which folder of tables a configuration goes with, by the front of its name (the suite's README).
std::string TableSetOf(const std::string& name) {
  const std::pair<const char*, const char*> sets[] = {{"athome-", "athome"},
                                                      {"hypno-", "hypno-cat"},
                                                      {"openbsd69-", "openbsd69"},
                                                      {"ircnow-", "ircnow"},
                                                      {"openbsd-default", "openbsd"}};
  for (const auto& [front, set] : sets) {
    if (name.rfind(front, 0) == 0) return set;
  }
  return "athome";
}

// Scratch is a folder in which the suite's paths are laid out.
class Scratch {
 public:
  Scratch() : root_(fs::temp_directory_path() / StrCat("postern-smtpd-conf-", getpid())) {
    fs::create_directories(root_);
  }
  ~Scratch() { fs::remove_all(root_); }
  const fs::path& root() const { return root_; }

  // Rewrite moves the paths of `text` into the folder and makes an empty file for each certificate
  // and key that is named.
  std::string Rewrite(std::string text) const {
    for (const char* prefix : {"/etc/mail", "/etc/ssl", "/etc/dkim"})
      ReplaceAll(&text, prefix, root_.string() + prefix);
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind("pki ", 0) != 0) continue;
      // The last quoted word is the file; the name of the pki may be quoted, too.
      const size_t close = line.rfind('"');
      if (close == std::string::npos || close == 0 || line.find("missing") != std::string::npos)
        continue;
      const size_t open = line.rfind('"', close - 1);
      if (open == std::string::npos) continue;
      Spill(line.substr(open + 1, close - open - 1), "certificate\n");
    }
    return text;
  }

 private:
  fs::path root_;
};

// Load does what `-n` does: parse, load the tables, look at the files that are named.
Diagnostics Load(const fs::path& file, const std::string& server_name) {
  rt::PosixFiles files;
  store::FileSourceLoader loader(&files);
  ParseOptions options;
  options.server_name = [&server_name] { return server_name; };
  ParseResult result = Parse(file.string(), loader, options);
  if (result.config == nullptr) return result.diagnostics;
  Diagnostics diagnostics = result.diagnostics;
  store::ConfigTables::Load(result.config, &files, {}, &diagnostics);
  store::CheckCertificateFiles(*result.config, files, &diagnostics);
  return diagnostics;
}

const Diagnostic* FirstError(const Diagnostics& diagnostics) {
  for (const Diagnostic& d : diagnostics) {
    if (d.severity == Severity::kError) return &d;
  }
  return nullptr;
}

std::string Listing(const Diagnostics& diagnostics) {
  std::string out;
  for (const Diagnostic& d : diagnostics) StrAppend(out, d.ToString(), "\n");
  return out;
}

TEST(SmtpdConfSuite, Accepts) {
  const std::optional<std::string> folder = conformance::Folder("smtpd.conf");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("smtpd.conf/accepts");
  for (const fs::directory_entry& entry : fs::directory_iterator(*folder)) {
    if (entry.path().extension() != ".conf") continue;
    const std::string name = entry.path().filename().string();
    const Scratch scratch;
    for (const fs::directory_entry& table :
         fs::directory_iterator(fs::path(*folder) / "tables" / TableSetOf(name))) {
      Spill(scratch.root() / "etc/mail" / table.path().filename(), Slurp(table.path()));
    }
    const std::string mailname = std::string(Trim(Slurp(scratch.root() / "etc/mail/mailname")));
    const fs::path file = scratch.root() / name;
    Spill(file, scratch.Rewrite(Slurp(entry.path())));
    const Diagnostics diagnostics = Load(file, mailname);
    tally.Count(name, !HasErrors(diagnostics), Listing(diagnostics));
  }
  tally.Finish();
}

// What each configuration asks for beyond what runs is said by name and line; those without filters
// run.
TEST(SmtpdConfSuite, Runs) {
  const std::optional<std::string> folder = conformance::Folder("smtpd.conf");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("smtpd.conf/runs");
  for (const char* name :
       {"openbsd-default.conf", "athome-quick.conf", "athome-virtual.conf",
        "athome-multidomain.conf", "athome-multidomain-pki.conf", "athome-dkimproxy.conf",
        "athome-smarthost.conf", "athome-smarthost-asprinted.conf", "athome-spamassassin-tags.conf",
        "athome-backupmx.conf", "athome-backupmx-self.conf", "openbsd69-basic.conf"}) {
    MemoryLoader loader(name, Slurp(fs::path(*folder) / name));
    const ParseResult result = Parse(name, loader, {});
    tally.Count(name, result.config != nullptr, Listing(result.diagnostics));
  }
  tally.Finish();
}

// LaidOut gives configuration `entry` of the suite with its tables in `scratch`, loaded; null when
// it is refused.
std::shared_ptr<const Config> LaidOut(const fs::directory_entry& entry, const Scratch& scratch,
                                      rt::Files* files, const std::string& mailname,
                                      std::shared_ptr<store::ConfigTables>* tables,
                                      Diagnostics* diagnostics) {
  const fs::path file = scratch.root() / entry.path().filename();
  Spill(file, scratch.Rewrite(Slurp(entry.path())));
  store::FileSourceLoader loader(files);
  ParseOptions options;
  options.server_name = [mailname] { return mailname; };
  ParseResult result = Parse(file.string(), loader, options);
  *diagnostics = result.diagnostics;
  if (result.config != nullptr)
    *tables = store::ConfigTables::Load(result.config, files, {}, diagnostics);
  return *tables == nullptr ? nullptr : result.config;
}

// What a configuration is told that loads: exactly what the suite's README says of it. Two of them
// are open relays, one depends on the server's name.
TEST(SmtpdConfSuite, Advice) {
  const std::optional<std::string> folder = conformance::Folder("smtpd.conf");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("smtpd.conf/advice");
  // file: the findings that are warnings, as code:line. The rest of the files have none.
  const std::map<std::string, std::string> expected = {
      {"athome-smarthost-asprinted.conf", "open-relay:15 "},
      {"openbsd69-basic.conf", "unused:7 open-relay:27 "},
      {"athome-spamassassin-tags.conf", "returned-mail:24 "},
  };
  for (const fs::directory_entry& entry : fs::directory_iterator(*folder)) {
    if (entry.path().extension() != ".conf") continue;
    const std::string name = entry.path().filename().string();
    const Scratch scratch;
    for (const fs::directory_entry& table :
         fs::directory_iterator(fs::path(*folder) / "tables" / TableSetOf(name))) {
      Spill(scratch.root() / "etc/mail" / table.path().filename(), Slurp(table.path()));
    }
    // The second exchanger is a machine of its own.
    const std::string mailname =
        name.rfind("athome-backupmx", 0) == 0
            ? "mail.friend.eu"
            : std::string(Trim(Slurp(scratch.root() / "etc/mail/mailname")));
    rt::PosixFiles files;
    Diagnostics diagnostics;
    std::shared_ptr<store::ConfigTables> tables;
    const std::shared_ptr<const Config> config =
        LaidOut(entry, scratch, &files, mailname, &tables, &diagnostics);
    std::string said;
    if (config != nullptr) {
      LocalNames local;
      local.server_name = mailname;
      const Ruleset ruleset(config.get(), &tables->set(), local);
      diagnostics = Advise(ruleset);
      for (const Diagnostic& d : diagnostics) {
        if (d.severity == Severity::kWarning) StrAppend(said, d.code, ":", d.location.line, " ");
      }
    }
    const auto row = expected.find(name);
    tally.Count(name, config != nullptr && said == (row == expected.end() ? "" : row->second),
                Listing(diagnostics));
  }
  tally.Finish();
}

// What a NN-name.expected.txt says.
struct Expected {
  std::string file;
  std::vector<std::string> lines;
  std::vector<std::string> keywords;  // each may be a|b
};

Expected ReadExpected(const fs::path& path) {
  Expected expected;
  std::istringstream in(Slurp(path));
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    const std::string field = line.substr(0, colon);
    const std::string value = line.substr(colon + 2);
    if (field == "file") expected.file = value;
    if (field == "line") {
      for (const std::string_view choice : Split(value, '|'))
        expected.lines.emplace_back(Trim(choice));
    }
    if (field == "keywords") {
      for (const std::string_view word : Split(value, ','))
        expected.keywords.emplace_back(Trim(word));
    }
  }
  return expected;
}

std::string Mismatch(const Expected& expected, const Diagnostic* error) {
  if (error == nullptr) return "accepted";
  if (fs::path(error->location.file).filename() != expected.file)
    return StrCat("told of ", error->location.file);
  bool line_fits = false;
  for (const std::string& line : expected.lines) {
    line_fits = line_fits || line == "0" || line == std::to_string(error->location.line);
  }
  if (!line_fits) return "another line";
  for (const std::string& keyword : expected.keywords) {
    bool found = false;
    for (const std::string_view choice : Split(keyword, '|')) {
      found =
          found || AsciiLower(error->message).find(AsciiLower(Trim(choice))) != std::string::npos;
    }
    if (!found) return StrCat("does not say \"", keyword, "\"");
  }
  return "";
}

TEST(SmtpdConfSuite, Rejects) {
  const std::optional<std::string> folder = conformance::Folder("smtpd.conf");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("smtpd.conf/rejects");
  const fs::path rejects = fs::path(*folder) / "rejects";
  for (const fs::directory_entry& entry : fs::directory_iterator(rejects)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".conf" || name.rfind("inc-", 0) == 0) continue;
    const Scratch scratch;
    for (const fs::directory_entry& other : fs::directory_iterator(rejects)) {
      const std::string other_name = other.path().filename().string();
      if (other_name.rfind("inc-", 0) == 0)
        Spill(scratch.root() / "etc/mail" / other_name, Slurp(other.path()));
    }
    const fs::path file = scratch.root() / name;
    Spill(file, scratch.Rewrite(Slurp(entry.path())));
    const Diagnostics diagnostics = Load(file, "mail.example.org");
    const Expected expected =
        ReadExpected(rejects / (entry.path().stem().string() + ".expected.txt"));
    const std::string mismatch = Mismatch(expected, FirstError(diagnostics));
    tally.Count(name, mismatch.empty(), StrCat(mismatch, "\n", Listing(diagnostics)));
  }
  tally.Finish();
}

}  // namespace
}  // namespace postern::policy
