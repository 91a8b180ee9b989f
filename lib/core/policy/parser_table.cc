// `table`, and the places where a table is an argument.

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/policy/parser.h"
#include "lib/core/policy/table.h"

namespace postern::policy {
namespace {

struct Backend {
  const char* word;
  TableKind kind;
};
// The types of `table NAME TYPE:/path`. The last ones are the helpers that OpenSMTPD-extras
// installs.
constexpr Backend kBackends[] = {
    {"file", TableKind::kFile},      {"db", TableKind::kDb},         {"passwd", TableKind::kPasswd},
    {"sqlite", TableKind::kSqlite},  {"proc", TableKind::kProc},     {"ldap", TableKind::kProc},
    {"mysql", TableKind::kProc},     {"postgres", TableKind::kProc}, {"redis", TableKind::kProc},
    {"socketmap", TableKind::kProc},
};

// IsProgramWord tells whether table-`word` can be a program's name: no way out of its folder.
bool IsProgramWord(std::string_view word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return IsAsciiAlnum(c) || c == '-' || c == '_';
  });
}

}  // namespace

bool Parser::ParseTable(const Token&) {
  TableDeclaration table;
  const bool bracketed = Peek().IsSymbol("<");
  if (bracketed) {
    const SourceLocation at = Take().location;
    Warn(at, "a table is declared without < and >: they belong where it is used");
  }
  if (!ExpectString("a table name", &table.name, &table.location)) return false;
  if (bracketed && !TakeSymbol(">")) return Unexpected("\">\"");
  const auto fail = [&](std::string message) {
    Error(table.location, std::move(message));
    broken_names_.insert("table " + table.name);
    return false;
  };
  if (table.name.empty() || table.name.size() > kMaxTableNameBytes) {
    return fail(StrCat("table name \"", Escape(table.name, 80), "\": 1 to ", kMaxTableNameBytes,
                       " characters"));
  }
  if (const TableId other = config_.FindTable(table.name); other != kNoIndex) {
    return fail(StrCat("table \"", Escape(table.name), "\" already defined at line ",
                       config_.tables[static_cast<size_t>(other)].location.line));
  }
  // What a mistake kept from being read is one of that name all the same.
  if (broken_names_.count("table " + table.name) != 0) {
    return fail(StrCat("table \"", Escape(table.name),
                       "\" already defined above, with a mistake: mend that one, or remove it"));
  }
  if (Peek().IsSymbol("{")) {
    if (!ParseEntries(&table)) {
      broken_names_.insert("table " + table.name);
      return false;
    }
  } else {
    std::string source;
    SourceLocation at;
    if (!ExpectString("file:/path, a path in quotes or { entries }", &source, &at)) {
      broken_names_.insert("table " + table.name);
      return false;
    }
    const size_t colon = source.find(':');
    table.backend =
        source[0] == '/' || colon == std::string::npos ? "file" : source.substr(0, colon);
    table.path = source[0] == '/' || colon == std::string::npos ? source : source.substr(colon + 1);
    bool known = false;
    std::vector<std::string> words = options_->table_backends;
    for (const Backend& row : kBackends) {
      words.emplace_back(row.word);
      if (table.backend != row.word) continue;
      table.kind = row.kind;
      known = true;
    }
    for (const std::string& word : options_->table_backends) {
      if (known || table.backend != word) continue;
      table.kind = TableKind::kProc;
      known = true;
    }
    // Where the operator keeps programs of his own, the loader says which there are.
    if (!known && !config_.libexec.empty() && IsProgramWord(table.backend)) {
      table.kind = TableKind::kProc;
      known = true;
    }
    if (!known) {
      table.location = at;
      return fail(StrCat("table ", Escape(table.name), ": backend \"", Escape(table.backend, 64),
                         "\" does not exist", DidYouMean(table.backend, words)));
    }
    if (table.path.empty() || table.path[0] != '/') {
      table.location = at;
      return fail(StrCat("table ", Escape(table.name), ": the path must be absolute, found \"",
                         Escape(table.path), "\""));
    }
  }
  config_.tables.push_back(std::move(table));
  return true;
}

