/* Messages: one that has come in, as a callback sees it; any message taken apart; a new one made.
 */
#ifndef POSTERN_MESSAGE_H
#define POSTERN_MESSAGE_H

#include "address.h"
#include "error.h"

POSTERN_BEGIN_DECLS

/* postern_message is lent to a callback and dies when the callback returns; so does everything it
 * lends. */
typedef struct postern_message postern_message;

/* postern_message_reverse_path lends the envelope sender, "local@domain"; empty for the null
 * reverse-path. Since 0.1. */
POSTERN_API postern_str postern_message_reverse_path(const postern_message* message);

/* postern_message_recipient_count returns how many recipients were accepted. Since 0.1. */
POSTERN_API size_t postern_message_recipient_count(const postern_message* message);

/* postern_message_recipient lends recipient `index` as the client named it; empty when there is
 * none of that index. Since 0.1. */
POSTERN_API postern_str postern_message_recipient(const postern_message* message, size_t index);

/* postern_message_content lends the whole message, lines ended by CRLF, with our Received field in
 * front. Since 0.1. */
POSTERN_API postern_str postern_message_content(const postern_message* message);

/* postern_message_client_address lends the client's address as text, "192.0.2.1"; empty for a local
 * socket and for postern_server_submit. Since 0.1. */
POSTERN_API postern_str postern_message_client_address(const postern_message* message);

/* postern_message_helo lends the name that the client gave in EHLO or HELO. Since 0.1. */
POSTERN_API postern_str postern_message_helo(const postern_message* message);

/* postern_message_auth_user lends the login of an authenticated client; empty without one. Since
 * 0.1. */
POSTERN_API postern_str postern_message_auth_user(const postern_message* message);

/* postern_message_is_tls returns 1 when the message came over TLS, else 0. Since 0.1. */
POSTERN_API int postern_message_is_tls(const postern_message* message);

/* What shall become of a message. */
enum {
  POSTERN_MESSAGE_CONTINUE = 0, /* queue and deliver it as the configuration says */
  POSTERN_MESSAGE_TAKE = 1,  /* it is yours: the client gets 250 and nothing is queued. Have it safe
                                before you return */
  POSTERN_MESSAGE_REFUSE = 2 /* the client gets `reply_code` and `reply_text` */
};

/* postern_message_verdict is filled in by the callback; it comes zeroed. An unknown action makes
 * the client try again later (451). */
typedef struct postern_message_verdict {
  size_t struct_size;
  int32_t action;       /* POSTERN_MESSAGE_* */
  int32_t reply_code;   /* for REFUSE: 400 to 599; 0 is 550 */
  char reply_text[400]; /* for REFUSE: NUL-terminated, may start with an enhanced status "5.7.1 ";
                           empty is a standard text */
} postern_message_verdict;

/* ---- A message taken apart
 *
 * postern_parsed is the tree of a message: parts by number, depth first, part 0 being the message
 * itself. No message is refused; what is wrong with one is listed as defects. Everything lent by it
 * lives as long as it does. One thread at a time. */
typedef struct postern_parsed postern_parsed;

/* postern_parse_options bounds a parse; 0 is the default in brackets. Past a limit the rest of the
 * message is one opaque part, and a defect says so. */
typedef struct postern_parse_options {
  size_t struct_size;
  size_t max_depth;        /* parts inside parts [100] */
  size_t max_parts;        /* parts, the message included [10,000] */
  size_t max_headers;      /* header fields of all parts together [100,000] */
  size_t max_header_bytes; /* octets of the header of one part [1 MiB] */
} postern_parse_options;

#define POSTERN_PARSE_OPTIONS_INIT \
  { sizeof(postern_parse_options), 0, 0, 0, 0 }

/* postern_parsed_new copies `octets` and takes them apart. `options` may be NULL.
 * POSTERN_ERR_VERSION: an option of a newer header. Since 0.1. */
POSTERN_API postern_status postern_parsed_new(postern_parsed** out, const char* octets, size_t len,
                                              const postern_parse_options* options,
                                              postern_error** out_error);

