#include "lib/core/policy/expansion.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/expander.h"
#include "lib/core/policy/srs.h"

namespace postern::policy {

using mail::Reply;

TraceStep* Expander::Step(TraceStep::Kind kind, int index) {
  if (options_.trace == nullptr) return nullptr;
  TraceStep& step = options_.trace->steps.emplace_back();
  step.kind = kind;
  if (index != kNoIndex) step.subject = NameOf(nodes_[static_cast<size_t>(index)]);
  return &step;
}

std::string Expander::Chain(int index) const {
  std::vector<std::string> names;
  for (; index != kNoIndex; index = nodes_[static_cast<size_t>(index)].parent) {
    const Node& node = nodes_[static_cast<size_t>(index)];
    names.push_back(Escape(NameOf(node), 80));
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
  if (options_.trace != nullptr) options_.trace->steps.clear();
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
  TraceStep* step = Step(TraceStep::Kind::kRules, index);
  if (step != nullptr) {
    step->address = node.address;
    step->internal = context.is_internal;
  }
  const RuleMatch match = ruleset_.Match(context, step == nullptr ? nullptr : &step->rules);
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
  const std::optional<std::vector<AliasValue>> values =
      LookUp(index, action.virtual_users, keys, &ok);
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
    const std::optional<std::vector<AliasValue>> values = LookUp(index, mapping, keys, &ok);
    if (!ok) return false;
    if (values) return AddValues(index, *values, node.forward_owner, /*in_include=*/false);
  }
  bool ok = true;
  const std::optional<LocalAccount> account = FindAccount(action, name, &ok);
  if (!ok) return false;
  if (!account) return Unknown(StrCat("no such account: ", Chain(index)));
  if (!action.user.empty() && action.user != name) {
    // It is one of the system's: `userbase` does not apply to it (smtpd.conf(5)).
    StatusOr<std::optional<LocalAccount>> run_as = accounts_.FindAccount(action.user);
    if (!run_as.ok() || !run_as->has_value()) {
      return Temporary(
          StrCat(action.location.ToString(), ": no such account: ", Escape(action.user, 80)));
    }
    if (!Deliver(index, action, *account, sub_address)) return false;
    result_.destinations.back().run_as = **std::move(run_as);
    return true;
  }
  // In one's own .forward, one's own name means delivery.
  if (node.same_user && node.forward_owner != kNoIndex &&
      owners_[static_cast<size_t>(node.forward_owner)].name == account->name) {
    return Deliver(index, action, *account, sub_address);
  }
  const StatusOr<ForwardFile> forward = accounts_.ReadForward(*account);
  if (TraceStep* step = Step(TraceStep::Kind::kForward, index)) {
    step->key = name;
    if (forward.ok() && forward->state == ForwardFile::State::kPresent) step->value = forward->text;
  }
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

Expansion Expand(const Ruleset& ruleset, AccountSource& accounts, const EnvelopeContext& context,
                 const ExpansionOptions& options) {
  return Expander(ruleset, accounts, context, options).Run();
}

}  // namespace postern::policy
