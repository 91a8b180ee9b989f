// The words of the milter protocol. The names on the right are those of libmilter's headers
// (mfdef.h, mfapi.h), for who compares.
#pragma once

#include <cstddef>
#include <cstdint>

namespace postern::milter {

// Versions of the protocol that are spoken. 6 came with Sendmail 8.14; 2 is what the oldest filters
// say. Their numbers stand in the negotiation.
inline constexpr uint32_t kMinVersion = 2;
inline constexpr uint32_t kMaxVersion = 6;
inline constexpr uint32_t kVersionWithUnknown = 3;
inline constexpr uint32_t kVersionWithData = 4;
inline constexpr uint32_t kVersionWithReuse = 6;

// kMaxPlainChunkBytes is the most of a body that one packet carries unless more was agreed.
inline constexpr size_t kMaxPlainChunkBytes = 65'535;  // MILTER_CHUNK_SIZE

// Command is what the mail server says.
enum class Command : char {
  kAbort = 'A',         // SMFIC_ABORT: the message is over
  kBody = 'B',          // SMFIC_BODY
  kConnect = 'C',       // SMFIC_CONNECT
  kMacro = 'D',         // SMFIC_MACRO: facts for the command that follows
  kEndOfMessage = 'E',  // SMFIC_BODYEOB
  kHelo = 'H',          // SMFIC_HELO
  kQuitReuse = 'K',     // SMFIC_QUIT_NC: another session follows on this connection
  kHeader = 'L',        // SMFIC_HEADER
  kMail = 'M',          // SMFIC_MAIL
  kEndOfHeaders = 'N',  // SMFIC_EOH
  kNegotiate = 'O',     // SMFIC_OPTNEG
  kQuit = 'Q',          // SMFIC_QUIT
  kRcpt = 'R',          // SMFIC_RCPT
  kData = 'T',          // SMFIC_DATA, from version 4
  kUnknown = 'U',       // SMFIC_UNKNOWN, from version 3
};

// Response is what the filter says.
enum class Response : char {
  kAddRcpt = '+',       // SMFIR_ADDRCPT
  kDeleteRcpt = '-',    // SMFIR_DELRCPT
  kAddRcptWith = '2',   // SMFIR_ADDRCPT_PAR: with ESMTP parameters
  kShutdown = '4',      // SMFIR_SHUTDOWN: 421
  kAccept = 'a',        // SMFIR_ACCEPT
  kReplaceBody = 'b',   // SMFIR_REPLBODY
  kContinue = 'c',      // SMFIR_CONTINUE
  kDiscard = 'd',       // SMFIR_DISCARD
  kChangeFrom = 'e',    // SMFIR_CHGFROM
  kFail = 'f',          // SMFIR_CONN_FAIL
  kAddHeader = 'h',     // SMFIR_ADDHEADER
  kInsertHeader = 'i',  // SMFIR_INSHEADER
  kSetSymbols = 'l',    // SMFIR_SETSYMLIST
  kChangeHeader = 'm',  // SMFIR_CHGHEADER
  kProgress = 'p',      // SMFIR_PROGRESS
  kQuarantine = 'q',    // SMFIR_QUARANTINE
  kReject = 'r',        // SMFIR_REJECT
  kSkip = 's',          // SMFIR_SKIP
  kTemporary = 't',     // SMFIR_TEMPFAIL
  kReply = 'y',         // SMFIR_REPLYCODE
};

// The actions that a filter may ask for; it says in the negotiation which it will.
inline constexpr uint32_t kMayAddHeaders = 0x001;      // SMFIF_ADDHDRS
inline constexpr uint32_t kMayReplaceBody = 0x002;     // SMFIF_CHGBODY
inline constexpr uint32_t kMayAddRcpt = 0x004;         // SMFIF_ADDRCPT
inline constexpr uint32_t kMayDeleteRcpt = 0x008;      // SMFIF_DELRCPT
inline constexpr uint32_t kMayChangeHeaders = 0x010;   // SMFIF_CHGHDRS
inline constexpr uint32_t kMayQuarantine = 0x020;      // SMFIF_QUARANTINE
inline constexpr uint32_t kMayChangeFrom = 0x040;      // SMFIF_CHGFROM
inline constexpr uint32_t kMayAddRcptWith = 0x080;     // SMFIF_ADDRCPT_PAR
inline constexpr uint32_t kMaySetSymbols = 0x100;      // SMFIF_SETSYMLIST
inline constexpr uint32_t kActionsOfVersion2 = 0x03f;  // SMFI_V2_ACTS
inline constexpr uint32_t kAllActions = 0x1ff;

// The steps that a filter does not want to be told of …
inline constexpr uint32_t kNoConnect = 0x000001;  // SMFIP_NOCONNECT
inline constexpr uint32_t kNoHelo = 0x000002;     // SMFIP_NOHELO
inline constexpr uint32_t kNoMail = 0x000004;     // SMFIP_NOMAIL
inline constexpr uint32_t kNoRcpt = 0x000008;     // SMFIP_NORCPT
inline constexpr uint32_t kNoBody = 0x000010;     // SMFIP_NOBODY
inline constexpr uint32_t kNoHeaders = 0x000020;  // SMFIP_NOHDRS
inline constexpr uint32_t kNoEoh = 0x000040;      // SMFIP_NOEOH
inline constexpr uint32_t kNoUnknown = 0x000100;  // SMFIP_NOUNKNOWN
inline constexpr uint32_t kNoData = 0x000200;     // SMFIP_NODATA
// … those that it will not answer …
inline constexpr uint32_t kNoReplyHeader = 0x000080;   // SMFIP_NR_HDR
inline constexpr uint32_t kNoReplyConnect = 0x001000;  // SMFIP_NR_CONN
inline constexpr uint32_t kNoReplyHelo = 0x002000;     // SMFIP_NR_HELO
inline constexpr uint32_t kNoReplyMail = 0x004000;     // SMFIP_NR_MAIL
inline constexpr uint32_t kNoReplyRcpt = 0x008000;     // SMFIP_NR_RCPT
inline constexpr uint32_t kNoReplyData = 0x010000;     // SMFIP_NR_DATA
inline constexpr uint32_t kNoReplyUnknown = 0x020000;  // SMFIP_NR_UNKN
inline constexpr uint32_t kNoReplyEoh = 0x040000;      // SMFIP_NR_EOH
inline constexpr uint32_t kNoReplyBody = 0x080000;     // SMFIP_NR_BODY
// … and what else it can.
inline constexpr uint32_t kCanSkip = 0x000400;            // SMFIP_SKIP: enough of the body
inline constexpr uint32_t kWantsRejectedRcpt = 0x000800;  // SMFIP_RCPT_REJ
inline constexpr uint32_t kLeadingSpace = 0x100000;       // SMFIP_HDR_LEADSPC
inline constexpr uint32_t kChunks256K = 0x10000000;       // SMFIP_MDS_256K
inline constexpr uint32_t kChunks1M = 0x20000000;         // SMFIP_MDS_1M
inline constexpr uint32_t kStepsOfVersion2 = 0x00007f;    // SMFI_V2_PROT
inline constexpr uint32_t kStepsOfVersion3 = 0x0001ff;    // with headers unanswered, unknown
inline constexpr uint32_t kStepsOfVersion4 = 0x0003ff;    // with DATA
inline constexpr uint32_t kAllSteps = 0x1fffff;           // SMFI_CURR_PROT

// Family is that of the client's address in kConnect.
enum class Family : char {
  kUnknown = 'U',
  kUnix = 'L',
  kInet = '4',
  kInet6 = '6',
};

}  // namespace postern::milter
