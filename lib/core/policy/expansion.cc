#include "lib/core/policy/expansion.h"

#include <deque>
#include <set>

#include "lib/core/base/strings.h"
#include "lib/core/policy/srs.h"

namespace postern::policy {
namespace {

using mail::Reply;

std::string TextOf(const mail::Address& address) {
  return address.domain.empty() ? address.local_part
                                : StrCat(address.local_part, "@", address.domain);
}

// Expander holds the tree of one recipient. Nodes are addresses and users; everything else is a
// leaf and becomes a destination at once. A node knows its parent, which is how loops are found and
// how the last address of the chain is.
class Expander {
 public:
  Expander(const Ruleset& ruleset, AccountSource& accounts, const EnvelopeContext& context,
           const ExpansionOptions& options)
      : ruleset_(ruleset), accounts_(accounts), context_(context), options_(options) {}

  Expansion Run();

 private:
  struct Node {
    bool is_user = false;
    mail::Address address;  // of an address node
    std::string user;       // of a user node: lower case, with its sub-address
    int parent = kNoIndex;
    int depth = 0;
    // of an address node once it went through the rules, and of what came from it
    int rule = kNoIndex;
    bool from_srs = false;         // the root, decoded: it counts as ours from here on
    bool same_user = false;        // the name that was being expanded: not expanded again
    int forward_owner = kNoIndex;  // index into owners_: whose .forward it came from
  };

  // Each returns false when the recipient is refused.
  bool Visit(int index);
  bool VisitAddress(int index);
  bool VisitUser(int index);
  bool ExpandVirtual(int index, const Action& action);
  bool ExpandForward(int index, const Action& action, const LocalAccount& account);
  bool Deliver(int index, const Action& action, const LocalAccount& account,
               std::string_view sub_address);
  // AddValues hangs `values` under node `index`.
  bool AddValues(int index, const std::vector<AliasValue>& values, int forward_owner,
                 bool in_include);
  bool AddInclude(int index, const std::string& path, int forward_owner);
  bool AddNode(Node node);
  bool AddFileOrCommand(int index, const AliasValue& value, int forward_owner);
  // LookUp asks a table for the first of `keys` that it has, and reads the value; nullopt when it
  // has none, and false in `*ok` when the recipient is refused.
  std::optional<std::vector<AliasValue>> LookUp(TableId table, const std::vector<std::string>& keys,
                                                bool* ok);
  std::optional<LocalAccount> FindAccount(const Action& action, const std::string& name, bool* ok);

  const Action& ActionOf(int index) const {
    const Rule& rule =
        ruleset_.config().rules[static_cast<size_t>(nodes_[static_cast<size_t>(index)].rule)];
    return ruleset_.config().actions[static_cast<size_t>(rule.action)];
  }
  int LastAddress(int index) const {
    while (nodes_[static_cast<size_t>(index)].is_user)
      index = nodes_[static_cast<size_t>(index)].parent;
    return index;
  }
  Destination NewDestination(int index) const;
  std::string Chain(int index) const;
  char delimiter() const { return ruleset_.config().smtp.sub_address_delimiter; }

  bool Refuse(Reply reply, std::string reason) {
    result_.refusal = std::move(reply);
    result_.reason = std::move(reason);
    return false;
  }
  bool Unknown(std::string reason) {
    return Refuse(Reply(550, {5, 1, 1}, "Invalid recipient"), std::move(reason));
  }
  bool Temporary(std::string reason) {
    return Refuse(Reply(451, {4, 3, 0}, "Temporary failure"), std::move(reason));
  }
  bool BadList(std::string reason) {
    return Refuse(Reply(524, {5, 2, 4}, "Mailing list expansion problem"), std::move(reason));
  }
  bool BadListForNow(std::string reason) {
    return Refuse(Reply(424, {4, 2, 4}, "Mailing list expansion problem"), std::move(reason));
  }

