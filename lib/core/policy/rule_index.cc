#include "lib/core/policy/rule_index.h"

#include <algorithm>
#include <limits>

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

// Below so many rules the walk is as fast.
constexpr size_t kMinRules = 16;

// The service by which each aspect's table is asked, as Ruleset::FirstFailure does.
Service ServiceOf(RuleAspect aspect) {
  switch (aspect) {
    case RuleAspect::kFor:
    case RuleAspect::kHelo: return Service::kDomain;
    case RuleAspect::kFrom: return Service::kNetaddr;
    case RuleAspect::kTag: return Service::kString;
    case RuleAspect::kMailFrom:
    case RuleAspect::kRcptTo: return Service::kMailaddr;
  }
  return Service::kString;
}

// Step is one criterion of a rule, in the order in which they are tested; those without a table
// that an index could use have none of the aspects.
struct Step {
  std::optional<RuleAspect> aspect;
  const Criterion* criterion;
};

std::vector<Step> StepsOf(const Rule& rule) {
  std::vector<Step> steps;
  const bool from_table = rule.from_kind == FromKind::kSource;
  const bool for_table = rule.for_kind == ForKind::kDomain;
  const bool from_other = rule.from_kind == FromKind::kRdns && rule.from.table != kNoIndex;
  if (from_table) steps.push_back({RuleAspect::kFrom, &rule.from});
  if (from_other) steps.push_back({std::nullopt, &rule.from});
  if (for_table) steps.push_back({RuleAspect::kFor, &rule.to});
  if (rule.auth.present && rule.auth.table != kNoIndex) steps.push_back({std::nullopt, &rule.auth});
  if (rule.tag.present) steps.push_back({RuleAspect::kTag, &rule.tag});
  if (rule.helo.present) steps.push_back({RuleAspect::kHelo, &rule.helo});
  if (rule.mail_from.present) steps.push_back({RuleAspect::kMailFrom, &rule.mail_from});
  if (rule.rcpt_to.present) steps.push_back({RuleAspect::kRcptTo, &rule.rcpt_to});
  return steps;
}

