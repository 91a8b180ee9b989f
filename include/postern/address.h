/* Addresses: as SMTP takes them, and as header fields write them. */
#ifndef POSTERN_ADDRESS_H
#define POSTERN_ADDRESS_H

#include "error.h"

POSTERN_BEGIN_DECLS

/* postern_address_normalize reads one address as SMTP has it (RFC 5321, RFC 6531: quoted local
 * parts, address literals, UTF-8), also as a path in angle brackets or with a source route, which
 * is dropped, and gives it in the form that is compared and stored: the domain in small letters
 * with A-labels, the local part quoted only where it must be. `out` may be NULL.
 * POSTERN_ERR_INVALID_ARGUMENT: it is none; the error says why in one line. Any thread. Since
 * 0.1. */
POSTERN_API postern_status postern_address_normalize(postern_buf* out, const char* text, size_t len,
                                                     postern_error** out_error);

/* postern_domain_to_ascii gives a domain name as the DNS has it: U-labels as A-labels (UTS #46),
 * small letters. POSTERN_ERR_INVALID_ARGUMENT: it is no name. Any thread. Since 0.1. */
POSTERN_API postern_status postern_domain_to_ascii(postern_buf* out, const char* domain, size_t len,
                                                   postern_error** out_error);

/* postern_address_list is the addresses of a header field, such as To. Everything lent by it lives
 * as long as it does. */
typedef struct postern_address_list postern_address_list;

/* postern_address_list_parse reads the value of a field. It bears with what mail has: obsolete
 * forms, comments, missing commas and brackets. It fails only for want of memory. Any thread. Since
 * 0.1. */
POSTERN_API postern_status postern_address_list_parse(postern_address_list** out, const char* value,
                                                      size_t len, postern_error** out_error);

/* postern_address_list_free frees it; NULL is allowed. Since 0.1. */
POSTERN_API void postern_address_list_free(postern_address_list* list);

/* postern_address_list_count returns how many entries there are. Since 0.1. */
POSTERN_API size_t postern_address_list_count(const postern_address_list* list);

enum {
  POSTERN_ADDRESS_MAILBOX = 0,
  POSTERN_ADDRESS_GROUP_BEGIN = 1, /* `name` is the name of the group; its members follow */
  POSTERN_ADDRESS_GROUP_END = 2
};

/* postern_address is one entry of a list. */
typedef struct postern_address {
  size_t struct_size;
  int32_t kind;           /* POSTERN_ADDRESS_* */
  postern_str name;       /* UTF-8, decoded; may be empty */
  postern_str local_part; /* without quotes */
  postern_str domain;     /* empty for text that is no address */
  postern_str address;    /* local-part@domain, quoted where it must be */
} postern_address;

/* postern_address_list_get describes entry `index` in `out`, whose struct_size is set.
 * POSTERN_ERR_NOT_FOUND: there is none. Since 0.1. */
POSTERN_API postern_status postern_address_list_get(postern_address* out,
                                                    const postern_address_list* list, size_t index);

POSTERN_END_DECLS

#endif /* POSTERN_ADDRESS_H */
