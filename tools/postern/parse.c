/* postern parse: the parts of a message with their types, sizes, names and defects. */
#include "options.h"
#include "verbs.h"
#include <limits.h>
#include <postern.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* character_len is how many octets the UTF-8 character at `text` has; 0 when there is none (RFC
 * 3629 section 4). */
static size_t character_len(const char* text, size_t len) {
  const unsigned char* at = (const unsigned char*)text;
  const size_t want = at[0] < 0x80                    ? 1
                      : at[0] >= 0xC2 && at[0] < 0xE0 ? 2
                      : at[0] >= 0xE0 && at[0] < 0xF0 ? 3
                      : at[0] >= 0xF0 && at[0] < 0xF5 ? 4
                                                      : 0;
  size_t i;
  if (want == 0 || want > len) return 0;
  for (i = 1; i < want; ++i)
    if ((at[i] & 0xC0) != 0x80) return 0;
  if ((at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xED && at[1] > 0x9F) ||
      (at[0] == 0xF0 && at[1] < 0x90) || (at[0] == 0xF4 && at[1] > 0x8F))
    return 0;
  return want;
}

/* print_lines shows text of strangers: what could move the cursor or change the terminal becomes
 * "?" (the controls past ASCII are two octets), and what is no UTF-8 U+FFFD. The characters of
 * `keep` stay. */
static void print_lines(const char* text, size_t len, const char* keep) {
  while (len > 0) {
    const size_t size = character_len(text, len);
    const unsigned char c = (unsigned char)*text;
    if (size == 0) {
      fputs("\xEF\xBF\xBD", stdout);
    } else if (size == 1) {
      putchar((c < 0x20 || c == 0x7F) && (c == 0 || strchr(keep, c) == NULL) ? '?' : c);
    } else if (size == 2 && c == 0xC2 && (unsigned char)text[1] < 0xA0) {
      putchar('?');
    } else {
      fwrite(text, 1, size, stdout);
    }
    text += size == 0 ? 1 : size;
    len -= size == 0 ? 1 : size;
  }
}

static void print(postern_str text) { print_lines(text.data, text.len, ""); }

static void print_size(size_t bytes) {
  if (bytes < 1000) {
    printf("%zu byte%s", bytes, bytes == 1 ? "" : "s");
  } else if (bytes < 1000 * 1000) {
    printf("%.1f kB", (double)bytes / 1e3);
  } else {
    printf("%.1f MB", (double)bytes / 1e6);
  }
}

static postern_part part_of(const postern_parsed* parsed, size_t index) {
  postern_part part;
  memset(&part, 0, sizeof part);
  part.struct_size = sizeof part;
  (void)postern_parsed_part(&part, parsed, index);
  return part;
}

static void print_addresses(const postern_parsed* parsed, const char* label, const char* field) {
  postern_address_list* list = NULL;
  size_t i, shown = 0, in_group = 0;
  if (postern_parsed_addresses(&list, parsed, 0, field, NULL) != POSTERN_OK) return;
  for (i = 0; i < postern_address_list_count(list); ++i) {
    postern_address entry;
    memset(&entry, 0, sizeof entry);
    entry.struct_size = sizeof entry;
    (void)postern_address_list_get(&entry, list, i);
    if (entry.kind == POSTERN_ADDRESS_GROUP_END) {
      printf(";");
      in_group = 0;
      continue;
    }
    printf(shown == 0 ? "%-12s" : in_group == 1 ? " " : ", ", label);
    if (in_group != 0) ++in_group;
    ++shown;
    print(entry.name);
    if (entry.kind == POSTERN_ADDRESS_GROUP_BEGIN) {
      printf(":");
      in_group = 1;
      continue;
    }
    if (entry.name.len > 0) printf(" <");
    print(entry.address);
    if (entry.name.len > 0) printf(">");
  }
  if (shown > 0) printf("\n");
  postern_address_list_free(list);
}

static void print_field(const postern_parsed* parsed, const char* label, const char* name) {
  const postern_str text = postern_parsed_find(parsed, 0, name);
  if (text.len == 0) return;
  printf("%-12s", label);
  print(text);
  printf("\n");
}

static void print_headers(const postern_parsed* parsed) {
  size_t i;
  for (i = 0; i < postern_parsed_header_count(parsed, 0); ++i) {
    postern_header field;
    memset(&field, 0, sizeof field);
    field.struct_size = sizeof field;
    (void)postern_parsed_header(&field, parsed, 0, i);
    print(field.name);
    printf(": ");
    print(field.text);
    printf("\n");
  }
}

