/* The message that sendmail is given: its header, and the recipients in it. */
#define _GNU_SOURCE
#include "sendmail.h"
#include <ctype.h>
#include <postern.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

void add(struct text* to, const char* data, size_t len) {
  if (to->len + len + 1 > to->room) {
    size_t room = to->room == 0 ? 4096 : to->room;
    char* grown;
    while (room < to->len + len + 1) room *= 2;
    grown = realloc(to->data, room);
    if (grown == NULL) {
      fprintf(stderr, "sendmail: out of memory\n");
      exit(EX_OSERR);
    }
    to->data = grown;
    to->room = room;
  }
  if (len > 0) memcpy(to->data + to->len, data, len);
  to->len += len;
  to->data[to->len] = '\0';
}

void add_string(struct text* to, const char* string) { add(to, string, strlen(string)); }

void add_recipient(struct letter* letter, const char* address, size_t len) {
  struct text copy = {NULL, 0, 0};
  size_t i;
  if (letter->recipient_count == MAX_RECIPIENTS) {
    fprintf(stderr, "sendmail: more than %d recipients\n", MAX_RECIPIENTS);
    exit(EX_DATAERR);
  }
  for (i = 0; i < letter->recipient_count; ++i) {
    if (strlen(letter->recipients[i]) == len && memcmp(letter->recipients[i], address, len) == 0)
      return;
  }
  if (letter->recipients == NULL) {
    letter->recipients = calloc(MAX_RECIPIENTS, sizeof *letter->recipients);
    if (letter->recipients == NULL) exit(EX_OSERR);
  }
  add(&copy, address, len);
  letter->recipients[letter->recipient_count++] = copy.data;
}

/* is_field tells whether `line` begins the field `name`. */
static int is_field(const char* line, size_t len, const char* name) {
  const size_t size = strlen(name);
  size_t i = size;
  if (len <= size || strncasecmp(line, name, size) != 0) return 0;
  while (i < len && (line[i] == ' ' || line[i] == '\t')) ++i;
  return i < len && line[i] == ':';
}

/* is_header tells whether `line` begins any field: RFC 5322 §2.2. */
static int is_header(const char* line, size_t len) {
  size_t i = 0;
  while (i < len && line[i] > ' ' && line[i] != ':' && line[i] < 127) ++i;
  if (i == 0) return 0;
  while (i < len && (line[i] == ' ' || line[i] == '\t')) ++i;
  return i < len && line[i] == ':';
}

static int take_addresses(struct letter* letter, const char* value, size_t len) {
  postern_address_list* list = NULL;
  size_t i, count;
  if (postern_address_list_parse(&list, value, len, NULL) != POSTERN_OK) return EX_OSERR;
  count = postern_address_list_count(list);
  for (i = 0; i < count; ++i) {
    postern_address address;
    memset(&address, 0, sizeof address);
    address.struct_size = sizeof address;
    if (postern_address_list_get(&address, list, i) != POSTERN_OK) continue;
    if (address.kind != POSTERN_ADDRESS_MAILBOX) continue;
    if (address.address.len > 0) {
      add_recipient(letter, address.address.data, address.address.len);
    } else if (address.local_part.len > 0) {
      add_recipient(letter, address.local_part.data, address.local_part.len);
    }
  }
  postern_address_list_free(list);
  return 0;
}

/* end_field does what is to be done with the whole field `field`. */
static int end_field(struct letter* letter, struct text* field, int take_recipients) {
  static const char* const kGone[] = {"Bcc", "Resent-Bcc"};
  static const char* const kRead[] = {"To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"};
  size_t i;
  int keep = 1;
  if (field->len == 0) return 0;
  if (is_field(field->data, field->len, "From")) letter->has_from = 1;
  for (i = 0; take_recipients && i < sizeof kRead / sizeof kRead[0]; ++i) {
    if (is_field(field->data, field->len, kRead[i])) {
      const char* colon = memchr(field->data, ':', field->len);
      const size_t behind = (size_t)(colon + 1 - field->data);
      const int failed = take_addresses(letter, colon + 1, field->len - behind);
      if (failed != 0) return failed;
    }
  }
  for (i = 0; i < sizeof kGone / sizeof kGone[0]; ++i)
    if (is_field(field->data, field->len, kGone[i])) keep = 0;
  if (keep) add(&letter->content, field->data, field->len);
  field->len = 0;
  return 0;
}

