// A configuration of any octets: it is parsed or refused with a place and a printable sentence, and
// what is accepted can be looked through.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "lib/core/base/strings.h"
#include "lib/core/policy/advice.h"
#include "lib/core/policy/explain_text.h"
#include "lib/core/policy/parse.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::policy;
  MemoryLoader loader("f", std::string(reinterpret_cast<const char*>(data), size));
  loader.Add("/inc", "action \"inc\" mbox\n");
  ParseOptions options;
  options.max_total_bytes = 1 << 20;
  options.max_table_entries = 1000;
  const ParseResult result = Parse("f", loader, options);
  if ((result.config == nullptr) != HasErrors(result.diagnostics)) abort();
  for (const Diagnostic& d : result.diagnostics) {
    for (const char c : d.message) {
      if (c == '\n' || c == '\0') abort();
    }
  }
  if (result.config != nullptr) {
    // Advice on whatever it means: bounded, and one printable line a finding.
    TableSet tables;
    for (const TableDeclaration& table : result.config->tables) {
      Diagnostics told;
      std::shared_ptr<const TableContents> contents;
      if (table.kind == TableKind::kStatic) {
        contents =
            TableContents::Build(table.entries, BuildOptionsFor(table, *result.config), &told);
      }
      tables.tables.push_back(contents == nullptr ? nullptr
                                                  : std::make_shared<StaticTable>(contents));
    }
    LocalNames local;
    local.server_name = "mx.example.org";
    const Ruleset ruleset(result.config.get(), &tables, local);
    AdviceLimits limits;
    limits.max_rule_pairs = 2000;
    limits.max_questions = 5000;
    for (const Diagnostic& d : Advise(ruleset, limits)) {
      if (d.code.empty() || d.ToString().find('\n') != std::string::npos) abort();
    }
    for (const Rule& rule : result.config->rules) RuleText(*result.config, rule);
    for (const Action& action : result.config->actions) ActionText(*result.config, action);
  }
  if (result.readable != nullptr) IneffectiveSettings(*result.readable);
  return 0;
}