static size_t decoded_bytes(const postern_parsed* parsed, size_t index) {
  postern_body_reader* reader = NULL;
  postern_str piece;
  size_t bytes = 0;
  if (postern_body_reader_new(&reader, parsed, index, NULL) != POSTERN_OK) return 0;
  while (postern_body_reader_next(reader, &piece, NULL) == POSTERN_OK) bytes += piece.len;
  postern_body_reader_free(reader);
  return bytes;
}

/* print_tree draws one line a part. `more` tells of each depth whether another part follows below
 * the same one. */
static void print_tree(const postern_parsed* parsed) {
  const size_t count = postern_parsed_part_count(parsed);
  size_t* left = calloc(count, sizeof *left); /* children of each part not yet drawn */
  size_t* above = calloc(count, sizeof *above);
  size_t i;
  if (left == NULL || above == NULL) {
    free(left);
    free(above);
    return;
  }
  for (i = 0; i < count; ++i) {
    const postern_part part = part_of(parsed, i);
    static const char* const encodings[] = {NULL, "base64", "quoted-printable"};
    size_t depth = 0, up;
    left[i] = part.child_count;
    above[i] = part.parent;
    for (up = part.parent; up != POSTERN_NO_PART; up = above[up]) ++depth;
    if (part.parent != POSTERN_NO_PART) --left[part.parent];
    if (depth > 0) {
      /* From the outermost part down: does a line go on beside this one? */
      size_t level;
      for (level = 1; level < depth; ++level) {
        size_t steps = depth - level;
        for (up = part.parent; --steps > 0;) up = above[up];
        printf(left[above[up]] > 0 ? "│  " : "   ");
      }
      printf(left[part.parent] > 0 ? "├─ " : "└─ ");
    }
    printf("%zu  ", i);
    print(part.type);
    printf("/");
    print(part.subtype);
    if (part.file_name.len > 0) {
      printf("  \"");
      print(part.file_name);
      printf("\"");
    }
    if (part.charset.len > 0) {
      printf("  ");
      print(part.charset);
    }
    if (part.encoding > 0 && part.encoding < 3) printf("  %s", encodings[part.encoding]);
    if (part.kind == POSTERN_PART_LEAF) {
      printf("  ");
      print_size(decoded_bytes(parsed, i));
    }
    if (part.disposition.len > 0 && part.file_name.len == 0) {
      printf("  ");
      print(part.disposition);
    }
    if (part.is_opaque) printf("  (a limit was reached: there may be more inside)");
    printf("\n");
  }
  free(left);
  free(above);
}

static const char* explain(postern_str defect) {
  static const struct {
    const char* name;
    const char* text;
  } known[] = {
      {"depth_limit", "parts stand too deep in one another"},
      {"part_limit", "there are too many parts"},
      {"header_count_limit", "there are too many header fields"},
      {"header_size_limit", "the header is too large"},
      {"mbox_from_line", "the header begins with an mbox \"From \" line"},
      {"malformed_header_line", "a header field has no name"},
      {"leading_empty_line", "an empty line before the header: it is all body"},
      {"missing_header_end", "the header ends without an empty line"},
      {"bare_cr_in_header", "a CR without LF in the header"},
      {"nul_in_header", "a NUL in the header"},
      {"invalid_utf8_in_header", "8-bit octets in the header that are not UTF-8"},
      {"bad_content_type", "Content-Type cannot be read; taken for text/plain"},
      {"multipart_no_boundary", "a multipart without a usable boundary"},
      {"multipart_no_parts", "the boundary of a multipart never comes"},
      {"missing_close_delimiter", "a multipart is not closed"},
      {"encoded_multipart", "a multipart may not be encoded; the encoding is ignored"},
      {"encoded_message", "a message inside may not be encoded; it is left closed"},
      {"unknown_encoding", "nobody knows the Content-Transfer-Encoding; taken as binary"},
      {"bad_encoded_body", "the encoded body holds what may not stand in it, or is cut short"},
      {"unknown_charset", "nobody knows the charset; taken for UTF-8 or windows-1252"},
      {"bad_charset_octets", "octets that mean nothing in the charset"},
      {"repeated_field", "a header field that may stand once stands again"},
      {"bad_date", "nobody can read the date"},
      {"missing_comma", "two addresses without a comma between; taken for two"},
      {"bad_address", "an address that cannot be one as it is written"},
      {"bad_encoded_word", "an encoded word that is not closed, or does not decode whole"},
      {"bad_parameter", "a parameter that cannot be read whole"},
      {"blank_before_colon", "blanks between the name of a field and its colon"},
      {"long_line", "a line of more than 998 octets"},
      {"bare_lf", "an LF without CR among lines that end in CRLF"},
      {"bare_cr_in_body", "a CR without LF in the body"},
      {"nul_in_body", "a NUL in the body"},
      {"undeclared_8bit", "8-bit octets in a body whose Content-Transfer-Encoding allows none"},
  };
  size_t i;
  for (i = 0; i < sizeof known / sizeof *known; ++i) {
    if (strlen(known[i].name) == defect.len && memcmp(known[i].name, defect.data, defect.len) == 0)
      return known[i].text;
  }
  return "";
}

