/* Notices about messages: delivery status (RFC 3464), disposition (RFC 8098), abuse (RFC 5965) and
 * DMARC failure reports (RFC 9991), written and read; and what IMAP shows of a message.
 *
 * What is written is a whole message, lines ended by CRLF. Delivery status and disposition
 * notifications are sent from the null reverse-path. Strings in options are NUL-terminated UTF-8,
 * lent for the call; NULL is the same as empty. Strings that come from strangers are made fit for
 * their field: nothing breaks out of it.
 *
 * Without "smtputf8" a notice has ASCII headers: domains are written as A-labels, and an address
 * that is not ASCII before the "@" is an error where it stands in the header (From, To). What the
 * fields for programs tell of such addresses is in the forms of RFC 6533, other text has \x{HEX}
 * for what is not ASCII. A message with UTF-8 in its header goes back as message/global (RFC 6532).
 */
#ifndef POSTERN_NOTICE_H
#define POSTERN_NOTICE_H

#include "auth.h"
#include "message.h"

POSTERN_BEGIN_DECLS

/* ---- What IMAP shows */

/* postern_parsed_envelope gives the ENVELOPE (RFC 3501 section 7.4.2) of the message inside `part`,
 * or of the message itself for part 0, as it stands in a FETCH response. With `utf8` strings may
 * be in UTF-8 (RFC 6855). POSTERN_ERR_NOT_FOUND: there is no such part. Since 0.2. */
POSTERN_API postern_status postern_parsed_envelope(postern_buf* out, const postern_parsed* parsed,
                                                   size_t part, int32_t utf8,
                                                   postern_error** out_error);

/* postern_parsed_body_structure gives BODYSTRUCTURE, or with `extended` 0 BODY, of the message.
 * Since 0.2. */
POSTERN_API postern_status postern_parsed_body_structure(postern_buf* out,
                                                         const postern_parsed* parsed,
                                                         int32_t extended, int32_t utf8,
                                                         postern_error** out_error);

/* ---- Delivery status notifications */

/* What became of a recipient (RFC 3464 section 2.3.3). */
enum {
  POSTERN_DSN_FAILED = 0,
  POSTERN_DSN_DELAYED = 1,
  POSTERN_DSN_DELIVERED = 2,
  POSTERN_DSN_RELAYED = 3,
  POSTERN_DSN_EXPANDED = 4
};

/* postern_dsn_recipient is one of them. */
typedef struct postern_dsn_recipient {
  size_t struct_size;
  const char* address;             /* needed */
  const char* original_recipient;  /* ORCPT, "rfc822;joe@example.org" */
  int32_t action;                  /* POSTERN_DSN_* */
  const char* status;              /* "5.1.1"; NULL: by the action, 5.0.0, 4.0.0 or 2.0.0 */
  const char* reason;              /* for people: "the mailbox is full" */
  const char* reply;               /* of the remote server: "550 5.1.1 no such user"; its lines
                                      ended by LF or CRLF where it has several */
  const char* remote_mta;          /* its name */
  int64_t last_attempt_unix_s;     /* 0: not told */
  int64_t will_retry_until_unix_s; /* of a delay; 0: not told */
} postern_dsn_recipient;

#define POSTERN_DSN_RECIPIENT_INIT \
  { sizeof(postern_dsn_recipient), NULL, NULL, 0, NULL, NULL, NULL, NULL, 0, 0 }

/* postern_dsn_options is what a notification is made of. */
typedef struct postern_dsn_options {
  size_t struct_size;
  int32_t action;            /* POSTERN_DSN_*: what the subject says */
  const char* reporting_mta; /* our name; needed */
  const char* sender;        /* who gets it: the reverse-path of the message; needed */
  const char* message_id;    /* with its brackets; NULL: a random one */
  int64_t date_unix_s;       /* 0: now */
  const char* envelope_id;   /* ENVID */
  int64_t arrival_unix_s;    /* 0: not told */
  const postern_dsn_recipient* recipients; /* an array; at least one */
  size_t recipient_count;
  const char* original; /* the message, or its header; CRLF lines */
  size_t original_len;
  int32_t return_full; /* 1: all of the message goes back, else its header */
  int32_t smtputf8;    /* 1: the header of the notification may have UTF-8 */
} postern_dsn_options;

#define POSTERN_DSN_OPTIONS_INIT \
  { sizeof(postern_dsn_options), 0, NULL, NULL, NULL, 0, NULL, 0, NULL, 0, NULL, 0, 0, 0 }

/* postern_dsn_build writes one. POSTERN_ERR_INVALID_ARGUMENT: something needed is missing, or is no
 * address, status or reply; POSTERN_ERR_VERSION. Any thread. Since 0.2. */
POSTERN_API postern_status postern_dsn_build(postern_buf* out, const postern_dsn_options* options,
                                             postern_error** out_error);

/* ---- Message disposition notifications */

/* What was done with the message (RFC 8098 section 3.2.6.2). */
enum {
  POSTERN_MDN_DISPLAYED = 0,
  POSTERN_MDN_DELETED = 1,
  POSTERN_MDN_DISPATCHED = 2,
  POSTERN_MDN_PROCESSED = 3
};

