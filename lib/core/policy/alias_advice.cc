#include "lib/core/policy/alias_advice.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/policy/expansion.h"

namespace postern::policy {
namespace {

class AliasList {
 public:
  AliasList(const std::vector<AliasEntry>& entries, const IncludeReader& read_include,
            const AliasAdviceOptions& options)
      : entries_(entries), read_include_(read_include), options_(options) {}

  Diagnostics Check() {
    for (size_t i = 0; i < entries_.size(); ++i) index_[AsciiLower(entries_[i].key)] = i;
    nodes_.resize(entries_.size());
    for (size_t i = 0; i < entries_.size() && HasRoom(); ++i) ReadEntry(i);
    for (size_t i = 0; i < entries_.size() && HasRoom(); ++i) Walk(i);
    return std::move(found_);
  }

 private:
  enum class State : uint8_t { kNew, kOnPath, kDone };
  struct Node {
    std::vector<size_t> next;  // entries that its values name
    bool has_others = false;   // a value that is no entry: an account, an address, a program, …
    State state = State::kNew;
  };

  bool HasRoom() const { return found_.size() < options_.max_findings; }

  void Warn(SourceLocation at, const char* code, std::string message, std::string edit) {
    if (!HasRoom()) return;
    Diagnostic warning = MakeWarning(std::move(at), std::move(message));
    warning.code = code;
    warning.edit = std::move(edit);
    found_.push_back(std::move(warning));
  }

  // Edit says what is likely meant where a value means nothing.
  static std::string EditOf(const AliasFault& fault) {
    if (fault.item.find_first_of(" \t") != std::string::npos &&
        fault.item.find('"') == std::string::npos && !StartsWithIgnoreCase(fault.item, "error:") &&
        !StartsWithIgnoreCase(fault.item, ":error:")) {
      return "write a comma between two values";
    }
    if (StartsWithIgnoreCase(fault.item, "error:") || StartsWithIgnoreCase(fault.item, ":error:"))
      return "write error:550 and a text";
    return "write a user, an address, /file, |command, :include:/file or error:550 text";
  }

  void ReadEntry(size_t i) {
    const AliasEntry& entry = entries_[i];
    std::vector<AliasValue> values;
    for (const AliasFault& fault : FindAliasFaults(entry.value, &values)) {
      SourceLocation at = entry.location;
      if (entry.value_column > 0) at.column = entry.value_column + static_cast<int>(fault.offset);
      Warn(std::move(at), "alias-value",
           StrCat("alias ", Escape(entry.key, 80), ": ", fault.message,
                  ": mail for it is answered 424"),
           EditOf(fault));
    }
    for (const AliasValue& value : values) {
      if (value.kind == AliasValue::Kind::kInclude) {
        ReadInclude(i, value.text);
      } else {
        AddValue(i, value);
      }
    }
  }

  void ReadInclude(size_t i, const std::string& path) {
    nodes_[i].has_others = true;  // who is in it may be told when it can be read
    if (includes_ >= options_.max_includes) return;
    ++includes_;
    const AliasEntry& entry = entries_[i];
    const auto unreadable = [&](std::string_view why) {
      Warn(entry.location, "alias-include",
           StrCat("alias ", Escape(entry.key, 80), ": include:", Escape(path, 200),
                  " cannot be read (", why, "): mail for it is answered 424"),
           "write the file, or mend its path");
    };
    const StatusOr<std::string> text = read_include_(path);
    if (!text.ok()) return unreadable(Escape(Message(text.status()), 200));
    if (text->size() > options_.max_include_bytes)
      return unreadable(StrCat("larger than ", options_.max_include_bytes, " octets"));
    std::vector<AliasValue> values;
    const std::vector<AliasFault> faults = FindForwardFaults(*text, &values);
    for (const AliasFault& fault : faults) {
      Warn({path, fault.line, static_cast<int>(fault.offset) + 1}, "alias-value",
           StrCat(options_.show_included ? fault.message : "this is none of aliases(5)'s values",
                  ": mail for ", Escape(entry.key, 80),
                  ", which includes this file, is answered 424"),
           EditOf(fault));
    }
    nodes_[i].has_others = !faults.empty();
    for (const AliasValue& value : values) {
      if (value.kind != AliasValue::Kind::kInclude) {
        AddValue(i, value);
        continue;
      }
      Warn({path, 0, 0}, "alias-include",
           StrCat("include:", Escape(value.text, 200),
                  " is not obeyed: an included file may not include others"),
           StrCat("name it where ", Escape(entry.key, 80), " is declared (",
                  entry.location.ToString(), ")"));
    }
  }

