// Which rules of a long list can match at all.
//
// A list of ten thousand rules is one of ten thousand domains, senders or networks: of each rule
// one criterion is chosen that few others share, and a look-up of the envelope's own names tells
// which of them hold. What the index leaves out would not have matched; what it gives is tested as
// if there were no index, in the order of the file. So the first rule that matches is the same as
// that of a walk over all, and so is the first whose table does not answer: a criterion is only
// chosen when no table that can fail is asked before it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/core/policy/model.h"
#include "lib/core/policy/table.h"
#include "lib/core/policy/table_keys.h"

namespace postern::policy {

// RuleAspect is what of an envelope a criterion looks at.
enum class RuleAspect : uint8_t { kFor, kFrom, kTag, kHelo, kMailFrom, kRcptTo };
inline constexpr size_t kRuleAspects = 6;

// RuleFacts are an envelope's texts by aspect, in lower case.
using RuleFacts = std::array<std::string, kRuleAspects>;

class RuleIndex {
 public:
  // `config` and `tables` outlive the index, and are those that the rules are tested with.
  RuleIndex(const Config& config, const TableSet& tables);

  // worthwhile tells whether the list is long enough for an index to gain anything.
  bool worthwhile() const { return worthwhile_; }

  // Candidates gives the rules that may match, one by one in order. It borrows index and facts. One
  // thread; the index itself serves any number.
  class Candidates {
   public:
    Candidates(const RuleIndex* index, const RuleFacts* facts);
    // Next returns the next rule, or kNoIndex after the last.
    int Next();

   private:
    // Cursor stands in the rules of one group. Until the group is verified, its first rule stands
    // for all of them.
    struct Cursor {
      uint32_t rule;
      uint32_t group;
      uint32_t at;
      bool verified;
      // The heap has its least rule in front.
      friend bool operator<(const Cursor& a, const Cursor& b) { return a.rule > b.rule; }
    };
    void Start(uint32_t group, bool verified);
    void Push(const Cursor& cursor);

    const RuleIndex* index_;
    const RuleFacts* facts_;
    std::vector<Cursor> heap_;
  };

 private:
  friend class Candidates;
  // Group is the rules that stand and fall with one criterion. A named group is found under the
  // names of its table's entries; another is tested once for each envelope.
  struct Group {
    RuleAspect aspect = RuleAspect::kFor;
    Criterion criterion;
    std::vector<uint32_t> rules;  // in order
  };
  using Postings = std::unordered_map<std::string, std::vector<uint32_t>>;

  uint32_t GroupFor(RuleAspect aspect, const Criterion& criterion, bool named);
  bool Holds(const Group& group, const std::string& fact) const;

  const Config& config_;
  const TableSet& tables_;
  bool worthwhile_ = false;
  std::vector<Group> groups_;
  std::vector<uint32_t> unnamed_;  // groups to be tested
  uint32_t always_ = 0;            // the group of the rules without such a criterion
  std::unordered_map<uint64_t, uint32_t> group_of_;
  std::array<Postings, kRuleAspects> names_;
  PrefixLengths lengths_;  // of the networks among the names
};

}  // namespace postern::policy
