// What IMAP shows of a message: ENVELOPE, BODY and BODYSTRUCTURE (RFC 3501 §7.4.2, RFC 9051
// §7.5.2), from one parse.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/message/address_list.h"
#include "lib/core/message/parser.h"

namespace postern::message {

// ---- IMAP strings

// AppendImapString writes `octets` as an IMAP string: quoted when it is short printable ASCII (or,
// with `utf8`, UTF-8: RFC 6855, RFC 9051), else a literal "{n}\r\n...". NUL, which no IMAP string
// may have, becomes a blank.
void AppendImapString(std::string_view octets, bool utf8, std::string& out);
// AppendImapNString writes NIL for nullopt.
void AppendImapNString(const std::optional<std::string>& octets, bool utf8, std::string& out);

// ---- ENVELOPE

// Envelope is the ENVELOPE of one message. Strings are as the header has them, unfolded, encoded
// words not decoded. nullopt is a field that is not there. sender and reply_to are those of From
// when their own fields are missing or empty (RFC 3501 §7.4.2).
struct Envelope {
  std::optional<std::string> date;
  std::optional<std::string> subject;
  std::vector<Mailbox> from;
  std::vector<Mailbox> sender;
  std::vector<Mailbox> reply_to;
  std::vector<Mailbox> to;
  std::vector<Mailbox> cc;
  std::vector<Mailbox> bcc;
  std::optional<std::string> in_reply_to;
  std::optional<std::string> message_id;
};

// BuildEnvelope reads the envelope out of the header of part `index`, which is the message or one
// inside a message/rfc822.
Envelope BuildEnvelope(const MessageView& message, uint32_t index = 0);

// AppendEnvelope writes `("date" "subject" ((...)) ...)`.
void AppendEnvelope(const Envelope& envelope, bool utf8, std::string& out);

// ---- BODY and BODYSTRUCTURE

// BodyParameter is one parameter of a type or disposition: the pieces of RFC 2231 joined, but not
// decoded ("filename*" keeps its star and its charset), because a client of RFC 3501 expects to
// decode them itself.
struct BodyParameter {
  std::string name;
  std::string value;
};

struct BodyDisposition {
  std::string kind;
  std::vector<BodyParameter> parameters;
};

// BodyStructure is one node of the tree. A multipart without parts, or without a boundary, is shown
// as a text/plain part, because the grammar has no empty multipart.
struct BodyStructure {
  std::string type;  // as written ("text"), upper or lower case
  std::string subtype;
  std::vector<BodyParameter> parameters;
  std::vector<BodyStructure> parts;  // of a multipart: not empty; of a message/rfc822: its one body
  std::optional<Envelope> envelope;  // of a message/rfc822
  bool multipart = false;

  std::optional<std::string> id;
  std::optional<std::string> description;
  std::string encoding = "7BIT";
  uint64_t size_bytes = 0;
  uint64_t lines = 0;  // for text/* and message/rfc822

  // Extension data
  std::optional<std::string> md5;
  std::optional<BodyDisposition> disposition;
  std::vector<std::string> languages;
  std::optional<std::string> location;
};

// BuildBodyStructure describes the message, or the part `index` of it. It recurses as deep as the
// tree is (ParseOptions::max_depth).
BodyStructure BuildBodyStructure(const MessageView& message, uint32_t index = 0);

// AppendBodyStructure writes BODYSTRUCTURE, or with `extended` false the BODY form without
// extension data.
void AppendBodyStructure(const BodyStructure& body, bool extended, bool utf8, std::string& out);

// The three texts at once, for who stores them beside a message.
std::string EnvelopeText(const MessageView& message, bool utf8 = false);
std::string BodyStructureText(const MessageView& message, bool extended, bool utf8 = false);

}  // namespace postern::message