static void print_defects(const postern_parsed* parsed) {
  const size_t count = postern_parsed_defect_count(parsed);
  const postern_str octets = postern_parsed_octets(parsed);
  size_t i;
  if (count == 0) return;
  printf("\nDefects:\n");
  for (i = 0; i < count; ++i) {
    postern_defect defect;
    size_t line = 1, at;
    const char* text;
    memset(&defect, 0, sizeof defect);
    defect.struct_size = sizeof defect;
    (void)postern_parsed_defect(&defect, parsed, i);
    for (at = 0; at < defect.offset && at < octets.len; ++at) line += octets.data[at] == '\n';
    text = explain(defect.name);
    printf("  line %zu, part %zu: %.*s%s%s\n", line, defect.part, (int)defect.name.len,
           defect.name.data, *text != '\0' ? ": " : "", text);
  }
}

static void print_summary(const postern_parsed* parsed) {
  postern_buf preview = {NULL, 0};
  int64_t unix_s = 0;
  int32_t offset = 0;
  const postern_status dated = postern_parsed_date(&unix_s, &offset, parsed);
  print_addresses(parsed, "From", "From");
  print_addresses(parsed, "To", "To");
  print_addresses(parsed, "Cc", "Cc");
  print_field(parsed, "Subject", "Subject");
  if (dated == POSTERN_OK) {
    const time_t local = (time_t)(unix_s + (int64_t)offset * 60);
    struct tm parts;
    char text[64];
    if (gmtime_r(&local, &parts) != NULL && strftime(text, sizeof text, "%a, %d %b", &parts) > 0) {
      /* Not %Y: it gives the year 26 two digits. */
      printf("%-12s%s %04d %02d:%02d:%02d %c%02d%02d\n", "Date", text, parts.tm_year + 1900,
             parts.tm_hour, parts.tm_min, parts.tm_sec, offset < 0 ? '-' : '+', abs(offset) / 60,
             abs(offset) % 60);
    }
  } else if (dated == POSTERN_ERR_PROTOCOL) {
    print_field(parsed, "Date", "Date");
  }
  print_field(parsed, "Message-ID", "Message-ID");
  if (postern_parsed_preview(&preview, parsed, 160, NULL) == POSTERN_OK && preview.len > 0) {
    const postern_str text = {preview.data, preview.len};
    printf("%-12s", "Says");
    print(text);
    printf("\n");
  }
  postern_buf_free(&preview);
  printf("%-12s", "Size");
  print_size(postern_parsed_octets(parsed).len);
  printf("\n\n");
}

/* What the command line asked for. */
struct parse_options {
  int json, text, headers;
  long part; /* -1: none */
};

/* is_text tells whether a part is a text that is no attachment. */
static int is_text(const postern_parsed* parsed, size_t index) {
  const postern_part part = part_of(parsed, index);
  return part.kind == POSTERN_PART_LEAF && part.type.len == 4 &&
         memcmp(part.type.data, "text", 4) == 0 &&
         (part.disposition.len != 10 || memcmp(part.disposition.data, "attachment", 10) != 0);
}

/* is_said tells whether a part is of what the sender says: not of a message inside, and of several
 * forms of the same thing the first (RFC 2046 section 5.1.4). */
