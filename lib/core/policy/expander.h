// Expander is how Expand (expansion.h) works: expansion.cc walks from addresses to users and their
// .forward, expansion_values.cc adds what lists say and looks things up. For these two files.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/policy/expansion.h"

namespace postern::policy {

inline std::string TextOf(const mail::Address& address) {
  return address.domain.empty() ? address.local_part
                                : StrCat(address.local_part, "@", address.domain);
}

// Expander holds the graph of one recipient. Nodes are addresses and users; everything else is a
// leaf and becomes a destination at once. What a node leads to depends on its key alone, and a key
// is visited once: a list in a circle ends where it began, and no copy hangs on the order in which
// names are found. A node knows the parent that it was found by first, which is how the last
// address of the chain is.
class Expander {
 public:
  Expander(const Ruleset& ruleset, AccountSource& accounts, const EnvelopeContext& context,
           const ExpansionOptions& options)
      : ruleset_(ruleset), accounts_(accounts), context_(context), options_(options) {}

  Expansion Run();

 private:
  // Step is how far a user's name has come.
  enum class Step {
    kName,     // it may be an alias
    kAccount,  // its own alias says so: the account, whose .forward is read
    kMailbox,  // its own .forward says so: delivered
  };
  struct Node {
    bool is_user = false;
    mail::Address address;  // of an address node
    std::string user;       // of a user node: lower case, with its sub-address
    Step step = Step::kName;
    int parent = kNoIndex;
    int depth = 0;
    // of an address node once it went through the rules, and of what came from it
    int rule = kNoIndex;
    bool from_srs = false;  // the root, decoded: it counts as ours from here on
  };
  // Edge is a way to a node that was found before.
  struct Edge {
    int from = kNoIndex;
    int to = kNoIndex;
  };

  static std::string NameOf(const Node& node) {
    return node.is_user ? node.user : TextOf(node.address);
  }

  // Each returns false when the recipient is refused.
  bool Visit(int index);
  bool VisitAddress(int index);
  bool VisitUser(int index);
  bool ExpandVirtual(int index, const Action& action);
  bool ExpandForward(int index, const Action& action, const LocalAccount& account);
  // CheckMaildir refuses an address that the path of a maildir has no place for.
  bool CheckMaildir(int index, const Action& action, const Destination& destination);
  bool Deliver(int index, const Action& action, const LocalAccount& account,
               std::string_view sub_address);
  // AddValues hangs `values` under node `index`. `owner` is whose .forward they are; null: they are
  // a table's, or of what a table includes.
  bool AddValues(int index, const std::vector<AliasValue>& values, const LocalAccount* owner);
  bool AddInclude(int index, const std::string& path);
  bool AddNode(Node node);
  bool AddFileOrCommand(int index, const AliasValue& value, const LocalAccount* owner);
  // LookUp asks a table for the first of `keys` that it has, and reads the value; nullopt when it
  // has none, and false in `*ok` when the recipient is refused.
  std::optional<std::vector<AliasValue>> LookUp(int index, TableId table,
                                                const std::vector<std::string>& keys, bool* ok);
  std::optional<LocalAccount> FindAccount(const Action& action, const std::string& name, bool* ok);
  std::optional<LocalAccount> AskAccount(const Action& action, const std::string& name, bool* ok);
  // AddStep adds a step to the trace; null when nobody wants to know.
  TraceStep* AddStep(TraceStep::Kind kind, int index);
  void AddNote(std::string note);
  // FindCircle gives nodes that lead to each other, the first one at both ends; empty when no name
  // was found twice, or none leads back to itself.
  std::vector<int> FindCircle() const;
  std::string CircleText(const std::vector<int>& circle) const;

  const Node& At(int index) const { return nodes_[static_cast<size_t>(index)]; }
  const Action& ActionOf(int index) const {
    const Rule& rule = ruleset_.config().rules[static_cast<size_t>(At(index).rule)];
    return ruleset_.config().actions[static_cast<size_t>(rule.action)];
  }
  int LastAddress(int index) const {
    while (At(index).is_user) index = At(index).parent;
    return index;
  }
  Destination NewDestination(int index) const;
  std::string Chain(int index) const;
  char delimiter() const { return ruleset_.config().smtp.sub_address_delimiter; }

  bool Refuse(mail::Reply reply, std::string reason) {
    result_.refusal = std::move(reply);
    result_.reason = std::move(reason);
    return false;
  }
  bool Unknown(std::string reason) {
    return Refuse(mail::Reply(550, {5, 1, 1}, "Invalid recipient"), std::move(reason));
  }
  bool Temporary(std::string reason) {
    return Refuse(mail::Reply(451, {4, 3, 0}, "Temporary failure"), std::move(reason));
  }
  bool BadList(std::string reason) {
    return Refuse(mail::Reply(524, {5, 2, 4}, "Mailing list expansion problem"), std::move(reason));
  }
  bool BadListForNow(std::string reason) {
    return Refuse(mail::Reply(424, {4, 2, 4}, "Mailing list expansion problem"), std::move(reason));
  }

  const Ruleset& ruleset_;
  AccountSource& accounts_;
  const EnvelopeContext& context_;
  const ExpansionOptions& options_;
  std::deque<Node> nodes_;  // a deque: references stay while it grows
  // seen_ has the node of each key, kNoIndex for files and commands.
  std::map<std::string, int, std::less<>> seen_;
  std::vector<Edge> repeated_;
  Expansion result_;
};

}  // namespace postern::policy
