#include "lib/core/policy/expansion.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/expander.h"
#include "lib/core/policy/format.h"
#include "lib/core/policy/srs.h"

namespace postern::policy {

using mail::Reply;

TraceStep* Expander::AddStep(TraceStep::Kind kind, int index) {
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
  if (ok) {
    const std::vector<int> circle = FindCircle();
    if (!result_.destinations.empty()) {
      if (!circle.empty())
        AddNote(StrCat("names in a circle: ", CircleText(circle), "; each is expanded once"));
    } else if (circle.empty()) {
      ok = BadList("nothing is left of the expansion");
    } else {
      // Whoever wrote is told what to tell the postmaster, and so is who reads the log.
      ok = Refuse(mail::Reply(524, {5, 2, 4},
                              StrCat("Mailing list expansion problem: loop: ", CircleText(circle))),
                  StrCat("loop: ", Chain(At(circle.front()).parent),
                         At(circle.front()).parent == kNoIndex ? "" : " -> ", CircleText(circle)));
    }
  }
  if (!ok) result_.destinations.clear();
  if (!ok && undecoded)
    result_.reason += " (an SRS address that is none of ours, or older than srs ttl)";
  if (!ok) {
    for (const std::string& note : result_.notes) StrAppend(result_.reason, "; ", note);
    result_.notes.clear();
  }
  return std::move(result_);
}

void Expander::AddNote(std::string note) {
  if (result_.notes.size() < options_.max_notes) result_.notes.push_back(std::move(note));
}

bool Expander::AddNode(Node node) {
  std::string key;
  if (node.is_user) {
    // A user is the same one only under the same address: another address may have come by another
    // rule, and is another %{dest}.
    const std::string_view steps[] = {"name ", "account ", "mailbox "};
    key = StrCat(steps[static_cast<size_t>(node.step)], LastAddress(node.parent), " ", node.user);
  } else {
    key = StrCat("address ", AsciiLower(TextOf(node.address)));
  }
  const auto [found, is_new] = seen_.try_emplace(std::move(key), static_cast<int>(nodes_.size()));
  if (!is_new) {
    if (repeated_.size() < options_.max_repeated_edges)
      repeated_.push_back({node.parent, found->second});
    return true;
  }
  node.depth = node.parent == kNoIndex ? 0 : At(node.parent).depth + 1;
  if (node.depth >= options_.max_depth)
    return BadList(StrCat("more than ", options_.max_depth, " steps: ", Chain(node.parent)));
  if (nodes_.size() >= options_.max_nodes)
    return BadList(StrCat("more than ", options_.max_nodes, " addresses and users"));
  nodes_.push_back(std::move(node));
  return true;
}

std::vector<int> Expander::FindCircle() const {
  if (repeated_.empty()) return {};
  std::vector<std::vector<int>> next(nodes_.size());
  for (size_t i = 1; i < nodes_.size(); ++i)
    next[static_cast<size_t>(nodes_[i].parent)].push_back(static_cast<int>(i));
  for (const Edge& edge : repeated_) next[static_cast<size_t>(edge.from)].push_back(edge.to);
  // A walk in depth from the root, which reaches every node: a way back to a node that the walk is
  // still below closes a circle.
  enum class State : uint8_t { kNew, kOnPath, kDone };
  std::vector<State> states(nodes_.size(), State::kNew);
  std::vector<std::pair<int, size_t>> path;  // a node, and how many of its ways were gone
  const auto enter = [&](int index) {
    states[static_cast<size_t>(index)] = State::kOnPath;
    path.emplace_back(index, 0);
  };
  enter(0);
  while (!path.empty()) {
    const int index = path.back().first;
    const std::vector<int>& ways = next[static_cast<size_t>(index)];
    if (path.back().second == ways.size()) {
      states[static_cast<size_t>(index)] = State::kDone;
      path.pop_back();
      continue;
    }
    const int to = ways[path.back().second++];
    if (states[static_cast<size_t>(to)] == State::kNew) {
      enter(to);
    } else if (states[static_cast<size_t>(to)] == State::kOnPath) {
      std::vector<int> circle;
      bool inside = false;
      for (const auto& [each, gone] : path) {
        inside = inside || each == to;
        if (inside) circle.push_back(each);
      }
      circle.push_back(to);
      return circle;
    }
  }
  return {};
}

std::string Expander::CircleText(const std::vector<int>& circle) const {
  // A reply is one line of 512 octets at most (RFC 5321 §4.5.3.1.5).
  constexpr size_t kMaxShown = 5;
  constexpr size_t kMaxNameBytes = 60;
  std::string out;
  for (size_t i = 0; i < circle.size(); ++i) {
    if (i == kMaxShown && circle.size() > kMaxShown + 1) {
      out += " -> ...";
      i = circle.size() - 1;
    }
    StrAppend(out, i == 0 ? "" : " -> ", Escape(NameOf(At(circle[i])), kMaxNameBytes));
  }
  return out;
}

bool Expander::Visit(int index) {
  return nodes_[static_cast<size_t>(index)].is_user ? VisitUser(index) : VisitAddress(index);
}

bool Expander::VisitAddress(int index) {
  Node& node = nodes_[static_cast<size_t>(index)];
  EnvelopeContext context = context_;
  context.recipient = node.address;
  if (node.parent != kNoIndex || node.from_srs) context.is_internal = true;
  TraceStep* step = AddStep(TraceStep::Kind::kRules, index);
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
  return AddValues(index, *values, /*owner=*/nullptr);
}

bool Expander::VisitUser(int index) {
  const Node& node = nodes_[static_cast<size_t>(index)];
  const Action& action = ActionOf(index);
  size_t mark = node.user.find(delimiter());
  if (mark == 0) mark = std::string::npos;
  const std::string name = node.user.substr(0, mark);
  const std::string sub_address = mark == std::string::npos ? "" : node.user.substr(mark + 1);
  const TableId mapping = action.alias != kNoIndex ? action.alias : action.virtual_users;
  if (node.step == Step::kName && mapping != kNoIndex) {
    std::vector<std::string> keys;
    if (name != node.user) keys.push_back(node.user);
    keys.push_back(name);
    bool ok = true;
    const std::optional<std::vector<AliasValue>> values = LookUp(index, mapping, keys, &ok);
    if (!ok) return false;
    if (values) return AddValues(index, *values, /*owner=*/nullptr);
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
  if (node.step == Step::kMailbox) return Deliver(index, action, *account, sub_address);
  const StatusOr<ForwardFile> forward = accounts_.ReadForward(*account);
  if (TraceStep* step = AddStep(TraceStep::Kind::kForward, index)) {
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
      StatusOr<std::vector<AliasValue>> values = ParseForwardText(forward->text);
      if (!values.ok())
        return BadListForNow(
            StrCat(".forward of ", Escape(name, 80), ": ", Message(values.status())));
      // forward(5) has no includes: a .forward is its owner's word, and does not hang on files that
      // its checks do not see. Without them it may be empty, and the mail stays here.
      for (const AliasValue& value : *values) {
        if (value.kind == AliasValue::Kind::kInclude)
          AddNote(StrCat(".forward of ", Escape(name, 80), ": include:", Escape(value.text, 120),
                         " is not obeyed: a .forward may not include files"));
      }
      std::erase_if(*values, [](const AliasValue& value) {
        return value.kind == AliasValue::Kind::kInclude;
      });
      if (values->empty()) break;
      if (values->size() > options_.max_forward_nodes) {
        return BadListForNow(StrCat(".forward of ", Escape(name, 80), " has more than ",
                                    options_.max_forward_nodes, " items"));
      }
      return AddValues(index, *values, &*account);
    }
  }
  if (action.kind == ActionKind::kForwardOnly)
    return BadListForNow(StrCat("forward-only, and no .forward: ", Chain(index)));
  if (action.kind == ActionKind::kExpandOnly)
    return BadList(StrCat("expand-only, and no .forward: ", Chain(index)));
  return Deliver(index, action, *account, sub_address);
}

// What a delivery would say of the path can be said while the client is there: a notice would go to
// whomever the sender named.
bool Expander::CheckMaildir(int index, const Action& action, const Destination& destination) {
  if (action.kind != ActionKind::kMaildir || action.maildir_path.find('%') == std::string::npos)
    return true;
  FormatContext context;
  context.sender = context_.sender;
  context.recipient = destination.recipient;
  context.destination = destination.destination;
  context.user_name = destination.user;
  context.home = destination.run_as.home;
  context.sub_address_delimiter = delimiter();
  const StatusOr<std::string> path = ExpandFormat(action.maildir_path, context, FormatUse::kPath);
  if (path.ok() || path.status().code() != StatusCode::kInvalidArgument) return true;
  return Unknown(StrCat(Message(path.status()), ": ", Chain(index)));
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
  if (!CheckMaildir(index, action, destination)) return false;
  result_.destinations.push_back(std::move(destination));
  return true;
}

Expansion Expand(const Ruleset& ruleset, AccountSource& accounts, const EnvelopeContext& context,
                 const ExpansionOptions& options) {
  return Expander(ruleset, accounts, context, options).Run();
}

}  // namespace postern::policy