  const Ruleset& ruleset_;
  AccountSource& accounts_;
  const EnvelopeContext& context_;
  const ExpansionOptions& options_;
  std::deque<Node> nodes_;  // a deque: references stay while it grows
  std::vector<LocalAccount> owners_;
  std::set<std::string> seen_;
  Expansion result_;
};

std::string Expander::Chain(int index) const {
  std::vector<std::string> names;
  for (; index != kNoIndex; index = nodes_[static_cast<size_t>(index)].parent) {
    const Node& node = nodes_[static_cast<size_t>(index)];
    names.push_back(Escape(node.is_user ? node.user : TextOf(node.address), 80));
  }
  std::string out;
  for (auto it = names.rbegin(); it != names.rend(); ++it)
    StrAppend(out, out.empty() ? "" : " -> ", *it);
  return out;
}

Destination Expander::NewDestination(int index) const {
  const Node& node = nodes_[static_cast<size_t>(index)];
  Destination destination;
  destination.rule = node.rule;
  destination.action = ruleset_.config().rules[static_cast<size_t>(node.rule)].action;
  destination.recipient = context_.recipient;
  destination.destination = nodes_[static_cast<size_t>(LastAddress(index))].address;
  return destination;
}

Expansion Expander::Run() {
  Node root;
  root.address = context_.recipient;
  // A bounce to an address that `relay srs` made goes to who sent the mail that we forwarded.
  const SrsSettings& srs = ruleset_.config().srs;
  const bool may_be_srs = context_.sender.empty() && !srs.key.empty() && IsSrs(context_.recipient);
  if (may_be_srs) {
    std::optional<mail::Address> decoded = DecodeSrs(srs, context_.recipient, context_.day);
    root.from_srs = decoded.has_value();
    if (root.from_srs) root.address = *std::move(decoded);
  }
  const bool undecoded = may_be_srs && !root.from_srs;
  bool ok = AddNode(std::move(root));
  for (size_t next = 0; ok && next < nodes_.size(); ++next) ok = Visit(static_cast<int>(next));
  if (ok && result_.destinations.empty()) ok = BadList("nothing is left of the expansion");
  if (!ok) result_.destinations.clear();
  if (!ok && undecoded)
    result_.reason += " (an SRS address that is none of ours, or older than srs ttl)";
  return std::move(result_);
}

bool Expander::AddNode(Node node) {
  node.depth = node.parent == kNoIndex ? 0 : nodes_[static_cast<size_t>(node.parent)].depth + 1;
  if (!node.same_user) {
    // A user is the same one only under the same address: another address may have come by another
    // rule.
    for (int up = node.parent; up != kNoIndex; up = nodes_[static_cast<size_t>(up)].parent) {
      const Node& ancestor = nodes_[static_cast<size_t>(up)];
      if (!ancestor.is_user && node.is_user) break;
      if (ancestor.is_user != node.is_user) continue;
      if (node.is_user ? ancestor.user != node.user
                       : !EqualsIgnoreCase(TextOf(ancestor.address), TextOf(node.address)))
        continue;
      return BadList(StrCat("loop: ", Chain(node.parent), " -> ",
                            Escape(node.is_user ? node.user : TextOf(node.address), 80)));
    }
  }
  if (node.depth >= options_.max_depth) {
    return BadList(StrCat("more than ", options_.max_depth, " steps: ", Chain(node.parent)));
  }
  std::string key;
  if (node.is_user) {
    key = StrCat(node.same_user ? "s " : "u ", LastAddress(node.parent), " ", node.user);
  } else {
    key = StrCat("a ", AsciiLower(TextOf(node.address)));
  }
  if (!seen_.insert(std::move(key)).second) return true;  // duplicates collapse
  if (nodes_.size() >= options_.max_nodes)
    return BadList(StrCat("more than ", options_.max_nodes, " addresses and users"));
  nodes_.push_back(std::move(node));
  return true;
}

bool Expander::Visit(int index) {
  return nodes_[static_cast<size_t>(index)].is_user ? VisitUser(index) : VisitAddress(index);
}

bool Expander::VisitAddress(int index) {
  Node& node = nodes_[static_cast<size_t>(index)];
  EnvelopeContext context = context_;
  context.recipient = node.address;
  if (node.parent != kNoIndex || node.from_srs) context.is_internal = true;
  const RuleMatch match = ruleset_.Match(context);
  switch (match.outcome) {
    case RuleMatch::Outcome::kAccept: break;
    case RuleMatch::Outcome::kTemporary: return Temporary(match.error);
    case RuleMatch::Outcome::kNone: return Unknown(StrCat("no rule takes ", Chain(index)));
    case RuleMatch::Outcome::kReject:
      return Unknown(
          StrCat("the rule at ", match.rule->location.ToString(), " rejects ", Chain(index)));
  }
  node.rule = match.rule_index;
  const Action& action = ActionOf(index);
  if (!action.IsLocal()) {
    Destination destination = NewDestination(index);
    destination.kind = Destination::Kind::kRelay;
    result_.destinations.push_back(std::move(destination));
    return true;
  }
  if (action.virtual_users != kNoIndex) return ExpandVirtual(index, action);
  Node user;
  user.is_user = true;
  user.user = AsciiLower(node.address.local_part);
  user.parent = index;
  user.rule = node.rule;
  user.forward_owner = node.forward_owner;
  return AddNode(std::move(user));
}

bool Expander::ExpandVirtual(int index, const Action& action) {
  const mail::Address& address = nodes_[static_cast<size_t>(index)].address;
  const std::string& tagged = address.local_part;
  const std::string user = tagged.substr(0, tagged.find(delimiter()));
  std::vector<std::string> keys;
  if (user != tagged) keys.push_back(StrCat(tagged, "@", address.domain));
  keys.push_back(StrCat(user, "@", address.domain));
  if (user != tagged) keys.push_back(tagged);
  keys.push_back(user);
  keys.push_back(StrCat("@", address.domain));
  keys.emplace_back("@");
  bool ok = true;
  const std::optional<std::vector<AliasValue>> values = LookUp(action.virtual_users, keys, &ok);
  if (!ok) return false;
  if (!values) return BadList(StrCat("no virtual user: ", Chain(index)));
  return AddValues(index, *values, nodes_[static_cast<size_t>(index)].forward_owner,
                   /*in_include=*/false);
}

bool Expander::VisitUser(int index) {
  const Node& node = nodes_[static_cast<size_t>(index)];
  const Action& action = ActionOf(index);
  size_t mark = node.user.find(delimiter());
  if (mark == 0) mark = std::string::npos;
  const std::string name = node.user.substr(0, mark);
  const std::string sub_address = mark == std::string::npos ? "" : node.user.substr(mark + 1);
  const TableId mapping = action.alias != kNoIndex ? action.alias : action.virtual_users;
  if (!node.same_user && mapping != kNoIndex) {
    std::vector<std::string> keys;
    if (name != node.user) keys.push_back(node.user);
    keys.push_back(name);
    bool ok = true;
    const std::optional<std::vector<AliasValue>> values = LookUp(mapping, keys, &ok);
    if (!ok) return false;
    if (values) return AddValues(index, *values, node.forward_owner, /*in_include=*/false);
  }
  bool ok = true;
  const std::optional<LocalAccount> account = FindAccount(action, name, &ok);
  if (!ok) return false;
  if (!account) return Unknown(StrCat("no such account: ", Chain(index)));
  if (!action.user.empty() && action.user != name) {
    const std::optional<LocalAccount> run_as = FindAccount(action, action.user, &ok);
    if (!ok) return false;
    if (!run_as)
      return Temporary(
          StrCat(action.location.ToString(), ": no such account: ", Escape(action.user, 80)));
    if (!Deliver(index, action, *account, sub_address)) return false;
    result_.destinations.back().run_as = *run_as;
    return true;
  }
  // In one's own .forward, one's own name means delivery.
  if (node.same_user && node.forward_owner != kNoIndex &&
      owners_[static_cast<size_t>(node.forward_owner)].name == account->name) {
    return Deliver(index, action, *account, sub_address);
  }
  const StatusOr<ForwardFile> forward = accounts_.ReadForward(*account);
  if (!forward.ok())
    return Temporary(
        StrCat(".forward of ", Escape(name, 80), ": ", Escape(Message(forward.status()))));
  switch (forward->state) {
    case ForwardFile::State::kTemporary:
      return Temporary(StrCat(".forward of ", Escape(name, 80), " cannot be read now"));
    case ForwardFile::State::kUnsafe:
      return BadList(StrCat(".forward of ", Escape(name, 80), " has an unsafe owner or mode"));
    case ForwardFile::State::kMissing: break;
    case ForwardFile::State::kPresent: {
      if (forward->text.size() > options_.max_forward_bytes) {
        return BadListForNow(StrCat(".forward of ", Escape(name, 80), " is larger than ",
                                    options_.max_forward_bytes, " octets"));
      }
      const StatusOr<std::vector<AliasValue>> values = ParseForwardText(forward->text);
      if (!values.ok())
        return BadListForNow(
            StrCat(".forward of ", Escape(name, 80), ": ", Message(values.status())));
      if (values->empty()) break;
      if (values->size() > options_.max_forward_nodes) {
        return BadListForNow(StrCat(".forward of ", Escape(name, 80), " has more than ",
                                    options_.max_forward_nodes, " items"));
      }
      if (action.kind == ActionKind::kForwardOnly) {
        for (const AliasValue& value : *values) {
          if (value.kind == AliasValue::Kind::kAddress || value.kind == AliasValue::Kind::kUser)
            continue;
          return BadListForNow(StrCat(".forward of ", Escape(name, 80),
                                      ": forward-only takes addresses and users alone"));
        }
      }
      owners_.push_back(*account);
      return AddValues(index, *values, static_cast<int>(owners_.size()) - 1, /*in_include=*/false);
    }
  }
  if (action.kind == ActionKind::kForwardOnly)
    return BadListForNow(StrCat("forward-only, and no .forward: ", Chain(index)));
  if (action.kind == ActionKind::kExpandOnly)
    return BadList(StrCat("expand-only, and no .forward: ", Chain(index)));
  return Deliver(index, action, *account, sub_address);
}

bool Expander::Deliver(int index, const Action& action, const LocalAccount& account,
                       std::string_view sub_address) {
  if (action.kind == ActionKind::kForwardOnly)
    return BadListForNow(StrCat("forward-only, and a local user: ", Chain(index)));
  if (action.kind == ActionKind::kExpandOnly)
    return BadList(StrCat("expand-only, and a local user: ", Chain(index)));
  Destination destination = NewDestination(index);
  destination.kind = Destination::Kind::kAccount;
  destination.user = account.name;
  destination.run_as = account;
  destination.sub_address = std::string(sub_address);
  result_.destinations.push_back(std::move(destination));
  return true;
}

bool Expander::AddValues(int index, const std::vector<AliasValue>& values, int forward_owner,
                         bool in_include) {
  for (const AliasValue& value : values) {
    const Node& parent = nodes_[static_cast<size_t>(index)];
    Node node;
    node.parent = index;
    node.forward_owner = forward_owner;
    bool ok = true;
    switch (value.kind) {
      case AliasValue::Kind::kError: {
        StatusOr<Reply> reply = Reply::FromText(value.text);
        if (!reply.ok()) return BadListForNow(StrCat("error: of ", Chain(index)));
        return Refuse(*std::move(reply), StrCat("the alias says so: ", Chain(index)));
      }
      case AliasValue::Kind::kInclude:
        if (in_include)
          return BadListForNow(StrCat("an include within an include: ", Escape(value.text)));
        ok = AddInclude(index, value.text, forward_owner);
        break;
      case AliasValue::Kind::kCommand:
      case AliasValue::Kind::kFile: ok = AddFileOrCommand(index, value, forward_owner); break;
      case AliasValue::Kind::kAddress:
        node.address = value.address;
        ok = AddNode(std::move(node));
        break;
      case AliasValue::Kind::kUser:
        node.is_user = true;
        node.user = value.text;
        node.rule = parent.rule;
        if (parent.is_user &&
            (value.text == parent.user ||
             value.text == parent.user.substr(0, parent.user.find(delimiter())))) {
          node.same_user = true;
          node.user = parent.user;  // the sub-address stays
        }
        ok = AddNode(std::move(node));
        break;
    }
    if (!ok) return false;
  }
  return true;
}

bool Expander::AddInclude(int index, const std::string& path, int forward_owner) {
  const LocalAccount* reader =
      forward_owner == kNoIndex ? nullptr : &owners_[static_cast<size_t>(forward_owner)];
  const StatusOr<std::string> text = accounts_.ReadInclude(path, reader);
  if (!text.ok())
    return BadListForNow(StrCat("include ", Escape(path), ": ", Escape(Message(text.status()))));
  if (text->size() > options_.max_include_bytes) {
    return BadListForNow(
        StrCat("include ", Escape(path), ": larger than ", options_.max_include_bytes, " octets"));
  }
  const StatusOr<std::vector<AliasValue>> values = ParseForwardText(*text);
  if (!values.ok())
    return BadListForNow(StrCat("include ", Escape(path), ": ", Message(values.status())));
  return AddValues(index, *values, forward_owner, /*in_include=*/true);
}

bool Expander::AddFileOrCommand(int index, const AliasValue& value, int forward_owner) {
  const LocalAccount* owner =
      forward_owner == kNoIndex ? nullptr : &owners_[static_cast<size_t>(forward_owner)];
  if (owner != nullptr && owner->uid == 0) {
    return BadList(
        StrCat("the .forward of ", Escape(owner->name, 80), " may not name files or programs"));
  }
  const std::string key =
      StrCat(value.kind == AliasValue::Kind::kFile ? "f " : "c ",
             owner == nullptr ? "" : owner->name, " ", LastAddress(index), " ", value.text);
  if (!seen_.insert(key).second) return true;
  Destination destination = NewDestination(index);
  destination.kind = value.kind == AliasValue::Kind::kFile ? Destination::Kind::kFile
                                                           : Destination::Kind::kCommand;
  destination.path_or_command = value.text;
  destination.run_as_daemon = owner == nullptr;
  if (owner != nullptr) {
    destination.user = owner->name;
    destination.run_as = *owner;
  }
  result_.destinations.push_back(std::move(destination));
  return true;
}

std::optional<std::vector<AliasValue>> Expander::LookUp(TableId id,
                                                        const std::vector<std::string>& keys,
                                                        bool* ok) {
  const std::string& name = ruleset_.config().tables[static_cast<size_t>(id)].name;
  Table* table = ruleset_.tables().Get(id);
  if (table == nullptr) {
    *ok = Temporary(StrCat("table ", Escape(name, 80), " is not loaded"));
    return std::nullopt;
  }
  for (const std::string& key : keys) {
    const StatusOr<std::optional<std::string>> found = table->Lookup(Service::kAlias, key);
    if (!found.ok()) {
      *ok = Temporary(StrCat("table ", Escape(name, 80), ": ", Escape(Message(found.status()))));
      return std::nullopt;
    }
    if (!found->has_value()) continue;
    StatusOr<std::vector<AliasValue>> values = ParseAliasValues(**found);
    if (!values.ok()) {
      *ok = BadListForNow(StrCat("table ", Escape(name, 80), ", ", Escape(key, 80), ": ",
                                 Message(values.status())));
      return std::nullopt;
    }
    return *std::move(values);
  }
  return std::nullopt;
}

std::optional<LocalAccount> Expander::FindAccount(const Action& action, const std::string& name,
                                                  bool* ok) {
  if (action.userbase == kNoIndex) {
    StatusOr<std::optional<LocalAccount>> account = accounts_.FindAccount(name);
    if (!account.ok()) {
      *ok =
          Temporary(StrCat("account ", Escape(name, 80), ": ", Escape(Message(account.status()))));
      return std::nullopt;
    }
    return *std::move(account);
  }
  const std::string& table_name =
      ruleset_.config().tables[static_cast<size_t>(action.userbase)].name;
  Table* table = ruleset_.tables().Get(action.userbase);
  StatusOr<std::optional<std::string>> found = Unavailable("the table is not loaded");
  if (table != nullptr) found = table->Lookup(Service::kUserinfo, name);
  if (found.ok() && !found->has_value()) return std::nullopt;
  StatusOr<TableUserinfo> info =
      found.ok() ? ParseUserinfo(**found) : StatusOr<TableUserinfo>(found.status());
  if (!info.ok()) {
    *ok = Temporary(StrCat("table ", Escape(table_name, 80), ", ", Escape(name, 80), ": ",
                           Escape(Message(info.status()))));
    return std::nullopt;
  }
  return LocalAccount{name, info->uid, info->gid, info->home};
}

}  // namespace

Expansion Expand(const Ruleset& ruleset, AccountSource& accounts, const EnvelopeContext& context,
                 const ExpansionOptions& options) {
  return Expander(ruleset, accounts, context, options).Run();
}

}  // namespace postern::policy
