// Names in a Maildir: of message files ("1732180000.M1R2.host,S=100,W=104:2,FS") and of folders
// (".Work.Reports").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/mailbox/flags.h"

namespace postern::mailbox {

// MaildirName is a file name taken apart. The views are into the name.
struct MaildirName {
  std::string_view base;     // what identifies the message: all before the info
  std::string_view suffix;   // the info with its separator, ":2,FS"; "" without
  std::string_view letters;  // "FS"; "" when the info is not of kind 2
  // Of the base, from fields that Maildir++ and we put there.
  std::optional<uint64_t> crlf_size;  // ",W=": size with CRLF line ends
  std::optional<int64_t>
      date_s;  // ",T=": internal date, ours, where it is not the time of the file
};

// ParseMaildirName takes any file name apart; nullopt for what is not a message (empty, or it
// starts with a dot). ':' starts the info; where a file system does not allow it, programs write
// ';' or '!' before "2,".
std::optional<MaildirName> ParseMaildirName(std::string_view name);

// FlagsOfLetters gives the system flags that letters of kind 2 stand for (D draft, F flagged, R
// replied, S seen, T trashed).
SystemFlags FlagsOfLetters(std::string_view letters);

// LowKeywordsOfLetters gives bits 0..25 for the letters a..z (Dovecot's convention:
// dovecot-keywords names them).
KeywordBits LowKeywordsOfLetters(std::string_view letters);

// kLetterKeywords are the bits that have a letter; the rest lives in the index only.
inline constexpr KeywordBits kLetterKeywords = (KeywordBits{1} << 26) - 1;

// FormatSuffix writes the info for `flags` and `keywords`, letters in ASCII order. Letters of
// `old_suffix` that say something unknown to us (P, or a keyword that nobody named: not in `named`)
// stay, and so does its separator.
std::string FormatSuffix(std::string_view old_suffix, SystemFlags flags, KeywordBits keywords,
                         KeywordBits named);

// FolderOfName gives the folder of a mailbox whose canonical name is `name` (separator '.'): "" for
// INBOX, else "." and the name in modified UTF-7. NameOfFolder is its inverse: nullopt for a
// directory that is no mailbox.
std::string FolderOfName(std::string_view name);
std::optional<std::string> NameOfFolder(std::string_view folder);

}  // namespace postern::mailbox