/* postern_parsed_new_borrow does so without the copy: `octets` must live, unchanged, until the
 * handle and every reader made of it are freed. Since 0.1. */
POSTERN_API postern_status postern_parsed_new_borrow(postern_parsed** out, const char* octets,
                                                     size_t len,
                                                     const postern_parse_options* options,
                                                     postern_error** out_error);

/* postern_parsed_free frees the handle; NULL is allowed. Readers made of it go on. Since 0.1. */
POSTERN_API void postern_parsed_free(postern_parsed* parsed);

/* postern_parsed_octets lends the whole message. Since 0.1. */
POSTERN_API postern_str postern_parsed_octets(const postern_parsed* parsed);

/* postern_parsed_part_count returns how many parts there are, at least 1. Since 0.1. */
POSTERN_API size_t postern_parsed_part_count(const postern_parsed* parsed);

/* What stands below a part, and how its body is encoded. New values may appear. */
enum { POSTERN_PART_LEAF = 0, POSTERN_PART_MULTIPART = 1, POSTERN_PART_MESSAGE = 2 };
enum {
  POSTERN_ENCODING_IDENTITY = 0, /* 7bit, 8bit, binary and unknown ones */
  POSTERN_ENCODING_BASE64 = 1,
  POSTERN_ENCODING_QUOTED_PRINTABLE = 2
};
#define POSTERN_NO_PART ((size_t)-1)

/* postern_part describes one part. Offsets count octets from the start of the message; of parts
 * below a message in base64 or quoted-printable (which RFC 6532 section 3.7 allows) from the start
 * of that message as decoded. */
typedef struct postern_part {
  size_t struct_size;
  size_t parent; /* POSTERN_NO_PART for the message itself */
  size_t depth;
  size_t child_count;
  int32_t kind;      /* POSTERN_PART_* */
  int32_t encoding;  /* POSTERN_ENCODING_* */
  int32_t is_opaque; /* 1: a limit was reached here */
  size_t header_offset;
  size_t body_offset;
  size_t end_offset;
  postern_str type; /* lower case: "text", "html" */
  postern_str subtype;
  postern_str charset;     /* as given; empty without one */
  postern_str disposition; /* lower case: "attachment", "inline"; empty without one */
  postern_str file_name;   /* UTF-8; of Content-Disposition, else of Content-Type */
  postern_str content_id;  /* with its angle brackets */
} postern_part;

/* postern_parsed_part describes part `index` in `out`, whose struct_size is set.
 * POSTERN_ERR_NOT_FOUND: there is none of that index. Since 0.1. */
POSTERN_API postern_status postern_parsed_part(postern_part* out, const postern_parsed* parsed,
                                               size_t index);

/* postern_header is one header field: as it stands, and decoded to UTF-8 on one line. */
typedef struct postern_header {
  size_t struct_size;
  postern_str name;  /* as written; empty for an mbox "From " line */
  postern_str value; /* as written, folding included */
  postern_str text;
} postern_header;

/* postern_parsed_header_count returns how many header fields a part has; 0 for no part. Since
 * 0.1. */
POSTERN_API size_t postern_parsed_header_count(const postern_parsed* parsed, size_t part);

/* postern_parsed_header describes field `index` of `part` in `out`, whose struct_size is set.
 * POSTERN_ERR_NOT_FOUND: there is none. Since 0.1. */
POSTERN_API postern_status postern_parsed_header(postern_header* out, const postern_parsed* parsed,
                                                 size_t part, size_t index);

/* postern_parsed_find lends the decoded text of the first field `name` (any case) of `part`; empty
 * when there is none. Since 0.1. */
POSTERN_API postern_str postern_parsed_find(const postern_parsed* parsed, size_t part,
                                            const char* name);

/* postern_parsed_date reads the Date field: seconds since 1970, and minutes east of UTC. Either
 * output may be NULL. POSTERN_ERR_NOT_FOUND: there is none; POSTERN_ERR_PROTOCOL: nobody can read
 * it. Since 0.1. */
POSTERN_API postern_status postern_parsed_date(int64_t* out_unix_s, int32_t* out_offset_minutes,
                                               const postern_parsed* parsed);

