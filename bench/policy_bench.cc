// What a decision costs: ten thousand rules of several shapes, a table of a million entries of each
// kind, and how long such a table takes to be read anew.
//
// "rules_*" is one Ruleset::Match; the argument is the number of rules. "walk_*" is the same list
// without its index. "lookup_*" is one look-up; the argument is the number of entries. "reload"
// reads a file, builds the table and puts it in place of the old one; it reports the octets of
// memory that an entry takes beside its text.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <malloc.h>
#include <random>
#include <unistd.h>

#include <benchmark/benchmark.h>

#include "lib/core/base/strings.h"
#include "lib/core/policy/parse.h"
#include "lib/core/policy/ruleset.h"
#include "lib/core/policy/table.h"
#include "lib/rt/asio/posix_files.h"
#include "lib/store/table/tables.h"

namespace postern::policy {
namespace {

namespace fs = std::filesystem;

enum class Kind : int { kAlias, kDomain, kMailaddr, kNetaddr };
constexpr const char* kNames[] = {"alias", "domain", "mailaddr", "netaddr"};

std::string Key(Kind kind, uint32_t i) {
  switch (kind) {
    case Kind::kAlias: return StrCat("user", i);
    case Kind::kDomain: return StrCat("domain", i, ".example.org");
    case Kind::kMailaddr: return StrCat("user", i, "@domain", i % 1000, ".example.org");
    case Kind::kNetaddr:
      return StrCat(10 + (i >> 20), ".", (i >> 12) & 255, ".", (i >> 4) & 255, ".", (i & 15) << 4);
  }
  return "";
}
std::string Line(Kind kind, uint32_t i) {
  switch (kind) {
    case Kind::kAlias: return StrCat(Key(kind, i), ": mailbox", i, "@store.example.net\n");
    case Kind::kNetaddr: return StrCat(Key(kind, i), "/28\n");
    default: return StrCat(Key(kind, i), "\n");
  }
}
Service ServiceOf(Kind kind) {
  constexpr Service kServices[] = {Service::kAlias, Service::kDomain, Service::kMailaddr,
                                   Service::kNetaddr};
  return kServices[static_cast<int>(kind)];
}

// World is a configuration with its tables read from a scratch folder.
struct Loaded {
  explicit Loaded(const std::string& text) {
    MemoryLoader loader("smtpd.conf", text);
    ParseResult result = Parse("smtpd.conf", loader);
    config = result.config;
    Diagnostics diagnostics = result.diagnostics;
    if (config) tables = store::ConfigTables::Load(config, &files, {}, &diagnostics);
    if (!tables) {
      for (const Diagnostic& d : diagnostics) fprintf(stderr, "%s\n", d.ToString().c_str());
      abort();
    }
    LocalNames local;
    local.server_name = "mail.example.net";
    ruleset = std::make_unique<Ruleset>(config.get(), &tables->set(), local);
  }
  rt::PosixFiles files;
  std::shared_ptr<const Config> config;
  std::shared_ptr<store::ConfigTables> tables;
  std::unique_ptr<Ruleset> ruleset;
};

class Scratch {
 public:
  Scratch() : root_(fs::temp_directory_path() / StrCat("postern-bench-", getpid())) {
    fs::create_directories(root_);
  }
  ~Scratch() { fs::remove_all(root_); }
  // File gives the path of a table file of `count` entries, written once.
  std::string File(Kind kind, uint32_t count) {
    const std::string path = (root_ / StrCat(kNames[static_cast<int>(kind)], count)).string();
    if (fs::exists(path)) return path;
    std::ofstream out(path);
    for (uint32_t i = 0; i < count; ++i) out << Line(kind, i);
    return path;
  }