/* add_words writes `name`, which is not ASCII, as encoded words on lines of at most 76 characters
 * behind "From: " (RFC 2047 §2, §4.2). None of them ends within a character. */
static void add_words(struct text* head, const char* name) {
  enum { kRoom = 58 }; /* of 76, but for "From: ", "=?utf-8?q?" and "?=" */
  size_t used = 0;
  const unsigned char* c = (const unsigned char*)name;
  add_string(head, "=?utf-8?q?");
  while (*c != '\0') {
    char coded[3 * 4 + 1];
    size_t len = 0;
    do {
      if (isalnum(*c) && *c < 128) {
        coded[len++] = (char)*c;
      } else if (*c == ' ') {
        coded[len++] = '_';
      } else {
        len += (size_t)snprintf(coded + len, 4, "=%02X", *c < ' ' ? ' ' : *c);
      }
      ++c;
    } while ((*c & 0xc0) == 0x80 && len <= sizeof coded - 4);
    if (used + len > kRoom) {
      add_string(head, "?=\n =?utf-8?q?");
      used = 0;
    }
    add(head, coded, len);
    used += len;
  }
  add_string(head, "?=");
}

static void add_from(struct text* head, const char* full_name, const char* address) {
  const char* c;
  int ascii = 1;
  add_string(head, "From: ");
  for (c = full_name; *c != '\0'; ++c) ascii = ascii && (unsigned char)*c < 128;
  if (!ascii) {
    add_words(head, full_name);
    add_string(head, "\n ");
  } else if (*full_name != '\0') {
    add_string(head, "\"");
    for (c = full_name; *c != '\0'; ++c) {
      if ((unsigned char)*c < ' ' || *c == 127) continue;
      if (*c == '"' || *c == '\\') add_string(head, "\\");
      add(head, c, 1);
    }
    add_string(head, "\" ");
  }
  add_string(head, "<");
  for (c = address; *c != '\0'; ++c)
    if ((unsigned char)*c >= ' ' && *c != 127) add(head, c, 1);
  add_string(head, ">\n");
}

int read_letter(FILE* in, int dot_ends, int take_recipients, const char* full_name,
                const char* address, struct letter* letter) {
  char* line = NULL;
  size_t room = 0;
  ssize_t got;
  int in_header = 1, first = 1, failed = 0;
  struct text field = {NULL, 0, 0};
  while (failed == 0 && (got = getline(&line, &room, in)) >= 0) {
    size_t len = (size_t)got;
    const int had_end = len > 0 && line[len - 1] == '\n';
    if (had_end) --len;
    if (len > 0 && line[len - 1] == '\r') --len; /* lines of another system */
    if (dot_ends && len == 1 && line[0] == '.') break;
    /* "From alice Sat Nov 21 ..." of an mbox is no header. */
    if (first && len > 5 && strncmp(line, "From ", 5) == 0) continue;
    first = 0;
    if (in_header) {
      const int goes_on = len > 0 && (line[0] == ' ' || line[0] == '\t') && field.len > 0;
      if (!goes_on) failed = end_field(letter, &field, take_recipients);
      if (!goes_on && !is_header(line, len)) {
        in_header = 0;
        if (!letter->has_from) add_from(&letter->content, full_name, address);
        add_string(&letter->content, "\n");
        if (len == 0) continue;
      } else {
        add(&field, line, len);
        add_string(&field, "\n");
        continue;
      }
    }
    add(&letter->content, line, len);
    add_string(&letter->content, "\n");
  }
  if (failed == 0 && in_header) {
    failed = end_field(letter, &field, take_recipients);
    if (!letter->has_from) add_from(&letter->content, full_name, address);
    add_string(&letter->content, "\n");
  }
  if (failed == 0 && ferror(in)) {
    perror("sendmail: reading the message");
    failed = EX_IOERR;
  }
  free(field.data);
  free(line);
  return failed;
}
