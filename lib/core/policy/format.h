// Formats: the %{...} of maildir paths, mda commands and wrappers (smtpd.conf(5), FORMAT
// SPECIFIERS).
//
// Variables: sender, rcpt and dest, each alone or with .user or .domain; user.username;
// user.directory; mbox.from; mda. Names ignore case. `[n]`, `[a:b]`, `[a:]`, `[:b]` cut (negative
// counts from the end, the end is inclusive); `:mod|mod` changes: lowercase, uppercase, strip
// (drops the sub-address), raw. %% is %. A leading ~/ is the home.
//
// Unless raw (and in user.directory and mda, which are ours) each of ! # $ % & ' * ? ` { | } ~
// becomes a colon.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/mail/address.h"

namespace postern::policy {

inline constexpr size_t kMaxFormatResultBytes = 1023;

struct FormatContext {
  mail::Address sender;
  mail::Address recipient;
  mail::Address destination;
  std::string user_name;
  std::string home;
  std::string mda;  // the inner command, for wrappers
  char sub_address_delimiter = '+';
};

enum class FormatUse {
  // kPath: a '/' in what a stranger supplied becomes a colon even when raw. Refused is a result
  // with
  // a component "." or "..", with one that a stranger's value left empty (which would be the folder
  // of all), or with a control character: nobody leaves the directory by the name of a recipient.
  kPath,
  // kCommand: blanks, quotes, backslash, ; ( ) < > and control characters in what a stranger
  // supplied become colons, even
  // when raw.
  kCommand,
};

// ExpandFormat returns `format` with its variables filled in. Errors: an unknown variable or
// modifier, a cut beyond the end, an unclosed brace, a result of more than kMaxFormatResultBytes, a
// path that leaves.
StatusOr<std::string> ExpandFormat(std::string_view format, const FormatContext& context,
                                   FormatUse use);

// FormatPiece is one part of an expanded format, for those who must keep what the operator wrote
// and what was filled in apart (shell_command.h).
struct FormatPiece {
  enum class Kind : uint8_t {
    kText,   // of the format itself
    kOurs,   // a value that no stranger chose: the home
    kValue,  // any other value
    kMda,    // the place of %{mda}; `text` is empty
  };
  Kind kind = Kind::kText;
  std::string text;
};
// ExpandPieces is ExpandFormat in parts; `allow_mda` for wrappers. The bound is for all parts
// together, without the inner command.
StatusOr<std::vector<FormatPiece>> ExpandPieces(std::string_view format,
                                                const FormatContext& context, FormatUse use,
                                                bool allow_mda);

// CheckFormat tells whether `format` can be expanded at all, for the configuration check.
// `allow_mda` for wrappers.
Status CheckFormat(std::string_view format, bool allow_mda);

}  // namespace postern::policy