/* postern_mdn_options is what a notification is made of. */
typedef struct postern_mdn_options {
  size_t struct_size;
  const char* from_name;
  const char* from;               /* the address of the person; needed */
  const char* to;                 /* who asked for it (postern_mdn_wanted); needed */
  int32_t disposition;            /* POSTERN_MDN_* */
  int32_t automatic_action;       /* 1: a program did it, not a person */
  int32_t sent_automatically;     /* 1: no person let the notification go out */
  const char* original_recipient; /* "rfc822;joe@example.org", or the address alone */
  const char* reporting_ua;       /* "host.example; Program 1.0" */
  const char* message_id;         /* of the notification; NULL: a random one */
  int64_t date_unix_s;            /* 0: now */
  const char* original;           /* the message; its header goes back. Needed */
  size_t original_len;
  int32_t smtputf8; /* 1: the header of the notification may have UTF-8 */
} postern_mdn_options;

#define POSTERN_MDN_OPTIONS_INIT \
  { sizeof(postern_mdn_options), NULL, NULL, NULL, 0, 0, 0, NULL, NULL, NULL, 0, NULL, 0, 0 }

/* postern_mdn_build writes one. POSTERN_ERR_INVALID_ARGUMENT: something needed is missing or no
 * address; POSTERN_ERR_VERSION. Any thread. Since 0.2. */
POSTERN_API postern_status postern_mdn_build(postern_buf* out, const postern_mdn_options* options,
                                             postern_error** out_error);

/* postern_mdn_wanted gives the address that asked for a notification; empty when none was asked for
 * or may be sent: not for a notification, nor when an option that we do not know is required
 * (RFC 8098 section 2.2). `*out_ask_first` is 1 when a person has to agree (section 2.1): without a
 * Return-Path that is the address, and when several addresses or fields ask; the first is given.
 * Since 0.2. */
POSTERN_API postern_status postern_mdn_wanted(postern_buf* out, int32_t* out_ask_first,
                                              const postern_parsed* parsed,
                                              postern_error** out_error);

/* ---- Feedback: abuse, and failed authentication */

/* postern_arf_options is what a report is made of. */
typedef struct postern_arf_options {
  size_t struct_size;
  const char* feedback_type; /* "abuse", "fraud", "virus", "not-spam", "other"; needed */
  const char* from;          /* an address; needed */
  const char* to;            /* an address; needed */
  const char* user_agent;    /* NULL: Postern and its version */
  const char* mail_from;     /* reverse-path of the message */
  const char* rcpt_to;       /* its recipient */
  const char* source_ip;
  const char* reporting_mta;   /* our name */
  int64_t arrival_unix_s;      /* 0: not told */
  const char* reported_domain; /* whose fault it is */
  const char* text;            /* for people */
  const char* message_id;      /* NULL: a random one */
  int64_t date_unix_s;         /* 0: now */
  const char* original;        /* the message; needed */
  size_t original_len;
  int32_t headers_only; /* 1: only its header goes along */
} postern_arf_options;

#define POSTERN_ARF_OPTIONS_INIT                                                                \
  {                                                                                             \
    sizeof(postern_arf_options), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, \
        NULL, 0, NULL, 0, 0                                                                     \
  }

/* postern_arf_build writes one. POSTERN_ERR_INVALID_ARGUMENT: something needed is missing, or is no
 * address, no feedback type or no IP address; POSTERN_ERR_VERSION. Any thread. Since 0.2. */
POSTERN_API postern_status postern_arf_build(postern_buf* out, const postern_arf_options* options,
                                             postern_error** out_error);

/* postern_failure_report_options is what a DMARC failure report is made of besides what was found
 * out about the message. */
typedef struct postern_failure_report_options {
  size_t struct_size;
  const char* from;          /* an address; needed */
  const char* to;            /* an address of "ruf"; needed */
  const char* reporting_mta; /* our name */
  const char*
      delivery_result;    /* "delivered", "spam", "policy", "reject", "other"; NULL: not told */
  const char* message_id; /* NULL: a random one */
  int64_t date_unix_s;    /* 0: now */
  int32_t whole_message;  /* 1: the body goes along too (RFC 9991 section 6 warns of it) */
} postern_failure_report_options;

#define POSTERN_FAILURE_REPORT_OPTIONS_INIT \
  { sizeof(postern_failure_report_options), NULL, NULL, NULL, NULL, NULL, 0, 0 }

/* postern_auth_failure_report writes a report about `message`, of which `auth` tells, when the
 * domain's record asks for one ("ruf", "fo"). POSTERN_DONE: none is asked for, and the buffer is
 * empty; so it is for a message that is a report itself. POSTERN_ERR_INVALID_ARGUMENT: no address,
 * "to" is none of "ruf", or the delivery result is no such word; POSTERN_ERR_VERSION. Any thread.
 * Since 0.2. */
POSTERN_API postern_status postern_auth_failure_report(
    postern_buf* out, const postern_auth* auth, const char* message, size_t message_len,
    const postern_failure_report_options* options, postern_error** out_error);

/* ---- Reading */

/* postern_parsed_notice_json tells what notice a message is, as a JSON object with "kind": "dsn"
 * (with the recipients as in postern_parsed_json's "bounce"), "mdn", "arf" (failure reports too),
 * and its fields. POSTERN_ERR_NOT_FOUND: it is none. What it says was written by whoever sent it.
 * Members may be added. Since 0.2. */
POSTERN_API postern_status postern_parsed_notice_json(postern_buf* out,
                                                      const postern_parsed* parsed,
                                                      postern_error** out_error);

POSTERN_END_DECLS

#endif /* POSTERN_NOTICE_H */