bool Parser::ParseEntries(TableDeclaration* table) {
  const SourceLocation at_open = Take().location;  // "{"
  SkipNewlines();
  while (!TakeSymbol("}")) {
    TableEntry entry;
    SourceLocation at;
    if (Peek().kind == TokenKind::kReserved && Peek().location.column == 1) {
      Error(at_open, StrCat("syntax error: the { has no }: line ", Peek().location.line,
                            " starts with the reserved word \"", Peek().text, "\""));
      return false;
    }
    if (!ExpectString(table->entries.empty() ? "a value" : "a value or \"}\"", &entry.key, &at))
      return false;
    entry.line = at.line;
    entry.column = at.column;
    TableForm form = TableForm::kList;
    if (TakeSymbol("=") || TakeSymbol("=>")) {
      form = TableForm::kMapping;
      if (!ExpectString("the value of the key", &entry.value)) return false;
    }
    if (table->form == TableForm::kUnknown) table->form = form;
    if (table->form != form) {
      Error(at, "syntax error: a table holds either values or key = value pairs, not both");
      return false;
    }
    if (table->entries.size() >= options_->max_table_entries) {
      Error(at, StrCat("a table in this file may have ", options_->max_table_entries,
                       " entries; put it into a file of its own"));
      return false;
    }
    table->entries.push_back(std::move(entry));
    SkipNewlines();
    if (TakeSymbol(",")) SkipNewlines();
  }
  if (table->entries.empty()) {
    Error(table->location, "syntax error: a table in braces needs at least one entry");
    return false;
  }
  return true;
}

bool Parser::AtTableArgument() {
  const Token& token = Peek();
  return token.IsSymbol("<") || token.IsSymbol("{") || (token.IsString() && !token.IsBare("proto"));
}

TableId Parser::AddAnonymous(TableDeclaration table, const SourceLocation& at) {
  table.name = StrCat("<anonymous:", config_.tables.size(), ">");
  table.anonymous = true;
  table.location = at;
  config_.tables.push_back(std::move(table));
  return static_cast<TableId>(config_.tables.size()) - 1;
}

bool Parser::ParseTableArgument(TableUse use, TableId* out) {
  const SourceLocation at = Peek().location;
  use.location = at;
  if (TakeSymbol("<")) {
    std::string name;
    if (!ExpectString("a table name", &name)) return false;
    if (!TakeSymbol(">")) return Unexpected("\">\"");
    *out = config_.FindTable(name);
    if (*out == kNoIndex) {
      std::vector<std::string> known;
      for (const TableDeclaration& table : config_.tables) {
        if (!table.anonymous) known.push_back(table.name);
      }
      return NotDeclared("table", name, at,
                         StrCat("no such table: ", Escape(name, 80), Declared(name, known)));
    }
  } else if (Peek().IsSymbol("{")) {
    TableDeclaration table;
    table.location = at;
    if (!ParseEntries(&table)) return false;
    *out = AddAnonymous(std::move(table), at);
  } else {
    TableDeclaration table;
    TableEntry entry;
    entry.line = at.line;
    entry.column = at.column;
    if (!ExpectString("a table: <name>, a value or { values }", &entry.key)) return false;
    table.form = TableForm::kList;
    table.entries.push_back(std::move(entry));
    *out = AddAnonymous(std::move(table), at);
  }
  return UseTable(*out, std::move(use));
}

bool Parser::UseTable(TableId id, TableUse use) {
  TableDeclaration& table = config_.tables[static_cast<size_t>(id)];
  table.uses.push_back(use);
  if (table.form == TableForm::kUnknown) return true;
  if (table.anonymous && table.entries.size() == 1 && use.needs == TableForm::kMapping &&
      table.form == TableForm::kList) {
    const std::string word = Escape(table.entries[0].key, 80);
    Error(use.location, StrCat(use.word, " needs key = value pairs, found \"", word, "\"",
                               config_.FindTable(table.entries[0].key) != kNoIndex
                                   ? StrCat(" (the table of that name is <", word, ">)")
                                   : StrCat(" (a declared table is written <", word, ">)")));
    return false;
  }
  TableDeclaration only_this = {};
  only_this.name = table.name;
  only_this.anonymous = table.anonymous;
  only_this.uses.push_back(std::move(use));
  const size_t before = diagnostics_.size();
  CheckTableForm(only_this, table.form, &diagnostics_);
  return diagnostics_.size() == before;
}

bool Parser::ParseCriterion(const char* word, Service service, TableForm needs, bool optional,
                            Criterion* out) {
  out->present = true;
  if (TakeBare("regex")) {
    out->regex = true;
    service = Service::kRegex;
    needs = TableForm::kList;
  } else if (optional && !AtTableArgument()) {
    return true;
  }
  TableUse use;
  use.service = service;
  use.needs = needs;
  use.word = word;
  return ParseTableArgument(std::move(use), &out->table);
}

}  // namespace postern::policy