 private:
  fs::path root_;
};
Scratch& TheScratch() {
  static Scratch scratch;
  return scratch;
}

constexpr uint32_t kMillion = 1'000'000;

enum class Shape : int { kDomains, kSenders, kNetworks, kShared };

// Rules writes a list in which every rule may be the one, with a table of a million senders in
// each.
std::string Rules(Shape shape, int64_t count) {
  std::string text = StrCat("table friends file:", TheScratch().File(Kind::kMailaddr, kMillion),
                            "\naction a relay\n");
  for (int64_t i = 0; i < count; ++i) {
    switch (shape) {
      case Shape::kDomains:
        StrAppend(text, "match from any for domain \"d", i, ".example.org\" mail-from <friends>");
        break;
      case Shape::kSenders:
        StrAppend(text, "match from any for any mail-from \"user", i, "@d", i, ".example.org\"");
        break;
      case Shape::kNetworks:
        StrAppend(text, "match from src \"10.", i >> 8, ".", i & 255, ".0/24\" for any");
        break;
      case Shape::kShared:
        StrAppend(text, "match from any for any mail-from <friends> tag \"t", i, "\"");
        break;
    }
    StrAppend(text, " action a\n");
  }
  return text;
}

EnvelopeContext Envelope(Shape shape, uint32_t i) {
  EnvelopeContext c;
  c.remote = IpAddress::V4(10, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i), 7);
  c.reverse_name = "client.example.net";
  c.helo = "client.example.net";
  c.tag = StrCat("t", i);
  c.sender = shape == Shape::kSenders
                 ? mail::Address{StrCat("user", i), StrCat("d", i, ".example.org")}
                 : mail::Address{StrCat("user", i), StrCat("domain", i % 1000, ".example.org")};
  c.recipient = {"someone", StrCat("d", i, ".example.org")};
  return c;
}

// Decide measures each decision by itself and reports the median beside the mean.
void Decide(benchmark::State& state, Shape shape, bool by_index) {
  const Loaded loaded(Rules(shape, state.range(0)));
  std::mt19937 random(7);
  std::vector<EnvelopeContext> envelopes;
  for (int i = 0; i < 1000; ++i)
    envelopes.push_back(Envelope(shape, random() % static_cast<uint32_t>(state.range(0))));
  size_t at = 0;
  std::vector<double> each;
  for (auto _ : state) {
    const EnvelopeContext& envelope = envelopes[at++ % envelopes.size()];
    const auto begun = std::chrono::steady_clock::now();
    const RuleMatch match =
        by_index ? loaded.ruleset->Match(envelope) : loaded.ruleset->MatchByWalk(envelope);
    each.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begun)
            .count());
    if (match.outcome != RuleMatch::Outcome::kAccept) state.SkipWithError("no rule matched");
  }
  std::sort(each.begin(), each.end());
  state.counters["median_us"] = each.empty() ? 0 : each[each.size() / 2];
  state.counters["p99_us"] = each.empty() ? 0 : each[each.size() * 99 / 100];
}

void LookUp(benchmark::State& state, Kind kind, bool hits) {
  const auto count = static_cast<uint32_t>(state.range(0));
  const std::string use = kind == Kind::kAlias     ? "action b mbox alias <t>\n"
                          : kind == Kind::kDomain  ? "match for domain <t> action a\n"
                          : kind == Kind::kNetaddr ? "match from src <t> for any action a\n"
                                                   : "match mail-from <t> for any action a\n";
  const Loaded loaded(StrCat("table t file:", TheScratch().File(kind, count), "\naction a relay\n",
                             use, "match for any action a\n"));
  Table* table = loaded.tables->set().Get(0);
  std::mt19937 random(7);
  std::vector<std::string> keys;
  for (int i = 0; i < 4096; ++i) keys.push_back(Key(kind, random() % count + (hits ? 0 : count)));
  size_t at = 0;
  for (auto _ : state) {
    const auto found = table->Lookup(ServiceOf(kind), keys[at++ % keys.size()]);
    if (!found.ok() || found->has_value() != hits) state.SkipWithError("wrong answer");
  }
}

void Reload(benchmark::State& state, Kind kind) {
  const std::string path = TheScratch().File(kind, kMillion);
  const std::string use = kind == Kind::kAlias     ? "action b mbox alias <t>\n"
                          : kind == Kind::kDomain  ? "match for domain <t> action a\n"
                          : kind == Kind::kNetaddr ? "match from src <t> for any action a\n"
                                                   : "match mail-from <t> for any action a\n";
  malloc_trim(0);
  const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  const Loaded loaded(
      StrCat("table t file:", path, "\naction a relay\n", use, "match for any action a\n"));
  const size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
  for (auto _ : state) {
    Diagnostics diagnostics;
    if (!loaded.tables->Update("t", &diagnostics)) state.SkipWithError("not reloaded");
  }
  state.counters["octets_an_entry"] = static_cast<double>(after - before) / kMillion;
  state.counters["text_octets"] = static_cast<double>(fs::file_size(path)) / kMillion;
}

#define RULES(name, shape)                                                    \
  BENCHMARK_CAPTURE(Decide, rules_##name, shape, true)->Arg(10)->Arg(10'000); \
  BENCHMARK_CAPTURE(Decide, walk_##name, shape, false)->Arg(10'000)
RULES(by_domain, Shape::kDomains);
RULES(by_sender, Shape::kSenders);
RULES(by_network, Shape::kNetworks);
RULES(of_one_table, Shape::kShared);
#define LOOKUPS(name, kind)                                                      \
  BENCHMARK_CAPTURE(LookUp, name##_hit, kind, true)->Arg(1000)->Arg(kMillion);   \
  BENCHMARK_CAPTURE(LookUp, name##_miss, kind, false)->Arg(1000)->Arg(kMillion); \
  BENCHMARK_CAPTURE(Reload, name, kind)->Unit(benchmark::kMillisecond)
LOOKUPS(alias, Kind::kAlias);
LOOKUPS(domain, Kind::kDomain);
LOOKUPS(mailaddr, Kind::kMailaddr);
LOOKUPS(netaddr, Kind::kNetaddr);

}  // namespace
}  // namespace postern::policy

BENCHMARK_MAIN();