/* postern_parsed_addresses reads the addresses of every field `name` of `part`; the list is empty
 * when there is none. Since 0.1. */
POSTERN_API postern_status postern_parsed_addresses(postern_address_list** out,
                                                    const postern_parsed* parsed, size_t part,
                                                    const char* name, postern_error** out_error);

/* In which form a body is wanted. */
enum {
  POSTERN_BODY_RAW = 0,     /* as it stands in the message */
  POSTERN_BODY_DECODED = 1, /* base64 and quoted-printable undone */
  POSTERN_BODY_UTF8 = 2,    /* and its charset brought to UTF-8, whatever it is */
  POSTERN_BODY_PLAIN = 3    /* and HTML made plain text, flowed lines joined */
};

/* postern_parsed_body gives the body of `part`. POSTERN_ERR_NOT_FOUND: there is no such part. Since
 * 0.1. */
POSTERN_API postern_status postern_parsed_body(postern_buf* out, const postern_parsed* parsed,
                                               size_t part, int32_t form,
                                               postern_error** out_error);

/* postern_parsed_preview gives the beginning of what the message says, on one line, at most
 * `max_bytes` octets of UTF-8. Since 0.1. */
POSTERN_API postern_status postern_parsed_preview(postern_buf* out, const postern_parsed* parsed,
                                                  size_t max_bytes, postern_error** out_error);

/* postern_defect is what is wrong with a message, and where. */
typedef struct postern_defect {
  size_t struct_size;
  postern_str name; /* "missing_close_delimiter"; lives forever */
  size_t part;
  size_t offset;
} postern_defect;

/* postern_parsed_defect_count returns how many defects are listed: at most 100 each of the
 * structure, of the header fields, of the octets of the bodies, and of what they decode to. Fields
 * and bodies are read for it when it is first asked. Since 0.1. */
POSTERN_API size_t postern_parsed_defect_count(const postern_parsed* parsed);

/* postern_parsed_defect describes defect `index` in `out`, whose struct_size is set.
 * POSTERN_ERR_NOT_FOUND: there is none. Since 0.1. */
POSTERN_API postern_status postern_parsed_defect(postern_defect* out, const postern_parsed* parsed,
                                                 size_t index);

/* postern_parsed_json writes the whole tree as JSON: headers decoded, addresses (an empty group has
 * "group" and no "address"), parts with types,
 * sizes and names, defects, what a bounce says, and with `with_text` the text of the text parts.
 * Members may be added. Since 0.1. */
POSTERN_API postern_status postern_parsed_json(postern_buf* out, const postern_parsed* parsed,
                                               int32_t with_text, postern_error** out_error);

/* postern_body_reader reads a decoded body piece by piece, in little memory whatever its size. It
 * keeps what it needs of its message alive. One thread at a time. */
typedef struct postern_body_reader postern_body_reader;

/* postern_body_reader_new begins to read the body of `part`. POSTERN_ERR_NOT_FOUND: there is no
 * such part. Since 0.1. */
POSTERN_API postern_status postern_body_reader_new(postern_body_reader** out,
                                                   const postern_parsed* parsed, size_t part,
                                                   postern_error** out_error);

/* postern_body_reader_next lends the next octets, at least one, until the next call. It returns
 * POSTERN_OK, or POSTERN_DONE at the end. Since 0.1. */
POSTERN_API postern_status postern_body_reader_next(postern_body_reader* reader,
                                                    postern_str* out_piece,
                                                    postern_error** out_error);

/* postern_body_reader_free frees the reader; NULL is allowed. Since 0.1. */
POSTERN_API void postern_body_reader_free(postern_body_reader* reader);

/* ---- A message made
 *
 * postern_letter gathers what a message shall say; then it is built or written. Nothing that is
 * given can break out of its field. One thread at a time. */
typedef struct postern_letter postern_letter;

/* postern_letter_new makes an empty one. Since 0.1. */
POSTERN_API postern_status postern_letter_new(postern_letter** out, postern_error** out_error);

/* postern_letter_free frees it; NULL is allowed. Since 0.1. */
POSTERN_API void postern_letter_free(postern_letter* letter);

