#include "lib/core/imap/parse_commands.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/imap/date_time.h"
#include "lib/core/mailbox/names.h"

namespace postern::imap {
namespace {

bool AtEnd(Scanner& scanner) {
  return scanner.AtEnd() || scanner.Fail("there is more than the command takes");
}

// Space before an argument.
bool Argument(Scanner& scanner) {
  return scanner.Space() || scanner.Fail("an argument is missing");
}

// End takes blanks that some clients leave at the end of a line.
bool End(Scanner& scanner) {
  scanner.SkipSpaces();
  return AtEnd(scanner);
}

bool IsSetChar(char c) { return IsAsciiDigit(c) || c == ':' || c == ',' || c == '*'; }

struct StatusRow {
  std::string_view name;
  StatusItem item;
};
constexpr StatusRow kStatusItems[] = {
    {"MESSAGES", StatusItem::kMessages},
    {"RECENT", StatusItem::kRecent},
    {"UIDNEXT", StatusItem::kUidNext},
    {"UIDVALIDITY", StatusItem::kUidValidity},
    {"UNSEEN", StatusItem::kUnseen},
    {"SIZE", StatusItem::kSize},
    {"HIGHESTMODSEQ", StatusItem::kHighestModSeq},
};

bool ParseStatusItems(Scanner& scanner, std::vector<StatusItem>* items) {
  if (!scanner.Char('(')) return scanner.Fail("a list of items in parentheses was expected");
  while (true) {
    scanner.SkipSpaces();
    if (scanner.Char(')')) return !items->empty() || scanner.Fail("the list of items is empty");
    std::string_view word;
    if (!scanner.Atom(&word)) return false;
    const StatusRow* found = nullptr;
    for (const StatusRow& row : kStatusItems) {
      if (EqualsIgnoreCase(row.name, word)) found = &row;
    }
    if (found == nullptr) return scanner.Fail("an item of STATUS is unknown");
    if (std::find(items->begin(), items->end(), found->item) == items->end())
      items->push_back(found->item);
  }
}

// RFC 3501 §9, list-mailbox: a word that may hold wildcards, or a string.
bool ParseListPattern(Scanner& scanner, std::string* pattern) {
  std::string wire;
  if (scanner.Peek() == '"' || scanner.Peek() == '{') {
    if (!scanner.QuotedOrLiteral(&wire)) return false;
  } else {
    wire = std::string(scanner.While(IsListChar));
    if (wire.empty()) return scanner.Fail("a mailbox pattern was expected");
  }
  const std::optional<std::string> utf8 = mailbox::DecodeMailboxUtf7(wire);
  if (!utf8) return scanner.Fail("the mailbox pattern is not modified UTF-7");
  *pattern = *utf8;
  return true;
}

bool ParseListSelection(Scanner& scanner, ListArguments* list) {
  while (true) {
    scanner.SkipSpaces();
    if (scanner.Char(')')) break;
    if (scanner.Keyword("SUBSCRIBED")) {
      list->select_subscribed = true;
    } else if (scanner.Keyword("SPECIAL-USE")) {
      list->select_special_use = true;
    } else if (scanner.Keyword("RECURSIVEMATCH")) {
      list->recursive_match = true;
    } else if (!scanner.Keyword("REMOTE")) {
      return scanner.Fail("a selection option of LIST is unknown");
    }
  }
  // RFC 5258 §3.1: RECURSIVEMATCH needs an option to match by.
  return !list->recursive_match || list->select_subscribed || list->select_special_use ||
         scanner.Fail("RECURSIVEMATCH needs another selection option");
}

bool ParseListReturn(Scanner& scanner, ListArguments* list) {
  if (!scanner.Char('(')) return scanner.Fail("a list of return options was expected");
  while (true) {
    scanner.SkipSpaces();
    if (scanner.Char(')')) return true;
    if (scanner.Keyword("SUBSCRIBED")) {
      list->return_subscribed = true;
    } else if (scanner.Keyword("CHILDREN")) {
      list->return_children = true;
    } else if (scanner.Keyword("SPECIAL-USE")) {
      list->return_special_use = true;
    } else if (scanner.Keyword("STATUS")) {
      if (!Argument(scanner) || !ParseStatusItems(scanner, &list->return_status)) return false;
    } else {
      return scanner.Fail("a return option of LIST is unknown");
    }
  }
}

bool ParseListPatterns(Scanner& scanner, ListArguments* list) {
  if (!scanner.Char('(')) return ParseListPattern(scanner, &list->patterns.emplace_back());
  list->extended = true;
  constexpr size_t kMaxPatterns = 64;
  while (true) {
    scanner.SkipSpaces();
    if (scanner.Char(')'))
      return !list->patterns.empty() || scanner.Fail("the list of patterns is empty");
    if (list->patterns.size() >= kMaxPatterns) return scanner.Fail("too many patterns");
    if (!ParseListPattern(scanner, &list->patterns.emplace_back())) return false;
  }
}

}  // namespace

std::string_view StatusItemName(StatusItem item) {
  for (const StatusRow& row : kStatusItems) {
    if (row.item == item) return row.name;
  }
  return "";
}

bool ParseMailboxName(Scanner& scanner, std::string* name) {
  std::string wire;
  if (!scanner.AString(&wire)) return false;
  const std::optional<std::string> utf8 = mailbox::DecodeMailboxUtf7(wire);
  if (!utf8) return scanner.Fail("the mailbox name is not modified UTF-7");
  *name = *utf8;
  return true;
}

bool ParseSet(Scanner& scanner, SequenceSet* set) {
  const std::optional<SequenceSet> parsed = ParseSequenceSet(scanner.While(IsSetChar));
  if (!parsed) return scanner.Fail("a sequence set was expected");
  *set = *parsed;
  return true;
}

bool ParseFlag(Scanner& scanner, mailbox::FlagList* flags) {
  const bool system = scanner.Char('\\');
  std::string_view word;
  if (!scanner.Atom(&word)) return scanner.Fail("a flag was expected");
  const Status added = flags->Add(system ? StrCat("\\", word) : std::string(word));
  if (added.ok()) return true;
  return scanner.Fail(added.code() == StatusCode::kResourceExhausted
                          ? "too many flags"
                          : "a flag is not one that a client may set");
}

bool ParseFlags(Scanner& scanner, mailbox::FlagList* flags) {
  if (!scanner.Char('(')) return scanner.Fail("flags in parentheses were expected");
  while (true) {
    scanner.SkipSpaces();
    if (scanner.Char(')')) return true;
    if (!ParseFlag(scanner, flags)) return false;
  }
}

bool ParseNothing(Scanner& scanner, const ParseLimits&, CommandArguments*) { return End(scanner); }

bool ParseId(Scanner& scanner, const ParseLimits&, CommandArguments* arguments) {
  IdArguments id;
  if (!Argument(scanner)) return false;
  if (!scanner.Keyword("NIL")) {
    if (!scanner.Char('(')) return scanner.Fail("NIL or a list was expected");
    while (true) {
      scanner.SkipSpaces();
      if (scanner.Char(')')) break;
      // RFC 2971 §3.3: at most 30 fields, names to 30 octets, values to 1,024.
      if (id.fields.size() >= 30) return scanner.Fail("ID takes 30 fields at most");
      std::string name;
      std::optional<std::string> value;
      if (!scanner.QuotedOrLiteral(&name) || !Argument(scanner) || !scanner.NString(&value))
        return false;
      if (name.size() > 30 || value.value_or("").size() > 1024)
        return scanner.Fail("a field of ID is too long");
      id.fields.emplace_back(std::move(name), value.value_or(""));
    }
  }
  *arguments = std::move(id);
  return End(scanner);
}

bool ParseAuthenticate(Scanner& scanner, const ParseLimits&, CommandArguments* arguments) {
  AuthenticateArguments auth;
  // RFC 3501 §9 has an atom here; some clients quote it.
  if (!Argument(scanner) || !scanner.AString(&auth.mechanism)) return false;
  scanner.SkipSpaces();
  if (!scanner.AtEnd() && !scanner.AString(&auth.initial_response.emplace())) return false;
  *arguments = std::move(auth);
  return End(scanner);
}

bool ParseLogin(Scanner& scanner, const ParseLimits&, CommandArguments* arguments) {
  LoginArguments login;
  if (!Argument(scanner) || !scanner.AString(&login.user)) return false;
  if (!Argument(scanner) || !scanner.AString(&login.password)) return false;
  *arguments = std::move(login);
  return End(scanner);
}

bool ParseEnable(Scanner& scanner, const ParseLimits&, CommandArguments* arguments) {
  EnableArguments enable;
  constexpr size_t kMaxCapabilities = 64;
  do {
    std::string_view word;
    if (!Argument(scanner) || !scanner.Atom(&word)) return false;
    if (enable.capabilities.size() >= kMaxCapabilities)
      return scanner.Fail("too many capabilities");
    enable.capabilities.push_back(AsciiUpper(word));
  } while (!scanner.AtEnd());
  *arguments = std::move(enable);
  return true;
}

bool ParseMailbox(Scanner& scanner, const ParseLimits&, CommandArguments* arguments) {
  MailboxArguments mailbox;
  if (!Argument(scanner) || !ParseMailboxName(scanner, &mailbox.mailbox)) return false;
  *arguments = std::move(mailbox);
  return End(scanner);
}

bool ParseCreate(Scanner& scanner, const ParseLimits&, CommandArguments* arguments) {
  MailboxArguments mailbox;
  if (!Argument(scanner) || !ParseMailboxName(scanner, &mailbox.mailbox)) return false;
  // RFC 6154 §3: CREATE name (USE (\Sent)).
  if (scanner.Space() && !scanner.AtEnd()) {
    if (!scanner.Char('(') || !scanner.Keyword("USE") || !Argument(scanner) || !scanner.Char('(')) {
      return scanner.Fail("(USE (...)) was expected");
    }
    while (true) {
      scanner.SkipSpaces();
      if (scanner.Char(')')) break;
      std::string_view use;
      if (!scanner.Char('\\') || !scanner.Atom(&use))
        return scanner.Fail("a special use was expected");
      if (mailbox.special_use.size() >= 8) return scanner.Fail("too many special uses");
      mailbox.special_use.push_back(StrCat("\\", use));
    }
    if (!scanner.Char(')')) return scanner.Fail("')' was expected");
  }
  *arguments = std::move(mailbox);
  return End(scanner);
}

bool ParseRename(Scanner& scanner, const ParseLimits&, CommandArguments* arguments) {
  RenameArguments rename;
  if (!Argument(scanner) || !ParseMailboxName(scanner, &rename.from)) return false;
  if (!Argument(scanner) || !ParseMailboxName(scanner, &rename.to)) return false;
  *arguments = std::move(rename);
  return End(scanner);
}

bool ParseList(Scanner& scanner, const ParseLimits&, CommandArguments* arguments) {
  ListArguments list;
  if (!Argument(scanner)) return false;
  if (scanner.Char('(')) {
    list.extended = true;
    if (!ParseListSelection(scanner, &list) || !Argument(scanner)) return false;
  }
  if (!ParseMailboxName(scanner, &list.reference) || !Argument(scanner) ||
      !ParseListPatterns(scanner, &list)) {
    return false;
  }
  if (scanner.Space() && !scanner.AtEnd()) {
    list.extended = true;
    if (!scanner.Keyword("RETURN") || !Argument(scanner) || !ParseListReturn(scanner, &list)) {
      return scanner.Fail("RETURN (...) was expected");
    }
  }
  *arguments = std::move(list);
  return End(scanner);
}

bool ParseLsub(Scanner& scanner, const ParseLimits&, CommandArguments* arguments) {
  ListArguments list;
  if (!Argument(scanner) || !ParseMailboxName(scanner, &list.reference)) return false;
  if (!Argument(scanner) || !ParseListPattern(scanner, &list.patterns.emplace_back())) return false;
  *arguments = std::move(list);
  return End(scanner);
}

bool ParseStatus(Scanner& scanner, const ParseLimits&, CommandArguments* arguments) {
  StatusArguments status;
  if (!Argument(scanner) || !ParseMailboxName(scanner, &status.mailbox)) return false;
  if (!Argument(scanner) || !ParseStatusItems(scanner, &status.items)) return false;
  *arguments = std::move(status);
  return End(scanner);
}

bool ParseAppendPrefix(Scanner& scanner, AppendArguments* arguments) {
  if (!Argument(scanner) || !ParseMailboxName(scanner, &arguments->mailbox) || !scanner.Space())
    return false;
  if (scanner.Peek() == '(') {
    if (!ParseFlags(scanner, &arguments->flags) || !scanner.Space()) return false;
  }
  if (scanner.Peek() == '"') {
    std::string text;
    if (!scanner.QuotedOrLiteral(&text)) return false;
    arguments->date = ParseDateTime(text);
    if (!arguments->date) return scanner.Fail("the date is not well formed");
    if (!scanner.Space()) return false;
  }
  return scanner.AtEnd();
}

bool ParseAppendWithoutLiteral(Scanner& scanner, const ParseLimits&, CommandArguments*) {
  AppendArguments ignored;
  ParseAppendPrefix(scanner, &ignored);
  return scanner.Fail("the message is missing");
}

bool ParseExpunge(Scanner& scanner, const ParseLimits&, CommandArguments* arguments) {
  ExpungeArguments expunge;
  if (scanner.Space() && !scanner.AtEnd() && !ParseSet(scanner, &expunge.uids.emplace()))
    return false;
  *arguments = std::move(expunge);
  return End(scanner);
}

bool ParseFetch(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments) {
  FetchArguments fetch;
  if (!Argument(scanner) || !ParseSet(scanner, &fetch.set)) return false;
  if (!Argument(scanner) || !ParseFetchItems(scanner, limits.fetch_items, &fetch.items))
    return false;
  *arguments = std::move(fetch);
  return End(scanner);
}

bool ParseStore(Scanner& scanner, const ParseLimits&, CommandArguments* arguments) {
  StoreArguments store;
  if (!Argument(scanner) || !ParseSet(scanner, &store.set) || !Argument(scanner)) return false;
  if (scanner.Char('+')) {
    store.mode = StoreArguments::Mode::kAdd;
  } else if (scanner.Char('-')) {
    store.mode = StoreArguments::Mode::kRemove;
  }
  if (scanner.Keyword("FLAGS.SILENT")) {
    store.silent = true;
  } else if (!scanner.Keyword("FLAGS")) {
    return scanner.Fail("FLAGS was expected");
  }
  if (!Argument(scanner)) return false;
  if (scanner.Peek() == '(') {
    if (!ParseFlags(scanner, &store.flags)) return false;
  } else {
    // RFC 3501 §9, store-att-flags: flags may also stand without parentheses.
    do {
      if (!ParseFlag(scanner, &store.flags)) return false;
    } while (scanner.Space() && !scanner.AtEnd());
  }
  *arguments = std::move(store);
  return End(scanner);
}

bool ParseCopy(Scanner& scanner, const ParseLimits&, CommandArguments* arguments) {
  CopyArguments copy;
  if (!Argument(scanner) || !ParseSet(scanner, &copy.set)) return false;
  if (!Argument(scanner) || !ParseMailboxName(scanner, &copy.mailbox)) return false;
  *arguments = std::move(copy);
  return End(scanner);
}

}  // namespace postern::imap