static int is_said(const postern_parsed* parsed, size_t index) {
  size_t below = index, above = part_of(parsed, index).parent;
  while (above != POSTERN_NO_PART) {
    const postern_part up = part_of(parsed, above);
    if (up.kind == POSTERN_PART_MESSAGE) return 0;
    if (up.subtype.len == 11 && memcmp(up.subtype.data, "alternative", 11) == 0 &&
        below != above + 1)
      return 0;
    below = above;
    above = up.parent;
  }
  return 1;
}

static int write_part_text(const postern_parsed* parsed, size_t index) {
  postern_buf out = {NULL, 0};
  postern_error* error = NULL;
  const postern_status status =
      postern_parsed_body(&out, parsed, index, POSTERN_BODY_PLAIN, &error);
  if (status != POSTERN_OK) return complain_about("parse", status, error);
  print_lines(out.data, out.len, "\n\t");
  postern_buf_free(&out);
  return EXIT_FINE;
}

/* write_text prints all that the message says; without anything its first text, wherever it is. */
static int write_text(const postern_parsed* parsed) {
  const size_t count = postern_parsed_part_count(parsed);
  size_t i, shown = 0;
  int status = EXIT_FINE;
  for (i = 0; i < count && status == EXIT_FINE; ++i) {
    if (!is_text(parsed, i) || !is_said(parsed, i)) continue;
    if (shown++ > 0) putchar('\n');
    status = write_part_text(parsed, i);
  }
  if (shown > 0) return status;
  for (i = 0; i < count; ++i)
    if (is_text(parsed, i)) return write_part_text(parsed, i);
  fprintf(stderr, "postern: parse: the message has no text\n");
  return EXIT_NOT_FINE;
}

static int write_buf(postern_status status, postern_buf* buf, postern_error* error) {
  if (status != POSTERN_OK) return complain_about("parse", status, error);
  fwrite(buf->data, 1, buf->len, stdout);
  postern_buf_free(buf);
  return EXIT_FINE;
}

static int show(const postern_parsed* parsed, const struct parse_options* options) {
  postern_buf out = {NULL, 0};
  postern_error* error = NULL;
  long part = options->part;
  if (options->json)
    return write_buf(postern_parsed_json(&out, parsed, options->text, &error), &out, error);
  if (options->text && part < 0) return write_text(parsed);
  if (part >= 0) {
    const size_t count = postern_parsed_part_count(parsed);
    const int32_t form = options->text ? POSTERN_BODY_UTF8 : POSTERN_BODY_DECODED;
    if ((size_t)part >= count) {
      fprintf(stderr, "postern: parse: there is no part %ld; the last one is %zu\n", part,
              count - 1);
      return EXIT_NOT_FINE;
    }
    return write_buf(postern_parsed_body(&out, parsed, (size_t)part, form, &error), &out, error);
  }
  if (options->headers) {
    print_headers(parsed);
    return 0;
  }
  print_summary(parsed);
  print_tree(parsed);
  print_defects(parsed);
  return 0;
}

int parse_command(int argc, char** argv) {
  struct parse_options given = {0, 0, 0, -1};
  const char* part = NULL;
  const struct option options[] = {
      {"--json", NULL, "the whole tree for programs; with --text, the texts too", NULL,
       &given.json},
      {"--text", NULL, "what the message says, as plain text", NULL, &given.text},
      {"--headers", NULL, "every header field, decoded", NULL, &given.headers},
      {"--part", "N", "the decoded octets of part N; with --text, its text in UTF-8", &part, NULL},
      {NULL, NULL, NULL, NULL, NULL}};
  const struct verb verb = {"parse", "[FILE]",
                            "Shows what a message is made of: its parts with their types, sizes "
                            "and names, and what is wrong with it. Without FILE, or with -, it is "
                            "read from standard input.",
                            options, 1};
  const char* file = NULL;
  postern_parsed* parsed = NULL;
  postern_error* error = NULL;
  postern_status status;
  char* octets = NULL;
  size_t len = 0;
  int result = EXIT_FINE;
  if (read_options(&verb, argc, argv, &file, &result) != 0) return result;
  if (part != NULL) {
    uint64_t number = 0;
    if (read_number(verb.name, "--part", part, 0, LONG_MAX, &number) != 0) return EXIT_USAGE;
    given.part = (long)number;
  }
  result = read_file(file, &octets, &len);
  if (result != 0) return result;
  status = postern_parsed_new_borrow(&parsed, octets, len, NULL, &error);
  result = status == POSTERN_OK ? show(parsed, &given) : complain_about("parse", status, error);
  postern_parsed_free(parsed);
  free(octets);
  return result;
}