  void AddValue(size_t i, const AliasValue& value) {
    const std::optional<size_t> to = EntryOf(i, value);
    if (to) {
      nodes_[i].next.push_back(*to);
    } else {
      nodes_[i].has_others = true;
    }
  }

  std::optional<size_t> Find(const std::string& key) const {
    const auto it = index_.find(key);
    if (it == index_.end()) return std::nullopt;
    return it->second;
  }

  // EntryOf gives the entry that `value` of entry `i` is expanded by; nullopt when it is none.
  std::optional<size_t> EntryOf(size_t i, const AliasValue& value) const {
    const char delimiter = options_.sub_address_delimiter;
    if (value.kind == AliasValue::Kind::kUser) {
      const std::string own = AsciiLower(entries_[i].key);
      // The name that is being expanded is not expanded again.
      if (value.text == own || value.text == own.substr(0, own.find(delimiter)))
        return std::nullopt;
      if (const auto exact = Find(value.text)) return exact;
      // "bob: bob+x" is bob's own word, too, once it is asked what bob+x is.
      const std::string name = value.text.substr(0, value.text.find(delimiter));
      if (name == own) return std::nullopt;
      return Find(name);
    }
    if (value.kind != AliasValue::Kind::kAddress || !options_.is_virtual) return std::nullopt;
    const std::string local = AsciiLower(value.address.local_part);
    const std::string domain = StrCat("@", AsciiLower(value.address.domain));
    if (const auto exact = Find(local + domain)) return exact;
    if (const auto user = Find(local.substr(0, local.find(delimiter)) + domain)) return user;
    // Keys without a domain may be meant for another: who takes the address is for the rules.
    if (Find(local)) return std::nullopt;
    return Find(domain);
  }

  // Walk goes through what entry `first` leads to, in depth, and tells of each way that comes back.
  void Walk(size_t first) {
    if (nodes_[first].state != State::kNew) return;
    std::vector<std::pair<size_t, size_t>> path;  // an entry, and how many of its ways were gone
    const auto enter = [&](size_t i) {
      nodes_[i].state = State::kOnPath;
      path.emplace_back(i, 0);
    };
    enter(first);
    while (!path.empty() && HasRoom()) {
      Node& node = nodes_[path.back().first];
      if (path.back().second == node.next.size()) {
        node.state = State::kDone;
        path.pop_back();
        continue;
      }
      const size_t to = node.next[path.back().second++];
      if (nodes_[to].state == State::kNew) {
        enter(to);
      } else if (nodes_[to].state == State::kOnPath) {
        const auto start = std::find_if(path.begin(), path.end(),
                                        [to](const auto& each) { return each.first == to; });
        std::vector<size_t> circle;
        for (auto it = start; it != path.end(); ++it) circle.push_back(it->first);
        TellCircle(circle);
      }
    }
  }

  bool LeadsToSomebody(size_t start) const {
    std::vector<bool> seen(nodes_.size());
    std::vector<size_t> open{start};
    seen[start] = true;
    while (!open.empty()) {
      const Node& node = nodes_[open.back()];
      open.pop_back();
      if (node.has_others) return true;
      for (const size_t to : node.next) {
        if (!seen[to]) open.push_back(to);
        seen[to] = true;
      }
    }
    return false;
  }

  void TellCircle(const std::vector<size_t>& circle) {
    constexpr size_t kMaxShown = 8;
    std::string text;
    for (size_t i = 0; i < circle.size(); ++i) {
      if (i == kMaxShown) {
        text += "... -> ";
        break;
      }
      StrAppend(text, Escape(entries_[circle[i]].key, 60), " -> ");
    }
    const AliasEntry& first = entries_[circle.front()];
    const AliasEntry& last = entries_[circle.back()];
    StrAppend(text, Escape(first.key, 60));
    Warn(last.location, "alias-circle",
         StrCat("aliases in a circle: ", text,
                LeadsToSomebody(circle.front())
                    ? "; each is expanded once, and the others whom they name get the mail"
                    : "; it leads to nobody, and mail for them is refused"),
         StrCat("take ", Escape(first.key, 80), " out of what ", Escape(last.key, 80),
                " stands for"));
  }

  const std::vector<AliasEntry>& entries_;
  const IncludeReader& read_include_;
  const AliasAdviceOptions& options_;
  std::unordered_map<std::string, size_t> index_;
  std::vector<Node> nodes_;
  size_t includes_ = 0;
  Diagnostics found_;
};

}  // namespace

Diagnostics CheckAliases(const std::vector<AliasEntry>& entries, const IncludeReader& read_include,
                         const AliasAdviceOptions& options) {
  return AliasList(entries, read_include, options).Check();
}

}  // namespace postern::policy
