#include "lib/core/base/strings.h"
#include "lib/core/policy/expander.h"

namespace postern::policy {

bool Expander::AddValues(int index, const std::vector<AliasValue>& values,
                         const LocalAccount* owner) {
  for (const AliasValue& value : values) {
    const Node& parent = At(index);
    Node node;
    node.parent = index;
    bool ok = true;
    // forward-only sends mail on and does nothing else, whoever says so.
    if (ActionOf(index).kind == ActionKind::kForwardOnly &&
        (value.kind == AliasValue::Kind::kError || value.kind == AliasValue::Kind::kCommand ||
         value.kind == AliasValue::Kind::kFile)) {
      return BadListForNow(
          StrCat("forward-only, and an error, a command or a file: ", Chain(index)));
    }
    switch (value.kind) {
      case AliasValue::Kind::kError: {
        StatusOr<mail::Reply> reply = mail::Reply::FromText(value.text);
        if (!reply.ok()) return BadListForNow(StrCat("error: of ", Chain(index)));
        return Refuse(*std::move(reply), StrCat("the alias says so: ", Chain(index)));
      }
      case AliasValue::Kind::kInclude: ok = AddInclude(index, value.text); break;
      case AliasValue::Kind::kCommand:
      case AliasValue::Kind::kFile: ok = AddFileOrCommand(index, value, owner); break;
      case AliasValue::Kind::kAddress:
        node.address = value.address;
        ok = AddNode(std::move(node));
        break;
      case AliasValue::Kind::kUser:
        node.is_user = true;
        node.user = value.text;
        node.rule = parent.rule;
        // The name that is being expanded goes one step on: from its alias to its account, and in
        // the account's own .forward to its mailbox.
        if (parent.is_user &&
            (value.text == parent.user ||
             value.text == parent.user.substr(0, parent.user.find(delimiter())))) {
          node.step = owner == nullptr ? Step::kAccount : Step::kMailbox;
          node.user = parent.user;  // the sub-address stays
        }
        ok = AddNode(std::move(node));
        break;
    }
    if (!ok) return false;
  }
  return true;
}

bool Expander::AddInclude(int index, const std::string& path) {
  const StatusOr<std::string> text = accounts_.ReadInclude(path);
  if (!text.ok())
    return BadListForNow(StrCat("include ", Escape(path), ": ", Escape(Message(text.status()))));
  if (text->size() > options_.max_include_bytes) {
    return BadListForNow(
        StrCat("include ", Escape(path), ": larger than ", options_.max_include_bytes, " octets"));
  }
  StatusOr<std::vector<AliasValue>> values = ParseForwardText(*text);
  if (!values.ok())
    return BadListForNow(StrCat("include ", Escape(path), ": ", Message(values.status())));
  // One level: the rest of the list gets its mail, as OpenSMTPD has it.
  for (const AliasValue& value : *values) {
    if (value.kind == AliasValue::Kind::kInclude)
      AddNote(StrCat("include ", Escape(path, 120), ": include:", Escape(value.text, 120),
                     " is not obeyed: an included file may not include others"));
  }
  std::erase_if(*values,
                [](const AliasValue& value) { return value.kind == AliasValue::Kind::kInclude; });
  return AddValues(index, *values, /*owner=*/nullptr);
}

bool Expander::AddFileOrCommand(int index, const AliasValue& value, const LocalAccount* owner) {
  if (owner != nullptr && owner->uid == 0) {
    return BadList(
        StrCat("the .forward of ", Escape(owner->name, 80), " may not name files or programs"));
  }
  std::string key =
      StrCat(value.kind == AliasValue::Kind::kFile ? "file " : "command ",
             owner == nullptr ? "" : owner->name, " ", LastAddress(index), " ", value.text);
  if (!seen_.try_emplace(std::move(key), kNoIndex).second) return true;
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

std::optional<std::vector<AliasValue>> Expander::LookUp(int index, TableId id,
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
    if (TraceStep* step = AddStep(TraceStep::Kind::kLookup, index)) {
      step->table = id;
      step->key = key;
      step->value = *found;
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
  std::optional<LocalAccount> account = AskAccount(action, name, ok);
  if (TraceStep* step = *ok ? AddStep(TraceStep::Kind::kAccount, kNoIndex) : nullptr) {
    step->key = name;
    step->table = action.userbase;
    if (account) step->value = account->home;
  }
  return account;
}

std::optional<LocalAccount> Expander::AskAccount(const Action& action, const std::string& name,
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

}  // namespace postern::policy