// NamesOf lists the names under which the entries of a table written in the configuration are
// found; nullopt when some are found by comparing alone.
std::optional<std::vector<std::string>> NamesOf(const TableDeclaration& table, Service service) {
  std::vector<std::string> names;
  for (const TableEntry& entry : table.entries) {
    const std::string key = AsciiLower(entry.key);
    if (service == Service::kNetaddr && key != "local") {
      const std::optional<IpNetwork> network = ReadNetwork(key);
      if (!network) return std::nullopt;
      names.emplace_back(KeyOfNetwork(network->address, network->prefix_bits).view());
    } else {
      if (!IsNamed(service, key)) return std::nullopt;
      names.push_back(key);
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace

uint32_t RuleIndex::GroupFor(RuleAspect aspect, const Criterion& criterion, bool named) {
  const uint64_t key = (static_cast<uint64_t>(criterion.table) << 8) |
                       (static_cast<uint64_t>(aspect) << 2) | (criterion.negated ? 2u : 0u) |
                       (criterion.regex ? 1u : 0u);
  const auto [it, is_new] = group_of_.try_emplace(key, static_cast<uint32_t>(groups_.size()));
  if (is_new) {
    groups_.push_back(Group{aspect, criterion, {}});
    if (!named) unnamed_.push_back(it->second);
  }
  return it->second;
}

RuleIndex::RuleIndex(const Config& config, const TableSet& tables)
    : config_(config), tables_(tables) {
  groups_.emplace_back();  // always_
  worthwhile_ = config.rules.size() >= kMinRules;
  if (!worthwhile_) return;

  const auto can_fail = [&](const Criterion& criterion) {
    const Table* table = tables.Get(criterion.table);
    return table == nullptr || table->CanFail();
  };
  // Names are only those of tables that never change.
  using NameList = std::optional<std::vector<std::string>>;
  std::unordered_map<uint64_t, NameList> known;
  const auto names_of = [&](RuleAspect aspect, const Criterion& criterion) -> const NameList& {
    const Service service = ServiceOf(aspect);
    const uint64_t key =
        (static_cast<uint64_t>(criterion.table) << 8) | static_cast<uint64_t>(service);
    const auto [it, is_new] = known.try_emplace(key);
    const TableDeclaration& table = config.tables[static_cast<size_t>(criterion.table)];
    if (is_new && table.kind == TableKind::kStatic) it->second = NamesOf(table, service);
    return it->second;
  };
  const auto is_named = [&](RuleAspect aspect, const Criterion& criterion) {
    return !criterion.negated && !criterion.regex && names_of(aspect, criterion).has_value();
  };
  // For each rule, its criteria that no table goes before which can fail.
  const auto for_each_usable = [&](const Rule& rule, auto take) {
    for (const Step& step : StepsOf(rule)) {
      if (can_fail(*step.criterion)) return;
      if (step.aspect) take(*step.aspect, *step.criterion);
    }
  };

  // How many rules hang on each criterion, and through it on each name.
  std::unordered_map<uint64_t, uint32_t> rules_of_table;
  const auto table_key = [](RuleAspect aspect, const Criterion& criterion) {
    return (static_cast<uint64_t>(criterion.table) << 8) | static_cast<uint64_t>(aspect);
  };
  std::array<std::unordered_map<std::string_view, uint32_t>, kRuleAspects> rules_of_name;
  std::vector<std::pair<RuleAspect, Criterion>> named_tables;
  for (const Rule& rule : config.rules) {
    for_each_usable(rule, [&](RuleAspect aspect, const Criterion& criterion) {
      if (!is_named(aspect, criterion)) return;
      if (rules_of_table[table_key(aspect, criterion)]++ == 0)
        named_tables.emplace_back(aspect, criterion);
    });
  }
  for (const auto& [aspect, criterion] : named_tables) {
    const uint32_t count = rules_of_table[table_key(aspect, criterion)];
    for (const std::string& name : *names_of(aspect, criterion))
      rules_of_name[static_cast<size_t>(aspect)][name] += count;
  }

  for (uint32_t number = 0; number < config.rules.size(); ++number) {
    // The criterion of which each name leads to the fewest rules; one without names is better than
    // none.
    constexpr uint32_t kWorst = std::numeric_limits<uint32_t>::max();
    std::optional<std::pair<RuleAspect, Criterion>> best;
    uint32_t best_cost = kWorst;
    for_each_usable(config.rules[number], [&](RuleAspect aspect, const Criterion& criterion) {
      uint32_t cost = kWorst;
      if (is_named(aspect, criterion)) {
        cost = 0;
        for (const std::string& name : *names_of(aspect, criterion))
          cost = std::max(cost, rules_of_name[static_cast<size_t>(aspect)][name]);
      }
      if (best && cost >= best_cost) return;
      best = {aspect, criterion};
      best_cost = cost;
    });
    const uint32_t group =
        best ? GroupFor(best->first, best->second, best_cost != kWorst) : always_;
    groups_[group].rules.push_back(number);
  }

  for (uint32_t i = 1; i < groups_.size(); ++i) {
    const Group& group = groups_[i];
    if (!is_named(group.aspect, group.criterion)) continue;
    for (const std::string& name : *names_of(group.aspect, group.criterion)) {
      names_[static_cast<size_t>(group.aspect)][name].push_back(i);
    }
    if (group.aspect != RuleAspect::kFrom) continue;
    for (const TableEntry& entry :
         config.tables[static_cast<size_t>(group.criterion.table)].entries) {
      if (const std::optional<IpNetwork> network = ReadNetwork(AsciiLower(entry.key)))
        lengths_.Add(*network);
    }
  }
  group_of_.clear();
}

bool RuleIndex::Holds(const Group& group, const std::string& fact) const {
  Table* table = tables_.Get(group.criterion.table);
  const Service service = group.criterion.regex ? Service::kRegex : ServiceOf(group.aspect);
  StatusOr<bool> found = table->Match(service, fact);
  // As the rule's own test does: an expression may be written for the address in brackets.
  if (found.ok() && !*found && service == Service::kRegex && group.aspect == RuleAspect::kFrom &&
      fact.find(':') != std::string::npos)
    found = table->Match(service, StrCat("[", fact, "]"));
  // It said that it cannot fail; should it all the same, the rule's own test says so.
  return !found.ok() || *found != group.criterion.negated;
}

RuleIndex::Candidates::Candidates(const RuleIndex* index, const RuleFacts* facts)
    : index_(index), facts_(facts) {
  Start(index_->always_, /*verified=*/true);
  for (const uint32_t group : index_->unnamed_) Start(group, /*verified=*/false);
  std::vector<uint32_t> found;
  const auto try_name = [&](size_t aspect, const std::string& name) {
    const Postings& postings = index_->names_[aspect];
    const auto hit = postings.find(name);
    if (hit != postings.end()) found.insert(found.end(), hit->second.begin(), hit->second.end());
  };
  const char delimiter = index_->config_.smtp.sub_address_delimiter;
  for (size_t i = 0; i < kRuleAspects; ++i) {
    if (index_->names_[i].empty()) continue;
    const std::string& fact = (*facts_)[i];
    const Service service = ServiceOf(static_cast<RuleAspect>(i));
    if (service != Service::kNetaddr) {
      ForEachName(service, fact, delimiter,
                  [&](std::string_view name) { try_name(i, std::string(name)); });
    } else if (const std::optional<IpAddress> address = ReadAddress(fact)) {
      index_->lengths_.ForEachKey(
          *address, [&](const NetworkKey& key) { try_name(i, std::string(key.view())); });
    } else {
      try_name(i, fact);  // "local"
    }
  }
  // One group may be found under several names.
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  for (const uint32_t group : found) Start(group, /*verified=*/true);
}

void RuleIndex::Candidates::Start(uint32_t group, bool verified) {
  const std::vector<uint32_t>& rules = index_->groups_[group].rules;
  if (!rules.empty()) Push(Cursor{rules[0], group, 0, verified});
}

void RuleIndex::Candidates::Push(const Cursor& cursor) {
  heap_.push_back(cursor);
  std::push_heap(heap_.begin(), heap_.end());
}

int RuleIndex::Candidates::Next() {
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end());
    Cursor cursor = heap_.back();
    heap_.pop_back();
    const Group& group = index_->groups_[cursor.group];
    if (!cursor.verified && !index_->Holds(group, (*facts_)[static_cast<size_t>(group.aspect)]))
      continue;
    const uint32_t rule = cursor.rule;
    cursor.verified = true;
    if (++cursor.at < group.rules.size()) {
      cursor.rule = group.rules[cursor.at];
      Push(cursor);
    }
    return static_cast<int>(rule);
  }
  return kNoIndex;
}

}  // namespace postern::policy