/* postern_letter_header adds a field of text (UTF-8), encoded where it must be, such as Subject. A
 * field that may stand once (Subject, Date, Message-ID, MIME-Version, In-Reply-To, References)
 * replaces the one before, and ours. POSTERN_ERR_INVALID_ARGUMENT: that is no field name; a field
 * of addresses, which postern_letter_address adds; Content-Type, Content-Transfer-Encoding or
 * Content-Disposition, which the letter writes itself; a Date that nobody can read; a Message-ID
 * that is no "<left@right>". Since 0.1. */
POSTERN_API postern_status postern_letter_header(postern_letter* letter, const char* name,
                                                 const char* text, postern_error** out_error);

/* postern_letter_address adds a mailbox to an address field (From, To, Cc, Reply-To, Sender).
 * `display` (UTF-8) may be NULL. POSTERN_ERR_INVALID_ARGUMENT: `address` is none; a field of text;
 * a second Sender. Since 0.1. */
POSTERN_API postern_status postern_letter_address(postern_letter* letter, const char* field,
                                                  const char* display, const char* address,
                                                  postern_error** out_error);

/* postern_letter_text and postern_letter_html set what is said, in UTF-8; of both, readers show the
 * one they can. Since 0.1. */
POSTERN_API postern_status postern_letter_text(postern_letter* letter, const char* text, size_t len,
                                               postern_error** out_error);
POSTERN_API postern_status postern_letter_html(postern_letter* letter, const char* html, size_t len,
                                               postern_error** out_error);

/* postern_attachment is a file, or a picture that the HTML shows by "cid:". */
typedef struct postern_attachment {
  size_t struct_size;
  const char* file_name;    /* UTF-8; may be NULL */
  const char* content_type; /* NULL: application/octet-stream */
  const char* content_id;   /* "logo@example.org", shown in the HTML; NULL: an attachment */
  const char* data;         /* copied; NULL with `read` */
  size_t len;
  /* read, when it is set, gives the octets while the message is written: up to `size` of them to
   * `to`, their number in `*got`, 0 at the end. What it returns besides POSTERN_OK ends the
   * writing. It is called by the thread that writes, and may not call the letter. */
  postern_status (*read)(char* to, size_t size, size_t* got, void* user_data);
  void (*destroy_user_data)(void* user_data); /* called once; may be NULL */
  void* user_data;
} postern_attachment;

#define POSTERN_ATTACHMENT_INIT \
  { sizeof(postern_attachment), NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL }

/* postern_letter_attach adds one. POSTERN_ERR_INVALID_ARGUMENT: the content type is no
 * "type/subtype" with parameters, or a multipart; the content id is no "left@right". Lines of text
 * and of messages may end in LF: they are written with CRLF. What `read` gives is given once: a
 * letter with it is built or written once. Since 0.1. */
POSTERN_API postern_status postern_letter_attach(postern_letter* letter,
                                                 const postern_attachment* attachment,
                                                 postern_error** out_error);

/* postern_letter_build gives the whole message, lines ended by CRLF. Date is now and Message-ID
 * random unless they were given. POSTERN_ERR_CALLBACK: a `read` failed;
 * POSTERN_ERR_INVALID_ARGUMENT: there is no From, or several authors and no Sender (RFC 5322
 * section 3.6.2), or an attached message has a line of more than 998 octets; POSTERN_ERR_BUSY: it
 * was written before, and an attachment's `read` cannot give its octets again. Since 0.1. */
POSTERN_API postern_status postern_letter_build(postern_buf* out, postern_letter* letter,
                                                postern_error** out_error);

/* postern_letter_write gives it in pieces to `write`, so that a large attachment is never held in
 * memory. What `write` returns besides POSTERN_OK ends the writing. POSTERN_ERR_CALLBACK: it, or a
 * `read`, failed. Since 0.1. */
POSTERN_API postern_status postern_letter_write(postern_letter* letter,
                                                postern_status (*write)(const char* octets,
                                                                        size_t len,
                                                                        void* user_data),
                                                void* user_data, postern_error** out_error);

POSTERN_END_DECLS

#endif /* POSTERN_MESSAGE_H */
