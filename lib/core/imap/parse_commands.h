// The readers of commands' arguments, one for each row of command_table.cc: each takes all that
// follows the command's name and returns false, with the reason in the scanner, when it is
// something else.
#pragma once

#include "lib/core/imap/command_table.h"
#include "lib/core/imap/scanner.h"

namespace postern::imap {

bool ParseNothing(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
bool ParseId(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
bool ParseAuthenticate(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
bool ParseLogin(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
bool ParseEnable(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
bool ParseMailbox(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
bool ParseCreate(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
bool ParseRename(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
bool ParseList(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
bool ParseLsub(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
bool ParseStatus(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
// ParseAppendWithoutLiteral is for an APPEND that ended without a message: always false, with the
// reason.
bool ParseAppendWithoutLiteral(Scanner& scanner, const ParseLimits& limits,
                               CommandArguments* arguments);
bool ParseExpunge(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
bool ParseSearch(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
bool ParseFetch(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
bool ParseStore(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
bool ParseCopy(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);

// ParseMailboxName reads a mailbox (an astring in modified UTF-7) into UTF-8.
bool ParseMailboxName(Scanner& scanner, std::string* name);
// ParseSet reads a sequence set.
bool ParseSet(Scanner& scanner, SequenceSet* set);
// ParseFlag reads one flag that a client may set and adds it; ParseFlags a list in parentheses.
bool ParseFlag(Scanner& scanner, mailbox::FlagList* flags);
bool ParseFlags(Scanner& scanner, mailbox::FlagList* flags);

}  // namespace postern::imap
